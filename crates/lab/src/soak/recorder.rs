//! Records what Leeward does, from outside: its requests as they arrive at the servers, its policy's status, and the
//! configuration of every stream, over a whole run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use async_nats::{Client, Message};
use futures::StreamExt;
use serde_json::Value;
use tokio::task::JoinSet;

use super::judge::{Elapsed, RecordedRequest, Recording, Span, StatusSeen, Violation};
use crate::audit::{Audit, asked_by, is_leeward};
use crate::kube::{Kind, ObjectClient};
use crate::lock::lock;
use crate::nats::{System, jetstream};

const LOOK: Duration = Duration::from_millis(1500);
/// Servers that do not answer now are asked at the next look.
const PATIENCE: Duration = Duration::from_secs(2);

/// The requests that change something, of all accounts.
const WRITES: [&str; 17] = [
    "$JS.API.STREAM.CREATE.*",
    "$JS.API.STREAM.UPDATE.*",
    "$JS.API.STREAM.DELETE.*",
    "$JS.API.STREAM.PURGE.*",
    "$JS.API.STREAM.RESTORE.*",
    "$JS.API.STREAM.MSG.DELETE.*",
    "$JS.API.STREAM.PEER.REMOVE.*",
    "$JS.API.STREAM.CANCEL_MOVE.*",
    "$JS.API.STREAM.LEADER.STEPDOWN.*",
    "$JS.API.CONSUMER.CREATE.>",
    "$JS.API.CONSUMER.DURABLE.CREATE.>",
    "$JS.API.CONSUMER.DELETE.>",
    "$JS.API.CONSUMER.PAUSE.>",
    "$JS.API.CONSUMER.LEADER.STEPDOWN.>",
    "$JS.API.CONSUMER.PEER.EVACUATE.>",
    "$JS.API.META.>",
    "$JS.API.ACCOUNT.>",
];

pub(super) struct WatchedTargets<'a> {
    pub system: &'a System,
    pub objects: ObjectClient,
    pub namespace: &'a str,
    pub policy: &'a str,
    /// A client of the policy's account.
    pub client: Client,
    pub account: &'a str,
    /// A client of an account without a policy.
    pub bystander: Client,
    pub streams: &'a [String],
    /// Whether the policy may edit placements.
    pub edits: bool,
}

/// Records until it is dropped.
pub(super) struct Recorder {
    begin: Instant,
    book: Arc<Mutex<RecorderState>>,
    audits: [Audit; 2],
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct RecorderState {
    evidence: Recording,
    /// Each request arrives at listeners in several places.
    seen: BTreeSet<String>,
}

impl Recorder {
    pub(super) async fn start(watched: WatchedTargets<'_>) -> anyhow::Result<Self> {
        let begin = Instant::now();
        let book = Arc::new(Mutex::new(RecorderState::default()));
        watched.account.clone_into(&mut lock(&book).evidence.account);
        let audits = [
            Audit::start(watched.system, &watched.client).await?,
            Audit::start(watched.system, &watched.bystander).await?,
        ];
        let mut tasks = JoinSet::new();
        for location in watched.system.locations() {
            let credentials = watched.system.system_credentials()?;
            let listener = watched.system.connect(&location, credentials).await?;
            listen_everywhere(&listener, begin, &book, &mut tasks).await?;
        }
        let policy = (watched.namespace.to_owned(), watched.policy.to_owned());
        tasks.spawn(watch_status(watched.objects, policy, begin, Arc::clone(&book)));
        let configs = first_configs(&watched.client, watched.streams, watched.edits).await?;
        tasks.spawn(compare(watched.client, configs, watched.edits, Arc::clone(&book)));
        Ok(Self {
            begin,
            book,
            audits,
            _tasks: tasks,
        })
    }

    pub(super) fn now(&self) -> Elapsed {
        self.begin.elapsed()
    }

    pub(super) fn killed(&self) {
        let now = self.now();
        lock(&self.book).evidence.kills.push(now);
    }

    pub(super) fn was_without_kube(&self, from: Elapsed) {
        let to = self.now();
        lock(&self.book).evidence.without_kube.push(Span { from, to });
    }

    /// To be called before the policy is resumed.
    pub(super) fn was_suspended(&self, from: Elapsed) {
        let to = self.now();
        lock(&self.book).evidence.suspended.push(Span { from, to });
    }

    /// From now on nothing may be done.
    pub(super) fn all_done(&self) {
        let now = self.now();
        lock(&self.book).evidence.done = Some(now);
    }

    pub(super) fn requests(&self) -> usize {
        lock(&self.book).evidence.requests.len()
    }

    pub(super) fn evidence(&self) -> Recording {
        let mut evidence = lock(&self.book).evidence.clone();
        let [account, bystander] = &self.audits;
        for request in bystander
            .requests()
            .iter()
            .filter(|request| is_leeward(&request.client))
        {
            evidence.seen.push(Violation {
                invariant: "P11",
                what: format!("{} in an account without a policy", request.subject),
            });
        }
        if evidence.requests.is_empty() && !account.leeward_writes().is_empty() {
            evidence.seen.push(Violation {
                invariant: "the witness",
                what: "it saw none of the requests that the servers' audit tells of".to_owned(),
            });
        }
        evidence
    }
}

async fn listen_everywhere(
    listener: &Client,
    begin: Instant,
    book: &Arc<Mutex<RecorderState>>,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    for subject in WRITES {
        let asked = listener.subscribe(subject).await?;
        tasks.spawn(listen(asked, begin, Arc::clone(book)));
    }
    listener
        .flush()
        .await
        .context("the subscriptions reach the server")
}

async fn listen(mut asked: async_nats::Subscriber, begin: Instant, book: Arc<Mutex<RecorderState>>) {
    while let Some(message) = asked.next().await {
        let at = begin.elapsed();
        let Some(request) = request(&message, at) else {
            continue;
        };
        let reply = message.reply.map(|reply| reply.to_string()).unwrap_or_default();
        let mut book = lock(&book);
        if book.seen.insert(format!("{} {reply}", request.subject)) {
            book.evidence.requests.push(request);
        }
    }
}

/// A request of Leeward.
fn request(message: &Message, at: Elapsed) -> Option<RecordedRequest> {
    let by = asked_by(message)?;
    if !by["name"].as_str().is_some_and(is_leeward) {
        return None;
    }
    let subject = message.subject.to_string();
    let config: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
    Some(RecordedRequest {
        at,
        account: by["acc"].as_str().unwrap_or_default().to_owned(),
        first_half: subject.contains(".STREAM.UPDATE.") && config["placement"].is_null(),
        subject,
    })
}

/// Looks until it is aborted; without an API there is nothing to see.
async fn watch_status(
    objects: ObjectClient,
    (namespace, policy): (String, String),
    begin: Instant,
    book: Arc<Mutex<RecorderState>>,
) {
    loop {
        if let Ok(object) = objects.get(&namespace, Kind::PlacementPolicy, &policy).await
            && let Some(status) = object.get("status")
        {
            let at = begin.elapsed();
            lock(&book).evidence.statuses.push(seen(status, at));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn seen(status: &Value, at: Elapsed) -> StatusSeen {
    let operations = status["operations"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let moves = operations
        .iter()
        .filter(|operation| operation["type"] == "StreamPlacement");
    StatusSeen {
        at,
        bytes: status.to_string().len(),
        operations: operations.len(),
        moves: moves.count(),
    }
}

async fn first_configs(
    client: &Client,
    streams: &[String],
    edits: bool,
) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut configs = BTreeMap::new();
    for stream in streams {
        let info = jetstream::stream_info(client, stream).await?;
        configs.insert(stream.clone(), unedited(&info["config"], edits));
    }
    Ok(configs)
}

/// Compares every stream's configuration with the first one, repeatedly; each difference is reported once.
async fn compare(
    client: Client,
    first: BTreeMap<String, Value>,
    edits: bool,
    book: Arc<Mutex<RecorderState>>,
) {
    let mut reported = BTreeSet::new();
    loop {
        for (stream, first) in &first {
            let subject = format!("$JS.API.STREAM.INFO.{stream}");
            let asked = jetstream::request(&client, &subject, &Value::Null);
            let Ok(Ok(info)) = tokio::time::timeout(PATIENCE, asked).await else {
                continue;
            };
            let now = unedited(&info["config"], edits);
            if now != *first && reported.insert(stream.clone()) {
                lock(&book).evidence.seen.push(Violation {
                    invariant: "P7",
                    what: format!("the configuration of {stream} was {first} and is {now}"),
                });
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A configuration without what the policy may edit.
fn unedited(config: &Value, edits: bool) -> Value {
    let mut rest = config.clone();
    if let Some(placement) = rest
        .get_mut("placement")
        .and_then(Value::as_object_mut)
        .filter(|_| edits)
    {
        placement.remove("cluster");
    }
    if rest["placement"]
        .as_object()
        .is_some_and(serde_json::Map::is_empty)
        && let Some(config) = rest.as_object_mut()
    {
        config.remove("placement");
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_to_act_is_recorded() {
        for subject in crate::rights::to_act() {
            let stems = WRITES.iter().map(|write| write.trim_end_matches(['*', '>']));
            let mut recorded = stems.filter(|stem| subject.starts_with(stem));
            assert!(recorded.next().is_some(), "{subject}");
        }
    }
}
