//! Workers that pull. One request follows the other; leadership changes, missing leaders and reconnects end a request
//! early and the next one is made (nats-facts N16).

use std::time::{Duration, Instant, SystemTime};

use async_nats::{Client, Message, StatusCode, Subscriber};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::intake::{Acknowledge, Intake};
use super::ledger::MessageLedger;
use super::meter::LatencyMeter;

/// The server ends an expired request; a request without its end this long after is given up.
const GRACE: Duration = Duration::from_secs(1);
/// The pause after a request that was refused at once.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A worker that pulls from a durable consumer, which has to exist. Several workers may share one.
#[derive(Clone, Debug)]
pub struct PullWorker {
    pub client: Client,
    /// Where its latencies are counted.
    pub location: String,
    pub stream: String,
    pub consumer: String,
    pub batch: usize,
    /// How long an idle request waits on the server.
    pub expires: Duration,
    /// How long a batch keeps the worker busy before it asks for the next.
    pub busy: Duration,
    pub acknowledge: Acknowledge,
}

impl PullWorker {
    /// Batches of 64, requests of 2 s, never busy, plain acknowledgements.
    pub fn new(client: Client, location: &str, stream: &str, consumer: &str) -> Self {
        Self {
            client,
            location: location.to_owned(),
            stream: stream.to_owned(),
            consumer: consumer.to_owned(),
            batch: 64,
            expires: Duration::from_secs(2),
            busy: Duration::ZERO,
            acknowledge: Acknowledge::Plain,
        }
    }

    pub(super) async fn run(self, ledger: MessageLedger, meter: LatencyMeter, stop: CancellationToken) {
        let inbox = self.client.new_inbox();
        let replies = match self.client.subscribe(format!("{inbox}.*")).await {
            Ok(replies) => replies,
            Err(error) => return ledger.failed(format!("subscription for {}: {error}", self.consumer)),
        };
        let (batch, expires, busy) = (self.batch, self.expires, self.busy);
        let request = serde_json::json!({ "batch": batch, "expires": expires.as_nanos() }).to_string();
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", self.stream, self.consumer);
        let consumer = (self.stream, self.consumer);
        let intake = Intake::new(self.client, consumer, self.acknowledge, ledger, meter);
        let mut pull = Pull {
            intake,
            replies,
            inbox,
            subject,
            request,
            batch,
            limit: expires + GRACE,
            fetches: 0,
            earlier_may_answer: false,
        };
        // A pending request is ended by the server or its limit, not by the stop: its messages are wanted.
        while !stop.is_cancelled() {
            let (messages, end) = pull.fetch().await;
            let pause = if pull.settle(messages, end) {
                RETRY_PAUSE
            } else {
                busy
            };
            if !pause.is_zero() {
                stop.run_until_cancelled(tokio::time::sleep(pause)).await;
            }
        }
        pull.intake.finish().await;
    }
}

struct Pull {
    intake: Intake,
    replies: Subscriber,
    inbox: String,
    subject: String,
    request: String,
    batch: usize,
    limit: Duration,
    fetches: u64,
    /// An earlier request was given up without its end: the next messages may belong to it. They carry the subject
    /// under which they were published, so they do not show it.
    earlier_may_answer: bool,
}

/// How a request ended.
enum End {
    /// The batch is full, or the request expired.
    Ordinary,
    Refused(String),
    /// The request was not sent, or its end did not come.
    Unknown(String),
}

impl Pull {
    /// Makes one request; returns how many messages came, and how it ended.
    async fn fetch(&mut self) -> (usize, End) {
        self.fetches += 1;
        let reply = format!("{}.{}", self.inbox, self.fetches);
        let (started, requested_at) = (Instant::now(), SystemTime::now());
        let sent = self.intake.client.publish_with_reply(
            self.subject.clone(),
            reply.clone(),
            self.request.clone().into(),
        );
        if let Err(error) = sent.await {
            return (0, End::Unknown(error.to_string()));
        }
        let deadline = tokio::time::Instant::from_std(started + self.limit);
        let mut messages = 0;
        while messages < self.batch {
            let message = match tokio::time::timeout_at(deadline, self.replies.next()).await {
                Ok(Some(message)) => message,
                Ok(None) => return (messages, End::Unknown("the connection is closed".to_owned())),
                Err(_) => return (messages, End::Unknown("no end of the request".to_owned())),
            };
            match message.status {
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                // The end of an earlier request is not the end of this one.
                Some(_) if message.subject.as_str() != reply => {}
                Some(status) => return (messages, end_of(status, &message)),
                None => {
                    let waited = started.elapsed();
                    let Some(metadata) = self.intake.take(message).await else {
                        continue;
                    };
                    let was_pending = metadata.stored_at < requested_at && metadata.delivery_count == 1;
                    if messages == 0 && was_pending && !self.earlier_may_answer {
                        self.intake.meter.record(|phase| phase.fetch.record(waited));
                    }
                    messages += 1;
                }
            }
        }
        (messages, End::Ordinary)
    }

    /// Records how a request ended; true if the next one should wait a little.
    fn settle(&mut self, messages: usize, end: End) -> bool {
        self.earlier_may_answer = matches!(end, End::Unknown(_));
        self.intake.meter.record(|phase| match end {
            End::Ordinary => {}
            End::Refused(_) => phase.counts.fetches_refused += 1,
            End::Unknown(_) => phase.counts.fetches_unanswered += 1,
        });
        match end {
            End::Ordinary => false,
            End::Refused(why) | End::Unknown(why) => {
                self.intake
                    .ledger
                    .failed(format!("pull from {}: {why}", self.intake.consumer));
                messages == 0
            }
        }
    }
}

fn end_of(status: StatusCode, message: &Message) -> End {
    match status {
        StatusCode::NOT_FOUND | StatusCode::TIMEOUT => End::Ordinary,
        status => End::Refused(format!(
            "{status} {}",
            message.description.as_deref().unwrap_or_default()
        )),
    }
}
