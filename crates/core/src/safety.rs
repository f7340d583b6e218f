//! Why an asset may not move now: a list of named checks per remedy, run in order; the first objection holds.
//!
//! Adding a rule is adding a line to one of the four lists. Checks ask a [`SafetyContext`]; those that ask whether it
//! is quiet enough around an asset are `gates`.

mod gain;
mod gates;
mod safety_context;
mod source_graph;

use leeward_api::policy::OnManagedStream;
use leeward_api::vocabulary::{ActionType, FindingReason};

use self::gates::{
    ack_pending_high, any_consumer, any_peer_just_started, any_peer_lagging, pinned_client, recently_elected,
    server_just_started, servers_just_started, target_lagging,
};
pub use self::safety_context::SafetyContext;
pub use self::source_graph::SourceGraph;
use crate::context::DecisionContext;
use crate::owner::is_repaired;
use crate::policy::Gates;
use crate::snapshot::{Consumer, Peer, RaftGroup, Stream};
use crate::target::Destination;
use crate::topology::{CONSUMER_EVACUATION, SAFE_MOVE};

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

/// Whether a member in this state is up and caught up: recently seen, and at most `max_lag` behind.
pub fn is_healthy(current: bool, offline: bool, lag: u64, max_lag: u64) -> bool {
    current && !offline && lag <= max_lag
}

/// Whether a stream's group is changing: the servers report it, or it has more peers than replicas (nats-facts N22).
pub fn is_moving(stream: &Stream) -> bool {
    stream.moving || stream.group.peers.len() > usize::from(stream.replicas)
}

/// Why a stream's leadership may not go to a peer in home.
pub fn why_stream_step_down_held(
    safety_context: &SafetyContext<'_>,
    home: &Destination<'_>,
    stream: &Stream,
) -> Option<FindingReason> {
    no_leader(&stream.group)
        .or_else(|| move_in_progress(stream))
        .or_else(|| action_disabled(safety_context.context.policy.actions.stream_step_down))
        .or_else(|| denied(safety_context, ActionType::StreamStepDown))
        .or_else(|| quorum_at_risk(&stream.group))
        .or_else(|| target_lagging(safety_context, home, &stream.group))
        .or_else(|| server_just_started(safety_context, home, &stream.group))
        .or_else(|| recently_elected(safety_context, &stream.group))
        .or_else(|| home.hold())
        .or_else(|| safety_context.tried_before(stream, None))
        .or_else(|| outside_window(safety_context, ActionType::StreamStepDown))
}

/// Why a consumer's leadership may not go to a peer in home.
pub fn why_consumer_step_down_held(
    safety_context: &SafetyContext<'_>,
    home: &Destination<'_>,
    stream: &Stream,
    consumer: &Consumer,
) -> Option<FindingReason> {
    no_leader(&consumer.group)
        .or_else(|| stream_moving(stream))
        .or_else(|| no_peer_home(home, &consumer.group))
        .or_else(|| action_disabled(safety_context.context.policy.actions.consumer_step_down))
        .or_else(|| denied(safety_context, ActionType::ConsumerStepDown))
        .or_else(|| pinned_client(consumer))
        .or_else(|| quorum_at_risk(&consumer.group))
        .or_else(|| quorum_at_risk(&stream.group))
        .or_else(|| target_lagging(safety_context, home, &consumer.group))
        .or_else(|| server_just_started(safety_context, home, &consumer.group))
        .or_else(|| recently_elected(safety_context, &consumer.group))
        .or_else(|| ack_pending_high(safety_context, consumer))
        .or_else(|| home.hold())
        .or_else(|| safety_context.tried_before(stream, Some(consumer)))
        .or_else(|| outside_window(safety_context, ActionType::ConsumerStepDown))
}

/// Whether a consumer has one replica that the servers can put on another peer of its stream, as the policy allows.
/// Elsewhere nobody can take its leadership over.
pub fn is_evacuated(
    safety_context: &SafetyContext<'_>,
    home: &Destination<'_>,
    stream: &Stream,
    consumer: &Consumer,
) -> bool {
    let known = safety_context
        .versions
        .is_some_and(|(lowest, _)| lowest >= CONSUMER_EVACUATION);
    safety_context.context.policy.actions.consumer_evacuation
        && known
        && consumer.group.peers.len() == 1
        && home.has_peer(&stream.group)
}

/// Why a consumer's only replica may not go to another peer of its stream.
pub fn why_consumer_evacuation_held(
    safety_context: &SafetyContext<'_>,
    home: &Destination<'_>,
    stream: &Stream,
    consumer: &Consumer,
) -> Option<FindingReason> {
    no_leader(&consumer.group)
        .or_else(|| no_leader(&stream.group))
        .or_else(|| stream_moving(stream))
        .or_else(|| denied(safety_context, ActionType::ConsumerEvacuation))
        .or_else(|| pinned_client(consumer))
        .or_else(|| quorum_at_risk(&consumer.group))
        .or_else(|| quorum_at_risk(&stream.group))
        .or_else(|| any_peer_lagging(safety_context, &stream.group))
        .or_else(|| any_peer_just_started(safety_context, &stream.group))
        .or_else(|| recently_elected(safety_context, &consumer.group))
        .or_else(|| ack_pending_high(safety_context, consumer))
        .or_else(|| home.hold())
        .or_else(|| safety_context.tried_before(stream, Some(consumer)))
        .or_else(|| outside_window(safety_context, ActionType::ConsumerEvacuation))
}

/// Why a stream may not be moved to home.
pub fn why_move_held(
    safety_context: &SafetyContext<'_>,
    home: &Destination<'_>,
    stream: &Stream,
) -> Option<FindingReason> {
    no_leader(&stream.group)
        .or_else(|| move_in_progress(stream))
        .or_else(|| moves_disabled(safety_context, stream))
        .or_else(|| denied(safety_context, ActionType::StreamPlacement))
        .or_else(|| managed_elsewhere(safety_context, home, stream))
        .or_else(|| unfit_versions(safety_context))
        .or_else(|| any_consumer(stream, pinned_client))
        .or_else(|| quorum_at_risk(&stream.group))
        .or_else(|| any_peer_lagging(safety_context, &stream.group))
        .or_else(|| bytes_over_limit(safety_context, stream))
        .or_else(|| stall_too_long(safety_context, stream))
        .or_else(|| not_worth_it(safety_context, home, stream))
        .or_else(|| no_room(home, stream))
        .or_else(|| servers_just_started(safety_context, home, stream))
        .or_else(|| relative_moving(safety_context, stream))
        .or_else(|| recently_elected(safety_context, &stream.group))
        .or_else(|| any_consumer(stream, |consumer| ack_pending_high(safety_context, consumer)))
        .or_else(|| home.hold())
        .or_else(|| safety_context.tried_before(stream, None))
        .or_else(|| outside_window(safety_context, ActionType::StreamPlacement))
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

fn moves_disabled(safety_context: &SafetyContext<'_>, stream: &Stream) -> Option<FindingReason> {
    match (
        &safety_context.context.policy.actions.stream_placement,
        stream.replicas,
    ) {
        (Some(_), _) => None,
        // Only a move could help, and moves are disabled: what is left to report is that it has one peer.
        (None, 1) => Some(FindingReason::SinglePeer),
        (None, _) => Some(FindingReason::ActionDisabled),
    }
}

fn no_peer_home(home: &Destination<'_>, group: &RaftGroup) -> Option<FindingReason> {
    if home.has_peer(group) {
        None
    } else if group.peers.len() <= 1 {
        Some(FindingReason::SinglePeer)
    } else {
        Some(FindingReason::NoPeerInHome)
    }
}

fn denied(safety_context: &SafetyContext<'_>, action: ActionType) -> Option<FindingReason> {
    safety_context
        .context
        .denied
        .contains(&action)
        .then_some(FindingReason::PermissionDenied)
}

fn managed_elsewhere(
    safety_context: &SafetyContext<'_>,
    home: &Destination<'_>,
    stream: &Stream,
) -> Option<FindingReason> {
    let DecisionContext { policy, owners, .. } = *safety_context.context;
    let owner = owners.owner(stream)?;
    let is_movable = match policy.actions.stream_placement.as_ref()?.on_managed {
        OnManagedStream::Skip => false,
        OnManagedStream::PatchOwner => owner.patchable().is_some() && !is_repaired(home, stream),
        OnManagedStream::Override => true,
    };
    (!is_movable).then_some(FindingReason::ManagedElsewhere)
}

/// An edit echoes the whole configuration: servers of another version would drop or refuse fields (nats-facts N31).
fn unfit_versions(safety_context: &SafetyContext<'_>) -> Option<FindingReason> {
    match safety_context.versions {
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

fn bytes_over_limit(safety_context: &SafetyContext<'_>, stream: &Stream) -> Option<FindingReason> {
    let limit = safety_context
        .context
        .policy
        .actions
        .stream_placement
        .as_ref()?
        .max_bytes?;
    (stream.bytes > limit).then_some(FindingReason::BytesOverLimit)
}

fn stall_too_long(safety_context: &SafetyContext<'_>, stream: &Stream) -> Option<FindingReason> {
    let most = safety_context
        .context
        .policy
        .actions
        .stream_placement
        .as_ref()?
        .max_stall;
    (safety_context.move_cost(stream).stall > most).then_some(FindingReason::StallTooLong)
}

/// A move that saves less waiting than it costs in the time that the policy gives it.
fn not_worth_it(
    safety_context: &SafetyContext<'_>,
    home: &Destination<'_>,
    stream: &Stream,
) -> Option<FindingReason> {
    let most = safety_context.context.policy.disruption.max_payback?;
    let payback = safety_context.payback(home, stream);
    payback
        .is_none_or(|payback| payback > most)
        .then_some(FindingReason::NotWorthIt)
}

fn no_room(home: &Destination<'_>, stream: &Stream) -> Option<FindingReason> {
    home.target(stream).err().map(|error| error.reason())
}

/// A stream waits while another moves that it reads from or that reads from it, over however many steps.
fn relative_moving(safety_context: &SafetyContext<'_>, stream: &Stream) -> Option<FindingReason> {
    let moving = safety_context.moving_relatives(stream).next();
    moving.map(|_| FindingReason::MoveInProgress)
}

fn outside_window(safety_context: &SafetyContext<'_>, action: ActionType) -> Option<FindingReason> {
    safety_context
        .closed
        .contains(&action)
        .then_some(FindingReason::OutsideWindow)
}

#[cfg(test)]
mod tests;
