//! Evaluations in words: counts, findings, conditions and advice, as status, events and the command line show them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use leeward_api::policy_status::{
    Advice, AssetCounts, Finding as FindingStatus, GatewayStatus, HomeStatus, LocationStatus, MAX_ADVICE,
    MAX_LOCATIONS,
};
use leeward_api::vocabulary::{
    AdviceKind, Check, FindingReason, InPlaceReason, ObservedReason, ReasonClass, Remedy,
};

use crate::demand::Home;
use crate::evaluate::{
    AssetIx, Circumstances, Counts, Cure, Evaluation, Finding, Leaders, Verdict, asset_name,
};
use crate::explain::{explain, gap_text};
use crate::names::{AssetName, Location};
use crate::policy::{Mode, Policy};
use crate::snapshot::{AccountView, Gap, Traffic};
use crate::topology::LocationMap;

/// A location with fewer connections is no place to miss a leader at.
const LOCAL_LEADER_CONNECTIONS: u32 = 5;
/// Nor one with a smaller share of the account's connections, in percent.
const LOCAL_LEADER_PERCENT: u8 = 10;
/// Bytes that cross gateways are worth a finding from this share on, in percent.
const HIGH_GATEWAY_PERCENT: u64 = 30;
/// And from this many bytes on.
const HIGH_GATEWAY_BYTES: u64 = 1_048_576;

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
    /// What could help where no leader can.
    pub advice: Vec<Advice>,
}

/// Puts an evaluation in words. `previous` lends the findings their `since`.
pub fn report(
    view: &AccountView,
    policy: &Policy,
    circumstances: &Circumstances<'_>,
    evaluation: &Evaluation,
    previous: &[FindingStatus],
) -> Report {
    let locations = locations(view, policy, evaluation);
    let (findings, findings_omitted) =
        findings(view, policy, circumstances, evaluation, &locations, previous);
    Report {
        observed: observed(evaluation),
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
    let Some(first) = evaluation.gaps.first() else {
        return if evaluation.stale {
            (
                ObservedReason::Stale,
                "the last complete observation is too old to act on".into(),
            )
        } else {
            (ObservedReason::Complete, "every server answered".into())
        };
    };
    let reason = match first {
        Gap::Disconnected { .. } => ObservedReason::Disconnected,
        Gap::WarmingUp => ObservedReason::WarmingUp,
        Gap::ServerMissing { .. }
        | Gap::ServersUncounted { .. }
        | Gap::Denied { .. }
        | Gap::Unreadable { .. } => ObservedReason::ServersMissing,
    };
    let mut texts: Vec<String> = evaluation.gaps.iter().take(5).map(gap_text).collect();
    if evaluation.gaps.len() > texts.len() {
        texts.push(format!("and {} more", evaluation.gaps.len() - texts.len()));
    }
    (reason, texts.join("; "))
}

fn in_place(policy: &Policy, evaluation: &Evaluation) -> (InPlaceReason, String) {
    let sum = |count: fn(&Counts) -> u32| count(&evaluation.streams) + count(&evaluation.consumers);
    let (misplaced, held) = (sum(|counts| counts.misplaced), sum(|counts| counts.held));
    let judged = sum(|counts| counts.total) - sum(|counts| counts.ignored);
    if judged == 0 && evaluation.conclusive() {
        return (
            InPlaceReason::NothingSelected,
            "no stream or durable consumer is selected".into(),
        );
    }
    match &evaluation.home {
        None => {
            return (
                InPlaceReason::NoMajority,
                "home is unknown: the observation is incomplete".into(),
            );
        }
        Some(Home::NoMajority { why, settled: _ }) => {
            return (InPlaceReason::NoMajority, format!("no location is home: {why}"));
        }
        Some(Home::Stabilizing {
            challenger,
            until,
            since: _,
            settled: _,
        }) => {
            let text = format!("{challenger} becomes home at {until} if it goes on leading until then");
            if misplaced + held > 0 {
                return (InPlaceReason::Held, text);
            }
        }
        Some(Home::Settled {
            location: _,
            since: _,
        }) => {}
    }
    if misplaced > 0 {
        let acting = match policy.mode {
            Mode::Enforce => "",
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
    let (location, since, stable) = match evaluation.home.as_ref() {
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
    let led_at_all = evaluation.streams.total > 0;
    let row = |location: &Location| {
        let leaders: Leaders = evaluation.leaders.get(location).copied().unwrap_or_default();
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
                && leaders.streams == 0
                && connections >= LOCAL_LEADER_CONNECTIONS
                && percent >= LOCAL_LEADER_PERCENT,
        }
    };
    map.locations().iter().take(MAX_LOCATIONS).map(row).collect()
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
    evaluation.home.as_ref()?.reference()?;
    let (streams, consumers) = (evaluation.streams, evaluation.consumers);
    let judged = streams.total + consumers.total - streams.ignored - consumers.ignored;
    Some(format!("{}/{judged}", streams.in_place + consumers.in_place))
}

fn findings(
    view: &AccountView,
    policy: &Policy,
    circumstances: &Circumstances<'_>,
    evaluation: &Evaluation,
    locations: &[LocationStatus],
    previous: &[FindingStatus],
) -> (Vec<FindingStatus>, usize) {
    let map = LocationMap::new(&view.topology, &policy.topology);
    let mut general = general_findings(view, locations);
    let all = evaluation.findings.len() + general.len();
    let mut order: Vec<&Finding> = evaluation.findings.iter().collect();
    // Ties break by position, so the sort may be unstable.
    order.sort_unstable_by(|a, b| b.gain.total_cmp(&a.gain).then(a.asset.cmp(&b.asset)));
    let assets = order.into_iter().take(policy.max_findings).filter_map(|finding| {
        let asset = asset_name(view, finding.asset)?;
        Some(finding_status(
            view,
            policy,
            circumstances,
            evaluation,
            &map,
            finding,
            &asset,
        ))
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
        finding.since = since.or(Some(Time(circumstances.now)));
    }
    let omitted = all - listed.len();
    (listed, omitted)
}

fn finding_status(
    view: &AccountView,
    policy: &Policy,
    circumstances: &Circumstances<'_>,
    evaluation: &Evaluation,
    map: &LocationMap,
    finding: &Finding,
    asset: &AssetName,
) -> FindingStatus {
    let (cure, reason) = match finding.verdict {
        Verdict::Misplaced(cure) => (Some(cure), None),
        Verdict::Held(cure, reason) => (Some(cure), Some(reason)),
        Verdict::InPlace | Verdict::Ignored(_) => (None, None),
    };
    let (history, rules) = (circumstances.history, &policy.disruption);
    let remembered = history.assets.get(asset);
    let cooling = history.stands_against(asset, rules, circumstances.now) == Some(FindingReason::CoolingDown);
    FindingStatus {
        check: match finding.asset {
            AssetIx::Stream(_) => Check::StreamLeaderMisplaced,
            AssetIx::Consumer(_, _) => Check::ConsumerLeaderMisplaced,
        },
        stream: Some(asset.stream.to_string()),
        consumer: asset.consumer.as_ref().map(ToString::to_string),
        leader: finding
            .leader
            .and_then(|leader| Some(view.topology.get(leader)?.name.to_string())),
        location: finding
            .leader
            .and_then(|leader| map.of(leader))
            .map(ToString::to_string),
        remedy: remedy(cure, finding.asset),
        reason,
        message: explain(view, policy, circumstances, evaluation, finding),
        since: None,
        attempts: remembered.map_or(0, |past| i32::try_from(past.attempts).unwrap_or(i32::MAX)),
        next_attempt_time: history
            .cooling_until(asset, rules, circumstances.now)
            .filter(|_| cooling)
            .map(Time),
    }
}

fn remedy(cure: Option<Cure>, asset: AssetIx) -> Remedy {
    match (cure, asset) {
        (None, _) => Remedy::None,
        (Some(Cure::StepDown), AssetIx::Stream(_)) => Remedy::StreamStepDown,
        (Some(Cure::StepDown), AssetIx::Consumer(_, _)) => Remedy::ConsumerStepDown,
        (Some(Cure::Move), _) => Remedy::StreamPlacement,
        (Some(Cure::FollowStream), _) => Remedy::FollowsStream,
    }
}

/// Findings about locations and the account, not about one asset.
fn general_findings(view: &AccountView, locations: &[LocationStatus]) -> Vec<FindingStatus> {
    let blank = |check, location: Option<&str>, message| FindingStatus {
        check,
        stream: None,
        consumer: None,
        leader: None,
        location: location.map(str::to_owned),
        remedy: Remedy::Advice,
        reason: None,
        message,
        since: None,
        attempts: 0,
        next_attempt_time: None,
    };
    let lonely = locations.iter().filter(|location| location.no_local_leader).map(|location| {
        let message = format!(
            "{} connections ({} %) and no stream leader: every publish from here crosses to another location",
            location.connections, location.percent
        );
        blank(Check::NoLocalLeader, Some(location.name.as_str()), message)
    });
    let crossing = view.traffic.filter(|traffic| {
        traffic.gateway_bytes >= HIGH_GATEWAY_BYTES
            && traffic.gateway_bytes.saturating_mul(100) >= traffic.bytes.saturating_mul(HIGH_GATEWAY_PERCENT)
    });
    let crossing = crossing.map(|traffic| {
        let percent = gateway_percent(traffic);
        blank(
            Check::HighGatewayShare,
            None,
            format!("{percent} % of the account's bytes cross gateways"),
        )
    });
    lonely.chain(crossing).collect()
}

/// What a stream keeps for later crosses at another time than clients exchange it, and counters are read at slightly
/// different moments: never more than all.
fn gateway_percent(traffic: Traffic) -> u8 {
    let percent = traffic.gateway_bytes.saturating_mul(100) / traffic.bytes.max(1);
    u8::try_from(percent.min(100)).unwrap_or(100)
}

fn gateway(view: &AccountView) -> Option<GatewayStatus> {
    let traffic = view.traffic?;
    let per_second = traffic.gateway_bytes.saturating_mul(1000) / traffic.span_milliseconds.max(1);
    Some(GatewayStatus {
        percent: gateway_percent(traffic).into(),
        bytes_per_second: i64::try_from(per_second).unwrap_or(i64::MAX),
    })
}

/// A location other than home without a leader is served best by a mirror of the busiest stream.
fn advice(
    view: &AccountView,
    policy: &Policy,
    evaluation: &Evaluation,
    locations: &[LocationStatus],
) -> Vec<Advice> {
    let rate = |rate: Option<f32>| rate.unwrap_or(0.0);
    let selected = view
        .streams
        .iter()
        .filter(|stream| policy.streams.selects(stream));
    let busiest = selected.max_by(|a, b| {
        rate(a.message_rate)
            .total_cmp(&rate(b.message_rate))
            .then_with(|| b.name.cmp(&a.name))
    });
    let Some(stream) = busiest else { return Vec::new() };
    let home = evaluation
        .home
        .as_ref()
        .and_then(Home::reference)
        .map(Location::as_str);
    let lonely = locations.iter().filter(|location| location.no_local_leader);
    lonely
        .filter(|location| Some(location.name.as_str()) != home)
        .take(MAX_ADVICE)
        .map(|location| Advice {
            kind: AdviceKind::Mirror,
            stream: stream.name.to_string(),
            location: location.name.clone(),
            message: format!(
                "a mirror of {} placed in {} would let its clients read there",
                stream.name, location.name
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests;
