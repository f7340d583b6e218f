//! Why an asset may not move now: a list of named checks per cure, run in order; the first that speaks holds.
//!
//! Adding a rule is adding a line to one of the three lists. Checks ask a [`Ground`]; those that ask whether it is quiet
//! enough around an asset are `gates`.

mod families;
mod gates;
mod ground;

use leeward_api::vocabulary::{ActionType, FindingReason};

pub use self::families::Families;
use self::gates::{
    ack_pending_high, any_consumer, any_peer_lagging, pinned_client, recently_elected, server_just_started,
    servers_just_started, target_lagging,
};
pub use self::ground::Ground;
use crate::policy::Gates;
use crate::snapshot::{Consumer, Peer, RaftGroup, Stream};
use crate::topology::SAFE_MOVE;

/// A peer this many Raft entries behind still takes over within milliseconds (nats-facts N12: 55,000 behind took
/// 1.4 s).
pub const SMALL_LAG: u32 = 256;

/// Whether a member is up and caught up, as the gates of a policy want it.
pub fn healthy(peer: &Peer, gates: &Gates) -> bool {
    is_healthy(
        peer.current,
        peer.offline,
        peer.lag.into(),
        gates.max_replica_lag.into(),
    )
}

/// Whether a member that is seen so is up and caught up: heard of lately, and not more than so much behind.
pub fn is_healthy(current: bool, offline: bool, lag: u64, max_lag: u64) -> bool {
    current && !offline && lag <= max_lag
}

/// Whether a stream's group is changing: the servers say so, or it has more peers than replicas (nats-facts N22).
pub fn is_moving(stream: &Stream) -> bool {
    stream.moving || stream.group.peers.len() > usize::from(stream.replicas)
}

/// Why a stream's leadership may not be handed to a peer in home.
pub fn why_stream_step_down_held(ground: &Ground<'_>, stream: &Stream) -> Option<FindingReason> {
    no_leader(&stream.group)
        .or_else(|| move_in_progress(stream))
        .or_else(|| action_disabled(ground.policy.actions.stream_step_down))
        .or_else(|| denied(ground, ActionType::StreamStepDown))
        .or_else(|| quorum_at_risk(&stream.group))
        .or_else(|| target_lagging(ground, &stream.group))
        .or_else(|| server_just_started(ground, &stream.group))
        .or_else(|| recently_elected(ground, &stream.group))
        .or_else(|| not_settled(ground))
        .or_else(|| ground.tried_before(stream, None))
        .or_else(|| outside_window(ground, ActionType::StreamStepDown))
}

/// Why a consumer's leadership may not be handed to a peer in home.
pub fn why_consumer_step_down_held(
    ground: &Ground<'_>,
    stream: &Stream,
    consumer: &Consumer,
) -> Option<FindingReason> {
    no_leader(&consumer.group)
        .or_else(|| stream_moving(stream))
        .or_else(|| no_peer_home(ground, &consumer.group))
        .or_else(|| action_disabled(ground.policy.actions.consumer_step_down))
        .or_else(|| denied(ground, ActionType::ConsumerStepDown))
        .or_else(|| pinned_client(consumer))
        .or_else(|| quorum_at_risk(&consumer.group))
        .or_else(|| quorum_at_risk(&stream.group))
        .or_else(|| target_lagging(ground, &consumer.group))
        .or_else(|| server_just_started(ground, &consumer.group))
        .or_else(|| recently_elected(ground, &consumer.group))
        .or_else(|| ack_pending_high(ground, consumer))
        .or_else(|| not_settled(ground))
        .or_else(|| ground.tried_before(stream, Some(consumer)))
        .or_else(|| outside_window(ground, ActionType::ConsumerStepDown))
}

/// Why a stream may not be moved to home.
pub fn why_move_held(ground: &Ground<'_>, stream: &Stream) -> Option<FindingReason> {
    no_leader(&stream.group)
        .or_else(|| move_in_progress(stream))
        .or_else(|| moves_disabled(ground, stream))
        .or_else(|| denied(ground, ActionType::StreamPlacement))
        .or_else(|| managed_elsewhere(ground, stream))
        .or_else(|| unfit_versions(ground))
        .or_else(|| any_consumer(stream, pinned_client))
        .or_else(|| quorum_at_risk(&stream.group))
        .or_else(|| any_peer_lagging(ground, &stream.group))
        .or_else(|| bytes_over_limit(ground, stream))
        .or_else(|| stall_too_long(ground, stream))
        .or_else(|| no_room(ground, stream))
        .or_else(|| servers_just_started(ground, stream))
        .or_else(|| relative_moving(ground, stream))
        .or_else(|| recently_elected(ground, &stream.group))
        .or_else(|| any_consumer(stream, |consumer| ack_pending_high(ground, consumer)))
        .or_else(|| not_settled(ground))
        .or_else(|| ground.tried_before(stream, None))
        .or_else(|| outside_window(ground, ActionType::StreamPlacement))
}

/// What holds the consumers of a stream whose move is held.
pub fn while_stream_held(reason: FindingReason) -> FindingReason {
    if reason == FindingReason::MoveInProgress {
        FindingReason::StreamMoving
    } else {
        reason
    }
}

fn no_leader(group: &RaftGroup) -> Option<FindingReason> {
    group.leader.is_none().then_some(FindingReason::NoLeader)
}

fn move_in_progress(stream: &Stream) -> Option<FindingReason> {
    is_moving(stream).then_some(FindingReason::MoveInProgress)
}

fn stream_moving(stream: &Stream) -> Option<FindingReason> {
    is_moving(stream).then_some(FindingReason::StreamMoving)
}

fn action_disabled(enabled: bool) -> Option<FindingReason> {
    (!enabled).then_some(FindingReason::ActionDisabled)
}

fn moves_disabled(ground: &Ground<'_>, stream: &Stream) -> Option<FindingReason> {
    match (&ground.policy.actions.stream_placement, stream.replicas) {
        (Some(_), _) => None,
        // Only a move could help, and nobody wants moves: what is left to say is that it has one peer.
        (None, 1) => Some(FindingReason::SinglePeer),
        (None, _) => Some(FindingReason::ActionDisabled),
    }
}

fn no_peer_home(ground: &Ground<'_>, group: &RaftGroup) -> Option<FindingReason> {
    if ground.has_peer_home(group) {
        None
    } else if group.peers.len() <= 1 {
        Some(FindingReason::SinglePeer)
    } else {
        Some(FindingReason::NoPeerInHome)
    }
}

fn denied(ground: &Ground<'_>, action: ActionType) -> Option<FindingReason> {
    ground
        .circumstances
        .denied
        .contains(&action)
        .then_some(FindingReason::PermissionDenied)
}

fn managed_elsewhere(ground: &Ground<'_>, stream: &Stream) -> Option<FindingReason> {
    ground
        .circumstances
        .managed
        .owner(&stream.name)
        .map(|_| FindingReason::ManagedElsewhere)
}

/// An edit echoes the whole configuration: servers of another version would drop or refuse fields (nats-facts N31).
fn unfit_versions(ground: &Ground<'_>) -> Option<FindingReason> {
    match ground.versions {
        Some((lowest, _)) if lowest < SAFE_MOVE => Some(FindingReason::ServerTooOld),
        Some((lowest, highest)) if lowest == highest => None,
        Some(_) | None => Some(FindingReason::MixedVersions),
    }
}

fn quorum_at_risk(group: &RaftGroup) -> Option<FindingReason> {
    group
        .peers
        .iter()
        .any(|peer| peer.offline)
        .then_some(FindingReason::QuorumAtRisk)
}

fn bytes_over_limit(ground: &Ground<'_>, stream: &Stream) -> Option<FindingReason> {
    let limit = ground.policy.actions.stream_placement.as_ref()?.max_bytes?;
    (stream.bytes > limit).then_some(FindingReason::BytesOverLimit)
}

fn stall_too_long(ground: &Ground<'_>, stream: &Stream) -> Option<FindingReason> {
    let most = ground.policy.actions.stream_placement.as_ref()?.max_stall;
    (ground.move_cost(stream).stall > most).then_some(FindingReason::StallTooLong)
}

fn no_room(ground: &Ground<'_>, stream: &Stream) -> Option<FindingReason> {
    ground.move_target(stream).err().map(|error| error.reason())
}

/// A stream waits while another moves that it reads from or that reads from it, over however many steps.
fn relative_moving(ground: &Ground<'_>, stream: &Stream) -> Option<FindingReason> {
    let moving = ground.moving_relatives(stream).next();
    moving.map(|_| FindingReason::MoveInProgress)
}

fn outside_window(ground: &Ground<'_>, action: ActionType) -> Option<FindingReason> {
    ground
        .closed
        .contains(&action)
        .then_some(FindingReason::OutsideWindow)
}

fn not_settled(ground: &Ground<'_>) -> Option<FindingReason> {
    (!ground.settled).then_some(FindingReason::Stabilizing)
}

#[cfg(test)]
mod tests;
