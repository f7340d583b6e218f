//! Publishers that behave as applications should: every message has an id, and attempts with the same id are repeated
//! until the server has acknowledged it (nats-facts N16).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_nats::{Client, HeaderMap, Request, RequestErrorKind, header};
use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::intake::BEGUN;
use super::ledger::MessageLedger;
use super::meter::LatencyMeter;

/// The pause after an attempt that was refused at once, as without a stream leader. It doubles up to the longest, so
/// that a long outage does not cause a storm.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(320);
/// Timers are not finer than this; several messages are sent at once instead.
const SHORTEST_TICK: Duration = Duration::from_millis(5);
/// How long an attempt waits for its answer, unless a publisher says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// An election takes up to 9 s (nats-facts N14); what is unacknowledged this long after the stop is given up.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A publisher to one subject of one stream.
#[derive(Clone, Debug)]
pub struct Publisher {
    pub client: Client,
    /// Where its latencies are counted.
    pub location: String,
    pub stream: String,
    pub subject: String,
    pub rate_per_second: f64,
    pub payload_bytes: usize,
    /// While this many messages wait for their acknowledgement no others are started; they are not made up for later.
    pub in_flight: usize,
    /// An attempt that is not answered this long is repeated.
    pub patience: Duration,
}

impl Publisher {
    /// 50 messages of 256 bytes per second, up to 256 in flight, attempts of 2 s.
    pub fn new(client: Client, location: &str, stream: &str, subject: &str) -> Self {
        Self {
            client,
            location: location.to_owned(),
            stream: stream.to_owned(),
            subject: subject.to_owned(),
            rate_per_second: 50.0,
            payload_bytes: 256,
            in_flight: 256,
            patience: PATIENCE,
        }
    }

    pub(super) async fn run(self, ledger: MessageLedger, meter: LatencyMeter, stop: CancellationToken) {
        let book = ledger.open_publisher(&self.stream);
        let message = Arc::new(OutgoingMessage {
            client: self.client,
            payload: vec![b'x'; self.payload_bytes].into(),
            stream: self.stream,
            subject: self.subject,
            patience: self.patience,
            book,
            ledger,
            meter,
        });
        let permits = Arc::new(Semaphore::new(self.in_flight));
        let mut sending = JoinSet::new();
        let mut pace = PublishRate::new(self.rate_per_second);
        while let Some(due) = stop.run_until_cancelled(pace.next()).await {
            for _ in 0..due {
                let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                    break;
                };
                let message = Arc::clone(&message);
                sending.spawn(async move {
                    message.publish().await;
                    drop(permit);
                });
            }
            while sending.try_join_next().is_some() {}
        }
        let finish = async { while sending.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_LIMIT, finish).await.is_err() {
            sending.shutdown().await;
        }
    }
}

/// How many messages are due at each tick. Missed ticks are skipped.
struct PublishRate {
    ticks: tokio::time::Interval,
    per_tick: f64,
    credit: f64,
}

impl PublishRate {
    fn new(rate_per_second: f64) -> Self {
        let rate = rate_per_second.max(0.001);
        let tick = Duration::from_secs_f64(1.0 / rate).max(SHORTEST_TICK);
        let mut ticks = tokio::time::interval(tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self {
            ticks,
            per_tick: rate * tick.as_secs_f64(),
            credit: 0.0,
        }
    }

    async fn next(&mut self) -> u32 {
        self.ticks.tick().await;
        self.credit += self.per_tick;
        let due = self.credit.floor();
        self.credit -= due;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and not negative"
        )]
        let due = due as u32;
        due
    }
}

/// What all messages of a publisher have in common.
struct OutgoingMessage {
    client: Client,
    payload: Bytes,
    stream: String,
    subject: String,
    patience: Duration,
    book: usize,
    ledger: MessageLedger,
    meter: LatencyMeter,
}

#[derive(Deserialize)]
struct PubAck {
    #[serde(default)]
    duplicate: bool,
    error: Option<PubAckError>,
}

#[derive(Deserialize)]
struct PubAckError {
    description: String,
}

enum Attempt {
    Acknowledged {
        duplicate: bool,
    },
    /// Nobody answered in time: the next attempt can follow at once.
    NoAnswer,
    Refused(String),
}

impl OutgoingMessage {
    async fn publish(&self) {
        let (number, id) = self.ledger.next_message(self.book);
        let begun = SystemTime::now();
        self.meter.record(|phase| phase.counts.published += 1);
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match self.attempt(&id, begun).await {
                Attempt::Acknowledged { duplicate } => {
                    self.ledger.acknowledged(self.book, number);
                    self.meter.record(|phase| {
                        phase.counts.acknowledged += 1;
                        phase.counts.duplicates += u64::from(duplicate);
                        phase.publish.record(started.elapsed());
                    });
                    return;
                }
                Attempt::NoAnswer => {
                    self.meter.record(|phase| phase.counts.publishes_unanswered += 1);
                    self.ledger.failed(format!(
                        "publish to {}: no answer in {:?}",
                        self.subject, self.patience
                    ));
                }
                Attempt::Refused(why) => {
                    self.meter.record(|phase| phase.counts.publishes_refused += 1);
                    self.ledger.failed(format!("publish to {}: {why}", self.subject));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn attempt(&self, id: &str, begun: SystemTime) -> Attempt {
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_MESSAGE_ID, id);
        headers.insert(header::NATS_EXPECTED_STREAM, self.stream.as_str());
        let nanos = begun.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        headers.insert(BEGUN, nanos.to_string());
        let request = Request::new()
            .headers(headers)
            .payload(self.payload.clone())
            .timeout(Some(self.patience));
        let reply = match self.client.send_request(self.subject.clone(), request).await {
            Ok(reply) => reply,
            Err(error) if error.kind() == RequestErrorKind::TimedOut => return Attempt::NoAnswer,
            Err(error) => return Attempt::Refused(error.to_string()),
        };
        match serde_json::from_slice(&reply.payload) {
            Ok(PubAck {
                error: Some(error), ..
            }) => Attempt::Refused(error.description),
            Ok(PubAck {
                duplicate,
                error: None,
            }) => Attempt::Acknowledged { duplicate },
            Err(error) => Attempt::Refused(format!("an answer that is no acknowledgement: {error}")),
        }
    }
}
