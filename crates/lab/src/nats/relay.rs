//! A TCP relay in front of the gateway or route port of one server, for calls from one other location.
//!
//! Promises: bytes stay in order; what is in flight is bounded; many chunks travel at the same time, so throughput is
//! bounded by [`IN_FLIGHT_BYTES`] per delay, not by a chunk per delay. The timer adds up to 1 ms. A call over a cut
//! link is accepted and closed before a byte has passed, so the caller never counts it as connected.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::wan::WanLink;

/// The bytes that one direction of a connection may have in flight: 160 MB/s at 100 ms one way.
const IN_FLIGHT_BYTES: u32 = 16 << 20;
/// The least that a chunk counts, so that the number of chunks is bounded too.
const CHUNK_COST: u32 = 512;
const CHUNK_BYTES: usize = 64 << 10;
const LEAST_READ_BYTES: usize = 4 << 10;

/// Accepts calls and carries them to `target` until the runtime ends.
pub(crate) async fn serve(listener: TcpListener, target: SocketAddr, link: Arc<WanLink>) {
    loop {
        match listener.accept().await {
            Ok((caller, _)) => {
                let link = Arc::clone(&link);
                tokio::spawn(async move {
                    if let Err(error) = connection(caller, target, &link).await {
                        tracing::debug!(%target, %error, "a relayed connection has ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%target, %error, "a relay cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(caller: TcpStream, target: SocketAddr, link: &WanLink) -> anyhow::Result<()> {
    if link.is_cut() {
        return Ok(());
    }
    caller.set_nodelay(true)?;
    let called = TcpStream::connect(target).await?;
    called.set_nodelay(true)?;
    let (from_caller, to_caller) = caller.into_split();
    let (from_called, to_called) = called.into_split();
    tokio::select! {
        () = link.until_cut() => Ok(()),
        ended = pump(from_caller, to_called, link) => ended,
        ended = pump(from_called, to_caller, link) => ended,
    }
}

struct Chunk {
    due: Instant,
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// Carries one direction; ends when it is closed, after everything before was delivered.
async fn pump(from: OwnedReadHalf, to: OwnedWriteHalf, link: &WanLink) -> anyhow::Result<()> {
    // The semaphore bounds the queue, in bytes.
    let (queue, chunks) = mpsc::unbounded_channel();
    let reading = async {
        // What was read before an error is delivered like everything else.
        if let Err(error) = take_in(from, link, queue).await {
            tracing::debug!(%error, "relay reads no more");
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = reading => Ok(()),
        delivered = deliver(to, chunks) => delivered,
    }
}

async fn take_in(
    mut from: OwnedReadHalf,
    link: &WanLink,
    queue: mpsc::UnboundedSender<Chunk>,
) -> anyhow::Result<()> {
    let room = Arc::new(Semaphore::new(IN_FLIGHT_BYTES as usize));
    let mut chance = RandomState::new().build_hasher().finish() | 1;
    let mut last_due = Instant::now();
    let mut buffer = BytesMut::new();
    loop {
        // Small chunks share one allocation.
        if buffer.capacity() < LEAST_READ_BYTES {
            buffer.reserve(CHUNK_BYTES);
        }
        if from.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let cost = u32::try_from(buffer.len())?.clamp(CHUNK_COST, IN_FLIGHT_BYTES);
        let arrived = Instant::now();
        let room = Arc::clone(&room).acquire_many_owned(cost).await?;
        last_due = last_due.max(arrived + link.delay() + some_of(link.jitter(), &mut chance));
        queue.send(Chunk {
            due: last_due,
            bytes: buffer.split().freeze(),
            _room: room,
        })?;
    }
}

async fn deliver(mut to: OwnedWriteHalf, mut chunks: mpsc::UnboundedReceiver<Chunk>) -> anyhow::Result<()> {
    while let Some(chunk) = chunks.recv().await {
        if chunk.due > Instant::now() {
            tokio::time::sleep_until(chunk.due).await;
        }
        to.write_all(&chunk.bytes).await?;
    }
    Ok(to.shutdown().await?)
}

/// A uniformly distributed part of `most` (xorshift: good randomness is not needed here).
fn some_of(most: Duration, chance: &mut u64) -> Duration {
    if most.is_zero() {
        return most;
    }
    *chance ^= *chance << 13;
    *chance ^= *chance >> 7;
    *chance ^= *chance << 17;
    most * u32::try_from(*chance % 1001).unwrap_or(0) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `bytes` both ways at once through a relay over `link`, and checks them.
    async fn exchange(link: &Arc<WanLink>, bytes: &Bytes) -> Duration {
        let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = relay.local_addr().unwrap();
        let relaying = tokio::spawn(serve(relay, far.local_addr().unwrap(), Arc::clone(link)));
        let begin = Instant::now();
        let near = TcpStream::connect(address).await.unwrap();
        let (far, _) = far.accept().await.unwrap();
        let both = [near, far].map(|end| {
            let (mut from, mut to) = end.into_split();
            let (sent, expected) = (bytes.clone(), bytes.clone());
            let send = async move {
                to.write_all(&sent).await.unwrap();
                to
            };
            let receive = async move {
                let mut received = vec![0; expected.len()];
                from.read_exact(&mut received).await.unwrap();
                assert!(received == expected, "the order of bytes is kept");
                from
            };
            async move { tokio::join!(send, receive) }
        });
        let [near, far] = both;
        let _ends = tokio::join!(near, far);
        relaying.abort();
        begin.elapsed()
    }

    #[tokio::test]
    async fn bytes_arrive_in_order_after_the_delay_and_many_at_a_time() {
        let link = WanLink::with(Duration::from_millis(20), Duration::from_millis(5));
        let one = exchange(&link, &Bytes::from_static(b"x")).await;
        assert!(one >= Duration::from_millis(20), "{one:?}");
        let many: Bytes = (0..32_u32 << 20)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let took = exchange(&link, &many).await;
        println!("32 MiB each way at 20 to 25 ms: {took:?}");
        // One chunk per delay would take 20 ms for each 64 KiB, 10 s.
        assert!(took < Duration::from_secs(8), "{took:?}");
    }

    #[tokio::test]
    async fn a_cut_closes_connections_and_refuses_new_ones_until_it_is_healed() {
        let link = WanLink::with(Duration::ZERO, Duration::ZERO);
        let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = relay.local_addr().unwrap();
        let relaying = tokio::spawn(serve(relay, far.local_addr().unwrap(), Arc::clone(&link)));
        let mut near = TcpStream::connect(address).await.unwrap();
        let (mut called, _) = far.accept().await.unwrap();
        link.set_cut(true);
        assert_eq!(near.read(&mut [0; 8]).await.unwrap_or(0), 0);
        assert_eq!(called.read(&mut [0; 8]).await.unwrap_or(0), 0);
        let mut refused = TcpStream::connect(address).await.unwrap();
        assert_eq!(refused.read(&mut [0; 8]).await.unwrap_or(0), 0);
        link.set_cut(false);
        let mut near = TcpStream::connect(address).await.unwrap();
        near.write_all(b"again").await.unwrap();
        let (mut called, _) = far.accept().await.unwrap();
        let mut received = [0; 5];
        called.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"again");
        relaying.abort();
    }

    #[test]
    fn jitter_stays_within_its_bound() {
        let mut chance = 12345;
        let most = Duration::from_millis(10);
        let drawn: Vec<Duration> = (0..1000).map(|_| some_of(most, &mut chance)).collect();
        assert!(drawn.iter().all(|each| *each <= most));
        assert!(drawn.iter().any(|each| *each > most / 2) && drawn.iter().any(|each| *each < most / 2));
        assert_eq!(some_of(Duration::ZERO, &mut chance), Duration::ZERO);
    }
}
