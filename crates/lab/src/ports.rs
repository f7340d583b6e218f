//! Ports on 127.0.0.1 that stay reserved while they are held, also while the server that uses them is down.
//!
//! A held port is below the range from which the kernel takes the source ports of outgoing connections, so a restarted
//! server finds it free. The lock against other labs on this machine is the UDP socket of the same number, which nothing
//! else here uses: it needs no files and ends with the process.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;
/// A process is long started by then.
const STARTED: Duration = Duration::from_secs(10);

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
        // Labs start at different places, so that they seldom collide.
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

    /// Listens on it. A process that is just being started holds every socket of this one until it runs its own
    /// program, including the one that [`Self::reserve`] tried the port with: then the port is free a moment later.
    pub fn listen(&self) -> std::io::Result<TcpListener> {
        let until = Instant::now() + STARTED;
        loop {
            match TcpListener::bind(self.address()) {
                Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                listening => return listening,
            }
        }
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
    fn a_port_that_is_held_for_a_moment_is_listened_on_after_it() {
        let port = Port::reserve().unwrap();
        let held = TcpListener::bind(port.address()).unwrap();
        let free = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(held);
        });
        port.listen().unwrap();
        free.join().unwrap();
    }

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
