//! Ports on 127.0.0.1 that stay ours for as long as we hold them, also while the server that uses them is down.
//!
//! A held port is below the range from which the kernel takes the source ports of outgoing connections, so a restarted
//! server finds it free. The lock against other labs on this machine is the UDP socket of the same number, which nothing
//! else here uses: it needs no files and ends with the process.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, bail};

const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port on 127.0.0.1 that no other lab takes until this is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: UdpSocket,
}

impl Port {
    /// Takes a port that nobody listens on.
    pub fn reserve() -> anyhow::Result<Self> {
        // Labs start at different places, so that they seldom have to step over each other.
        let start = std::process::id().wrapping_mul(97);
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = u16::try_from(FIRST + start.wrapping_add(step) % COUNT).context("port range")?;
            let Ok(lock) = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)) else {
                continue;
            };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self { number, _lock: lock });
            }
        }
        bail!("no free port on 127.0.0.1 from {FIRST} to {}", FIRST + COUNT - 1)
    }

    pub fn number(&self) -> u16 {
        self.number
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_port_is_not_given_out_again() {
        let ports: Vec<Port> = (0..50).map(|_| Port::reserve().unwrap()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
        for port in &ports {
            assert!(UdpSocket::bind(port.address()).is_err());
            TcpListener::bind(port.address()).expect("the TCP side is left for the server");
        }
    }
}
