//! The stored Leases, and the requests and answers on their way, in true time.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease as Object;
use tokio::sync::oneshot;

use crate::record::LeaseRecord;
use crate::store::{LeaseError, LeaseStore};

const NAMESPACE: &str = "ops";

/// What happens to the requests of one replica.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link {
    pub request_delay: Duration,
    pub answer_delay: Duration,
    pub loses_requests: bool,
    pub loses_answers: bool,
    pub fails: bool,
}

enum Call {
    List,
    Write(String, Box<LeaseRecord>),
}

type Answer = Result<BTreeMap<String, LeaseRecord>, LeaseError>;

enum Message {
    Request(usize, Call, oneshot::Sender<Answer>),
    Answer(Answer, oneshot::Sender<Answer>),
}

#[derive(Default)]
struct State {
    now: Duration,
    stored: BTreeMap<String, LeaseRecord>,
    versions: u64,
    links: Vec<Link>,
    /// By the time of arrival, and in the order of sending.
    messages: BTreeMap<(Duration, u64), Message>,
    sent: u64,
    accepts_stale_writes: bool,
    violations: Vec<String>,
}

/// A store in memory behind a network; clones share it.
#[derive(Clone, Default)]
pub struct Network(Arc<Mutex<State>>);

impl Network {
    pub fn new(replicas: usize) -> Self {
        let network = Self::default();
        network.lock().links = vec![Link::default(); replicas];
        network
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn set_link(&self, replica: usize, link: Link) {
        self.lock().links[replica] = link;
    }

    /// From now on, a write does not depend on the version that it was made from.
    pub fn accept_stale_writes(&self) {
        self.lock().accepts_stale_writes = true;
    }

    /// The Leases' store as one replica reaches it.
    pub fn store(&self, replica: usize, limit: Duration) -> Arc<dyn LeaseStore> {
        Arc::new(ReplicaStore {
            network: self.clone(),
            replica,
            limit,
        })
    }

    /// Carries out and answers what arrives until then. Returns which writes broke a rule of the Leases.
    pub fn advance(&self, now: Duration) -> Vec<String> {
        let mut state = self.lock();
        state.now = now;
        while let Some(next) = state.messages.first_entry().filter(|next| next.key().0 <= now) {
            match next.remove() {
                Message::Request(replica, call, sender) => state.carry_out(replica, call, sender),
                // A replica that gave up waiting does not receive it.
                Message::Answer(answer, sender) => drop(sender.send(answer)),
            }
        }
        mem::take(&mut state.violations)
    }
}

impl State {
    fn send(&mut self, delay: Duration, message: Message) {
        self.sent += 1;
        self.messages.insert((self.now + delay, self.sent), message);
    }

    fn carry_out(&mut self, replica: usize, call: Call, sender: oneshot::Sender<Answer>) {
        let link = self.links[replica];
        let answer = match call {
            _ if link.fails => Err(LeaseError::Failed {
                verb: "use",
                what: "leases".into(),
                reason: "etcd is away".into(),
            }),
            Call::List => Ok(self.stored.clone()),
            Call::Write(name, record) => self.write(name, &record),
        };
        if !link.loses_answers {
            self.send(link.answer_delay, Message::Answer(answer, sender));
        }
    }

    fn write(&mut self, name: String, record: &LeaseRecord) -> Answer {
        let stored = self.stored.get(&name);
        let version = stored.and_then(|stored| stored.version.clone());
        if version != record.version && !self.accepts_stale_writes {
            return Err(LeaseError::Conflict { what: name });
        }
        let expected = stored.map_or(0, |stored| expected_transitions(stored, record));
        if transitions(record) != expected {
            let problem = format!("{name}: {} transitions, not {expected}", transitions(record));
            self.violations.push(problem);
        }
        self.versions += 1;
        let mut object: Object = record.object(NAMESPACE, &name);
        object.metadata.resource_version = Some(self.versions.to_string());
        let record = LeaseRecord::of(object);
        self.stored.insert(name.clone(), record.clone());
        Ok([(name, record)].into())
    }
}

fn transitions(record: &LeaseRecord) -> i32 {
    let spec = record.object(NAMESPACE, "any").spec;
    spec.and_then(|spec| spec.lease_transitions).unwrap_or(-1)
}

/// One more with each new holder, also if the same replica acquires what it released.
fn expected_transitions(stored: &LeaseRecord, next: &LeaseRecord) -> i32 {
    let is_acquired = next.holder.is_some() && next.holder != stored.holder;
    transitions(stored) + i32::from(is_acquired)
}

struct ReplicaStore {
    network: Network,
    replica: usize,
    limit: Duration,
}

impl ReplicaStore {
    /// The limit is measured by the replica's own clock.
    async fn call(&self, call: Call) -> Answer {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.network.lock();
            let link = state.links[self.replica];
            if !link.loses_requests {
                state.send(link.request_delay, Message::Request(self.replica, call, sender));
            }
        }
        let answered = async {
            match receiver.await {
                Ok(answer) => answer,
                // Whatever was lost is never answered.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::time::timeout(self.limit, answered)
            .await
            .unwrap_or_else(|_| {
                Err(LeaseError::Unanswered {
                    verb: "use",
                    what: "leases".into(),
                    limit: self.limit,
                })
            })
    }
}

#[async_trait]
impl LeaseStore for ReplicaStore {
    fn key(&self, name: &str) -> String {
        format!("{NAMESPACE}/{name}")
    }

    async fn list(&self) -> Answer {
        self.call(Call::List).await
    }

    async fn write(&self, name: &str, record: &LeaseRecord) -> Result<LeaseRecord, LeaseError> {
        let call = Call::Write(name.to_owned(), Box::new(record.clone()));
        let mut stored = self.call(call).await?;
        Ok(stored.remove(name).unwrap())
    }
}

#[test]
fn a_write_of_an_old_version_is_refused() {
    let network = Network::new(1);
    let first = LeaseRecord::held("a", Duration::from_secs(6), None, Timestamp::UNIX_EPOCH);
    let mut state = network.lock();
    assert!(state.write("lease".into(), &first).is_ok());
    assert!(state.write("lease".into(), &first).is_err());
    assert!(state.violations.is_empty());
}
