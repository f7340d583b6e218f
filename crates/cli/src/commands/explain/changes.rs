//! What would change a decision: the runbook of its reason, and what is known of this case.

use itertools::Itertools as _;
use jiff::Timestamp;
use leeward_api::vocabulary::runbook::Explained;
use leeward_api::vocabulary::{FindingReason, InPlaceReason, Remedy};
use leeward_core::asset::asset_index;
use leeward_core::demand::{Home, Tally};
use leeward_core::homes::AssetHome;
use leeward_core::names::Location;
use leeward_core::policy::{HomeRules, Mode, OnNoMajority, Strategy, WeightBy};
use leeward_core::usage::StreamUse;

use super::answer::{AssessedAsset, AssetStanding};
use crate::loaded_policy::{PolicyOrigin, name_of};
use crate::output::amount;

/// Sentences, the most direct change first.
pub(super) fn changes(
    subject: &AssessedAsset<'_>,
    stands: AssetStanding<'_>,
    action_time: Option<Timestamp>,
) -> Vec<String> {
    let mut sentences = Vec::from_iter(following(subject, stands));
    match stands {
        AssetStanding::NotSelected => sentences.push(selection(subject)),
        AssetStanding::Ignored(reason) => sentences.push(reason.runbook().act.to_owned()),
        AssetStanding::Undecided => sentences.push(undecided(subject)),
        AssetStanding::InPlace => {}
        AssetStanding::Misplaced(..) => sentences.push(order(subject)),
        AssetStanding::Held(_, _, reason) => {
            sentences.extend(waiting(subject, reason, action_time));
            sentences.push(reason.runbook().act.to_owned());
        }
    }
    let judged = match stands {
        AssetStanding::NotSelected | AssetStanding::Ignored(_) | AssetStanding::Undecided => false,
        AssetStanding::InPlace | AssetStanding::Misplaced(..) | AssetStanding::Held(..) => true,
    };
    if judged {
        sentences.extend(another_home(subject));
    }
    sentences
}

fn selection(subject: &AssessedAsset<'_>) -> String {
    let policy = name_of(subject.judged.loaded);
    match (
        &subject.asset.consumer,
        subject.judged.policy.streams.selects(subject.stream),
    ) {
        (Some(consumer), true) => format!(
            "Name {consumer} under consumers.include of policy {policy}, or take it out of consumers.exclude."
        ),
        (_, _) => format!(
            "Name {} under streams.include of policy {policy}, or take it out of streams.exclude; streams.metadata has \
             to match too.",
            subject.stream.name
        ),
    }
}

fn undecided(subject: &AssessedAsset<'_>) -> String {
    let judged = subject.judged;
    let runbook = if judged.decision.evaluation.conclusive() {
        InPlaceReason::NoMajority.runbook()
    } else {
        judged.report.observed.0.runbook()
    };
    runbook.act.to_owned()
}

/// A consumer that goes where its stream goes.
fn following(subject: &AssessedAsset<'_>, stands: AssetStanding<'_>) -> Option<String> {
    (stands.remedy() == Some(Remedy::FollowsStream)).then(|| {
        let stream = &subject.stream.name;
        format!("It comes along when its stream moves: leeward explain {stream}")
    })
}

/// What would start it, for what is movable now.
fn order(subject: &AssessedAsset<'_>) -> String {
    let judged = subject.judged;
    if let Some(other) = &judged.outranked_by {
        return format!(
            "Policy {other} acts instead, since both select some of the same streams: select each stream by one policy, or \
             raise the priority of this one."
        );
    }
    let in_kubernetes = judged.loaded.origin == PolicyOrigin::Kubernetes;
    match judged.loaded.policy.mode {
        Mode::Suspended => "The policy is suspended: set suspend to false.".to_owned(),
        Mode::Enforce if in_kubernetes => "Nothing stands against it: the operator does it.".to_owned(),
        Mode::Propose if in_kubernetes => {
            "The operator does it once its plan is approved: kubectl get plan lists them.".to_owned()
        }
        Mode::Observe if in_kubernetes => {
            "The policy's mode is Observe: set it to Propose or Enforce and the operator does it, or run leeward apply."
                .to_owned()
        }
        Mode::Enforce | Mode::Propose | Mode::Observe => "Nothing stands against it: leeward apply does it.".to_owned(),
    }
}

/// When it may be tried, as far as that is known.
fn waiting(
    subject: &AssessedAsset<'_>,
    reason: FindingReason,
    action_time: Option<Timestamp>,
) -> Option<String> {
    let judged = subject.judged;
    let at = asset_index(&judged.seen.view, subject.asset)?;
    let becomes_home = match (reason, judged.decision.evaluation.homes.of(at)) {
        (FindingReason::Stabilizing, Some(Home::Stabilizing { until, .. })) => Some(*until),
        _ => None,
    };
    let rules = &judged.policy.disruption;
    let cooled = || judged.history.cooling_until(subject.asset, rules, judged.now);
    let cooled = (reason == FindingReason::CoolingDown).then(cooled).flatten();
    let at = action_time.or(becomes_home).or(cooled)?;
    let when = amount::in_time(at, judged.now);
    Some(format!("Time: {when}, if everything else stays as it is."))
}

/// By how much clients have to move for another location to become home.
fn another_home(subject: &AssessedAsset<'_>) -> Option<String> {
    let judged = subject.judged;
    let homes = &judged.decision.evaluation.homes;
    let own = asset_index(&judged.seen.view, subject.asset).and_then(|at| Some((at, homes.own(at)?)));
    if let Some((at, AssetHome::Own { used, home: _ })) = own {
        return Some(majority_of_use(
            &judged.loaded.policy.home,
            used,
            homes.reference(at)?,
        ));
    }
    let home = homes.account_location()?;
    // As the policy is written, with its stabilization window.
    let rules = &judged.loaded.policy.home;
    let preferred = rules.on_no_majority == OnNoMajority::UsePreferences;
    match rules.strategy {
        Strategy::Preferred => Some(format!(
            "Another home: it is the first of home.preferences that is up ({}).",
            rules.preferences.iter().join(", ")
        )),
        Strategy::ClientMajority => {
            let fallback = if preferred {
                format!(
                    " Without a majority it is the first of {} that is up.",
                    rules.preferences.iter().join(", ")
                )
            } else {
                String::new()
            };
            Some(majority(rules, &judged.decision.evaluation.tally, home) + &fallback)
        }
    }
}

/// By how much the clients that use it have to move.
fn majority_of_use(rules: &HomeRules, used: &StreamUse, home: &Location) -> String {
    let others = used.locations.iter().filter(|(location, _)| *location != home);
    let next = others.max_by_key(|(_, row)| row.percent).map(|(location, row)| {
        let percent = amount::percent(row.percent.into());
        format!(" ({location} has {percent} now)")
    });
    format!(
        "Another home: a location with at least {} of its messages that leads {home} by {} points{}{}.",
        amount::percent(rules.majority_percent.into()),
        rules.hysteresis_percent,
        lasting(rules),
        next.unwrap_or_default()
    )
}

fn lasting(rules: &HomeRules) -> String {
    if rules.stabilization_window.is_zero() {
        String::new()
    } else {
        format!(", for {}", amount::about(rules.stabilization_window))
    }
}

fn majority(rules: &HomeRules, tally: &Tally, home: &Location) -> String {
    let weight = match rules.weight_by {
        WeightBy::Connections => "connections",
        WeightBy::Messages => "messages",
        WeightBy::Bytes => "bytes",
    };
    let next = tally
        .rows
        .keys()
        .filter(|location| *location != home)
        .max_by_key(|location| tally.percent(location))
        .map(|location| {
            format!(
                " ({location} has {} now)",
                amount::percent(tally.percent(location).into())
            )
        });
    format!(
        "Another home: a location with at least {} of the clients' {weight} that leads {home} by {} points{}{}.",
        amount::percent(rules.majority_percent.into()),
        rules.hysteresis_percent,
        lasting(rules),
        next.unwrap_or_default()
    )
}
