//! What the checks of one evaluation share, gathered once, so that a check costs a few table look-ups.

use std::cell::OnceCell;
use std::time::Duration;

use leeward_api::vocabulary::{ActionType, FindingReason};
use strum::IntoEnumIterator as _;

use super::source_graph::{SourceGraph, position};
use super::{healthy, is_moving};
use crate::context::EvaluationContext;
use crate::demand::Home;
use crate::names::{AssetName, ClusterName, Location};
use crate::policy::{Gates, Policy};
use crate::score::MoveCost;
use crate::snapshot::{AccountView, Consumer, Peer, RaftGroup, Stream};
use crate::target::{Destination, MoveTarget, Reserved, TargetError};
use crate::time::elapsed;
use crate::topology::{AIMED_STEP_DOWN, LocationMap, ServerDetails, ServerIx, Version};
use crate::window::opening;

/// What the checks of one evaluation share.
#[derive(Debug)]
pub struct SafetyContext<'a> {
    pub(super) view: &'a AccountView,
    pub(super) policy: &'a Policy,
    pub(super) eval_context: &'a EvaluationContext<'a>,
    pub(super) settled: bool,
    pub(super) versions: Option<(Version, Version)>,
    /// Actions that no window lets be done now.
    pub(super) closed: Vec<ActionType>,
    destination: Destination<'a>,
    clusters: Vec<Option<&'a ClusterName>>,
    home_cluster: Option<&'a ClusterName>,
    just_started: Vec<bool>,
    /// Only moves and their explanations ask for it.
    families: OnceCell<SourceGraph>,
}

fn closed(policy: &Policy, eval_context: &EvaluationContext<'_>) -> Vec<ActionType> {
    let windows = &policy.disruption.windows;
    ActionType::iter()
        .filter(|action| !opening(windows, *action, eval_context.now).open)
        .collect()
}

impl<'a> SafetyContext<'a> {
    /// Gathers what the checks need for one home.
    pub fn new(
        view: &'a AccountView,
        policy: &'a Policy,
        eval_context: &'a EvaluationContext<'a>,
        locations: &LocationMap,
        location: &'a Location,
        home: Option<&Home>,
    ) -> Self {
        let topology = &view.topology;
        let destination = Destination::new(topology, &policy.topology, locations, location);
        let clusters: Vec<Option<&ClusterName>> = topology
            .indices()
            .map(|index| topology.details(index).map(|details| &details.cluster))
            .collect();
        let home_cluster = destination
            .members()
            .find_map(|index| clusters.get(usize::from(index.0)).copied().flatten());
        let quiet = policy.disruption.gates.quiet_after_server_start;
        let young = |index| is_young(topology.details(index), quiet, eval_context);
        Self {
            view,
            policy,
            eval_context,
            settled: matches!(
                home,
                Some(Home::Settled {
                    location: _,
                    since: _
                })
            ),
            versions: topology.version_range(),
            closed: closed(policy, eval_context),
            destination,
            home_cluster,
            clusters,
            just_started: topology.indices().map(young).collect(),
            families: OnceCell::new(),
        }
    }

    /// Whether a server is in home.
    pub fn is_home(&self, server: ServerIx) -> bool {
        self.destination.contains(server)
    }

    /// Whether any member of a group is in home.
    pub fn has_peer_home(&self, group: &RaftGroup) -> bool {
        group.peers.iter().any(|peer| self.is_home(peer.server))
    }

    /// The measured round trip between a leader's cluster and home's.
    pub fn round_trip_from(&self, leader: Option<ServerIx>) -> Option<Duration> {
        let from = self.clusters.get(usize::from(leader?.0)).copied().flatten()?;
        let to = self.home_cluster?;
        self.view.topology.round_trip(from, to)
    }

    /// Whether a server started a moment ago, or nobody knows when: it gets no leaders.
    pub fn just_started(&self, server: ServerIx) -> bool {
        self.just_started
            .get(usize::from(server.0))
            .copied()
            .unwrap_or(true)
    }

    /// Whether a member is up and caught up, as the policy's gates want it.
    pub fn healthy(&self, peer: &Peer) -> bool {
        healthy(peer, self.gates())
    }

    /// The members of a group in home that are up and caught up, besides the leader.
    pub(super) fn caught_up<'g>(&'g self, group: &'g RaftGroup) -> impl Iterator<Item = ServerIx> + 'g {
        let takes = |peer: &&Peer| {
            self.is_home(peer.server) && Some(peer.server) != group.leader && self.healthy(peer)
        };
        group.peers.iter().filter(takes).map(|peer| peer.server)
    }

    /// The members of a group that may take the leadership over: in home, up, caught up, and not started a moment ago.
    pub fn eligible<'g>(&'g self, group: &'g RaftGroup) -> impl Iterator<Item = ServerIx> + 'g {
        self.caught_up(group).filter(|server| !self.just_started(*server))
    }

    /// Whether the leader of a group takes a preferred peer.
    pub fn takes_aim(&self, group: &RaftGroup) -> bool {
        let details = group.leader.and_then(|leader| self.view.topology.details(leader));
        details.is_some_and(|details| details.version >= AIMED_STEP_DOWN)
    }

    /// Where a stream would move to.
    pub fn move_target(&self, stream: &Stream) -> Result<MoveTarget, TargetError> {
        self.destination.target(stream)
    }

    /// What moving a stream is expected to cost.
    pub fn move_cost(&self, stream: &Stream) -> MoveCost {
        let lowest = self.versions.map(|(lowest, _)| lowest);
        MoveCost::estimate(stream, lowest, self.eval_context.history.move_bytes_per_second)
    }

    /// Takes room for a stream that will move, beside what is reserved already.
    pub fn reserve(&self, stream: &Stream, reserved: &mut Reserved) -> Result<(), TargetError> {
        let takers = self.destination.takers(stream, reserved, |_| true)?;
        reserved.take(takers, self.destination.need(stream));
        Ok(())
    }

    /// The room that streams take which are moving now. Where to is not known: it may be home.
    pub fn reserved_by_moving(&self) -> Reserved {
        let mut reserved = Reserved::default();
        for stream in self.view.streams.iter().filter(|stream| is_moving(stream)) {
            reserved.take(self.destination.members(), self.destination.need(stream));
        }
        reserved
    }

    /// Whether enough servers would take a stream without those that started a moment ago.
    pub(super) fn fits_settled_servers(&self, stream: &Stream) -> bool {
        let settled = |server| !self.just_started(server);
        self.destination
            .takers(stream, &Reserved::default(), settled)
            .is_ok()
    }

    /// The streams that mirror or source each other.
    pub fn families(&self) -> &SourceGraph {
        self.families.get_or_init(|| SourceGraph::new(self.view))
    }

    /// The others of a stream's family that are moving now.
    pub fn moving_relatives(&self, stream: &Stream) -> impl Iterator<Item = &'a Stream> {
        let view = self.view;
        let relatives = position(view, &stream.name).map(|at| self.families().moving_relatives(at));
        relatives
            .into_iter()
            .flatten()
            .filter_map(|other| view.streams.get(other))
    }

    /// The positions of the streams that mirror or source one.
    pub fn dependents(&self, stream: &Stream) -> impl Iterator<Item = usize> {
        let at = position(self.view, &stream.name);
        at.map(|at| self.families().dependents(at))
            .unwrap_or_default()
            .iter()
            .copied()
    }

    pub(super) fn gates(&self) -> &Gates {
        &self.policy.disruption.gates
    }

    pub(super) fn tried_before(&self, stream: &Stream, consumer: Option<&Consumer>) -> Option<FindingReason> {
        let history = self.eval_context.history;
        if history.is_blank() {
            return None;
        }
        let asset = AssetName {
            stream: stream.name.clone(),
            consumer: consumer.map(|consumer| consumer.name.clone()),
        };
        history.stands_against(&asset, &self.policy.disruption, self.eval_context.now)
    }
}

/// Never seen is young: nothing says that it has settled (P6).
fn is_young(server: Option<&ServerDetails>, quiet: Duration, eval_context: &EvaluationContext<'_>) -> bool {
    let started = server.and_then(|details| details.started);
    !quiet.is_zero() && started.is_none_or(|started| elapsed(started, eval_context.now) < quiet)
}
