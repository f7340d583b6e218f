//! Listening to some subjects for a moment, and who waits for the replies to what comes.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures::StreamExt as _;
use futures::future::try_join_all;
use futures::stream::{FuturesUnordered, select_all};
use leeward_core::names::ServerName;
use leeward_core::usage::{ConsumerSampling, UseKind, UseSample, WarmUp};
use leeward_engine::ports::ActError;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::batch_size::{self, BatchSize};
use super::lost;
use super::received::Received;
use crate::act::AccountClient;
use crate::connect::Link;
use crate::jetstream_api::act_error;
use crate::moments::ahead;
use crate::request::REQUEST_LIMIT;
use crate::request_error::RequestError;
use crate::user_info::USER_INFO;

/// From the begin of one time to the next.
const TIME_APART: Duration = Duration::from_millis(300);
/// Messages of a time that are all taken.
const MOST_OF_A_TIME: usize = 512;

/// How the messages of a sample are taken.
#[derive(Clone, Copy)]
pub(super) struct Portions {
    pub(super) times: usize,
    /// Of each time.
    pub(super) messages: usize,
}

/// How to listen for one kind of use.
#[derive(Clone, Copy)]
pub(super) struct Listening<'a> {
    pub(super) link: &'a Link,
    pub(super) kind: UseKind,
    pub(super) wait: Duration,
    /// Each time.
    pub(super) warm_up: WarmUp,
    pub(super) portions: Portions,
    /// Servers that are expected to answer.
    pub(super) servers: &'a BTreeSet<ServerName>,
    /// Consumers that are measured: who asks to create one of them finds it there.
    pub(super) measured: &'a [ConsumerSampling],
    /// Messages a second that the stream stores, for publishes.
    pub(super) rate: u32,
}

/// What listening gave, with the subjects that the user may not subscribe to.
pub(super) struct ListeningResult {
    pub(super) sample: UseSample,
    pub(super) denied: BTreeSet<String>,
    /// Messages that are not in the sample: those of the warm-up, and the first of batches.
    pub(super) skipped: u32,
    /// Messages from other accounts.
    pub(super) imported: u32,
}

impl Listening<'_> {
    fn result(&self, received: Received) -> ListeningResult {
        ListeningResult {
            sample: self.sample(&received),
            denied: received.denied,
            skipped: received.skipped,
            imported: received.imported,
        }
    }

    /// What a message asks for; `None` where it is no use: the servers refuse it, or the consumer that it is to create exists.
    fn asks(&self, message: &Message) -> Option<BatchSize> {
        match self.kind {
            UseKind::Publish | UseKind::Push => Some(BatchSize::One),
            UseKind::Pull => batch_size::pulled(&message.payload).map(BatchSize::Messages),
            UseKind::Get | UseKind::DirectGet => batch_size::got(&message.payload),
            UseKind::Create => (!self.is_of_measured(&message.subject)).then_some(BatchSize::One),
        }
    }

    /// Whether a request is to create a consumer that exists: `…CREATE.<stream>.<consumer>` with or without a filter.
    fn is_of_measured(&self, subject: &str) -> bool {
        let named = || subject.split_once(".CONSUMER.CREATE.")?.1.split('.').nth(1);
        named().is_some_and(|name| {
            self.measured
                .iter()
                .any(|consumer| consumer.name.as_str() == name)
        })
    }

    fn sample(&self, received: &Received) -> UseSample {
        UseSample {
            kind: self.kind,
            consumer: None,
            span: received.span,
            messages: received.messages,
            clients: received.clients(),
            independent: received.independent(),
            asked: received.asked(),
            asked_by_all: received.asked_by_all,
            is_denied: !received.denied.is_empty(),
            is_cut: received.is_cut,
            is_uncounted: received.is_uncounted,
        }
    }
}

impl AccountClient {
    /// One sample of what is sent to these subjects; `None` without a subject.
    pub(super) async fn sample(
        &self,
        subjects: &[String],
        listening: Listening<'_>,
    ) -> Result<Option<ListeningResult>, ActError> {
        if subjects.is_empty() {
            return Ok(None);
        }
        // How many there are of these is not measured, so that batches would not be noticed.
        if matches!(listening.kind, UseKind::DirectGet | UseKind::Get) {
            let received = self.receive_whole(subjects, listening).await?;
            return Ok(Some(listening.result(received)));
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
        let sample = listening.sample(&received);
        let stored = f64::from(listening.rate);
        if received.messages > 0 && sample.shown().is_some_and(|shown| shown < stored) {
            let portions = received;
            received = self.receive_whole(subjects, listening).await?;
            let unused = portions.skipped.saturating_add(portions.messages);
            received.skipped = received.skipped.saturating_add(unused);
            received.denied.extend(portions.denied);
        }
        Ok(Some(listening.result(received)))
    }

    /// Takes all messages of a time, where those of a sample are fewer than the stream stores: of what a client sends at once only
    /// the first were taken, and who sends steadily would seem to send the most.
    async fn receive_whole(
        &self,
        subjects: &[String],
        listening: Listening<'_>,
    ) -> Result<Received, ActError> {
        let portions = Portions {
            times: 1,
            messages: MOST_OF_A_TIME,
        };
        let mut received = Received::whole();
        let whole = Listening {
            portions,
            ..listening
        };
        received.is_cut = self.receive(&mut received, subjects, whole).await?;
        let lookups = received.later().into_iter().map(|(name, subject)| async move {
            let receivers = self.receivers(&subject, listening.servers).await?;
            Ok::<_, ActError>((name, receivers))
        });
        received.receivers.extend(try_join_all(lookups).await?);
        Ok(received)
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
                        Ok(Some(message)) => {
                            count = count.saturating_add(1);
                            let asks = (!listened.is_zero()).then(|| listening.asks(&message)).flatten();
                            let Some(asks) = asks else {
                                received.skipped = received.skipped.saturating_add(1);
                                continue;
                            };
                            noted = noted.saturating_add(1);
                            let subjects = received.note(message.reply.as_deref(), asks);
                            lookups.extend(subjects.into_iter().map(|(name, subject)| async move {
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
