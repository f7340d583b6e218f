//! Bounded samples of who uses a stream (nats-facts N60–N63).
//!
//! Promises: a sample ends after a number of messages or a time; payloads are dropped unread; a consumer without leader
//! is not sampled, since its clients would wait instead of learning that nobody serves them; what could not be assigned
//! to one client counts as seen and unexplained.

mod received;
mod receivers;

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::{Client, Subscriber};
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::{FuturesUnordered, select_all};
use leeward_core::names::{AssetName, ConsumerName, StreamName};
use leeward_core::usage::{Sampled, Sampling, UseKind, UseSample, WarmUp};
use leeward_engine::ports::ActError;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until, timeout_at};

use self::received::{Received, unused_like};
use self::receivers::Receivers;
use crate::act::AccountClient;
use crate::connect::Link;
use crate::jetstream_api::{LookupResult, act_error};
use crate::moments::ahead;
use crate::request::REQUEST_LIMIT;
use crate::request_error::RequestError;
use crate::sample_links::NearestLink;
use crate::user_info::USER_INFO;
use crate::wire;
use crate::wire::text::WireText;

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
/// From the begin of one time to the next.
const TIME_APART: Duration = Duration::from_millis(300);
/// Messages that may arrive before those of one time, until all locations are heard: elsewhere than next to the leader each of them
/// crosses a gateway.
const MOST_WARM_UP_MESSAGES: u32 = 256;
const MOST_NEAR_WARM_UP_MESSAGES: u32 = 512;
/// Messages that are counted only.
const MOST_COUNTED: usize = 512;
/// How long to wait for publishes and direct gets.
const PUBLISHES: Duration = Duration::from_secs(2);
/// How long to wait for requests of pull consumers, which some clients send every few seconds only.
const REQUESTS: Duration = Duration::from_secs(5);
/// A stream with more subjects is not sampled for publishers.
const MOST_SUBJECTS: usize = 256;
/// Consumers of one stream that are sampled, all at once.
const MOST_CONSUMERS: usize = 16;
const TOO_FAST: &str =
    "who publishes: its messages come too fast; of the servers to connect to, let one be next to its leader";
/// A domain's servers deliver requests to it under this prefix, whatever prefix they were sent with.
const PREFIX_IN_DOMAIN: &str = "$JS.API";

/// How the messages of a sample are taken.
#[derive(Clone, Copy)]
struct Portions {
    times: usize,
    /// Of each time.
    messages: usize,
}

/// How to listen for one kind of use.
#[derive(Clone, Copy)]
struct Listening<'a> {
    link: &'a Link,
    kind: UseKind,
    wait: Duration,
    /// Each time.
    warm_up: WarmUp,
    portions: Portions,
    /// Servers that are expected to answer.
    servers: usize,
    /// Messages a second that the stream stores, for publishes.
    rate: u32,
}

/// What listening gave, with the subjects that the user may not subscribe to.
struct ListeningResult {
    sample: UseSample,
    denied: BTreeSet<String>,
    /// Messages that arrived during the warm-up, or were only counted.
    skipped: u32,
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
    /// Samples who uses a stream, and the first of its consumers that are named.
    pub(crate) async fn sample_stream(&self, sampling: &Sampling) -> Result<Sampled, ActError> {
        let Sampling {
            stream,
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
            servers: *servers,
            rate: *rate,
        };
        let (publishes, most, portions) = if is_near {
            (near_warm_up, MOST_NEAR_WARM_UP_MESSAGES, NEAR)
        } else {
            (warm_up, MOST_WARM_UP_MESSAGES, ELSEWHERE)
        };
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
        let (mut subjects, allow_direct) = self.stream_subjects(stream).await?;
        if subjects.len() > MOST_SUBJECTS {
            let count = subjects.len();
            let text = format!(
                "who publishes: it has {count} subjects, more than the {MOST_SUBJECTS} that are listened to"
            );
            sampled.omitted.push(text);
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
        let mut gets = Vec::new();
        if allow_direct {
            gets = self.requests(&format!("DIRECT.GET.{stream}"));
            gets.extend(self.requests(&format!("DIRECT.GET.{stream}.>")));
        }
        let consumer = |name: &ConsumerName| {
            let name = name.clone();
            async move {
                self.sample_consumer(
                    stream,
                    &name,
                    listening(UseKind::Pull, REQUESTS, requests, ELSEWHERE),
                )
                .await
            }
        };
        let consumers = join_all(consumers.iter().take(MOST_CONSUMERS).map(consumer));
        let (published, gets, consumers) = tokio::join!(
            self.sample(
                &subjects,
                listening(UseKind::Publish, PUBLISHES, publishes, portions)
            ),
            self.sample(
                &gets,
                listening(UseKind::DirectGet, PUBLISHES, requests, ELSEWHERE)
            ),
            consumers,
        );
        for one in consumers.into_iter().chain([published, gets]) {
            match one {
                Ok(None) => {}
                Ok(Some(ListeningResult {
                    sample,
                    denied,
                    skipped,
                })) => {
                    if sample.messages == 0 && skipped > 0 && sample.span.is_zero() {
                        sampled.omitted.push(TOO_FAST.to_owned());
                    }
                    sampled.samples.push(sample);
                    sampled.denied.extend(denied);
                    sampled.skipped = sampled.skipped.saturating_add(skipped);
                }
                // What was lost with a connection is no evidence of silence.
                Err(ActError::Disconnected) => return Err(ActError::Disconnected),
                Err(error) => sampled.omitted.push(error.to_string()),
            }
        }
        sampled.omitted.dedup();
        Ok(sampled)
    }

    /// The subjects of a stream, and whether it allows direct gets.
    async fn stream_subjects(&self, stream: &StreamName) -> Result<(Vec<String>, bool), ActError> {
        let call = format!("STREAM.INFO.{stream}");
        let asset = AssetName::stream(stream.clone());
        let found = self.look(&call, &asset, |bytes| {
            let config = wire::read::<SubjectsInfo<'_>>(bytes)?.config;
            let subjects = config.subjects.unwrap_or_default();
            let subjects = subjects.iter().map(|subject| subject.0.to_string()).collect();
            Ok((subjects, config.allow_direct))
        });
        match found.await? {
            LookupResult::Found(config) => Ok(config),
            LookupResult::Gone | LookupResult::NoAnswer => Err(ActError::Unread {
                message: format!("nobody answers for stream {stream}"),
            }),
        }
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
        consumer: &ConsumerName,
        listening: Listening<'_>,
    ) -> Result<Option<ListeningResult>, ActError> {
        let call = format!("CONSUMER.INFO.{stream}.{consumer}");
        let asset = AssetName::consumer(stream.clone(), consumer.clone());
        let found = self.look(&call, &asset, |bytes| {
            let config = wire::read::<DeliveryInfo<'_>>(bytes)?.config;
            Ok(config.deliver_subject.map(|subject| subject.0.to_string()))
        });
        let LookupResult::Found(deliver_subject) = found.await? else {
            return Ok(None);
        };
        let heard = if let Some(subject) = deliver_subject {
            let sample = self.sample_receivers(&subject, listening.servers).await?;
            sample.map(|sample| ListeningResult {
                sample,
                denied: BTreeSet::new(),
                skipped: 0,
            })
        } else {
            let requests = self.requests(&format!("CONSUMER.MSG.NEXT.{stream}.{consumer}"));
            self.sample(&requests, listening).await?
        };
        Ok(heard.map(|mut heard| {
            heard.sample.consumer = Some(consumer.clone());
            heard
        }))
    }

    /// Who receives what is delivered to a subject; `None` where not all are known.
    async fn sample_receivers(&self, subject: &str, servers: usize) -> Result<Option<UseSample>, ActError> {
        let unused = unused_like(subject);
        let (clients, listeners) =
            tokio::try_join!(self.receivers(subject, servers), self.receivers(&unused, servers),)?;
        let (Some(mut clients), Some(listeners)) = (clients, listeners) else {
            return Ok(None);
        };
        clients.retain(|client| !listeners.contains(client));
        Ok(Some(UseSample {
            kind: UseKind::Push,
            consumer: None,
            span: Duration::ZERO,
            messages: u32::try_from(clients.len()).unwrap_or(u32::MAX),
            // They are all that there are: what is listed is no chance.
            independent: u32::try_from(clients.len().saturating_mul(NEAR.times)).unwrap_or(u32::MAX),
            clients: clients.into_iter().map(|client| (client, 1)).collect(),
        }))
    }

    /// One sample of what is sent to these subjects; `None` without a subject.
    async fn sample(
        &self,
        subjects: &[String],
        listening: Listening<'_>,
    ) -> Result<Option<ListeningResult>, ActError> {
        if subjects.is_empty() {
            return Ok(None);
        }
        let mut received = Received::default();
        for _ in 0..listening.portions.times {
            let next = ahead(TIME_APART);
            let wait = listening.wait.saturating_sub(received.span);
            let all_came = self
                .receive(&mut received, subjects, Listening { wait, ..listening })
                .await?;
            if !all_came {
                break;
            }
            sleep_until(next).await;
        }
        let mut sample = UseSample {
            kind: listening.kind,
            consumer: None,
            span: received.span,
            messages: received.messages,
            clients: received.clients(),
            independent: received.independent(),
        };
        let mut skipped = received.skipped;
        let stored = f64::from(listening.rate);
        if sample.messages > 0 && sample.shown().is_some_and(|shown| shown < stored) {
            let counted = self.count(subjects, listening).await?;
            skipped = skipped
                .saturating_add(counted.messages)
                .saturating_add(counted.skipped);
            let span = counted.span.saturating_mul(sample.messages);
            if let Some(span) = span.checked_div(counted.messages) {
                sample.span = sample.span.min(span);
            }
        }
        Ok(Some(ListeningResult {
            sample,
            denied: received.denied,
            skipped,
        }))
    }

    /// Counts messages, where those of a sample are fewer than the stream stores: of those that a client sends at once only the
    /// first were taken.
    async fn count(&self, subjects: &[String], listening: Listening<'_>) -> Result<Received, ActError> {
        let portions = Portions {
            times: 1,
            messages: MOST_COUNTED,
        };
        let mut counted = Received::counting();
        let listening = Listening {
            portions,
            ..listening
        };
        self.receive(&mut counted, subjects, listening).await?;
        Ok(counted)
    }

    /// Receives the messages of one time, for no longer than `wait`, and finds out who waits for their replies. What arrives
    /// during the warm-up is of near clients only, and is skipped. Returns whether as many came as are taken.
    async fn receive(
        &self,
        received: &mut Received,
        subjects: &[String],
        listening: Listening<'_>,
    ) -> Result<bool, ActError> {
        let Listening { link, warm_up, .. } = listening;
        let mut denials = link.denials().listen();
        let client = link.connected().ok_or(ActError::Disconnected)?;
        let at_a_time = listening.portions.messages;
        let most = at_a_time.saturating_add(warm_up.messages as usize);
        let mut subscriptions = Vec::new();
        for subject in subjects {
            // Each as many: a smaller share of a busy subject would make quiet ones look greater.
            let subscription = subscribe(&client, subject, most).await;
            subscriptions.push(subscription.map_err(act_error)?);
        }
        if listening.kind == UseKind::Publish {
            // Once this is answered the server has read the subscriptions, however far it is.
            match link.request(USER_INFO, "", REQUEST_LIMIT).await {
                // Who may not ask is refused as soon as the subscriptions are read.
                Ok(_) | Err(RequestError::Denied { subject: _ }) => {}
                Err(error) => return Err(lost(error)),
            }
        }
        let begun = Instant::now();
        let deadline = ahead(warm_up.time.saturating_add(listening.wait));
        let mut messages = Some(select_all(subscriptions).take(most));
        let (mut count, mut noted) = (0_usize, 0_usize);
        let mut lookups = FuturesUnordered::new();
        while messages.is_some() || !lookups.is_empty() {
            let next = async {
                match messages.as_mut() {
                    Some(messages) => timeout_at(deadline, messages.next()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                subject = denials.subscription_of(subjects) => drop(received.denied.insert(subject)),
                message = next => {
                    let listened = begun.elapsed().saturating_sub(warm_up.time);
                    let is_last = match message {
                        Ok(Some(_)) if listened.is_zero() => {
                            count = count.saturating_add(1);
                            received.skipped = received.skipped.saturating_add(1);
                            false
                        }
                        Ok(Some(message)) => {
                            count = count.saturating_add(1);
                            noted = noted.saturating_add(1);
                            let subjects = received.note(message.reply.as_deref());
                            lookups.extend(subjects.map(|(name, subject)| async move {
                                let receivers = self.receivers(&subject, listening.servers).await?;
                                Ok::<_, ActError>((name, receivers))
                            }));
                            noted >= at_a_time
                        }
                        Ok(None) if count < most => {
                            return Err(ActError::Disconnected);
                        }
                        Ok(None) | Err(_) => true,
                    };
                    if is_last {
                        // Ends the subscriptions: nothing more travels while lookups are answered.
                        messages = None;
                        received.span = received.span.saturating_add(listened);
                    }
                },
                Some(found) = lookups.next(), if !lookups.is_empty() => {
                    let (name, clients) = found?;
                    received.receivers.insert(name, clients);
                }
            }
        }
        Ok(noted >= at_a_time)
    }
}

/// A connection that ended meanwhile is no answer.
fn lost(error: RequestError) -> ActError {
    match error {
        RequestError::Interrupted { subject: _ } => ActError::Disconnected,
        error => act_error(error),
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
