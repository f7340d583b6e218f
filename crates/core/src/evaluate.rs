//! Snapshot + home → findings: for every selected asset whether it is in place, its remedy, or what blocks that.
//! Nothing here acts or chooses an order.

use std::collections::BTreeMap;

use leeward_api::vocabulary::{FindingReason, Remedy};

use crate::asset::AssetIx;
use crate::context::DecisionContext;
use crate::demand::{AssetHomes, HomeHistory, Tally};
use crate::homes::{Homes, decide_homes};
use crate::names::Location;
use crate::policy::opted_out;
use crate::safety::{self, SafetyContext};
use crate::snapshot::{AccountView, Consumer, Gap, Stream};
use crate::target::Destination;
use crate::time::elapsed;
use crate::topology::{LocationMap, ServerIx};

/// The judgement on one asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Its leader is home.
    InPlace,
    /// Leeward does not judge it.
    Ignored(FindingReason),
    /// Its leader is elsewhere; its remedy.
    Misplaced(Remedy),
    /// Its leader is elsewhere; its remedy, and what blocks that.
    Held(Remedy, FindingReason),
}

/// An asset that is not in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// Which.
    pub asset: AssetIx,
    /// Its leader.
    pub leader: Option<ServerIx>,
    /// Why.
    pub verdict: Verdict,
    /// Message rate × round trip saved: milliseconds of waiting saved a second.
    pub gain: f32,
}

impl Finding {
    /// Whether it comes home with its stream.
    pub fn follows_stream(&self) -> bool {
        match self.verdict {
            Verdict::Misplaced(remedy) | Verdict::Held(remedy, _) => remedy == Remedy::FollowsStream,
            Verdict::InPlace | Verdict::Ignored(_) => false,
        }
    }

    /// What remedying it gains, where its message rate is known.
    pub fn known_gain(&self, view: &AccountView) -> Option<f32> {
        let stream = view.streams.get(self.asset.stream() as usize)?;
        let rate = match self.asset {
            AssetIx::Stream(_) => stream.message_rate,
            AssetIx::Consumer(_, _) => self.asset.consumer_of(stream)?.message_rate,
        };
        rate.map(|_| self.gain)
    }
}

/// Assets by judgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All selected.
    pub total: u32,
    /// Led from home.
    pub in_place: u32,
    /// Led from elsewhere and movable.
    pub misplaced: u32,
    /// Led from elsewhere and not movable now.
    pub held: u32,
    /// Opted out or ephemeral.
    pub ignored: u32,
}

impl Counts {
    fn add(&mut self, verdict: Verdict) {
        self.total += 1;
        match verdict {
            Verdict::InPlace => self.in_place += 1,
            Verdict::Ignored(_) => self.ignored += 1,
            Verdict::Misplaced(_) => self.misplaced += 1,
            Verdict::Held(_, _) => self.held += 1,
        }
    }
}

/// Leaders of selected assets per location.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaderCounts {
    /// Streams led there.
    pub streams: u32,
    /// Consumers led there.
    pub consumers: u32,
}

/// The result of one look at an account under one policy.
#[derive(Clone, Debug)]
#[must_use]
pub struct Evaluation {
    /// Why nothing may be decided; empty when the view is complete and fresh.
    pub gaps: Vec<Gap>,
    /// The view is older than allowed.
    pub stale: bool,
    /// Clients per location.
    pub tally: Tally,
    /// Which location is home to which asset.
    pub homes: Homes,
    /// What to remember of the account's home.
    pub home_history: HomeHistory,
    /// What to remember of the homes of assets whose own clients decide.
    pub asset_homes: AssetHomes,
    /// Streams by judgement; without a home only `total` and `ignored` are known.
    pub streams: Counts,
    /// Consumers likewise.
    pub consumers: Counts,
    /// Leaders per location.
    pub leaders: BTreeMap<Location, LeaderCounts>,
    /// Misplaced and held assets, in the view's order.
    pub findings: Vec<Finding>,
}

impl Evaluation {
    /// Whether actions may follow from this evaluation.
    pub fn conclusive(&self) -> bool {
        self.gaps.is_empty() && !self.stale
    }

    /// Assets that are judged: selected, and not ignored.
    pub fn judged(&self) -> u32 {
        let all = [self.streams, self.consumers];
        all.iter().map(|counts| counts.total - counts.ignored).sum()
    }

    /// Assets that are led from home.
    pub fn in_place(&self) -> u32 {
        self.streams.in_place + self.consumers.in_place
    }

    /// How many assets have no home to judge them against.
    pub fn without_home(&self) -> u32 {
        let known = |counts: &Counts| counts.in_place + counts.misplaced + counts.held + counts.ignored;
        let all = [self.streams, self.consumers];
        all.iter().map(|counts| counts.total - known(counts)).sum()
    }

    /// Whether the selected assets have homes: the account's, or each its own.
    pub fn has_homes(&self) -> bool {
        let judged = [self.streams, self.consumers]
            .iter()
            .any(|counts| counts.total > counts.ignored);
        let each = self.homes.account().is_some() && judged && self.without_home() == 0;
        self.homes.account_location().is_some() || each
    }
}

/// Judges every selected asset of a view.
pub fn evaluate(context: &DecisionContext<'_>) -> Evaluation {
    let DecisionContext { view, policy, .. } = *context;
    let locations = LocationMap::new(&view.topology, &policy.topology);
    let tally = Tally::new(view, &locations, &policy.clients, &policy.home);
    let stale = elapsed(view.observed_at, context.now) > context.stale_after;
    let other_domain = other_domain(context);
    let complete = view.gaps.is_empty() && other_domain.is_none() && !stale;
    let remembered = context.history;
    let (homes, home_history, asset_homes) = if complete {
        decide_homes(context, &locations, &tally)
    } else {
        (
            Homes::unknown(remembered, &policy.home, view),
            remembered.home.clone(),
            remembered.asset_homes.clone(),
        )
    };
    let mut evaluation = Evaluation {
        gaps: other_domain
            .clone()
            .into_iter()
            .chain(view.gaps.iter().cloned())
            .collect(),
        stale,
        tally,
        home_history,
        asset_homes,
        streams: Counts::default(),
        consumers: Counts::default(),
        leaders: BTreeMap::new(),
        findings: Vec::new(),
        homes,
    };
    // Its streams may have the names of those that are meant.
    if other_domain.is_none() {
        judge_all(context, &locations, &mut evaluation);
    }
    evaluation
}

/// The gap, if the observed JetStream is not of the policy's domain. Without a domain the policy is about whatever its
/// connection reaches.
fn other_domain(context: &DecisionContext<'_>) -> Option<Gap> {
    let wanted = context.policy.domain.as_ref()?;
    let observed = &context.view.topology.domain;
    let known = observed.is_some() || context.view.gaps.is_empty();
    (known && observed.as_ref() != Some(wanted)).then(|| Gap::OtherDomain {
        observed: observed.clone(),
        wanted: wanted.clone(),
    })
}

fn judge_all(context: &DecisionContext<'_>, locations: &LocationMap, evaluation: &mut Evaluation) {
    let DecisionContext { view, policy, .. } = *context;
    let homes = evaluation.homes.clone();
    let safety_context = SafetyContext::new(context, locations, &homes);
    let mut leaders = vec![LeaderCounts::default(); view.topology.servers().len()];
    for (stream, at) in view.streams.iter().zip(0u32..) {
        if !policy.streams.selects(stream) {
            continue;
        }
        let asset = AssetIx::Stream(at);
        let verdict = judge_stream(&safety_context, asset, stream);
        let (leader, rate) = (stream.group.leader, stream.message_rate);
        count_leader(&mut leaders, leader, |row| row.streams += 1);
        record(evaluation, &safety_context, asset, leader, rate, verdict);
        for (consumer, nth) in stream.consumers.iter().zip(0u32..) {
            if !policy.selects_consumer(consumer) {
                continue;
            }
            let asset = AssetIx::Consumer(at, nth);
            let judged = judge_consumer(&safety_context, asset, stream, verdict, consumer);
            let (leader, rate) = (consumer.group.leader, consumer.message_rate);
            count_leader(&mut leaders, leader, |row| row.consumers += 1);
            record(evaluation, &safety_context, asset, leader, rate, judged);
        }
    }
    for (index, row) in view.topology.indices().zip(leaders) {
        if let Some(location) = locations.of(index) {
            let sum = evaluation.leaders.entry(location.clone()).or_default();
            sum.streams += row.streams;
            sum.consumers += row.consumers;
        }
    }
}

fn count_leader(leaders: &mut [LeaderCounts], leader: Option<ServerIx>, add: impl FnOnce(&mut LeaderCounts)) {
    if let Some(row) = leader.and_then(|server| leaders.get_mut(usize::from(server.0))) {
        add(row);
    }
}

fn record(
    evaluation: &mut Evaluation,
    safety_context: &SafetyContext<'_>,
    asset: AssetIx,
    leader: Option<ServerIx>,
    rate: Option<f32>,
    verdict: Option<Verdict>,
) {
    let counts = match asset {
        AssetIx::Stream(_) => &mut evaluation.streams,
        AssetIx::Consumer(_, _) => &mut evaluation.consumers,
    };
    let Some(verdict) = verdict else {
        counts.total += 1;
        return;
    };
    counts.add(verdict);
    let gain = match verdict {
        Verdict::InPlace | Verdict::Ignored(_) => return,
        Verdict::Misplaced(_) | Verdict::Held(_, _) => safety_context
            .destination(asset)
            .map_or(0.0, |home| safety_context.gain(asset, leader, rate, home)),
    };
    evaluation.findings.push(Finding {
        asset,
        leader,
        verdict,
        gain,
    });
}

fn is_led_from(home: &Destination<'_>, leader: Option<ServerIx>) -> bool {
    leader.is_some_and(|leader| home.contains(leader))
}

/// `None` when there is no home to judge against.
fn judge_stream(safety_context: &SafetyContext<'_>, asset: AssetIx, stream: &Stream) -> Option<Verdict> {
    if opted_out(&stream.metadata) {
        return Some(Verdict::Ignored(FindingReason::OptedOut));
    }
    if safety_context.homes().is_anywhere(asset) {
        return Some(Verdict::InPlace);
    }
    let home = safety_context.destination(asset)?;
    if is_led_from(home, stream.group.leader) {
        return Some(Verdict::InPlace);
    }
    let (remedy, held) = if home.has_peer(&stream.group) {
        let held = safety::why_stream_step_down_held(safety_context, home, stream);
        (Remedy::StreamStepDown, held)
    } else {
        let held = safety::why_move_held(safety_context, home, stream);
        (Remedy::StreamPlacement, held)
    };
    Some(held.map_or(Verdict::Misplaced(remedy), |reason| Verdict::Held(remedy, reason)))
}

fn judge_consumer(
    safety_context: &SafetyContext<'_>,
    asset: AssetIx,
    stream: &Stream,
    of_stream: Option<Verdict>,
    consumer: &Consumer,
) -> Option<Verdict> {
    if consumer.opted_out || opted_out(&stream.metadata) {
        return Some(Verdict::Ignored(FindingReason::OptedOut));
    }
    if !consumer.durable {
        return Some(Verdict::Ignored(FindingReason::Ephemeral));
    }
    if safety_context.homes().is_anywhere(asset) {
        return Some(Verdict::InPlace);
    }
    let home = safety_context.destination(asset)?;
    if is_led_from(home, consumer.group.leader) {
        return Some(Verdict::InPlace);
    }
    let follows = Remedy::FollowsStream;
    match of_stream {
        Some(Verdict::Misplaced(Remedy::StreamPlacement)) => return Some(Verdict::Misplaced(follows)),
        Some(Verdict::Held(Remedy::StreamPlacement, reason)) => {
            return Some(Verdict::Held(follows, safety::while_stream_held(reason)));
        }
        Some(
            Verdict::InPlace
            | Verdict::Ignored(_)
            | Verdict::Misplaced(
                Remedy::StreamStepDown
                | Remedy::ConsumerStepDown
                | Remedy::ConsumerEvacuation
                | Remedy::FollowsStream
                | Remedy::Advice,
            )
            | Verdict::Held(
                Remedy::StreamStepDown
                | Remedy::ConsumerStepDown
                | Remedy::ConsumerEvacuation
                | Remedy::FollowsStream
                | Remedy::Advice,
                _,
            ),
        )
        | None => {}
    }
    let (remedy, held) = if safety::is_evacuated(safety_context, home, stream, consumer) {
        let held = safety::why_consumer_evacuation_held(safety_context, home, stream, consumer);
        (Remedy::ConsumerEvacuation, held)
    } else {
        let held = safety::why_consumer_step_down_held(safety_context, home, stream, consumer);
        (Remedy::ConsumerStepDown, held)
    };
    Some(held.map_or(Verdict::Misplaced(remedy), |reason| Verdict::Held(remedy, reason)))
}
