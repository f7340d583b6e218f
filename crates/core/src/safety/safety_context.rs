//! What the checks of one evaluation share, gathered once, so that a check costs a few table look-ups.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::{ActionType, FindingReason};
use strum::IntoEnumIterator as _;

use super::source_graph::{SourceGraph, position};
use super::{healthy, is_moving};
use crate::asset::AssetIx;
use crate::context::DecisionContext;
use crate::homes::Homes;
use crate::names::{AssetName, Location};
use crate::policy::Gates;
use crate::score::MoveCost;
use crate::snapshot::{Consumer, Peer, RaftGroup, Stream};
use crate::target::{Destination, Reserved};
use crate::time::elapsed;
use crate::topology::{AIMED_STEP_DOWN, LocationMap, ServerDetails, ServerIx, Version};
use crate::window::opening;

/// What the checks of one evaluation share.
#[derive(Debug)]
pub struct SafetyContext<'a> {
    pub(super) context: &'a DecisionContext<'a>,
    pub(super) versions: Option<(Version, Version)>,
    /// Actions that no window allows now.
    pub(super) closed: Vec<ActionType>,
    pub(super) homes: &'a Homes,
    pub(super) locations: &'a LocationMap,
    /// Every location that is home to something, with why leaders may not go there yet.
    destinations: BTreeMap<(&'a Location, Option<FindingReason>), Destination<'a>>,
    just_started: Vec<bool>,
    /// Only moves and their explanations ask for it.
    families: OnceCell<SourceGraph>,
}

fn closed(context: &DecisionContext<'_>) -> Vec<ActionType> {
    let windows = &context.policy.disruption.windows;
    ActionType::iter()
        .filter(|action| !opening(windows, *action, context.now).open)
        .collect()
}

impl<'a> SafetyContext<'a> {
    /// Gathers what the checks need.
    pub fn new(context: &'a DecisionContext<'a>, locations: &'a LocationMap, homes: &'a Homes) -> Self {
        let DecisionContext { view, policy, .. } = *context;
        let topology = &view.topology;
        let mut destinations = BTreeMap::new();
        for (location, hold) in homes.destinations() {
            let destination = || Destination::new(topology, &policy.topology, locations, location, hold);
            destinations.entry((location, hold)).or_insert_with(destination);
        }
        let quiet = policy.disruption.gates.quiet_after_server_start;
        let young = |index| is_young(topology.details(index), quiet, context.now);
        Self {
            context,
            versions: topology.version_range(),
            closed: closed(context),
            homes,
            locations,
            destinations,
            just_started: topology.indices().map(young).collect(),
            families: OnceCell::new(),
        }
    }

    /// Which location is home to which asset.
    pub fn homes(&self) -> &'a Homes {
        self.homes
    }

    /// What all of it is gathered from.
    pub fn context(&self) -> &'a DecisionContext<'a> {
        self.context
    }

    /// Where the leader of an asset belongs; `None` when that is not known.
    pub fn destination(&self, asset: AssetIx) -> Option<&Destination<'a>> {
        let location = self.homes.reference(asset)?;
        self.destinations.get(&(location, self.homes.hold(asset)))
    }

    /// Whether a server started a moment ago, or at an unknown time: it gets no leaders.
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
    pub(super) fn caught_up<'g>(
        &'g self,
        home: &'g Destination<'_>,
        group: &'g RaftGroup,
    ) -> impl Iterator<Item = ServerIx> + 'g {
        let takes = |peer: &&Peer| {
            home.contains(peer.server) && Some(peer.server) != group.leader && self.healthy(peer)
        };
        group.peers.iter().filter(takes).map(|peer| peer.server)
    }

    /// The members of a group that may take the leadership over: in home, up, caught up, and not started a moment ago.
    pub fn eligible<'g>(
        &'g self,
        home: &'g Destination<'_>,
        group: &'g RaftGroup,
    ) -> impl Iterator<Item = ServerIx> + 'g {
        self.caught_up(home, group)
            .filter(|server| !self.just_started(*server))
    }

    /// Whether the leader of a group takes a preferred peer.
    pub fn takes_aim(&self, group: &RaftGroup) -> bool {
        let details = group
            .leader
            .and_then(|leader| self.context.view.topology.details(leader));
        details.is_some_and(|details| details.version >= AIMED_STEP_DOWN)
    }

    /// What moving a stream is expected to cost.
    pub fn move_cost(&self, stream: &Stream) -> MoveCost {
        let lowest = self.versions.map(|(lowest, _)| lowest);
        MoveCost::estimate(stream, lowest, self.context.history.move_bytes_per_second)
    }

    /// The capacity that moving streams take. Their target is not known: it may be any home.
    pub fn reserved_by_moving(&self) -> Reserved {
        let mut reserved = Reserved::default();
        for stream in self
            .context
            .view
            .streams
            .iter()
            .filter(|stream| is_moving(stream))
        {
            for home in self.each_location() {
                reserved.take(home.members(), home.need(stream));
            }
        }
        reserved
    }

    /// Every location that is home to something, once.
    fn each_location(&self) -> impl Iterator<Item = &Destination<'a>> {
        let mut last = None;
        let all = self.destinations.iter();
        all.filter(move |((location, _), _)| last.replace(*location) != Some(*location))
            .map(|(_, home)| home)
    }

    /// Whether enough servers of home would take a stream without those that started a moment ago.
    pub(super) fn fits_settled_servers(&self, home: &Destination<'_>, stream: &Stream) -> bool {
        let settled = |server| !self.just_started(server);
        home.takers(stream, &Reserved::default(), settled).is_ok()
    }

    /// The streams that mirror or source each other.
    pub fn families(&self) -> &SourceGraph {
        self.families.get_or_init(|| SourceGraph::new(self.context.view))
    }

    /// The others of a stream's family that are moving now.
    pub fn moving_relatives(&self, stream: &Stream) -> impl Iterator<Item = &'a Stream> {
        let view = self.context.view;
        let relatives = position(view, &stream.name).map(|at| self.families().moving_relatives(at));
        relatives
            .into_iter()
            .flatten()
            .filter_map(|other| view.streams.get(other))
    }

    /// The positions of the streams that mirror or source one.
    pub fn dependents(&self, stream: &Stream) -> impl Iterator<Item = usize> {
        let at = position(self.context.view, &stream.name);
        at.map(|at| self.families().dependents(at))
            .unwrap_or_default()
            .iter()
            .copied()
    }

    pub(super) fn gates(&self) -> &Gates {
        &self.context.policy.disruption.gates
    }

    pub(super) fn tried_before(&self, stream: &Stream, consumer: Option<&Consumer>) -> Option<FindingReason> {
        let history = self.context.history;
        if history.is_blank() {
            return None;
        }
        let asset = AssetName {
            stream: stream.name.clone(),
            consumer: consumer.map(|consumer| consumer.name.clone()),
        };
        history.blocked_by(&asset, &self.context.policy.disruption, self.context.now)
    }
}

/// Never seen is young: nothing shows that it has settled (P6).
fn is_young(server: Option<&ServerDetails>, quiet: Duration, now: Timestamp) -> bool {
    let started = server.and_then(|details| details.started);
    !quiet.is_zero() && started.is_none_or(|started| elapsed(started, now) < quiet)
}
