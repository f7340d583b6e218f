//! Evaluations as text: counts, findings, conditions and advice, as status, events and the command line show them.

mod general;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use leeward_api::policy_status::{
    Advice, AssetCounts, Finding as FindingStatus, GatewayStatus, HomeStatus, LocationStatus, MAX_LOCATIONS,
};
use leeward_api::vocabulary::{Check, FindingReason, InPlaceReason, ObservedReason, ReasonClass, Remedy};

use self::general::{advice, gateway, general_findings};
use crate::asset::{AssetIx, asset_name};
use crate::context::DecisionContext;
use crate::demand::Home;
use crate::evaluate::{Counts, Evaluation, Finding, LeaderCounts, Verdict};
use crate::explain::{explain, gap_text};
use crate::names::{AssetName, Location};
use crate::policy::{Mode, Policy};
use crate::snapshot::{AccountView, Gap, RaftGroup};
use crate::topology::{LocationMap, ServerIx};
use crate::usage::AccountUse;

/// Gaps that a message names; more are counted.
const GAPS_NAMED: usize = 5;
/// A location with fewer connections needs no local leader.
const LOCAL_LEADER_CONNECTIONS: u32 = 5;
/// Nor does one with a smaller share of the account's connections, in percent.
const LOCAL_LEADER_PERCENT: u8 = 10;

/// One evaluation, as people read it.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Report {
    /// Whether everything was seen.
    pub observed: (ObservedReason, String),
    /// Whether leaders are home.
    pub in_place: (InPlaceReason, String),
    /// Home.
    pub home: Option<HomeStatus>,
    /// Every location.
    pub locations: Vec<LocationStatus>,
    /// Streams by judgement.
    pub streams: AssetCounts,
    /// Consumers by judgement.
    pub consumers: AssetCounts,
    /// Such as `37/40`; `None` without a home.
    pub in_place_of: Option<String>,
    /// The greatest gain first, capped.
    pub findings: Vec<FindingStatus>,
    /// How many were left out.
    pub findings_omitted: usize,
    /// Share of bytes that cross gateways.
    pub gateway: Option<GatewayStatus>,
    /// What helps where moving leaders does not.
    pub advice: Vec<Advice>,
}

/// Reports an evaluation. Findings keep the `since` of the `previous` ones.
pub fn report(context: &DecisionContext<'_>, evaluation: &Evaluation, previous: &[FindingStatus]) -> Report {
    let DecisionContext { view, policy, .. } = *context;
    let locations = locations(view, policy, evaluation);
    let (findings, findings_omitted) = findings(context, evaluation, &locations, previous);
    Report {
        observed: observed_with_use(context, evaluation),
        in_place: in_place(policy, evaluation),
        home: home_status(evaluation),
        advice: advice(view, policy, evaluation, &locations),
        locations,
        streams: counts(evaluation.streams),
        consumers: counts(evaluation.consumers),
        in_place_of: in_place_of(evaluation),
        findings,
        findings_omitted,
        gateway: gateway(view),
    }
}

/// Whether everything was seen, and what was not.
pub fn observed(evaluation: &Evaluation) -> (ObservedReason, String) {
    unseen(&evaluation.gaps).unwrap_or_else(|| {
        if evaluation.stale {
            (
                ObservedReason::Stale,
                "the last complete observation is too old to act on".into(),
            )
        } else {
            (ObservedReason::Complete, "every server answered".into())
        }
    })
}

/// The same, and whose use was not seen as a whole.
fn observed_with_use(context: &DecisionContext<'_>, evaluation: &Evaluation) -> (ObservedReason, String) {
    let (reason, text) = observed(evaluation);
    let decides = context.policy.home.by_use.is_some() && reason == ObservedReason::Complete;
    let usage = context.usage.filter(|_| decides);
    let mut problems = usage.into_iter().flat_map(AccountUse::problems);
    let Some((stream, problem)) = problems.next() else {
        return (reason, text);
    };
    let more = match problems.count() {
        0 => String::new(),
        others => format!(", nor of {others} other streams"),
    };
    let text = format!("{text}; not all clients that use stream {stream} are seen{more}: {problem}");
    (reason, text)
}

/// What was not seen, if anything. That the first look is under way is reported only if nothing else is known.
pub fn unseen(gaps: &[Gap]) -> Option<(ObservedReason, String)> {
    let named: Vec<&Gap> = gaps.iter().filter(|gap| **gap != Gap::WarmingUp).collect();
    let named = if named.is_empty() {
        gaps.iter().collect()
    } else {
        named
    };
    let reason = match named.first()? {
        Gap::Disconnected { .. } => ObservedReason::Disconnected,
        Gap::WarmingUp => ObservedReason::WarmingUp,
        Gap::OtherDomain { .. } => ObservedReason::DomainDiffers,
        Gap::ServerMissing { .. }
        | Gap::MemberMissing { .. }
        | Gap::WithoutJetStream { .. }
        | Gap::SameName { .. }
        | Gap::ServersUncounted { .. }
        | Gap::Denied { .. }
        | Gap::Unreadable { .. } => ObservedReason::ServersMissing,
    };
    let mut texts: Vec<String> = named.iter().take(GAPS_NAMED).map(|gap| gap_text(gap)).collect();
    if named.len() > GAPS_NAMED {
        texts.push(format!("and {} more", named.len() - GAPS_NAMED));
    }
    Some((reason, texts.join("; ")))
}

fn in_place(policy: &Policy, evaluation: &Evaluation) -> (InPlaceReason, String) {
    let sum = |count: fn(&Counts) -> u32| count(&evaluation.streams) + count(&evaluation.consumers);
    let (misplaced, held) = (sum(|counts| counts.misplaced), sum(|counts| counts.held));
    let judged = evaluation.judged();
    if judged == 0 && evaluation.conclusive() {
        return (
            InPlaceReason::NothingSelected,
            "no stream or durable consumer is selected".into(),
        );
    }
    match evaluation.homes.account() {
        None => {
            return (
                InPlaceReason::NoMajority,
                "home is unknown: the observation is incomplete".into(),
            );
        }
        Some(Home::NoMajority { why, settled: _ }) if misplaced == 0 && evaluation.without_home() > 0 => {
            return (InPlaceReason::NoMajority, format!("no location is home: {why}"));
        }
        Some(Home::Stabilizing {
            challenger,
            until,
            since: _,
            settled: _,
        }) if misplaced == 0 && held > 0 => {
            let text = format!("{challenger} becomes home at {until} if it goes on leading until then");
            return (InPlaceReason::Held, text);
        }
        Some(Home::Settled { .. } | Home::Stabilizing { .. } | Home::NoMajority { .. }) => {}
    }
    if misplaced > 0 {
        let acting = match policy.mode {
            Mode::Enforce => "",
            Mode::Propose => "; what of it nobody approved waits",
            Mode::Observe => "; the policy's mode is Observe, so nothing is done",
            Mode::Suspended => "; the policy is suspended, so nothing is done",
        };
        (
            InPlaceReason::ActionsPending,
            format!("{misplaced} misplaced, {held} held{acting}"),
        )
    } else if held > 0 {
        held_reason(evaluation, held)
    } else {
        (
            InPlaceReason::AllInPlace,
            format!("all {judged} leaders are home"),
        )
    }
}

fn held_reason(evaluation: &Evaluation, held: u32) -> (InPlaceReason, String) {
    let mut by_reason: BTreeMap<FindingReason, u32> = BTreeMap::new();
    for finding in &evaluation.findings {
        if let Verdict::Held(_, reason) = finding.verdict {
            *by_reason.entry(reason).or_default() += 1;
        }
    }
    let hard = by_reason.keys().all(|reason| reason.class() == ReasonClass::Hard);
    let contested = by_reason.contains_key(&FindingReason::Contested);
    let listed: Vec<String> = by_reason
        .iter()
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    let reason = if contested {
        InPlaceReason::Contested
    } else if hard {
        InPlaceReason::Unfixable
    } else {
        InPlaceReason::Held
    };
    (reason, format!("{held} held: {}", listed.join(", ")))
}

fn home_status(evaluation: &Evaluation) -> Option<HomeStatus> {
    let (location, since, stable) = match evaluation.homes.account() {
        Some(Home::Settled { location, since }) => (location.clone(), Some(*since), true),
        Some(Home::Stabilizing {
            challenger,
            since,
            settled,
            until: _,
        }) => match settled {
            Some(settled) => (settled.clone(), settled_since(evaluation), false),
            None => (challenger.clone(), Some(*since), false),
        },
        Some(Home::NoMajority { .. }) | None => {
            let settled = evaluation.home_history.settled.as_ref()?;
            (settled.location.clone(), Some(settled.since), false)
        }
    };
    Some(HomeStatus {
        percent: evaluation.tally.percent(&location).into(),
        connections: evaluation.tally.connections(&location).into(),
        location: location.to_string(),
        since: since.map(Time),
        stable,
    })
}

fn settled_since(evaluation: &Evaluation) -> Option<Timestamp> {
    evaluation
        .home_history
        .settled
        .as_ref()
        .map(|settled| settled.since)
}

fn locations(view: &AccountView, policy: &Policy, evaluation: &Evaluation) -> Vec<LocationStatus> {
    let map = LocationMap::new(&view.topology, &policy.topology);
    let able = map.with_jetstream(&view.topology);
    // What is not seen may be led there.
    let led_at_all = evaluation.streams.total > 0 && evaluation.conclusive();
    let row = |location: &Location| {
        let leaders: LeaderCounts = evaluation.leaders.get(location).copied().unwrap_or_default();
        let connections = evaluation.tally.connections(location);
        let percent = evaluation.tally.percent(location);
        LocationStatus {
            name: location.to_string(),
            servers: i64::try_from(map.servers_of(location).count()).unwrap_or(i64::MAX),
            connections: connections.into(),
            percent: percent.into(),
            stream_leaders: leaders.streams.into(),
            consumer_leaders: leaders.consumers.into(),
            no_local_leader: led_at_all
                && able.contains(location)
                && leaders.streams == 0
                && connections >= LOCAL_LEADER_CONNECTIONS
                && percent >= LOCAL_LEADER_PERCENT,
        }
    };
    let rows = map
        .locations()
        .iter()
        .map(row)
        .chain(unplaced(view, &map, policy, evaluation));
    rows.take(MAX_LOCATIONS).collect()
}

/// The clients on servers that carry no location: they count against any majority, so they are shown.
fn unplaced(
    view: &AccountView,
    map: &LocationMap,
    policy: &Policy,
    evaluation: &Evaluation,
) -> Option<LocationStatus> {
    let tally = &evaluation.tally;
    let prefix = policy.topology.tag_prefix().unwrap_or_default();
    let nowhere = |index: &ServerIx| view.topology.details(*index).is_some() && map.of(*index).is_none();
    let led_there = |group: &RaftGroup| group.leader.is_some_and(|leader| nowhere(&leader));
    let streams = || {
        view.streams
            .iter()
            .filter(|stream| policy.streams.selects(stream))
    };
    let stream_leaders = streams().filter(|stream| led_there(&stream.group)).count();
    let consumers = streams().flat_map(|stream| &stream.consumers);
    let consumers = consumers.filter(|consumer| policy.selects_consumer(consumer));
    let consumer_leaders = consumers.filter(|consumer| led_there(&consumer.group)).count();
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let used = tally.unplaced.connections > 0 || stream_leaders + consumer_leaders > 0;
    used.then(|| LocationStatus {
        name: format!("(no tag {prefix}…)"),
        servers: count(view.topology.indices().filter(nowhere).count()),
        connections: tally.unplaced.connections.into(),
        percent: tally.unplaced_percent().into(),
        stream_leaders: count(stream_leaders),
        consumer_leaders: count(consumer_leaders),
        no_local_leader: false,
    })
}

fn counts(counts: Counts) -> AssetCounts {
    let Counts {
        total,
        in_place,
        misplaced,
        held,
        ignored,
    } = counts;
    AssetCounts {
        total: total.into(),
        in_place: in_place.into(),
        misplaced: misplaced.into(),
        held: held.into(),
        ignored: ignored.into(),
    }
}

fn in_place_of(evaluation: &Evaluation) -> Option<String> {
    if !evaluation.has_homes() {
        return None;
    }
    Some(format!("{}/{}", evaluation.in_place(), evaluation.judged()))
}

fn findings(
    context: &DecisionContext<'_>,
    evaluation: &Evaluation,
    locations: &[LocationStatus],
    previous: &[FindingStatus],
) -> (Vec<FindingStatus>, usize) {
    let DecisionContext { view, policy, .. } = *context;
    let map = LocationMap::new(&view.topology, &policy.topology);
    let mut general = general_findings(view, policy, locations);
    let all = evaluation.findings.len() + general.len();
    let mut order: Vec<&Finding> = evaluation.findings.iter().collect();
    // Ties break by position, so the sort may be unstable.
    order.sort_unstable_by(|a, b| b.gain.total_cmp(&a.gain).then(a.asset.cmp(&b.asset)));
    let assets = order.into_iter().take(policy.max_findings).filter_map(|finding| {
        let asset = asset_name(view, finding.asset)?;
        Some(finding_status(context, evaluation, &map, finding, &asset))
    });
    let mut listed: Vec<FindingStatus> = assets.collect();
    general.truncate(policy.max_findings.saturating_sub(listed.len()));
    listed.append(&mut general);
    for finding in &mut listed {
        let same = |before: &&FindingStatus| {
            before.check == finding.check
                && before.stream == finding.stream
                && before.consumer == finding.consumer
                && before.location == finding.location
        };
        let since = previous.iter().find(same).and_then(|before| before.since.clone());
        finding.since = since.or(Some(Time(context.now)));
    }
    let omitted = all - listed.len();
    (listed, omitted)
}

fn finding_status(
    context: &DecisionContext<'_>,
    evaluation: &Evaluation,
    map: &LocationMap,
    finding: &Finding,
    asset: &AssetName,
) -> FindingStatus {
    let (remedy, reason) = match finding.verdict {
        Verdict::Misplaced(remedy) => (remedy, None),
        Verdict::Held(remedy, reason) => (remedy, Some(reason)),
        // No finding is made of these.
        Verdict::InPlace | Verdict::Ignored(_) => (Remedy::Advice, None),
    };
    let (history, rules) = (context.history, &context.policy.disruption);
    let topology = &context.view.topology;
    let remembered = history.assets.get(asset);
    let cooling = history.blocked_by(asset, rules, context.now) == Some(FindingReason::CoolingDown);
    FindingStatus {
        check: match finding.asset {
            AssetIx::Stream(_) => Check::StreamLeaderMisplaced,
            AssetIx::Consumer(_, _) => Check::ConsumerLeaderMisplaced,
        },
        stream: Some(asset.stream.to_string()),
        consumer: asset.consumer.as_ref().map(ToString::to_string),
        leader: finding
            .leader
            .and_then(|leader| Some(topology.get(leader)?.name.to_string())),
        location: finding
            .leader
            .and_then(|leader| map.of(leader))
            .map(ToString::to_string),
        home: evaluation.homes.differing(finding.asset).map(ToString::to_string),
        remedy,
        reason,
        message: explain(context, evaluation, finding),
        since: None,
        attempts: remembered.map_or(0, |past| i32::try_from(past.attempts).unwrap_or(i32::MAX)),
        next_attempt_time: history
            .cooling_until(asset, rules, context.now)
            .filter(|_| cooling)
            .map(Time),
    }
}

#[cfg(test)]
mod tests;
