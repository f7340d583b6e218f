//! What to sample.

use std::collections::BTreeSet;
use std::time::Duration;

use super::UseSample;
use crate::names::{ConsumerName, ServerName, StreamName};
use crate::snapshot::{AccountView, Consumer, Stream};
use crate::topology::{LocationMap, ServerIx};

/// A message passes between the servers of a location in less than this.
const NEAR_WARM_UP: Duration = Duration::from_millis(2);
/// Messages come in bursts.
const FEWEST_WARM_UP_MESSAGES: u32 = 64;
/// Interest has reached all locations after the longest round trip, twice to be sure; where none is measured, after
/// this long.
const WARM_UP_UNMEASURED: Duration = Duration::from_millis(200);
const SHORTEST_WARM_UP: Duration = Duration::from_millis(100);

/// What comes before messages of all locations do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmUp {
    /// How long that takes; messages before are only those of near clients.
    pub time: Duration,
    /// How many may come until then.
    pub messages: u32,
}

/// A consumer whose clients are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSampling {
    /// Its name.
    pub name: ConsumerName,
    /// Where it delivers; `None` for a pull consumer.
    pub deliver_subject: Option<String>,
}

/// A sampling of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// The stream.
    pub stream: StreamName,
    /// Its subjects, as the servers tell them where nobody else can answer.
    pub subjects: Vec<String>,
    /// Whether its replicas answer gets.
    pub allow_direct: bool,
    /// Its consumers that have a leader, the busiest first: clients of one without a leader would wait for an answer that they
    /// get at once otherwise.
    pub consumers: Vec<ConsumerSampling>,
    /// Servers that are expected to answer who a client is.
    pub servers: BTreeSet<ServerName>,
    /// Messages a second that the stream stores, rounded up; none where that is not measured.
    pub rate: u32,
    /// Servers next to the stream's leader: there all messages arrive that it stores, wherever they are published.
    pub near: BTreeSet<ServerName>,
    /// What comes first on these.
    pub near_warm_up: WarmUp,
    /// What comes first on others.
    pub warm_up: WarmUp,
    /// No message was stored or delivered lately, as far as the servers measure it, and nobody waits for one.
    pub is_idle: bool,
}

impl Sampling {
    /// A sampling of a stream of this view.
    pub fn new(view: &AccountView, locations: &LocationMap, stream: &Stream) -> Self {
        Self::after(view, locations, stream, &[], stream.message_rate)
    }

    /// The same after others: consumers that none of these samples shows come first.
    pub fn after(
        view: &AccountView,
        locations: &LocationMap,
        stream: &Stream,
        samples: &[UseSample],
        stored: Option<f32>,
    ) -> Self {
        let known: BTreeSet<&ConsumerName> = samples.iter().filter_map(|one| one.consumer.as_ref()).collect();
        let led = |consumer: &&Consumer| consumer.group.leader.is_some();
        let rate = |consumer: &Consumer| consumer.message_rate.unwrap_or(0.0);
        let mut consumers: Vec<&Consumer> = stream.consumers.iter().filter(led).collect();
        consumers.sort_by(|one, other| {
            let is_known = |consumer: &Consumer| known.contains(&consumer.name);
            let order = is_known(one).cmp(&is_known(other));
            order.then(rate(other).total_cmp(&rate(one)))
        });
        let consumers = consumers.into_iter().map(|consumer| ConsumerSampling {
            name: consumer.name.clone(),
            deliver_subject: consumer.deliver_subject.clone(),
        });
        let servers = view.topology.servers().iter().filter(|server| server.answered);
        let topology = &view.topology;
        let longest = topology
            .round_trips
            .values()
            .chain(topology.routes.values())
            .max();
        let far = longest.map_or(WARM_UP_UNMEASURED, |longest| (*longest * 2).max(SHORTEST_WARM_UP));
        Self {
            stream: stream.name.clone(),
            subjects: stream.subjects.clone(),
            allow_direct: stream.allow_direct,
            consumers: consumers.collect(),
            servers: servers.map(|server| server.name.clone()).collect(),
            rate: whole(stored.unwrap_or(0.0)),
            near: next_to_leader(view, locations, stream),
            near_warm_up: WarmUp::new(stream, NEAR_WARM_UP),
            warm_up: WarmUp::new(stream, far),
            is_idle: stream.message_rate.is_some()
                && stream.message_rates() <= 0.0
                && !stream.consumers.iter().any(|consumer| consumer.waiting > 0),
        }
    }
}

impl WarmUp {
    fn new(stream: &Stream, time: Duration) -> Self {
        let expected = whole(stream.message_rate.unwrap_or(0.0) * time.as_secs_f32());
        Self {
            time,
            messages: expected.max(FEWEST_WARM_UP_MESSAGES),
        }
    }
}

fn whole(messages: f32) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates, and no rate is negative"
    )]
    let whole = messages.ceil() as u32;
    whole
}

/// The leader's server, and the others of its cluster where all of them are in one location: between locations a cluster,
/// too, has to learn who listens.
fn next_to_leader(view: &AccountView, locations: &LocationMap, stream: &Stream) -> BTreeSet<ServerName> {
    let Some(leader) = stream.group.leader else {
        return BTreeSet::new();
    };
    let cluster = |at: ServerIx| view.topology.details(at).map(|details| &details.cluster);
    let mates = || {
        view.topology
            .indices()
            .filter(|at| cluster(*at) == cluster(leader))
    };
    let is_beside = |at: ServerIx| locations.of(at).is_some() && locations.of(at) == locations.of(leader);
    let near: Vec<ServerIx> = if mates().all(is_beside) {
        mates().collect()
    } else {
        vec![leader]
    };
    let servers = near.into_iter().filter_map(|at| view.topology.get(at));
    servers.map(|server| server.name.clone()).collect()
}
