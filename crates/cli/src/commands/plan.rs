//! `leeward plan`: what would be done, in order and when, and what stays where it is and why. Nothing is changed.

pub(super) mod table;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use leeward_api::policy_status::Finding;
use leeward_api::vocabulary::{Check, FindingReason, Remedy};
use leeward_core::asset::asset_name;
use leeward_core::forecast::Forecast;
use leeward_core::names::AssetName;

use crate::args::PlanArgs;
use crate::commands::{looked, worst};
use crate::document::{CutPart, PlanDocument, PolicyPlan, ProposedPart, WavePart};
use crate::exit::LookOutcome;
use crate::judge::{Assessment, judge, samplings};
use crate::loaded_policy::{LoadedPolicy, name_of};
use crate::look::Looked;
use crate::output;

/// Runs the command.
pub fn run(args: &PlanArgs) -> anyhow::Result<LookOutcome> {
    let (policies, seen) = looked(&args.common, samplings)?;
    let (document, found) = document(&policies, &seen, Timestamp::now());
    output::print(args.common.output.format, &document, |document, screen| {
        table::render(document, args.limit, screen)
    })?;
    Ok(found)
}

/// The plans of all policies, the first in rank first.
fn document(policies: &[LoadedPolicy], seen: &Looked, now: Timestamp) -> (PlanDocument, LookOutcome) {
    let judged = judge(policies, seen, now);
    let plans = judged.iter().map(planned).collect();
    (PlanDocument { time: now, plans }, worst(&judged))
}

/// The plan of one policy.
pub(super) fn planned(judged: &Assessment<'_>) -> PolicyPlan {
    let waves: Vec<WavePart> = judged
        .forecast()
        .waves
        .iter()
        .map(|wave| WavePart {
            time: wave.at,
            actions: wave.actions.iter().map(|action| judged.action(action)).collect(),
        })
        .collect();
    let cut = judged.forecast().cut.as_ref();
    let proposal = judged.proposal();
    let proposed = proposal.actions.iter();
    let identity = judged.loaded.plan_identity();
    PolicyPlan {
        about: judged.about(),
        id: proposal.id(
            identity.as_deref().unwrap_or(&name_of(judged.loaded)),
            &judged.seen.account.id,
            judged.spent_plans(),
        ),
        identity: identity.clone(),
        proposed: proposed
            .map(|(asset, action)| ProposedPart::new(asset, action))
            .collect(),
        home: judged.report.home.clone(),
        no_home: judged.home_is_missing().then(|| judged.report.in_place.1.clone()),
        held: stays(judged),
        waves,
        cut: cut.map(|cut| CutPart {
            time: cut.at,
            waiting: cut.waiting.len(),
        }),
        budgets: judged.limits.budgets.clone(),
        windows: judged.limits.windows.clone(),
    }
}

/// Misplaced assets that no action of the plan brings home, however far it looks ahead.
fn stays(judged: &Assessment<'_>) -> Vec<Finding> {
    let Forecast { waves, never, cut } = judged.forecast();
    let view = &judged.seen.view;
    let actions = waves.iter().flat_map(|wave| &wave.actions);
    let planned: BTreeSet<AssetName> = actions.map(|action| action.asset.clone()).collect();
    let waiting = cut.iter().flat_map(|cut| &cut.waiting);
    let later: BTreeSet<AssetName> = waiting
        .filter_map(|(asset, _)| asset_name(view, *asset))
        .collect();
    let never: BTreeMap<AssetName, FindingReason> = never
        .iter()
        .filter_map(|(asset, reason)| Some((asset_name(view, *asset)?, *reason)))
        .collect();
    let stays = |mut finding: Finding| {
        let stream = finding.stream.as_deref().filter(|_| is_of_asset(finding.check))?;
        let asset = AssetName::of(stream, finding.consumer.as_deref());
        let follows = finding.remedy == Remedy::FollowsStream
            && planned.contains(&AssetName::stream(asset.stream.clone()));
        if follows || planned.contains(&asset) || later.contains(&asset) {
            return None;
        }
        finding.reason = finding.reason.or_else(|| never.get(&asset).copied());
        Some(finding)
    };
    let findings = judged.findings().into_iter();
    findings.filter_map(|part| stays(part.finding)).collect()
}

/// Whether a finding is about a leader.
pub(super) fn is_of_asset(check: Check) -> bool {
    match check {
        Check::StreamLeaderMisplaced | Check::ConsumerLeaderMisplaced => true,
        Check::NoLocalLeader | Check::HighGatewayShare | Check::SeveralLocations => false,
    }
}

#[cfg(test)]
mod tests;
