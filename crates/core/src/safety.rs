//! Why an asset may not move now: a list of named checks per cure, run in order; the first that speaks holds.
//!
//! Everything a check needs is gathered once per evaluation in a [`Ground`], so that a check costs a few table
//! look-ups. Adding a rule is adding a line to one of the three lists.

use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::{ActionType, FindingReason};

use crate::demand::Home;
use crate::evaluate::Circumstances;
use crate::history::AssetHistory;
use crate::names::{AssetName, ClusterName, Location};
use crate::policy::{MoveRules, Policy};
use crate::snapshot::{AccountView, Consumer, Peer, RaftGroup, Stream};
use crate::target::{MoveTarget, TargetError, move_target};
use crate::topology::{AIMED_STEP_DOWN, LocationMap, SAFE_MOVE, ServerIx, Version};

/// A peer this many Raft entries behind still takes over within milliseconds (NATS.md N12: 55,000 behind took 1.4 s).
pub const SMALL_LAG: u32 = 256;

/// What the checks of one evaluation share.
#[derive(Debug)]
pub struct Ground<'a> {
    view: &'a AccountView,
    policy: &'a Policy,
    circumstances: &'a Circumstances<'a>,
    home: &'a Location,
    settled: bool,
    members: Vec<bool>,
    clusters: Vec<Option<&'a ClusterName>>,
    home_cluster: Option<&'a ClusterName>,
    versions: Option<(Version, Version)>,
}

impl<'a> Ground<'a> {
    /// Gathers what the checks need for one home.
    pub fn new(
        view: &'a AccountView,
        policy: &'a Policy,
        circumstances: &'a Circumstances<'a>,
        locations: &LocationMap,
        location: &'a Location,
        home: Option<&Home>,
    ) -> Self {
        let topology = &view.topology;
        let members = locations.members(location);
        let clusters: Vec<Option<&ClusterName>> = topology
            .indices()
            .map(|index| topology.details(index).map(|details| &details.cluster))
            .collect();
        let home_cluster = members
            .iter()
            .zip(&clusters)
            .find(|(member, _)| **member)
            .and_then(|(_, cluster)| *cluster);
        Self {
            view,
            policy,
            circumstances,
            home: location,
            settled: matches!(
                home,
                Some(Home::Settled {
                    location: _,
                    since: _
                })
            ),
            members,
            clusters,
            home_cluster,
            versions: topology.version_range(),
        }
    }

    /// Whether a server is in home.
    pub fn is_home(&self, server: ServerIx) -> bool {
        self.members.get(usize::from(server.0)).copied().unwrap_or(false)
    }

    /// Whether any member of a group is in home.
    pub fn has_peer_home(&self, group: &RaftGroup) -> bool {
        group.peers.iter().any(|peer| self.is_home(peer.server))
    }

    /// The measured round trip between a leader's cluster and home's.
    pub fn round_trip_from(&self, leader: Option<ServerIx>) -> Option<Duration> {
        let from = self.clusters.get(usize::from(leader?.0)).copied().flatten()?;
        let to = self.home_cluster?;
        let measured = &self.view.topology.round_trips;
        measured
            .get(&(from.clone(), to.clone()))
            .or_else(|| measured.get(&(to.clone(), from.clone())))
            .copied()
    }

    /// The members of a group that may take the leadership over: in home, up, caught up.
    pub fn eligible<'g>(&'g self, group: &'g RaftGroup) -> impl Iterator<Item = ServerIx> + 'g {
        group
            .peers
            .iter()
            .filter(|peer| self.is_home(peer.server) && Some(peer.server) != group.leader && healthy(peer))
            .map(|peer| peer.server)
    }

    /// Whether the leader of a group takes a preferred peer.
    pub fn takes_aim(&self, group: &RaftGroup) -> bool {
        let details = group.leader.and_then(|leader| self.view.topology.details(leader));
        details.is_some_and(|details| details.version >= AIMED_STEP_DOWN)
    }

    /// Where a stream would move to.
    pub fn move_target(&self, stream: &Stream) -> Result<MoveTarget, TargetError> {
        move_target(
            &self.view.topology,
            &self.policy.topology,
            self.home,
            &self.members,
            stream,
        )
    }

    fn remembered(&self, stream: &Stream, consumer: Option<&Consumer>) -> Option<&AssetHistory> {
        if self.circumstances.history.assets.is_empty() {
            return None;
        }
        let asset = AssetName {
            stream: stream.name.clone(),
            consumer: consumer.map(|consumer| consumer.name.clone()),
        };
        self.circumstances.history.assets.get(&asset)
    }

    fn now(&self) -> Timestamp {
        self.circumstances.now
    }
}

/// Whether a member is up and caught up.
pub fn healthy(peer: &Peer) -> bool {
    is_healthy(peer.current, peer.offline, peer.lag.into())
}

/// Whether a member that is seen so is up and caught up.
pub fn is_healthy(current: bool, offline: bool, lag: u64) -> bool {
    current && !offline && lag <= u64::from(SMALL_LAG)
}

/// Whether a stream's group is changing: the servers say so, or it has more peers than replicas (NATS.md N22).
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
        .or_else(|| not_settled(ground))
        .or_else(|| tried_before(ground, ground.remembered(stream, None)))
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
        .or_else(|| quorum_at_risk(&consumer.group))
        .or_else(|| quorum_at_risk(&stream.group))
        .or_else(|| target_lagging(ground, &consumer.group))
        .or_else(|| not_settled(ground))
        .or_else(|| tried_before(ground, ground.remembered(stream, Some(consumer))))
}

/// Why a stream may not be moved to home.
pub fn why_move_held(ground: &Ground<'_>, stream: &Stream) -> Option<FindingReason> {
    no_leader(&stream.group)
        .or_else(|| move_in_progress(stream))
        .or_else(|| moves_disabled(ground, stream))
        .or_else(|| denied(ground, ActionType::StreamPlacement))
        .or_else(|| managed_elsewhere(ground, stream))
        .or_else(|| unfit_versions(ground))
        .or_else(|| quorum_at_risk(&stream.group))
        .or_else(|| any_peer_lagging(&stream.group))
        .or_else(|| bytes_over_limit(ground, stream))
        .or_else(|| no_room(ground, stream))
        .or_else(|| not_settled(ground))
        .or_else(|| tried_before(ground, ground.remembered(stream, None)))
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

/// An edit echoes the whole configuration: servers of another version would drop or refuse fields (NATS.md N31).
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

fn target_lagging(ground: &Ground<'_>, group: &RaftGroup) -> Option<FindingReason> {
    ground
        .eligible(group)
        .next()
        .is_none()
        .then_some(FindingReason::TargetLagging)
}

fn any_peer_lagging(group: &RaftGroup) -> Option<FindingReason> {
    let lags = |peer: &Peer| Some(peer.server) != group.leader && !healthy(peer);
    group
        .peers
        .iter()
        .any(lags)
        .then_some(FindingReason::TargetLagging)
}

fn bytes_over_limit(ground: &Ground<'_>, stream: &Stream) -> Option<FindingReason> {
    let MoveRules {
        timeout: _,
        max_bytes,
    } = ground.policy.actions.stream_placement.as_ref()?;
    max_bytes
        .is_some_and(|limit| stream.bytes > limit)
        .then_some(FindingReason::BytesOverLimit)
}

fn no_room(ground: &Ground<'_>, stream: &Stream) -> Option<FindingReason> {
    match ground.move_target(stream) {
        Ok(_) => None,
        Err(TargetError::NoServersMatch) => Some(FindingReason::NoServersMatch),
        Err(TargetError::NotEnoughServers { matching: _ }) => Some(FindingReason::NotEnoughServers),
    }
}

fn not_settled(ground: &Ground<'_>) -> Option<FindingReason> {
    (!ground.settled).then_some(FindingReason::Stabilizing)
}

fn tried_before(ground: &Ground<'_>, remembered: Option<&AssetHistory>) -> Option<FindingReason> {
    let remembered = remembered?;
    let rules = &ground.policy.disruption;
    if remembered.exhausted(rules) {
        return Some(FindingReason::AttemptsExhausted);
    }
    remembered
        .cooling_until(rules, ground.now())
        .map(|_| FindingReason::CoolingDown)
}

#[cfg(test)]
mod tests;
