//! Whoever is on the path to a server, or answers in its place, gets no credentials and is not quoted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::ensure;
use leeward_lab::nats::{Layout, System, eventually};
use leeward_nats::{AccountClient, ConnectConfig, ConnectionState, Credentials};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Notify};

use crate::support::{LIMIT, config, until};

/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

fn user() -> Credentials {
    Credentials::UserPassword {
        username: "app".into(),
        password: "TOP-SECRET".to_owned().into(),
    }
}

/// A service that greets, keeps the connection open, and remembers the first that it is told.
struct Service {
    port: u16,
    told: Arc<Mutex<Vec<Vec<u8>>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Service {
    async fn greeting(greeting: impl Into<String>) -> Self {
        let greeting = greeting.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let told: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let heard = Arc::clone(&told);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // Whoever has gone again needs no greeting.
                let _ = stream.write_all(greeting.as_bytes()).await;
                let mut first = vec![0; 4096];
                let limit = Duration::from_secs(2);
                if let Ok(Ok(read)) = tokio::time::timeout(limit, stream.read(&mut first)).await {
                    first.truncate(read);
                    heard.lock().await.push(first);
                }
            }
        });
        Self { port, told, task }
    }

    /// A NATS server that does without TLS.
    async fn plain(port_of_another: u16) -> Self {
        let info = json!({
            "server_id": "N", "server_name": "n", "version": "2.15.1", "max_payload": 1_048_576, "headers": true,
            "connect_urls": [format!("127.0.0.1:{port_of_another}"), format!("ws://127.0.0.1:{port_of_another}")],
        });
        Self::greeting(format!("INFO {info}\r\n")).await
    }

    async fn first_told(&self) -> Vec<Vec<u8>> {
        eventually(LIMIT, "it is connected to", || async {
            let told = self.told.lock().await.clone();
            ensure!(!told.is_empty());
            Ok(told)
        })
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn a_server_that_does_without_tls_is_told_nothing_where_any_url_or_a_block_asks_for_it() {
    let trap = Service::plain(1).await;
    for (url, other, tls) in [
        ("tls", None, None),
        ("nats", Some("tls://127.0.0.1:1"), None),
        ("nats", None, Some(leeward_nats::TlsConfig::default())),
    ] {
        let server = Service::plain(trap.port).await;
        let own = format!("{url}://127.0.0.1:{}", server.port);
        let _client = AccountClient::connect(
            ConnectConfig {
                servers: std::iter::once(own).chain(other.map(str::to_owned)).collect(),
                tls,
                credentials: Some(user()),
                ..ConnectConfig::default()
            },
            None,
        );
        for told in server.first_told().await {
            assert_eq!(
                told.first(),
                Some(&HANDSHAKE),
                "{:?}",
                String::from_utf8_lossy(&told)
            );
        }
    }
    assert!(trap.told.lock().await.is_empty());
}

#[tokio::test]
async fn what_is_no_nats_server_is_named_by_its_address_and_not_quoted() {
    let secret = "internal-bastion-7";
    let greetings = [
        format!("SSH-2.0-OpenSSH_9.9 {secret}\r\n"),
        format!("HTTP/1.1 418 {secret}\r\nServer: {secret}\r\n\r\n"),
        format!("INFO {{\"{secret}\": \r\n"),
        format!("MSG {secret} 1 0\r\n\r\n"),
    ];
    for greeting in greetings {
        for scheme in ["nats", "ws"] {
            let service = Service::greeting(greeting.as_str()).await;
            let client = AccountClient::connect(
                ConnectConfig {
                    servers: vec![format!("{scheme}://127.0.0.1:{}/path", service.port)],
                    ..ConnectConfig::default()
                },
                None,
            );
            let lost = |state: &ConnectionState| matches!(state, ConnectionState::Disconnected { .. });
            let state = until(&mut client.state(), lost).await.to_string();
            let expected = format!(
                "what answers at 127.0.0.1:{} does not greet as a NATS server does",
                service.port
            );
            assert_eq!(state, expected, "{greeting}");
        }
    }
}

/// Passes everything through to a server but its INFO line, in which it names servers of its own; later it cuts all
/// connections and greets as a server without TLS.
struct Rewriter {
    port: u16,
    cut: Arc<Notify>,
    /// Connections after the cut.
    again: Arc<AtomicUsize>,
    told: Arc<Mutex<Vec<Vec<u8>>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Rewriter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Rewriter {
    async fn start(upstream: u16, trap: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cut, again) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let told: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let (cutting, counted, heard) = (Arc::clone(&cut), Arc::clone(&again), Arc::clone(&told));
        let task = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let line = {
                let mut server = BufReader::new(TcpStream::connect(("127.0.0.1", upstream)).await.unwrap());
                let mut line = String::new();
                server.read_line(&mut line).await.unwrap();
                let line = rewritten(&line, trap);
                client.write_all(line.as_bytes()).await.unwrap();
                let mut server = server.into_inner();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    () = cutting.notified() => {}
                }
                line
            };
            drop(client);
            let line = line.replace("\"tls_required\":true", "\"tls_required\":false");
            while let Ok((mut client, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                // Whoever has gone again needs no greeting.
                let _ = client.write_all(line.as_bytes()).await;
                let mut first = vec![0; 4096];
                let limit = Duration::from_secs(2);
                if let Ok(Ok(read)) = tokio::time::timeout(limit, client.read(&mut first)).await {
                    first.truncate(read);
                    heard.lock().await.push(first);
                }
            }
        });
        Self {
            port,
            cut,
            again,
            told,
            task,
        }
    }
}

fn rewritten(line: &str, trap: u16) -> String {
    let mut info: Value = serde_json::from_str(line.strip_prefix("INFO ").unwrap()).unwrap();
    let place = format!("127.0.0.1:{trap}");
    info["connect_urls"] = json!([
        place,
        format!("ws://{place}"),
        format!("nats://{place}"),
        "http://[::bad"
    ]);
    format!("INFO {info}\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_named_before_tls_are_never_connected_to() {
    let layout = Layout::supercluster(&[("us-east", 1)]);
    let system = System::builder(layout).tls().start().await.unwrap();
    let mut config = config(&system, "us-east", system.credentials("APP", "app").unwrap());
    let upstream = config.servers[0].rsplit(':').next().unwrap().parse().unwrap();
    let trap = Service::plain(1).await;
    let rewriter = Rewriter::start(upstream, trap.port).await;
    config.servers = vec![format!("tls://127.0.0.1:{}", rewriter.port)];
    let client = AccountClient::connect(config, None);
    until(&mut client.state(), ConnectionState::is_connected).await;
    rewriter.cut.notify_one();
    // More often than async-nats tries by itself, so that the driver has begun anew.
    eventually(LIMIT, "it tries to connect again", || async {
        let again = rewriter.again.load(Ordering::Relaxed);
        ensure!(again > 8, "{again} times");
        Ok(())
    })
    .await
    .unwrap();
    let told = rewriter.told.lock().await.clone();
    assert!(!told.is_empty());
    for told in told.iter().filter(|told| !told.is_empty()) {
        assert_eq!(
            told.first(),
            Some(&HANDSHAKE),
            "{:?}",
            String::from_utf8_lossy(told)
        );
    }
    assert!(
        trap.told.lock().await.is_empty(),
        "no other server was told anything"
    );
}
