//! Leadership transfers in a move: who should lead a moving stream, and its consumers, before the servers get to it.
//!
//! Left alone the servers wait seconds before they hand leaders to the new peers, and keep the old ones until then
//! (nats-facts N70). An asked transfer that does not land is asked for again, a few times; what is left they do themselves.

use super::check::why_consumer_held;
use super::{AssetInfo, PeerInfo, VerifyLimits};
use crate::names::ServerName;
use crate::target::MoveTarget;

/// Requests for one leader.
pub const MOST_TRANSFERS: u32 = 3;

/// What a look at an asset of a stream that moves means for who leads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Look again.
    Wait,
    /// Its leader is where the stream goes.
    Done,
    /// This leader should hand over to that peer.
    Ask {
        /// The leader.
        from: ServerName,
        /// A caught-up peer of the target.
        to: ServerName,
    },
}

/// Judges a look at a stream that moves, or at one of its consumers. Of the `successors` that are caught up the one whose turn
/// it is takes over.
pub fn transfer(
    target: &MoveTarget,
    successors: &[ServerName],
    reading: &AssetInfo,
    limits: &VerifyLimits,
    turn: usize,
) -> Transfer {
    let Some(from) = &reading.leader else {
        return Transfer::Wait;
    };
    if target.servers.contains(from) {
        return Transfer::Done;
    }
    let progress = reading.progress.as_ref();
    if progress.is_some_and(|progress| why_consumer_held(progress, limits).is_some()) {
        return Transfer::Wait;
    }
    let is_ready =
        |peer: &&PeerInfo| target.servers.contains(&peer.server) && peer.is_healthy(limits.max_lag);
    let ready = reading.peers.iter().filter(is_ready);
    if ready.clone().count() < usize::from(reading.replicas.max(1)) {
        return Transfer::Wait;
    }
    let is_ready = |server: &&ServerName| ready.clone().any(|peer| peer.server == **server);
    match successors.iter().filter(is_ready).cycle().nth(turn) {
        Some(to) => Transfer::Ask {
            from: from.clone(),
            to: to.clone(),
        },
        None => Transfer::Wait,
    }
}
