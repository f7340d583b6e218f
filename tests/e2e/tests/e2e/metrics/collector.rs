//! A collector of traces, as far as a sender of OTLP over HTTP can tell: it takes everything and keeps it as it came.

use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Listens until it is dropped.
pub struct Collector {
    address: String,
    taken: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Collector {
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let taken: Arc<Mutex<Vec<u8>>> = Arc::default();
        let into = Arc::clone(&taken);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A sender that goes away has nothing more to say.
                if let Ok(request) = take(stream).await {
                    into.lock().unwrap().extend(request);
                }
            }
        });
        Ok(Self { address, taken, task })
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Everything that was sent so far; what is text in it can be read.
    pub fn taken(&self) -> String {
        String::from_utf8_lossy(&self.taken.lock().unwrap()).into_owned()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(mut stream: TcpStream) -> anyhow::Result<Vec<u8>> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        let mut part = vec![0; 64 * 1024];
        let read = stream.read(&mut part).await?;
        anyhow::ensure!(read > 0, "it ended in the middle");
        request.extend(part.get(..read).context("more than there was room for")?);
    }
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(answer.as_bytes()).await?;
    Ok(request)
}

fn is_whole(request: &[u8]) -> bool {
    let Some(head) = request.windows(4).position(|end| end == b"\r\n\r\n") else {
        return false;
    };
    let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    request.len() >= head + 4 + length.unwrap_or(0)
}
