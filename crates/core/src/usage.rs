//! Who uses a stream, from where, and how much of its traffic that explains: samples → use per location.
//!
//! What a sample could not assign to a client lowers the coverage; no evidence is never read as no use.

mod account_use;
mod request;

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::account_use::{AccountUse, StreamSampling, kept_for, sampling_interval};
pub use self::request::{ConsumerSampling, Sampling, WarmUp};
use crate::names::{ConsumerName, Location, ServerName};
use crate::policy::ClientSelector;
use crate::snapshot::{AccountView, ClientGroup, ClientKind, Consumer, Stream};
use crate::topology::{LocationMap, ServerIx};

/// Messages a second of a use that was seen although no rate is measured: an idle consumer for which clients wait.
const IDLE: f64 = 1e-6;

/// The weight of one message a second; that of [`IDLE`] is not zero.
const WEIGHT_OF_ONE: f64 = 1e9;

/// Subjects that a text names.
const MOST_NAMED: usize = 3;

/// How a client uses a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum UseKind {
    /// It publishes to the stream's subjects.
    Publish,
    /// It requests messages of a pull consumer.
    Pull,
    /// It receives messages of a push consumer.
    Push,
    /// It reads single messages with direct gets, which any replica answers.
    DirectGet,
    /// It reads single messages, which the stream's leader answers (nats-facts N79).
    Get,
    /// It creates a consumer, and reads by it what no look may measure before it is gone.
    Create,
}

/// A client connection that was found behind a sampled message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SampledClient {
    /// The server that it is connected to.
    pub server: ServerName,
    /// The connection's number on that server.
    pub connection: u64,
    /// The user it authenticated as.
    pub user: Option<Arc<str>>,
    /// The name it gave.
    pub name: Option<Arc<str>>,
}

/// What one sample showed of one way in which a stream is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseSample {
    /// Which way.
    pub kind: UseKind,
    /// The consumer, for those of [`UseKind::Pull`] and [`UseKind::Push`].
    pub consumer: Option<ConsumerName>,
    /// How long it took.
    pub span: Duration,
    /// Messages that were seen; for push consumers the connections that receive.
    pub messages: u32,
    /// How many of them came from each client that was found.
    pub clients: BTreeMap<SampledClient, u32>,
    /// How many of these tell something of their own: what one client sends at once is one.
    pub independent: u32,
    /// The messages that the requests of a pull consumer ask for, by client; those of unknown clients are in `asked_by_all`.
    pub asked: BTreeMap<SampledClient, u64>,
    /// The same of all requests.
    pub asked_by_all: u64,
    /// The user may not listen to all of it.
    pub is_denied: bool,
    /// More came than are taken.
    pub is_cut: bool,
    /// Some of its messages stand for nobody knows how many: requests for many messages at once, and those of a time after which
    /// more came, where at other times fewer did.
    pub is_uncounted: bool,
}

impl UseSample {
    /// Messages a second that were seen.
    fn rate(&self) -> f64 {
        self.per_second(f64::from(self.messages))
    }

    /// The most messages a second that it explains. A stream may store others than it showed, which it sources or which the
    /// sampling user may not see, and a consumer deliver them to requests from before. A quarter more than were seen, since samples
    /// are small: then what is covered to 80 % was seen to 64 %, and a majority of that is one of the whole.
    pub fn shown(&self) -> Option<f64> {
        let seen = match self.kind {
            UseKind::Publish => f64::from(self.messages),
            #[expect(
                clippy::cast_precision_loss,
                reason = "it is compared with a rate of messages"
            )]
            UseKind::Pull => self.asked_by_all as f64,
            UseKind::Push | UseKind::DirectGet | UseKind::Get | UseKind::Create => return None,
        };
        Some(self.per_second(seen) * 1.25)
    }

    fn per_second(&self, messages: f64) -> f64 {
        messages / self.span.as_secs_f64().max(0.001)
    }

    /// The share of a client of what it shows: of a pull consumer that of the messages that its requests ask for.
    fn share(&self, client: &SampledClient, messages: u32) -> f64 {
        if self.kind != UseKind::Pull || self.asked_by_all == 0 {
            return f64::from(messages) / f64::from(self.messages.max(1));
        }
        let asked = self.asked.get(client).copied().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more")]
        let share = asked as f64 / self.asked_by_all as f64;
        share
    }
}

/// Messages a second, by kind of use.
pub type Rates = BTreeMap<UseKind, f64>;

/// The use of a stream from one location.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LocationUse {
    /// Connections that were seen to use it.
    pub connections: u32,
    /// Messages of theirs that were seen.
    pub messages: u32,
    /// Messages a second, as far as they are explained.
    pub rates: Rates,
    /// The share of all explained messages, in percent, rounded down.
    pub percent: u8,
}

/// The use of a stream, as far as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamUse {
    /// Messages whose clients are known and count, as far as each tells something of its own.
    pub independent: u32,
    /// Locations from which it is used.
    pub locations: BTreeMap<Location, LocationUse>,
    /// Use by clients whose servers carry no location.
    pub unplaced: LocationUse,
    /// The share of the stream's traffic whose clients are known, in percent, rounded down; `None` where no use was seen
    /// and no traffic is measured.
    pub coverage_percent: Option<u8>,
    /// It is read in ways whose traffic nobody measures, and not only from where it is used most; or that may not be
    /// listened to.
    pub is_partly_unmeasured: bool,
}

impl StreamUse {
    /// Combines the samples of one stream, which stores so many messages a second. Other rates come from the view, where
    /// they are known; clients that the selector leaves out are explained, but are in no location's use.
    pub fn new(
        view: &AccountView,
        stream: &Stream,
        locations: &LocationMap,
        clients: &ClientSelector,
        samples: &[UseSample],
        stored: Option<f32>,
    ) -> Self {
        let mut rows: BTreeMap<Option<&Location>, (Rates, BTreeSet<&SampledClient>, u32)> = BTreeMap::new();
        let (mut all, mut explained, mut independent) = (0.0, 0.0, 0_u32);
        for flow in flows(stream, stored).filter(|flow| !samples.iter().any(|sample| flow.is_of(sample))) {
            all += flow.rate;
        }
        let location = |client: &SampledClient| locations.of(view.topology.find(client.server.as_str())?);
        let mut is_ambiguous = false;
        // Looks through all streams, and few have direct gets.
        let answered_elsewhere = LazyCell::new(|| mirrored(view, stream, locations));
        for sample in samples {
            let Some(rate) = rate(stream, stored, sample) else {
                continue;
            };
            all += rate;
            is_ambiguous |= rate > IDLE && sample.kind == UseKind::Pull && !agrees(sample, location);
            let rate = rate.min(sample.shown().unwrap_or(rate).max(IDLE));
            let (mut known, mut counted) = (0_u32, 0_u32);
            for (client, messages) in &sample.clients {
                let part = rate * sample.share(client, *messages);
                // Without its server it is not known where the client is.
                let Some(server) = view.topology.find(client.server.as_str()) else {
                    continue;
                };
                explained += part;
                known = known.saturating_add(*messages);
                let location = locations.of(server);
                if sample.kind == UseKind::DirectGet
                    && location.is_some_and(|location| answered_elsewhere.contains(location))
                {
                    continue;
                }
                let group = ClientGroup {
                    server,
                    kind: ClientKind::Client,
                    user: client.user.clone(),
                    name: client.name.clone(),
                    connections: 1,
                    messages: None,
                    bytes: None,
                };
                if !clients.selects(&group) {
                    continue;
                }
                let (rates, connections, seen) = rows.entry(location).or_default();
                *rates.entry(sample.kind).or_default() += part;
                connections.insert(client);
                *seen = seen.saturating_add(*messages);
                counted = counted.saturating_add(*messages);
            }
            let of_counted = u64::from(sample.independent) * u64::from(counted) / u64::from(known.max(1));
            independent = independent.saturating_add(u32::try_from(of_counted).unwrap_or(u32::MAX));
        }
        let mut used = Self {
            independent,
            ..Self::default()
        };
        for (location, (rates, connections, messages)) in rows {
            let row = LocationUse {
                connections: u32::try_from(connections.len()).unwrap_or(u32::MAX),
                messages,
                rates,
                percent: 0,
            };
            match location {
                Some(location) => drop(used.locations.insert(location.clone(), row)),
                None => used.unplaced = row,
            }
        }
        used.share();
        used.coverage_percent = (all > 0.0).then(|| percent(explained, all));
        used.is_partly_unmeasured = is_ambiguous || used.has_unmeasured(samples, location);
        used
    }

    /// The use of one of a stream's consumers alone.
    pub fn of_consumer(
        view: &AccountView,
        stream: &Stream,
        consumer: &Consumer,
        locations: &LocationMap,
        clients: &ClientSelector,
        samples: &[UseSample],
    ) -> Self {
        let of_it = |sample: &&UseSample| sample.consumer.as_ref() == Some(&consumer.name);
        let samples: Vec<UseSample> = samples.iter().filter(of_it).cloned().collect();
        let alone = Stream {
            consumers: vec![consumer.clone()],
            ..stream.clone()
        };
        Self::new(view, &alone, locations, clients, &samples, None)
    }

    /// Whether any use was seen that counts.
    pub fn is_seen(&self) -> bool {
        let mut rows = self.locations.values().chain([&self.unplaced]);
        rows.any(|row| row.rate() > 0.0)
    }

    /// The location from which most of the explained use comes, if it is from one and more than from any other.
    pub fn majority(&self) -> Option<&Location> {
        let most = self.locations.values().map(LocationUse::rate).fold(0.0, f64::max);
        let mut leading = self.locations.iter().filter(|(_, row)| row.rate() >= most);
        match (leading.next(), leading.next()) {
            (Some((location, _)), None) if self.unplaced.rate() < most => Some(location),
            _ => None,
        }
    }

    fn has_unmeasured<'l>(
        &self,
        samples: &[UseSample],
        location: impl Fn(&SampledClient) -> Option<&'l Location>,
    ) -> bool {
        let most = self.majority();
        let is_from_elsewhere = |sample: &UseSample| {
            let known: u32 = sample.clients.values().sum();
            let mut clients = sample.clients.keys();
            known < sample.messages || clients.any(|client| most.is_none() || location(client) != most)
        };
        samples.iter().any(|sample| match sample.kind {
            UseKind::Publish | UseKind::Pull | UseKind::Push => false,
            UseKind::DirectGet | UseKind::Get => {
                sample.is_denied || (sample.is_uncounted && is_from_elsewhere(sample))
            }
            UseKind::Create => sample.is_denied || is_from_elsewhere(sample),
        })
    }

    fn share(&mut self) {
        let rows = || self.locations.values().chain([&self.unplaced]);
        let all: f64 = rows().map(LocationUse::rate).sum();
        for row in self.locations.values_mut().chain([&mut self.unplaced]) {
            row.percent = percent(row.rate(), all);
        }
    }
}

impl LocationUse {
    /// Messages a second of all kinds.
    pub fn rate(&self) -> f64 {
        self.rates.values().sum()
    }

    /// The same in whole numbers, so that shares of it are exact.
    pub fn weight(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it saturates, and no rate is negative"
        )]
        let weight = (self.rate() * WEIGHT_OF_ONE) as u64;
        weight
    }
}

/// What was sampled of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    /// The samples.
    pub samples: Vec<UseSample>,
    /// Subjects that the user may not subscribe to, so that what is sent there was not seen.
    pub denied: BTreeSet<String>,
    /// What else was not sampled, and why: texts for people.
    pub omitted: Vec<String>,
    /// Messages that were received besides those of the samples.
    pub skipped: u32,
    /// Messages of the samples that came from accounts which import the stream's subjects or its API.
    pub imported: u32,
}

impl Sampled {
    /// What could not be sampled, and what to do about it.
    pub fn problem(&self) -> Option<String> {
        let Self {
            samples: _,
            denied,
            omitted,
            skipped: _,
            imported,
        } = self;
        let named: Vec<&str> = denied.iter().take(MOST_NAMED).map(String::as_str).collect();
        let denied = (!named.is_empty()).then(|| {
            format!(
                "the account's user may not subscribe to {}: allow it, or the clients there are not found",
                named.join(", ")
            )
        });
        let omitted = (!omitted.is_empty()).then(|| format!("not sampled: {}", omitted.join("; ")));
        let imported = (*imported > 0).then(|| {
            let clients = "other accounts that import it, whose clients are not found";
            format!("{imported} of the sampled messages came from {clients}")
        });
        let all: Vec<String> = denied.into_iter().chain(omitted).chain(imported).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// Messages a second that are measured of a stream, or of one of its consumers.
struct MeasuredFlow<'a> {
    consumer: Option<&'a ConsumerName>,
    rate: f64,
}

impl MeasuredFlow<'_> {
    fn is_of(&self, sample: &UseSample) -> bool {
        let own = sample.consumer.is_some() || sample.kind == UseKind::Publish;
        own && sample.consumer.as_ref() == self.consumer
    }
}

/// Everything of a stream that is measured and not idle.
fn flows(stream: &Stream, stored: Option<f32>) -> impl Iterator<Item = MeasuredFlow<'_>> {
    let published = (None, stored);
    let delivered = stream.consumers.iter();
    let delivered = delivered.map(|consumer| (Some(&consumer.name), consumer.message_rate));
    delivered.chain([published]).filter_map(|(consumer, rate)| {
        let rate = f64::from(rate.filter(|rate| *rate > 0.0)?);
        Some(MeasuredFlow { consumer, rate })
    })
}

/// Messages a second of what was sampled; `None` where there is nothing to explain.
fn rate(stream: &Stream, stored: Option<f32>, sample: &UseSample) -> Option<f64> {
    if let Some(flow) = flows(stream, stored).find(|flow| flow.is_of(sample)) {
        return Some(flow.rate);
    }
    // Requests to idle consumers are no messages, and what created ones deliver is not known.
    let is_idle = sample.consumer.is_some() || sample.kind == UseKind::Create;
    (sample.messages > 0).then(|| if is_idle { IDLE } else { sample.rate() })
}

/// Whether most requests of a pull consumer come from where those come from that ask for most messages. Of the requests that wait
/// each gets a message in turn, however many it asks for; who asks for many at once seldom asks again.
fn agrees<'l>(sample: &UseSample, location: impl Fn(&SampledClient) -> Option<&'l Location>) -> bool {
    let most = |weights: &mut dyn Iterator<Item = (&SampledClient, u64)>| {
        let mut sums: BTreeMap<Option<&Location>, u64> = BTreeMap::new();
        for (client, weight) in weights {
            let sum = sums.entry(location(client)).or_default();
            *sum = sum.saturating_add(weight);
        }
        let most = sums.values().max().copied();
        let mut leading = sums.into_iter().filter(|(_, sum)| Some(*sum) == most);
        leading
            .next()
            .filter(|_| leading.next().is_none())
            .map(|(location, _)| location)
    };
    let requests = sample.clients.iter();
    let by_requests = most(&mut requests.map(|(client, requests)| (client, u64::from(*requests))));
    let by_messages = most(&mut sample.asked.iter().map(|(client, asked)| (client, *asked)));
    by_requests == by_messages
}

/// The locations in which mirrors answer a stream's direct gets: those of other clusters. In its own all that have its messages
/// answer in turn.
fn mirrored<'l>(view: &AccountView, stream: &Stream, locations: &'l LocationMap) -> BTreeSet<&'l Location> {
    let mirrors = view
        .streams
        .iter()
        .filter(|mirror| mirror.answers_gets_of.as_ref() == Some(&stream.name));
    let cluster = |server: ServerIx| view.topology.details(server).map(|details| &details.cluster);
    let own = stream.group.peers.first().and_then(|peer| cluster(peer.server));
    let peers = mirrors.flat_map(|mirror| &mirror.group.peers);
    let peers = peers.filter(|peer| own.is_some() && cluster(peer.server) != own);
    peers.filter_map(|peer| locations.of(peer.server)).collect()
}

fn percent(part: f64, whole: f64) -> u8 {
    if whole <= 0.0 {
        return 0;
    }
    // A sum of parts may exceed the whole by a rounding error.
    let percent = (part / whole * 100.0 + 1e-9).floor().clamp(0.0, 100.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and 100"
    )]
    let percent = percent as u8;
    percent
}

#[cfg(test)]
mod tests;
