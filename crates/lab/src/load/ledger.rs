//! Which messages were published, acknowledged by the server and delivered: one bit each, for the whole run of a load.
//! Shared by all workers; the totals here never reset, unlike the phases of [`super::LoadPhase`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::lock::lock;

use super::ids::{MessageIdentity, NumberSet, message_id, parse_message_id};

/// Clones share the same books.
#[derive(Clone, Debug)]
pub struct MessageLedger {
    /// Makes ids differ from those of an earlier load on the same stream, which the server would take for duplicates.
    load: Arc<str>,
    books: Arc<Mutex<Books>>,
}

#[derive(Debug, Default)]
struct Books {
    publishers: Vec<PublisherBook>,
    consumers: BTreeMap<ConsumerKey, ConsumerBook>,
    last_error: Option<String>,
}

/// Stream and consumer.
type ConsumerKey = (String, String);

#[derive(Debug)]
struct PublisherBook {
    stream: String,
    published: u64,
    acknowledged: NumberSet,
}

#[derive(Debug, Default)]
struct ConsumerBook {
    by_publisher: BTreeMap<usize, NumberSet>,
    foreign: NumberSet,
    redelivered: u64,
}

/// Totals of a load since its start. All numbers are of distinct messages, except `redelivered`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub streams: BTreeMap<String, StreamSummary>,
    /// Why the latest failed attempt of any worker failed. Failures are normal while leaders move.
    pub last_error: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamSummary {
    pub published: u64,
    pub acknowledged: u64,
    pub consumers: BTreeMap<String, ConsumerSummary>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConsumerSummary {
    /// Messages of the load.
    pub delivered: u64,
    /// Messages that the load did not publish.
    pub foreign: u64,
    pub redelivered: u64,
    /// Acknowledged by the server and not delivered until now.
    pub outstanding: u64,
}

impl Summary {
    pub fn published(&self) -> u64 {
        self.streams.values().map(|stream| stream.published).sum()
    }

    pub fn acknowledged(&self) -> u64 {
        self.streams.values().map(|stream| stream.acknowledged).sum()
    }

    /// Over all consumers: a message that two consumers deliver counts twice.
    pub fn delivered(&self) -> u64 {
        self.consumers().map(|consumer| consumer.delivered).sum()
    }

    pub fn redelivered(&self) -> u64 {
        self.consumers().map(|consumer| consumer.redelivered).sum()
    }

    /// Acknowledged messages that a consumer has not delivered yet. Zero does not mean that nothing is lost in a stream
    /// without consumers: see [`super::Load::verify_stream`].
    pub fn outstanding(&self) -> u64 {
        self.consumers().map(|consumer| consumer.outstanding).sum()
    }

    fn consumers(&self) -> impl Iterator<Item = &ConsumerSummary> {
        self.streams.values().flat_map(|stream| stream.consumers.values())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "published {}, acknowledged {}, delivered {}, redelivered {}, outstanding {}",
            self.published(),
            self.acknowledged(),
            self.delivered(),
            self.redelivered(),
            self.outstanding()
        )
    }
}

impl MessageLedger {
    pub(super) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let load = format!("{:x}.{:x}", now.as_nanos(), std::process::id());
        Self {
            load: load.into(),
            books: Arc::default(),
        }
    }

    pub(super) fn open_publisher(&self, stream: &str) -> usize {
        let mut books = self.books();
        books.publishers.push(PublisherBook {
            stream: stream.to_owned(),
            published: 0,
            acknowledged: NumberSet::default(),
        });
        books.publishers.len() - 1
    }

    /// Workers that share a consumer share its book.
    pub(super) fn open_consumer(&self, stream: &str, consumer: &str) {
        self.books().consumers.entry(key(stream, consumer)).or_default();
    }

    /// The number of the publisher's next message, and its `Nats-Msg-Id`.
    pub(super) fn next_message(&self, publisher: usize) -> (u64, String) {
        let mut books = self.books();
        let book = &mut books.publishers[publisher];
        let number = book.published;
        book.published += 1;
        (number, message_id(&self.load, publisher, number))
    }

    pub(super) fn acknowledged(&self, publisher: usize, number: u64) {
        self.books().publishers[publisher].acknowledged.insert(number);
    }

    pub(super) fn identify(&self, id: Option<&str>, stream_sequence: u64) -> MessageIdentity {
        match id.and_then(|id| parse_message_id(&self.load, id)) {
            Some((publisher, number)) => MessageIdentity::Ours { publisher, number },
            None => MessageIdentity::Foreign { stream_sequence },
        }
    }

    /// Whether this consumer delivered the message for the first time.
    pub(super) fn delivered(&self, stream: &str, consumer: &str, message: MessageIdentity) -> bool {
        let mut books = self.books();
        let book = books.consumers.entry(key(stream, consumer)).or_default();
        let first = match message {
            MessageIdentity::Ours { publisher, number } => {
                book.by_publisher.entry(publisher).or_default().insert(number)
            }
            MessageIdentity::Foreign { stream_sequence } => book.foreign.insert(stream_sequence),
        };
        book.redelivered += u64::from(!first);
        first
    }

    pub(super) fn failed(&self, why: String) {
        self.books().last_error = Some(why);
    }

    pub fn summary(&self) -> Summary {
        let books = self.books();
        let mut streams = BTreeMap::<String, StreamSummary>::new();
        for publisher in &books.publishers {
            let stream = streams.entry(publisher.stream.clone()).or_default();
            stream.published += publisher.published;
            stream.acknowledged += publisher.acknowledged.len();
        }
        for ((stream, consumer), book) in &books.consumers {
            let summary = ConsumerSummary {
                delivered: book.by_publisher.values().map(NumberSet::len).sum(),
                foreign: book.foreign.len(),
                redelivered: book.redelivered,
                outstanding: books.outstanding(stream, book),
            };
            let summaries = &mut streams.entry(stream.clone()).or_default().consumers;
            summaries.insert(consumer.clone(), summary);
        }
        Summary {
            streams,
            last_error: books.last_error.clone(),
        }
    }

    /// What the server has acknowledged for a stream until now, by publisher.
    pub(super) fn acknowledged_of(&self, stream: &str) -> BTreeMap<usize, NumberSet> {
        let books = self.books();
        let ours = books
            .publishers
            .iter()
            .enumerate()
            .filter(|(_, book)| book.stream == stream);
        ours.map(|(publisher, book)| (publisher, book.acknowledged.clone()))
            .collect()
    }

    /// Whether the stream has tracked consumers and every one of them delivered the message.
    pub(super) fn delivered_by_all(&self, stream: &str, publisher: usize, number: u64) -> bool {
        let books = self.books();
        let mut consumers = books
            .consumers
            .iter()
            .filter(|((of, _), _)| of == stream)
            .peekable();
        consumers.peek().is_some()
            && consumers.all(|(_, book)| {
                book.by_publisher
                    .get(&publisher)
                    .is_some_and(|set| set.contains(number))
            })
    }

    /// Messages of the stream `from` that were acknowledged and not delivered by a tracked consumer of another stream,
    /// which has them by mirroring or sourcing.
    pub fn undelivered(&self, from: &str, (stream, consumer): (&str, &str)) -> u64 {
        let books = self.books();
        let nothing = ConsumerBook::default();
        let book = books.consumers.get(&key(stream, consumer));
        books.outstanding(from, book.unwrap_or(&nothing))
    }

    pub(super) fn message_id(&self, publisher: usize, number: u64) -> String {
        message_id(&self.load, publisher, number)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        lock(&self.books)
    }
}

fn key(stream: &str, consumer: &str) -> ConsumerKey {
    (stream.to_owned(), consumer.to_owned())
}

impl Books {
    fn outstanding(&self, stream: &str, consumer: &ConsumerBook) -> u64 {
        let nothing = NumberSet::default();
        let ours = self
            .publishers
            .iter()
            .enumerate()
            .filter(|(_, book)| book.stream == stream);
        ours.map(|(publisher, book)| {
            let delivered = consumer.by_publisher.get(&publisher).unwrap_or(&nothing);
            book.acknowledged.count_missing_in(delivered)
        })
        .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_consumer_has_to_deliver_every_acknowledged_message_of_its_stream() {
        let ledger = MessageLedger::new();
        let publisher = ledger.open_publisher("ORDERS");
        ledger.open_consumer("ORDERS", "one");
        ledger.open_consumer("ORDERS", "two");
        ledger.open_consumer("OTHER", "three");
        for _ in 0..3 {
            ledger.next_message(publisher);
        }
        ledger.acknowledged(publisher, 0);
        ledger.acknowledged(publisher, 2);
        let (message, other) = (ledger.message_id(publisher, 2), ledger.message_id(publisher, 1));
        assert!(ledger.delivered("ORDERS", "one", ledger.identify(Some(&message), 9)));
        assert!(!ledger.delivered("ORDERS", "one", ledger.identify(Some(&message), 9)));
        // Stored, although its publisher received no acknowledgement.
        assert!(ledger.delivered("ORDERS", "one", ledger.identify(Some(&other), 8)));
        assert!(ledger.delivered("ORDERS", "one", ledger.identify(None, 9)));

        let summary = ledger.summary();
        let orders = &summary.streams["ORDERS"];
        assert_eq!((orders.published, orders.acknowledged), (3, 2));
        let one = ConsumerSummary {
            delivered: 2,
            foreign: 1,
            redelivered: 1,
            outstanding: 1,
        };
        assert_eq!(orders.consumers["one"], one);
        assert_eq!(
            orders.consumers["two"],
            ConsumerSummary {
                outstanding: 2,
                ..ConsumerSummary::default()
            }
        );
        assert_eq!(
            summary.streams["OTHER"].consumers["three"],
            ConsumerSummary::default()
        );
        assert_eq!(summary.outstanding(), 3);
        assert!(!ledger.delivered_by_all("ORDERS", publisher, 2));
        assert_eq!(ledger.undelivered("ORDERS", ("COPY", "probe")), 2);
        assert!(ledger.delivered("COPY", "probe", ledger.identify(Some(&message), 1)));
        assert_eq!(ledger.undelivered("ORDERS", ("COPY", "probe")), 1);
        assert!(ledger.delivered("ORDERS", "two", ledger.identify(Some(&message), 9)));
        assert!(ledger.delivered_by_all("ORDERS", publisher, 2));
    }
}
