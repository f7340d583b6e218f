//! What to sample.

use crate::names::{ConsumerName, StreamName};
use crate::snapshot::{AccountView, Consumer, Stream};

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
}

impl Sampling {
    /// A sampling of a stream of this view.
    pub fn new(view: &AccountView, stream: &Stream) -> Self {
        let led = |consumer: &&Consumer| consumer.group.leader.is_some();
        let rate = |consumer: &Consumer| consumer.message_rate.unwrap_or(0.0);
        let mut consumers: Vec<&Consumer> = stream.consumers.iter().filter(led).collect();
        consumers.sort_by(|one, other| rate(other).total_cmp(&rate(one)));
        let names = consumers.into_iter().map(|consumer| consumer.name.clone());
        let servers = view.topology.servers().iter();
        Self {
            stream: stream.name.clone(),
            consumers: names.collect(),
            servers: servers.filter(|server| server.answered).count(),
        }
    }
}
