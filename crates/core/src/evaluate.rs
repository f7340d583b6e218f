//! Snapshot + home → findings: for every selected asset whether it is in place, what cures it, or what stands
//! against that. Nothing here acts or chooses an order.

use std::collections::BTreeMap;

use leeward_api::vocabulary::FindingReason;
use serde::{Deserialize, Serialize};

use crate::context::EvaluationContext;
use crate::demand::{Home, HomeHistory, Tally, decide};
use crate::names::{AssetName, Location};
use crate::policy::{Policy, opted_out};
use crate::safety::{self, SafetyContext};
use crate::score;
use crate::snapshot::{AccountView, Consumer, Gap, Stream};
use crate::time::elapsed;
use crate::topology::{LocationMap, ServerIx};

/// An asset by its position in a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AssetIx {
    /// A stream.
    Stream(u32),
    /// A consumer, after its stream.
    Consumer(u32, u32),
}

impl AssetIx {
    /// The position of the stream.
    pub fn stream(self) -> u32 {
        match self {
            Self::Stream(stream) | Self::Consumer(stream, _) => stream,
        }
    }
}

/// What cures a misplaced asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Cure {
    /// A peer in home takes the leadership over.
    StepDown,
    /// The stream's replicas move to home.
    Move,
    /// The consumer follows its stream, which moves.
    FollowStream,
}

/// The judgement on one asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Verdict {
    /// Its leader is home.
    InPlace,
    /// It is not Leeward's to judge.
    Ignored(FindingReason),
    /// Its leader is elsewhere and this cures it.
    Misplaced(Cure),
    /// Its leader is elsewhere and this stands against the cure.
    Held(Cure, FindingReason),
}

/// An asset that is not in place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
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

/// Assets by judgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeaderCounts {
    /// Streams led there.
    pub streams: u32,
    /// Consumers led there.
    pub consumers: u32,
}

/// What one look at an account says under one policy.
#[derive(Clone, Debug, Serialize)]
#[must_use]
pub struct Evaluation {
    /// Why nothing may be decided; empty when the view is complete and fresh.
    pub gaps: Vec<Gap>,
    /// The view is older than allowed.
    pub stale: bool,
    /// Clients per location.
    pub tally: Tally,
    /// Home; `None` when it cannot be known from this view.
    pub home: Option<Home>,
    /// What to remember of home.
    pub home_history: HomeHistory,
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
}

/// Judges every selected asset of a view.
pub fn evaluate(view: &AccountView, policy: &Policy, eval_context: &EvaluationContext<'_>) -> Evaluation {
    let locations = LocationMap::new(&view.topology, &policy.topology);
    let tally = Tally::new(view, &locations, &policy.clients, &policy.home);
    let stale = elapsed(view.observed_at, eval_context.now) > eval_context.stale_after;
    let other_domain = other_domain(view, policy);
    let (home, home_history) = if view.gaps.is_empty() && other_domain.is_none() && !stale {
        let (home, history) = decide(
            &tally,
            &policy.home,
            &eval_context.history.home,
            eval_context.now,
            eval_context.stale_after,
        );
        (Some(home), history)
    } else {
        (None, eval_context.history.home.clone())
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
        streams: Counts::default(),
        consumers: Counts::default(),
        leaders: BTreeMap::new(),
        findings: Vec::new(),
        home,
    };
    // Its streams may bear the names of those that are meant.
    if other_domain.is_none() {
        judge_all(view, policy, eval_context, &locations, &mut evaluation);
    }
    evaluation
}

/// The JetStream that is seen is not the one that the policy is about. Without a domain the policy is about whatever its
/// connection reaches.
fn other_domain(view: &AccountView, policy: &Policy) -> Option<Gap> {
    let wanted = policy.domain.as_ref()?;
    let observed = &view.topology.domain;
    let known = observed.is_some() || view.gaps.is_empty();
    (known && observed.as_ref() != Some(wanted)).then(|| Gap::OtherDomain {
        observed: observed.clone(),
        wanted: wanted.clone(),
    })
}

fn judge_all(
    view: &AccountView,
    policy: &Policy,
    eval_context: &EvaluationContext<'_>,
    locations: &LocationMap,
    evaluation: &mut Evaluation,
) {
    // With data missing, assets are counted against the last home known, and nothing is decided from that.
    let settled = evaluation
        .home_history
        .settled
        .as_ref()
        .map(|home| home.location.clone());
    let reference = match &evaluation.home {
        Some(home) => home.reference().cloned(),
        None => settled,
    };
    let safety_context = reference.as_ref().map(|home| {
        SafetyContext::new(
            view,
            policy,
            eval_context,
            locations,
            home,
            evaluation.home.as_ref(),
        )
    });
    let mut leaders = vec![LeaderCounts::default(); view.topology.servers().len()];
    for (stream, at) in view.streams.iter().zip(0u32..) {
        if !policy.streams.selects(stream) {
            continue;
        }
        let verdict = judge_stream(safety_context.as_ref(), stream);
        count_leader(&mut leaders, stream.group.leader, |row| row.streams += 1);
        record(
            evaluation,
            safety_context.as_ref(),
            AssetIx::Stream(at),
            stream.group.leader,
            stream.message_rate,
            verdict,
        );
        for (consumer, nth) in stream.consumers.iter().zip(0u32..) {
            if !policy.selects_consumer(consumer) {
                continue;
            }
            let judged = judge_consumer(safety_context.as_ref(), stream, verdict, consumer);
            count_leader(&mut leaders, consumer.group.leader, |row| row.consumers += 1);
            let asset = AssetIx::Consumer(at, nth);
            record(
                evaluation,
                safety_context.as_ref(),
                asset,
                consumer.group.leader,
                consumer.message_rate,
                judged,
            );
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
    safety_context: Option<&SafetyContext<'_>>,
    asset: AssetIx,
    leader: Option<ServerIx>,
    rate: Option<f32>,
    verdict: Option<Verdict>,
) {
    let counts = match asset {
        AssetIx::Stream(_) => &mut evaluation.streams,
        AssetIx::Consumer(_, _) => &mut evaluation.consumers,
    };
    let (Some(verdict), Some(safety_context)) = (verdict, safety_context) else {
        counts.total += 1;
        return;
    };
    counts.add(verdict);
    match verdict {
        Verdict::InPlace | Verdict::Ignored(_) => {}
        Verdict::Misplaced(_) | Verdict::Held(_, _) => {
            let gain = score::gain(rate, safety_context.round_trip_from(leader));
            evaluation.findings.push(Finding {
                asset,
                leader,
                verdict,
                gain,
            });
        }
    }
}

/// `None` when there is no home to judge against.
fn judge_stream(safety_context: Option<&SafetyContext<'_>>, stream: &Stream) -> Option<Verdict> {
    if opted_out(&stream.metadata) {
        return Some(Verdict::Ignored(FindingReason::OptedOut));
    }
    let safety_context = safety_context?;
    if stream
        .group
        .leader
        .is_some_and(|leader| safety_context.is_home(leader))
    {
        return Some(Verdict::InPlace);
    }
    let cure = if safety_context.has_peer_home(&stream.group) {
        Cure::StepDown
    } else {
        Cure::Move
    };
    let held = match cure {
        Cure::StepDown => safety::why_stream_step_down_held(safety_context, stream),
        Cure::Move | Cure::FollowStream => safety::why_move_held(safety_context, stream),
    };
    Some(held.map_or(Verdict::Misplaced(cure), |reason| Verdict::Held(cure, reason)))
}

fn judge_consumer(
    safety_context: Option<&SafetyContext<'_>>,
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
    let safety_context = safety_context?;
    if consumer
        .group
        .leader
        .is_some_and(|leader| safety_context.is_home(leader))
    {
        return Some(Verdict::InPlace);
    }
    match of_stream {
        Some(Verdict::Misplaced(Cure::Move)) => return Some(Verdict::Misplaced(Cure::FollowStream)),
        Some(Verdict::Held(Cure::Move, reason)) => {
            return Some(Verdict::Held(
                Cure::FollowStream,
                safety::while_stream_held(reason),
            ));
        }
        Some(
            Verdict::InPlace
            | Verdict::Ignored(_)
            | Verdict::Misplaced(Cure::StepDown | Cure::FollowStream)
            | Verdict::Held(Cure::StepDown | Cure::FollowStream, _),
        )
        | None => {}
    }
    let held = safety::why_consumer_step_down_held(safety_context, stream, consumer);
    Some(held.map_or(Verdict::Misplaced(Cure::StepDown), |reason| {
        Verdict::Held(Cure::StepDown, reason)
    }))
}

/// The position of an asset in a view; `None` when the view does not show it.
pub fn asset_index(view: &AccountView, asset: &AssetName) -> Option<AssetIx> {
    let at = view
        .streams
        .binary_search_by(|stream| stream.name.cmp(&asset.stream))
        .ok()?;
    let number = u32::try_from(at).ok()?;
    let Some(name) = &asset.consumer else {
        return Some(AssetIx::Stream(number));
    };
    let nth = view
        .streams
        .get(at)?
        .consumers
        .iter()
        .position(|consumer| consumer.name == *name)?;
    Some(AssetIx::Consumer(number, u32::try_from(nth).ok()?))
}

/// The name of an asset of a view.
pub fn asset_name(view: &AccountView, asset: AssetIx) -> Option<AssetName> {
    let stream = view.streams.get(asset.stream() as usize)?;
    match asset {
        AssetIx::Stream(_) => Some(AssetName::stream(stream.name.clone())),
        AssetIx::Consumer(_, nth) => {
            let consumer = stream.consumers.get(nth as usize)?;
            Some(AssetName::consumer(stream.name.clone(), consumer.name.clone()))
        }
    }
}
