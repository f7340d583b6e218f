//! Leadership transfers in a move: who should lead a moving stream, and its consumers, before the servers get to it.
//!
//! Left alone the servers wait seconds before they hand leaders to the new peers, and keep the old ones until then
//! (nats-facts N70). An asked transfer that does not land is asked for again, a few times; what is left they do themselves.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use super::check::why_consumer_held;
use super::{AssetInfo, PeerInfo, VerifyLimits};
use crate::names::{AssetName, ServerName};
use crate::target::MoveTarget;

/// Requests for one leader.
pub const MOST_TRANSFERS: u32 = 3;
/// A transfer that did not show after this long did not land.
pub const TRANSFER_LANDS: Duration = Duration::from_millis(1500);

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

/// Judges a look at a stream that moves, or at one of its consumers, for whose transfer so many requests were sent: each
/// names another peer, if there is one. Of peers that are caught up alike each asset begins with another one, so that leaders are
/// spread.
pub fn transfer(
    asset: &AssetName,
    target: &MoveTarget,
    reading: &AssetInfo,
    limits: &VerifyLimits,
    asked: u32,
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
    let there = |peer: &&PeerInfo| target.servers.contains(&peer.server);
    let mut ready: Vec<&PeerInfo> = reading
        .peers
        .iter()
        .filter(there)
        .filter(|peer| peer.is_healthy(limits.max_lag))
        .collect();
    if ready.len() < usize::from(reading.replicas.max(1)) {
        return Transfer::Wait;
    }
    ready.sort_by_cached_key(|peer| {
        let mut hasher = DefaultHasher::new();
        (asset, &peer.server).hash(&mut hasher);
        (peer.lag, hasher.finish())
    });
    let nth = usize::try_from(asked).unwrap_or_default();
    match ready.iter().cycle().nth(nth) {
        Some(to) => Transfer::Ask {
            from: from.clone(),
            to: to.server.clone(),
        },
        None => Transfer::Wait,
    }
}
