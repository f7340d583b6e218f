//! Bounded samples of who uses a stream (nats-facts N60–N63).
//!
//! Promises: a sample ends after a number of messages or a time; payloads are dropped unread; a consumer without leader
//! is not sampled, since its clients would wait instead of learning that nobody serves them; what could not be assigned
//! to one client counts as seen and unexplained.

mod batch_size;
mod exports;
mod listening;
mod received;
mod receivers;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use leeward_core::names::{ServerName, StreamName};
use leeward_core::usage::{ConsumerSampling, Sampled, Sampling, UseKind, UseSample, WarmUp};
use leeward_engine::ports::ActError;

use self::listening::{Listening, ListeningResult, Portions};
use self::received::unused_like;
use self::receivers::Receivers;
use crate::act::AccountClient;
use crate::jetstream_api::act_error;
use crate::request_error::RequestError;
use crate::sample_links::NearestLink;

/// Messages of each kind of use, and of each consumer: a few at a time, since clients send many at once.
const NEAR: Portions = Portions {
    times: 6,
    messages: 4,
};
/// Elsewhere each time lets messages cross a gateway that are not looked at.
const ELSEWHERE: Portions = Portions {
    times: 3,
    messages: 8,
};
/// Messages that may arrive before those of one time, until all locations are heard: elsewhere than next to the leader each of them
/// crosses a gateway.
const MOST_WARM_UP_MESSAGES: u32 = 256;
const MOST_NEAR_WARM_UP_MESSAGES: u32 = 512;
/// How long to wait for publishes.
const PUBLISHES: Duration = Duration::from_secs(2);
/// How long to wait for requests of pull consumers, which some clients send every few seconds only, for those that create one, and for
/// gets, which come in batches.
const REQUESTS: Duration = Duration::from_secs(5);
/// A stream with more subjects is not sampled for publishers.
const MOST_SUBJECTS: usize = 256;
/// Consumers of one stream that are sampled, all at once.
const MOST_CONSUMERS: usize = 16;
const TOO_FAST: &str =
    "who publishes: its messages come too fast; of the servers to connect to, let one be next to its leader";
/// A domain's servers deliver requests to it under this prefix, whatever prefix they were sent with.
const PREFIX_IN_DOMAIN: &str = "$JS.API";

impl AccountClient {
    /// Samples who uses a stream, and the first of its consumers that are named.
    pub(crate) async fn sample_stream(&self, sampling: &Sampling) -> Result<Sampled, ActError> {
        let Sampling {
            stream,
            subjects,
            allow_direct,
            consumers,
            servers,
            rate,
            near,
            near_warm_up,
            warm_up,
            is_idle: _,
        } = sampling;
        if self.calls().confirmed_epoch().is_none() {
            return Err(ActError::Disconnected);
        }
        let NearestLink { link, is_near } = self.sample_links().nearest(near).await?;
        let listening = |kind, wait, warm_up, portions| Listening {
            link: &link,
            kind,
            wait,
            warm_up,
            portions,
            servers,
            measured: consumers,
            rate: *rate,
        };
        let (publishes, most, portions) = if is_near {
            (near_warm_up, MOST_NEAR_WARM_UP_MESSAGES, NEAR)
        } else {
            (warm_up, MOST_WARM_UP_MESSAGES, ELSEWHERE)
        };
        // Elsewhere each message of the warm-up crosses a gateway.
        let is_too_fast = !is_near && publishes.messages > most;
        let publishes = WarmUp {
            messages: publishes.messages.min(most),
            ..*publishes
        };
        // These do not all pass the stream's leader, and their rate is not known.
        let requests = WarmUp {
            messages: MOST_WARM_UP_MESSAGES,
            ..*warm_up
        };
        let mut sampled = Sampled::default();
        let mut subjects = subjects.clone();
        if subjects.len() > MOST_SUBJECTS {
            let count = subjects.len();
            let text = format!(
                "who publishes: it has {count} subjects, more than the {MOST_SUBJECTS} that are listened to"
            );
            sampled.omitted.push(text);
            subjects.clear();
        }
        if is_too_fast && !subjects.is_empty() {
            sampled.omitted.push(TOO_FAST.to_owned());
            subjects.clear();
        }
        if let Some(rest) = consumers
            .len()
            .checked_sub(MOST_CONSUMERS)
            .filter(|rest| *rest > 0)
        {
            let text = format!("{rest} consumers more than the {MOST_CONSUMERS} that are sampled");
            sampled.omitted.push(text);
        }
        let named = |call: &str| self.requests(&format!("{call}.{stream}"));
        let named_and_below = |call: &str| {
            let below = self.requests(&format!("{call}.{stream}.>"));
            named(call).into_iter().chain(below).collect::<Vec<_>>()
        };
        let direct_gets = if *allow_direct {
            named_and_below("DIRECT.GET")
        } else {
            Vec::new()
        };
        let (gets, creates) = (named("STREAM.MSG.GET"), named_and_below("CONSUMER.CREATE"));
        let consumer = |consumer: &ConsumerSampling| {
            let consumer = consumer.clone();
            let listening = listening(UseKind::Pull, REQUESTS, requests, ELSEWHERE);
            async move { self.sample_consumer(stream, consumer, listening).await }
        };
        let consumers = join_all(consumers.iter().take(MOST_CONSUMERS).map(consumer));
        let (published, direct_gets, gets, creates, consumers) = tokio::join!(
            self.sample(
                &subjects,
                listening(UseKind::Publish, PUBLISHES, publishes, portions)
            ),
            self.sample(
                &direct_gets,
                listening(UseKind::DirectGet, REQUESTS, requests, ELSEWHERE)
            ),
            self.sample(&gets, listening(UseKind::Get, REQUESTS, requests, ELSEWHERE)),
            self.sample(
                &creates,
                listening(UseKind::Create, REQUESTS, requests, ELSEWHERE)
            ),
            consumers,
        );
        for one in consumers
            .into_iter()
            .chain([published, direct_gets, gets, creates])
        {
            match one {
                Ok(None) => {}
                Ok(Some(ListeningResult {
                    sample,
                    denied,
                    skipped,
                    imported,
                })) => {
                    if sample.messages == 0 && skipped > 0 && sample.span.is_zero() {
                        sampled.omitted.push(TOO_FAST.to_owned());
                    }
                    sampled.samples.push(sample);
                    sampled.denied.extend(denied);
                    sampled.skipped = sampled.skipped.saturating_add(skipped);
                    sampled.imported = sampled.imported.saturating_add(imported);
                }
                // What was lost with a connection is no evidence of silence.
                Err(ActError::Disconnected) => return Err(ActError::Disconnected),
                Err(error) => sampled.omitted.push(error.to_string()),
            }
        }
        sampled.omitted.dedup();
        Ok(sampled)
    }

    /// The subjects on which servers deliver requests to the API.
    fn requests(&self, call: &str) -> Vec<String> {
        let mut subjects = vec![self.subject(call)];
        if self.domain().is_some() {
            subjects.push(format!("{PREFIX_IN_DOMAIN}.{call}"));
        }
        subjects
    }

    async fn sample_consumer(
        &self,
        stream: &StreamName,
        consumer: ConsumerSampling,
        listening: Listening<'_>,
    ) -> Result<Option<ListeningResult>, ActError> {
        let ConsumerSampling {
            name,
            deliver_subject,
        } = consumer;
        let heard = if let Some(subject) = deliver_subject {
            let sample = self.sample_receivers(&subject, listening.servers).await?;
            sample.map(|sample| ListeningResult {
                sample,
                denied: BTreeSet::new(),
                skipped: 0,
                imported: 0,
            })
        } else {
            let requests = self.requests(&format!("CONSUMER.MSG.NEXT.{stream}.{name}"));
            self.sample(&requests, listening).await?
        };
        Ok(heard.map(|mut heard| {
            heard.sample.consumer = Some(name);
            heard
        }))
    }

    /// Who receives what is delivered to a subject; `None` where not all are known.
    async fn sample_receivers(
        &self,
        subject: &str,
        servers: &BTreeSet<ServerName>,
    ) -> Result<Option<UseSample>, ActError> {
        if self.is_exported(subject).await? {
            return Ok(None);
        }
        let unused = unused_like(subject);
        let (receivers, listeners) =
            tokio::try_join!(self.receivers(subject, servers), self.receivers(&unused, servers),)?;
        let (Some(receivers), Some(listeners)) = (receivers, listeners) else {
            return Ok(None);
        };
        // Who receives at the other end of a leaf node is not known.
        if !receivers.leaf_nodes.is_subset(&listeners.leaf_nodes) {
            return Ok(None);
        }
        let clients: BTreeSet<_> = receivers
            .clients
            .difference(&listeners.clients)
            .cloned()
            .collect();
        Ok(Some(UseSample {
            kind: UseKind::Push,
            consumer: None,
            span: Duration::ZERO,
            messages: u32::try_from(clients.len()).unwrap_or(u32::MAX),
            // They are all that there are: what is listed is no chance.
            independent: u32::try_from(clients.len().saturating_mul(NEAR.times)).unwrap_or(u32::MAX),
            clients: clients.into_iter().map(|client| (client, 1)).collect(),
            asked: BTreeMap::new(),
            asked_by_all: 0,
            is_denied: false,
            is_cut: false,
            is_uncounted: false,
        }))
    }
}

/// A connection that ended meanwhile is no answer.
fn lost(error: RequestError) -> ActError {
    match error {
        RequestError::Interrupted { subject: _ } => ActError::Disconnected,
        error => act_error(error),
    }
}
