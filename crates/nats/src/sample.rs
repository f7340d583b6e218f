//! Bounded samples of who uses a stream (nats-facts N60–N63).
//!
//! Promises: a sample ends after a number of messages or a time; payloads are dropped unread; a consumer without leader
//! is not sampled, since its clients would wait instead of learning that nobody serves them; what could not be assigned
//! to one client counts as seen and unexplained.

mod received;

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::{Client, Subscriber};
use futures::StreamExt as _;
use futures::stream::{self, FuturesUnordered, select_all};
use leeward_core::names::{AssetName, ConsumerName, ServerName, StreamName};
use leeward_core::usage::{SampledClient, UseKind, UseSample};
use leeward_engine::ports::ActError;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use self::received::{Received, unused_like};
use crate::act::AccountClient;
use crate::connection_name::ConnectionName;
use crate::jetstream_api::{LookupResult, act_error, malformed};
use crate::moments::ahead;
use crate::observe::connections::{ByServer, read_if};
use crate::request::{Enough, Gather, first};
use crate::request_error::RequestError;
use crate::tenant::CONNZ;
use crate::wire;
use crate::wire::monitor::Connz;
use crate::wire::text::{WireText, Words};

/// A stream with more subjects is not sampled for publishers.
const MOST_SUBJECTS: usize = 256;
/// Consumers of one stream that are sampled at once.
const AT_ONCE: usize = 16;
/// Connections that one lookup lists per server.
const MOST_MATCHES: usize = 64;
const LOOKUP_LIMIT: Duration = Duration::from_secs(2);
/// A server that has not answered a lookup by then probably does not know the account.
const LOOKUP_QUIET: Duration = Duration::from_millis(500);

/// How much one sample of a stream may take.
#[derive(Clone, Copy, Debug)]
pub struct SampleLimits {
    /// Messages of each kind, and of each consumer.
    pub messages: usize,
    /// How long to wait for publishes and direct gets.
    pub publishes: Duration,
    /// How long to wait for requests of pull consumers, which come every few seconds.
    pub requests: Duration,
    /// Servers that are expected to answer.
    pub servers: usize,
}

/// What was sampled of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    /// The samples.
    pub samples: Vec<UseSample>,
    /// Subjects that the user may not subscribe to, so that what is sent there was not seen.
    pub denied: BTreeSet<String>,
}

/// Why a part of a sample was not taken.
enum SampleError {
    /// The user may not subscribe to it.
    NotAllowed {
        subject: String,
    },
    Failed(ActError),
}

impl From<ActError> for SampleError {
    fn from(error: ActError) -> Self {
        Self::Failed(error)
    }
}

#[derive(Deserialize)]
struct SubjectsInfo<'a> {
    #[serde(borrow)]
    config: SubjectsConfig<'a>,
}

#[derive(Deserialize)]
struct SubjectsConfig<'a> {
    #[serde(borrow, default)]
    subjects: Option<Vec<WireText<'a>>>,
    #[serde(default)]
    allow_direct: bool,
}

#[derive(Deserialize)]
struct DeliveryInfo<'a> {
    #[serde(borrow)]
    config: DeliveryConfig<'a>,
}

#[derive(Deserialize)]
struct DeliveryConfig<'a> {
    #[serde(borrow)]
    deliver_subject: Option<WireText<'a>>,
}

impl AccountClient {
    /// Samples who uses a stream, and those of its consumers that are named, which must have a leader. An error means that
    /// nothing was sampled; what the user may not listen to is left out.
    pub async fn sample_use(
        &self,
        stream: &StreamName,
        consumers: &[ConsumerName],
        limits: SampleLimits,
    ) -> Result<Sampled, ActError> {
        if self.calls().confirmed_epoch().is_none() {
            return Err(ActError::Disconnected);
        }
        let call = format!("STREAM.INFO.{stream}");
        let asset = AssetName::stream(stream.clone());
        let LookupResult::Found(info) = self.calls().info(&call, &asset).await? else {
            return Ok(Sampled::default());
        };
        let unreadable = |message| malformed(&self.subject(&call), message);
        let config = wire::read::<SubjectsInfo<'_>>(&info).map_err(unreadable)?.config;
        let subjects: Vec<String> = config
            .subjects
            .unwrap_or_default()
            .iter()
            .map(|subject| subject.0.to_string())
            .collect();
        let published: &[String] = if subjects.len() > MOST_SUBJECTS {
            &[]
        } else {
            &subjects
        };
        let gets = ["", ".>"].map(|rest| self.subject(&format!("DIRECT.GET.{stream}{rest}")));
        let gets: &[String] = if config.allow_direct { &gets } else { &[] };
        let (published, gets, consumers) = tokio::join!(
            self.sample(UseKind::Publish, published, limits.publishes, limits),
            self.sample(UseKind::DirectGet, gets, limits.publishes, limits),
            self.sample_consumers(stream, consumers, limits),
        );
        let all = consumers.into_iter().chain([published, gets]);
        let mut sampled = Sampled::default();
        for one in all {
            match one {
                Ok(sample) => sampled.samples.extend(sample),
                Err(SampleError::NotAllowed { subject }) => drop(sampled.denied.insert(subject)),
                Err(SampleError::Failed(error)) => return Err(error),
            }
        }
        Ok(sampled)
    }

    async fn sample_consumers(
        &self,
        stream: &StreamName,
        consumers: &[ConsumerName],
        limits: SampleLimits,
    ) -> Vec<Result<Option<UseSample>, SampleError>> {
        let one = |consumer: &ConsumerName| {
            let consumer = consumer.clone();
            async move { self.sample_consumer(stream, &consumer, limits).await }
        };
        let all = stream::iter(consumers.iter().map(one)).buffered(AT_ONCE);
        all.collect().await
    }

    async fn sample_consumer(
        &self,
        stream: &StreamName,
        consumer: &ConsumerName,
        limits: SampleLimits,
    ) -> Result<Option<UseSample>, SampleError> {
        let call = format!("CONSUMER.INFO.{stream}.{consumer}");
        let asset = AssetName::consumer(stream.clone(), consumer.clone());
        let LookupResult::Found(info) = self.calls().info(&call, &asset).await? else {
            return Ok(None);
        };
        let unreadable = |message| malformed(&self.subject(&call), message);
        let config = wire::read::<DeliveryInfo<'_>>(&info).map_err(unreadable)?.config;
        let sample = if let Some(subject) = config.deliver_subject {
            Some(self.sample_receivers(&subject.0, limits).await?)
        } else {
            let requests = [self.subject(&format!("CONSUMER.MSG.NEXT.{stream}.{consumer}"))];
            self.sample(UseKind::Pull, &requests, limits.requests, limits)
                .await?
        };
        Ok(sample.map(|sample| UseSample {
            consumer: Some(consumer.clone()),
            ..sample
        }))
    }

    /// Who receives what is delivered to a subject.
    async fn sample_receivers(&self, subject: &str, limits: SampleLimits) -> Result<UseSample, ActError> {
        let unused = unused_like(subject);
        let (mut clients, listeners) = tokio::try_join!(
            self.receivers(subject, limits.servers),
            self.receivers(&unused, limits.servers),
        )?;
        clients.retain(|client| !listeners.contains(client));
        Ok(UseSample {
            kind: UseKind::Push,
            consumer: None,
            span: Duration::ZERO,
            messages: u32::try_from(clients.len()).unwrap_or(u32::MAX),
            clients: clients.into_iter().map(|client| (client, 1)).collect(),
        })
    }

    /// One sample of what is sent to these subjects; `None` without a subject.
    async fn sample(
        &self,
        kind: UseKind,
        subjects: &[String],
        wait: Duration,
        limits: SampleLimits,
    ) -> Result<Option<UseSample>, SampleError> {
        if subjects.is_empty() {
            return Ok(None);
        }
        let begun = Instant::now();
        let received = self.receive(subjects, wait, limits).await?;
        Ok(Some(UseSample {
            kind,
            consumer: None,
            span: begun.elapsed(),
            messages: received.messages,
            clients: received.clients(),
        }))
    }

    /// Receives up to the limit's messages, for no longer than `wait`, and finds out who waits for their replies.
    async fn receive(
        &self,
        subjects: &[String],
        wait: Duration,
        limits: SampleLimits,
    ) -> Result<Received, SampleError> {
        let deadline = ahead(wait);
        let mut denied = self.link().denials().listen();
        let client = self
            .link()
            .connected()
            .ok_or(SampleError::Failed(ActError::Disconnected))?;
        let mut subscriptions = Vec::new();
        for subject in subjects {
            let subscription = subscribe(&client, subject, limits.messages).await;
            subscriptions.push(subscription.map_err(act_error)?);
        }
        let mut messages = select_all(subscriptions).take(limits.messages);
        let mut received = Received::default();
        let mut lookups = FuturesUnordered::new();
        let mut listening = true;
        let refused = denied.subscription_of(subjects);
        tokio::pin!(refused);
        while listening || !lookups.is_empty() {
            tokio::select! {
                biased;
                next = timeout_at(deadline, messages.next()), if listening => match next {
                    Ok(Some(message)) => {
                        let subjects = received.note(message.reply.as_deref());
                        lookups.extend(subjects.map(|(name, subject)| async move {
                            Ok::<_, ActError>((name, self.receivers(&subject, limits.servers).await?))
                        }));
                    }
                    Ok(None) | Err(_) => listening = false,
                },
                Some(found) = lookups.next(), if !lookups.is_empty() => {
                    let (name, clients) = found?;
                    received.receivers.insert(name, clients);
                }
                subject = &mut refused => return Err(SampleError::NotAllowed { subject }),
            }
        }
        Ok(received)
    }

    /// The connections with a subscription that matches a subject.
    async fn receivers(&self, subject: &str, servers: usize) -> Result<BTreeSet<SampledClient>, ActError> {
        let options = json!({"filter_subject": subject, "auth": true, "limit": MOST_MATCHES});
        let enough = move |replies: &ByServer<Connz>| {
            if servers > 0 && replies.len() >= servers {
                Enough::Yes
            } else {
                Enough::IfQuietFor(LOOKUP_QUIET)
            }
        };
        let counts = |_: &str, connz: &Connz| connz.connections.is_some();
        let gather = Gather {
            subject: CONNZ,
            payload: options.to_string(),
            limit: LOOKUP_LIMIT,
            read: &|bytes| read_if::<Connz>(bytes, &counts),
            prefer: &first,
            enough: &enough,
        };
        let gathered = match self.link().gather(gather).await {
            Ok(gathered) => gathered,
            Err(RequestError::Timeout { subject: _ }) => return Ok(BTreeSet::new()),
            Err(error) => return Err(act_error(error)),
        };
        let mut found = BTreeSet::new();
        for (info, connz) in gathered.replies.into_values() {
            let server = ServerName::from(info.name.as_str());
            let listed = connz.connections.into_iter().flatten().take(MOST_MATCHES);
            let is_own = |name: &Words| ConnectionName::is_leewards(name);
            let others = listed.filter(|one| !one.name.as_ref().is_some_and(is_own));
            found.extend(others.map(|one| SampledClient {
                server: server.clone(),
                connection: one.cid,
                user: one.authorized_user.map(|user| (*user).into()),
                name: one.name.map(|name| (*name).into()),
            }));
        }
        Ok(found)
    }
}

async fn subscribe(client: &Client, subject: &str, most: usize) -> Result<Subscriber, RequestError> {
    let unsendable = |message: String| RequestError::Unsendable {
        subject: subject.to_owned(),
        message,
    };
    let mut subscription = client
        .subscribe(subject.to_owned())
        .await
        .map_err(|error| unsendable(error.to_string()))?;
    // The server ends it, so that nothing more travels.
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    subscription
        .unsubscribe_after(most)
        .await
        .map_err(|error| unsendable(error.to_string()))?;
    Ok(subscription)
}
