//! The checks of `disruption.gates`, and those like them: whether it is quiet enough around an asset, its peers and its
//! clients. They pass by themselves.

use leeward_api::vocabulary::FindingReason;

use super::SafetyContext;
use crate::snapshot::{Consumer, Peer, RaftGroup, Stream};
use crate::target::Destination;
use crate::time::elapsed;

/// No peer in home could take over at once.
pub(super) fn target_lagging(
    safety_context: &SafetyContext<'_>,
    home: &Destination<'_>,
    group: &RaftGroup,
) -> Option<FindingReason> {
    let nobody = safety_context.caught_up(home, group).next().is_none();
    nobody.then_some(FindingReason::TargetLagging)
}

/// A move rebuilds the group from all its members.
pub(super) fn any_peer_lagging(
    safety_context: &SafetyContext<'_>,
    group: &RaftGroup,
) -> Option<FindingReason> {
    let lags = |peer: &Peer| Some(peer.server) != group.leader && !safety_context.healthy(peer);
    group
        .peers
        .iter()
        .any(lags)
        .then_some(FindingReason::TargetLagging)
}

/// The servers may choose any member.
pub(super) fn any_peer_just_started(
    safety_context: &SafetyContext<'_>,
    group: &RaftGroup,
) -> Option<FindingReason> {
    let young = |peer: &Peer| safety_context.just_started(peer.server);
    group
        .peers
        .iter()
        .any(young)
        .then_some(FindingReason::ServerJustStarted)
}

/// No possible successor has settled yet.
pub(super) fn server_just_started(
    safety_context: &SafetyContext<'_>,
    home: &Destination<'_>,
    group: &RaftGroup,
) -> Option<FindingReason> {
    let nobody = safety_context.eligible(home, group).next().is_none();
    nobody.then_some(FindingReason::ServerJustStarted)
}

/// Without servers that have not settled, too few are left to move to.
pub(super) fn servers_just_started(
    safety_context: &SafetyContext<'_>,
    home: &Destination<'_>,
    stream: &Stream,
) -> Option<FindingReason> {
    (!safety_context.fits_settled_servers(home, stream)).then_some(FindingReason::ServerJustStarted)
}

/// Unknown counts as just now, except for a single peer, which has no elections (P6).
pub(super) fn recently_elected(
    safety_context: &SafetyContext<'_>,
    group: &RaftGroup,
) -> Option<FindingReason> {
    let quiet = safety_context.gates().quiet_after_leader_change;
    let settled = match group.leader_since {
        Some(since) => elapsed(since, safety_context.context.now) >= quiet,
        None => quiet.is_zero() || group.peers.len() <= 1,
    };
    (!settled).then_some(FindingReason::RecentlyElected)
}

/// What waits for an acknowledgement is what a transfer disturbs.
pub(super) fn ack_pending_high(
    safety_context: &SafetyContext<'_>,
    consumer: &Consumer,
) -> Option<FindingReason> {
    let most = safety_context.gates().max_ack_pending?;
    (consumer.durable && consumer.ack_pending > most).then_some(FindingReason::AckPendingHigh)
}

/// The pin would be lost, in a step-down as in a move (nats-facts N16, N25).
pub(super) fn pinned_client(consumer: &Consumer) -> Option<FindingReason> {
    consumer.pinned.then_some(FindingReason::PinnedClient)
}

/// A move takes all consumers of a stream along, selected or not.
pub(super) fn any_consumer(
    stream: &Stream,
    why: impl Fn(&Consumer) -> Option<FindingReason>,
) -> Option<FindingReason> {
    stream.consumers.iter().find_map(why)
}
