//! Who asked `JetStream` to change something: the servers' own audit, not Leeward's word.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use async_nats::Client;
use futures::StreamExt;
use serde_json::Value;
use tokio::task::JoinHandle;

/// Whether a client's name is one that Leeward gives its connections.
pub fn is_leeward(name: &str) -> bool {
    name.starts_with("leeward-")
}

/// Collects the API audit advisories of the account from now on.
#[derive(Debug)]
pub struct Audit {
    seen: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

/// One request to the `JetStream` API.
#[derive(Clone, Debug)]
pub struct Request {
    /// Such as `$JS.API.STREAM.UPDATE.ORDERS`.
    pub subject: String,
    /// The name that the client gave.
    pub client: String,
    /// The connection that it came by: the server and its number there. No two connections have the same.
    pub connection: String,
    /// When the server carried it out, as the server wrote it.
    pub at: String,
}

impl Request {
    /// Whether it changes something.
    pub fn writes(&self) -> bool {
        let reads = [
            ".INFO",
            ".NAMES",
            ".LIST",
            ".MSG.GET",
            ".DIRECT.GET",
            ".MSG.NEXT",
            ".SNAPSHOT",
        ];
        !reads.iter().any(|read| self.subject.contains(read))
    }
}

impl Audit {
    /// Starts to listen.
    pub async fn start(client: &Client) -> anyhow::Result<Self> {
        let mut advisories = client.subscribe("$JS.EVENT.ADVISORY.API").await?;
        client
            .flush()
            .await
            .context("the subscription reaches the server")?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Some(message) = advisories.next().await {
                let Ok(advisory) = serde_json::from_slice::<Value>(&message.payload) else {
                    continue;
                };
                let text = |path: &str| {
                    advisory
                        .pointer(path)
                        .and_then(Value::as_str)
                        .unwrap_or("")
                        .to_owned()
                };
                let number = advisory.pointer("/client/id").and_then(Value::as_u64);
                let request = Request {
                    subject: text("/subject"),
                    client: text("/client/name"),
                    connection: format!("{}/{}", text("/client/server"), number.unwrap_or_default()),
                    at: text("/timestamp"),
                };
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            }
        });
        Ok(Self { seen, task })
    }

    /// Everything that was seen.
    pub fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What Leeward changed.
    pub fn leeward_writes(&self) -> Vec<Request> {
        let by_leeward = |request: &Request| is_leeward(&request.client) && request.writes();
        self.requests().into_iter().filter(by_leeward).collect()
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.task.abort();
    }
}
