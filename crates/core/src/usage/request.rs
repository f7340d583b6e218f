//! What to sample.

use std::collections::BTreeSet;
use std::time::Duration;

use super::UseSample;
use crate::names::{ConsumerName, StreamName};
use crate::snapshot::{AccountView, Consumer, Stream};

/// Interest has reached all locations after the longest round trip, twice to be sure; where none is measured, after
/// this long.
const WARM_UP_UNMEASURED: Duration = Duration::from_millis(200);
const SHORTEST_WARM_UP: Duration = Duration::from_millis(100);

/// A sampling of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// The stream.
    pub stream: StreamName,
    /// Its consumers that have a leader, the busiest first: clients of one without a leader would wait for an answer
    /// that they get at once otherwise.
    pub consumers: Vec<ConsumerName>,
    /// Servers that are expected to answer who a client is.
    pub servers: usize,
    /// How long it takes until messages of all locations arrive; those before are only near ones.
    pub warm_up: Duration,
    /// Messages that are expected until then.
    pub warm_up_messages: u32,
    /// No message was stored or delivered lately, as far as the servers measure it.
    pub is_idle: bool,
}

impl Sampling {
    /// A sampling of a stream of this view.
    pub fn new(view: &AccountView, stream: &Stream) -> Self {
        Self::after(view, stream, &[])
    }

    /// The same after others: consumers that none of these samples shows come first.
    pub fn after(view: &AccountView, stream: &Stream, samples: &[UseSample]) -> Self {
        let known: BTreeSet<&ConsumerName> = samples.iter().filter_map(|one| one.consumer.as_ref()).collect();
        let led = |consumer: &&Consumer| consumer.group.leader.is_some();
        let rate = |consumer: &Consumer| consumer.message_rate.unwrap_or(0.0);
        let mut consumers: Vec<&Consumer> = stream.consumers.iter().filter(led).collect();
        consumers.sort_by(|one, other| {
            let is_known = |consumer: &Consumer| known.contains(&consumer.name);
            let order = is_known(one).cmp(&is_known(other));
            order.then(rate(other).total_cmp(&rate(one)))
        });
        let names = consumers.into_iter().map(|consumer| consumer.name.clone());
        let servers = view.topology.servers().iter();
        let longest = view.topology.round_trips.values().max();
        let warm_up = longest.map_or(WARM_UP_UNMEASURED, |longest| (*longest * 2).max(SHORTEST_WARM_UP));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it saturates, and no rate is negative"
        )]
        let warm_up_messages = (stream.message_rate.unwrap_or(0.0) * warm_up.as_secs_f32()).ceil() as u32;
        Self {
            stream: stream.name.clone(),
            consumers: names.collect(),
            servers: servers.filter(|server| server.answered).count(),
            warm_up,
            warm_up_messages,
            is_idle: stream.message_rate.is_some() && stream.message_rates() <= 0.0,
        }
    }
}
