//! Who asked `JetStream` to change something: the servers' own audit, not Leeward's word.

use std::collections::BTreeMap;
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

/// Step-downs as clients send them.
const STEP_DOWNS: &str = "$JS.API.*.LEADER.STEPDOWN.>";

/// Collects the API audit advisories of the account from now on.
///
/// Each server takes up each request for a step-down, and carries it out if it leads at that moment. One that is late and
/// leads by then, because another carried it out before, does so once more: then one request has two advisories. So
/// step-downs count as often as they were sent.
#[derive(Debug)]
pub struct Audit {
    seen: Arc<Mutex<AuditLog>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct AuditLog {
    /// What servers carried out.
    carried_out: Vec<Request>,
    /// Step-downs that were sent, by subject.
    sent: BTreeMap<String, usize>,
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
        let advisories = client.subscribe("$JS.EVENT.ADVISORY.API").await?;
        let step_downs = client.subscribe(STEP_DOWNS).await?;
        client
            .flush()
            .await
            .context("the subscription reaches the server")?;
        let seen = Arc::new(Mutex::new(AuditLog::default()));
        let kept = Arc::clone(&seen);
        let mut messages = futures::stream::select(step_downs, advisories);
        let task = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if message.subject.starts_with("$JS.API.") {
                    *kept.sent.entry(message.subject.to_string()).or_default() += 1;
                    continue;
                }
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
                kept.carried_out.push(request);
            }
        });
        Ok(Self { seen, task })
    }

    /// Everything that was asked for and carried out.
    pub fn requests(&self) -> Vec<Request> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = seen.sent.clone();
        let was_sent = |request: &&Request| {
            if !request.subject.contains(".LEADER.STEPDOWN.") {
                return true;
            }
            let Some(left) = left.get_mut(&request.subject) else {
                return false;
            };
            let counts = *left > 0;
            *left = left.saturating_sub(1);
            counts
        };
        seen.carried_out.iter().filter(was_sent).cloned().collect()
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
