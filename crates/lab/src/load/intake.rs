//! How pull and push workers process a received message: identify it, record it, acknowledge it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_nats::{Client, Message, Request, Subject, header};
use tokio::task::JoinSet;

use super::ledger::MessageLedger;
use super::meter::LatencyMeter;

/// When the publication of a message began, in nanoseconds of the clock that clients share in the lab.
pub(super) const BEGUN: &str = "Lab-Begun-Nanos";

const ACK: &str = "+ACK";
/// A confirmation that takes longer is requested again.
const ACK_LIMIT: Duration = Duration::from_secs(2);
/// After these attempts the message is left for redelivery.
const ACK_ATTEMPTS: u32 = 5;
const RETRY_PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// Sent without waiting.
    #[default]
    Plain,
    /// The server confirms each one; this is what gives acknowledgement latencies.
    Confirmed,
}

/// What the reply subject of a delivered message contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AckMetadata {
    pub stream_sequence: u64,
    pub delivery_count: u64,
    pub stored_at: SystemTime,
}

/// One worker's side of a consumer.
pub(super) struct Intake {
    pub client: Client,
    pub stream: String,
    pub consumer: String,
    pub acknowledge: Acknowledge,
    pub ledger: MessageLedger,
    pub meter: LatencyMeter,
    acks: JoinSet<()>,
}

impl Intake {
    pub fn new(
        client: Client,
        (stream, consumer): (String, String),
        acknowledge: Acknowledge,
        ledger: MessageLedger,
        meter: LatencyMeter,
    ) -> Self {
        ledger.open_consumer(&stream, &consumer);
        Self {
            client,
            stream,
            consumer,
            acknowledge,
            ledger,
            meter,
            acks: JoinSet::new(),
        }
    }

    /// Processes a message. `None` if it was not delivered by a consumer.
    pub async fn take(&mut self, message: Message) -> Option<AckMetadata> {
        let received_at = SystemTime::now();
        let begun_at = begun_at(&message);
        let reply = message.reply?;
        let metadata = AckMetadata::parse(&reply)?;
        let id = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get(header::NATS_MESSAGE_ID));
        let identity = self
            .ledger
            .identify(id.map(AsRef::as_ref), metadata.stream_sequence);
        let first = self.ledger.delivered(&self.stream, &self.consumer, identity);
        self.meter.record(|phase| {
            if first {
                phase.counts.delivered += 1;
                phase
                    .delivery
                    .record(received_at.duration_since(metadata.stored_at).unwrap_or_default());
                if let Some(begun_at) = begun_at {
                    phase
                        .arrival
                        .record(received_at.duration_since(begun_at).unwrap_or_default());
                }
            } else {
                phase.counts.redelivered += 1;
            }
        });
        self.acknowledge(reply).await;
        Some(metadata)
    }

    /// Waits for the pending confirmations, which have their own limit.
    pub async fn finish(&mut self) {
        while self.acks.join_next().await.is_some() {}
        let _ = tokio::time::timeout(ACK_LIMIT, self.client.flush()).await;
    }

    async fn acknowledge(&mut self, reply: Subject) {
        match self.acknowledge {
            Acknowledge::Plain => {
                if let Err(error) = self.client.publish(reply, ACK.into()).await {
                    self.ledger
                        .failed(format!("acknowledgement to {}: {error}", self.consumer));
                }
            }
            Acknowledge::Confirmed => {
                let (client, ledger, meter) = (self.client.clone(), self.ledger.clone(), self.meter.clone());
                self.acks.spawn(confirm(client, reply, ledger, meter));
                while self.acks.try_join_next().is_some() {}
            }
        }
    }
}

fn begun_at(message: &Message) -> Option<SystemTime> {
    let nanos = message.headers.as_ref()?.get(BEGUN)?.as_str().parse().ok()?;
    Some(UNIX_EPOCH + Duration::from_nanos(nanos))
}

async fn confirm(client: Client, reply: Subject, ledger: MessageLedger, meter: LatencyMeter) {
    let started = Instant::now();
    for _ in 0..ACK_ATTEMPTS {
        let request = Request::new().payload(ACK.into()).timeout(Some(ACK_LIMIT));
        match client.send_request(reply.clone(), request).await {
            Ok(_) => return meter.record(|phase| phase.ack.record(started.elapsed())),
            Err(error) => ledger.failed(format!("confirmed acknowledgement: {error}")),
        }
        meter.record(|phase| phase.counts.ack_retries += 1);
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

impl AckMetadata {
    /// `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<nanos>.<pending>`, or with domain and
    /// account hash after `ACK` and possibly more at the end (ADR-15).
    fn parse(reply: &str) -> Option<Self> {
        let tokens: Vec<&str> = reply.split('.').collect();
        let first = match tokens.as_slice() {
            ["$JS", "ACK", rest @ ..] if rest.len() == 7 => 4,
            ["$JS", "ACK", rest @ ..] if rest.len() >= 9 => 6,
            _ => return None,
        };
        let number = |index: usize| tokens.get(first + index)?.parse::<u64>().ok();
        Some(Self {
            delivery_count: number(0)?,
            stream_sequence: number(1)?,
            stored_at: UNIX_EPOCH + Duration::from_nanos(number(3)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_reply_subject_are_read() {
        let expected = AckMetadata {
            stream_sequence: 22,
            delivery_count: 2,
            stored_at: UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_001),
        };
        let short = "$JS.ACK.ORDERS.worker.2.22.33.1700000000000000001.4";
        let long = "$JS.ACK._.hash.ORDERS.worker.2.22.33.1700000000000000001.4";
        let longer = "$JS.ACK.leaf.hash.ORDERS.worker.2.22.33.1700000000000000001.4.token";
        for reply in [short, long, longer] {
            assert_eq!(AckMetadata::parse(reply), Some(expected), "{reply}");
        }
        assert_eq!(AckMetadata::parse("_INBOX.abc.1"), None);
        assert_eq!(AckMetadata::parse("$JS.FC.ORDERS.worker.abcd"), None);
    }
}
