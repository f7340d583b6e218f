//! A relay in front of one server that counts what clients request and read, the same for every client.
//!
//! A request is a message that a client publishes with a subject for the answer. Bytes are all of the connection, the
//! protocol's own included.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use crate::nats::eventually;

const CHUNK: usize = 64 << 10;
/// A client that has ended has closed its connections; the relay sees it shortly after.
const CLOSED: Duration = Duration::from_secs(30);

/// A running relay; it ends when it is dropped.
pub(super) struct TrafficMeter {
    address: SocketAddr,
    counts: Arc<ByteCounts>,
    _relay: AbortOnDropHandle<()>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MeteredTraffic {
    pub(super) connections: u64,
    pub(super) requests: u64,
    pub(super) sent_bytes: u64,
    pub(super) read_bytes: u64,
}

#[derive(Debug, Default)]
struct ByteCounts {
    open: AtomicU64,
    connections: AtomicU64,
    requests: AtomicU64,
    sent_bytes: AtomicU64,
    read_bytes: AtomicU64,
}

impl TrafficMeter {
    /// In front of a server's client port.
    pub(super) async fn start(server: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let counts = Arc::new(ByteCounts::default());
        let relay = tokio::spawn(serve(listener, server, Arc::clone(&counts)));
        Ok(Self {
            address,
            counts,
            _relay: AbortOnDropHandle::new(relay),
        })
    }

    pub(super) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// What was counted since the last call, once all connections are closed.
    pub(super) async fn take(&self) -> anyhow::Result<MeteredTraffic> {
        eventually(CLOSED, "all counted connections are closed", || async {
            let open = self.counts.open.load(Ordering::SeqCst);
            ensure!(open == 0, "{open} are open");
            Ok(())
        })
        .await?;
        let take = |count: &AtomicU64| count.swap(0, Ordering::SeqCst);
        Ok(MeteredTraffic {
            connections: take(&self.counts.connections),
            requests: take(&self.counts.requests),
            sent_bytes: take(&self.counts.sent_bytes),
            read_bytes: take(&self.counts.read_bytes),
        })
    }
}

async fn serve(listener: TcpListener, server: SocketAddr, counts: Arc<ByteCounts>) {
    while let Ok((client, _)) = listener.accept().await {
        let counts = Arc::clone(&counts);
        counts.open.fetch_add(1, Ordering::SeqCst);
        counts.connections.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            if let Err(error) = connection(client, server, &counts).await {
                tracing::debug!(%error, "a counted connection has ended");
            }
            counts.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Until one side closes.
async fn connection(client: TcpStream, server: SocketAddr, counts: &ByteCounts) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    let server = TcpStream::connect(server).await.context("no server")?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut reader = Reader::default();
    let asked = carry(from_client, to_server, |bytes| {
        counts.sent_bytes.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        counts
            .requests
            .fetch_add(reader.requests_in(bytes), Ordering::SeqCst);
    });
    let answered = carry(from_server, to_client, |bytes| {
        counts.read_bytes.fetch_add(bytes.len() as u64, Ordering::SeqCst);
    });
    tokio::select! {
        ended = asked => ended,
        ended = answered => ended,
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut count: impl FnMut(&[u8]),
) -> anyhow::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = from.read(&mut buffer).await?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        count(bytes);
        to.write_all(bytes).await?;
    }
}

/// Reads the client's side of the NATS protocol, however it is cut into pieces.
#[derive(Debug, Default)]
struct Reader {
    /// A control line that has not ended yet.
    line: Vec<u8>,
    /// Bytes of a message that are not received yet.
    message: usize,
}

impl Reader {
    fn requests_in(&mut self, mut bytes: &[u8]) -> u64 {
        let mut requests = 0;
        while let Some((first, rest)) = bytes.split_first() {
            if self.message > 0 {
                let passed = self.message.min(bytes.len());
                self.message -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            bytes = rest;
            if *first != b'\n' {
                self.line.push(*first);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let (is_request, message) = published(&String::from_utf8_lossy(&line));
            requests += u64::from(is_request);
            self.message = message;
        }
        requests
    }
}

/// Whether a control line publishes a request, and how many bytes of message follow it.
fn published(line: &str) -> (bool, usize) {
    let words: Vec<&str> = line.split_whitespace().collect();
    // PUB subject [reply] bytes, HPUB subject [reply] header-bytes bytes.
    let with_reply = match words.first() {
        Some(&"PUB") => 4,
        Some(&"HPUB") => 5,
        Some(_) | None => return (false, 0),
    };
    let bytes = words.last().and_then(|bytes| bytes.parse::<usize>().ok());
    let line_break = 2;
    (
        words.len() == with_reply,
        bytes.map_or(0, |bytes| bytes + line_break),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "CONNECT {\"verbose\":false}\r\nPING\r\nSUB _INBOX.1.* 1\r\n\
                        PUB a.b _INBOX.1.x 12\r\nPUB c d 3\r\nx\r\n\
                        HPUB e _INBOX.1.y 12 15\r\nNATS/1.0\r\n\r\nabc\r\n\
                        PUB f 2\r\nhi\r\nHPUB g 12 12\r\nNATS/1.0\r\n\r\n\r\nPUB h _INBOX.1.z 0\r\n\r\nPONG\r\n";

    #[test]
    fn only_messages_with_a_subject_for_the_answer_are_requests() {
        assert_eq!(Reader::default().requests_in(SAID.as_bytes()), 3);
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_are_cut() {
        for size in 1..SAID.len() {
            let mut reader = Reader::default();
            let pieces = SAID.as_bytes().chunks(size);
            assert_eq!(
                pieces.map(|piece| reader.requests_in(piece)).sum::<u64>(),
                3,
                "{size}"
            );
        }
    }

    #[tokio::test]
    async fn both_directions_are_carried_and_counted() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let meter = TrafficMeter::start(server.local_addr().unwrap()).await.unwrap();
        let address = meter.url().trim_start_matches("nats://").to_owned();
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut server, _) = server.accept().await.unwrap();
        server.write_all(b"INFO {}\r\n").await.unwrap();
        let mut sent = [0; 9];
        client.read_exact(&mut sent).await.unwrap();
        client.write_all(b"PUB a b 1\r\nx\r\n").await.unwrap();
        let mut asked = [0; 14];
        server.read_exact(&mut asked).await.unwrap();
        assert_eq!((&sent, &asked), (b"INFO {}\r\n", b"PUB a b 1\r\nx\r\n"));
        drop(client);
        let expected = MeteredTraffic {
            connections: 1,
            requests: 1,
            sent_bytes: 14,
            read_bytes: 9,
        };
        assert_eq!(meter.take().await.unwrap(), expected);
        assert_eq!(meter.take().await.unwrap(), MeteredTraffic::default());
    }
}
