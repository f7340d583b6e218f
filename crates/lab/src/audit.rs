//! Who asked `JetStream` for a change: the servers' own audit, not Leeward's report.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use async_nats::{Client, Message};
use futures::StreamExt;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::lock::lock;
use crate::nats::System;

/// Whether a client's name is one that Leeward gives its connections.
pub fn is_leeward(name: &str) -> bool {
    name.starts_with("leeward-")
}

/// Step-downs as they arrive at the servers.
const STEP_DOWNS: &str = "$JS.API.*.LEADER.STEPDOWN.>";
/// The header that names the requester to the system account (nats-facts N62).
const ASKED_BY: &str = "Nats-Request-Info";

/// What the servers report to the system account about the client that sent a request.
pub(crate) fn asked_by(request: &Message) -> Option<Value> {
    let client = request.headers.as_ref()?.get(ASKED_BY)?;
    serde_json::from_str(client.as_str()).ok()
}

/// Collects the API audit advisories of the account from now on.
///
/// Each server queues each request for a step-down, and executes it if it leads at that moment. A late one that leads
/// by then, because another executed it before, does so once more: then one request has two advisories (nats-facts
/// N73). So a connection's step-downs count as often as it sent them, as the system account sees it.
#[derive(Debug)]
pub struct Audit {
    seen: Arc<Mutex<AuditLog>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct AuditLog {
    carried_out: Vec<AuditedRequest>,
    /// Step-downs that were sent: the subject and connection, and the reply subject, which is unique to one request.
    sent: BTreeMap<(String, String), BTreeSet<String>>,
}

/// One request to the `JetStream` API.
#[derive(Clone, Debug)]
pub struct AuditedRequest {
    /// Such as `$JS.API.STREAM.UPDATE.ORDERS`.
    pub subject: String,
    /// The name that the client gave.
    pub client: String,
    /// The connection that it came by: the server and its number there, which is unique.
    pub connection: String,
    /// When the server executed it, as the server wrote it.
    pub at: String,
}

impl AuditLog {
    fn was_sent(&mut self, message: Message) {
        let client = asked_by(&message).unwrap_or_default();
        let key = (message.subject.to_string(), connection(&client));
        let reply = message.reply.map(|reply| reply.to_string());
        self.sent
            .entry(key)
            .or_default()
            .insert(reply.unwrap_or_default());
    }
}

/// A client's connection: the server and its number there.
fn connection(client: &Value) -> String {
    let server = client["server"].as_str().unwrap_or_default();
    format!("{server}/{}", client["id"].as_u64().unwrap_or_default())
}

impl AuditedRequest {
    fn carried_out(advisory: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            subject: text(&advisory["subject"]),
            client: text(&advisory["client"]["name"]),
            connection: connection(&advisory["client"]),
            at: text(&advisory["timestamp"]),
        }
    }

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
    /// Starts to listen to the servers' reports in the account of a client.
    pub async fn start(system: &System, client: &Client) -> anyhow::Result<Self> {
        let watcher = system.system_client().await?;
        let step_downs = watcher.subscribe(STEP_DOWNS).await?;
        let advisories = client.subscribe("$JS.EVENT.ADVISORY.API").await?;
        for client in [&watcher, client] {
            client
                .flush()
                .await
                .context("the subscription reaches the server")?;
        }
        let seen = Arc::new(Mutex::new(AuditLog::default()));
        let kept = Arc::clone(&seen);
        let mut messages = futures::stream::select(step_downs, advisories);
        let task = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let mut kept = lock(&kept);
                if message.subject.starts_with("$JS.API.") {
                    kept.was_sent(message);
                } else if let Ok(advisory) = serde_json::from_slice::<Value>(&message.payload) {
                    kept.carried_out.push(AuditedRequest::carried_out(&advisory));
                }
            }
        });
        Ok(Self { seen, task })
    }

    /// Every request that was executed.
    pub fn requests(&self) -> Vec<AuditedRequest> {
        let seen = lock(&self.seen);
        let mut counted = BTreeMap::<_, usize>::new();
        let counts = |request: &&AuditedRequest| {
            if !request.subject.contains(".LEADER.STEPDOWN.") {
                return true;
            }
            let key = (request.subject.clone(), request.connection.clone());
            let sent = seen.sent.get(&key).map_or(0, BTreeSet::len);
            let counted = counted.entry(key).or_default();
            *counted += 1;
            *counted <= sent
        };
        seen.carried_out.iter().filter(counts).cloned().collect()
    }

    pub fn leeward_writes(&self) -> Vec<AuditedRequest> {
        let by_leeward = |request: &AuditedRequest| is_leeward(&request.client) && request.writes();
        self.requests().into_iter().filter(by_leeward).collect()
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.task.abort();
    }
}
