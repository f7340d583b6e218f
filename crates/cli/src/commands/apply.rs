//! `leeward apply`: carries out what a plan would begin now, after asking, and shows the results.
//!
//! Running the command is the consent to act, so a policy's mode does not matter; suspended or outranked policies do
//! not act. The engine acts: this module sets what it may do, and decides when nothing is left.

mod ask;
mod execution;
mod progress;
mod saved_plan;
mod table;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use jiff::Timestamp;
use leeward_api::policy_status::{Account, PlacementPolicyStatus};
use leeward_core::action::Action;
use leeward_core::asset::asset_index;
use leeward_core::names::AssetName;
use leeward_core::policy::Mode;
use leeward_core::proposal::{Proposal, ProposedAction};
use leeward_engine::policy_state::PolicyState;
use leeward_engine::runner::{RunnerInput, stale_after};

use self::execution::{ApplyResult, PolicyApply};
use self::progress::ApplyProgress;
use self::saved_plan::SavedPlan;
use super::drive::{self, SystemContext};
use super::plan::{is_of_asset, planned};
use super::worst;
use crate::args::{ApplyArgs, CommonArgs, ConnectionArgs};
use crate::document::{ApplyDocument, PlanDocument, PolicyApplied, ReasonText};
use crate::exit::LookOutcome;
use crate::judge::{Assessment, judge, samplings};
use crate::loaded_policy::{LoadedPolicy, PolicyOrigin, SystemRules, name_of};
use crate::look::{LookTimeouts, Looked, Session};
use crate::{output, policies, runtime};

/// Without a sample only ends of operations trigger another look.
const UNSAMPLED: Duration = Duration::from_secs(10);

/// Of an object to which a stream belongs.
const NOT_PATCHED: &str = "only the operator patches";

/// Runs the command.
pub fn run(args: &ApplyArgs) -> anyhow::Result<LookOutcome> {
    runtime::block_on(apply(args))
}

async fn apply(args: &ApplyArgs) -> anyhow::Result<LookOutcome> {
    let CommonArgs {
        connection,
        policy,
        output,
    } = &args.common;
    let saved = args.plan.as_deref().map(SavedPlan::read).transpose()?;
    let mut subject = policies::read(connection, policy).await?;
    if let Some(saved) = &saved {
        saved.approve(&mut subject.policies)?;
    }
    for loaded in &mut subject.policies {
        loaded.owners = std::mem::take(&mut loaded.owners).unpatched(NOT_PATCHED);
    }
    let rules = drive::rules(&subject)?;
    refuse_suspended(&subject.policies, rules)?;
    let session = Session::open(
        &subject.connections,
        interval(connection),
        connection.wait.as_std(),
    )
    .await?;
    let mut seen = session.look(LookTimeouts::of(connection)).await;
    if !connection.sample.as_std().is_zero() {
        let choose = |seen: &Looked| samplings(&subject.policies, seen);
        session.sample(&mut seen, choose).await;
    }
    let judged = judge(&subject.policies, &seen, Timestamp::now());
    if let Some(saved) = &saved {
        saved.require_account(&judged)?;
    }
    let consent = ask::Consent {
        format: output.format,
        yes: args.yes || saved.is_some(),
    };
    let conclusive = judged
        .iter()
        .all(|judged| judged.decision.evaluation.conclusive());
    let (document, found) = if consent.given(&plan_of(&judged), conclusive)? {
        let ended = carry_out(&session, rules, &judged, connection).await?;
        conclude(&session, &subject.policies, &judged, ended)
    } else {
        (untouched(&judged), found_of_plan(&judged, worst(&judged)))
    };
    session.close().await;
    output::print(output.format, &document, table::render)?;
    Ok(found)
}

fn interval(connection: &ConnectionArgs) -> Duration {
    let sample = connection.sample.as_std();
    if sample.is_zero() { UNSAMPLED } else { sample }
}

fn refuse_suspended(policies: &[LoadedPolicy], rules: SystemRules) -> anyhow::Result<()> {
    if rules.suspended {
        bail!(
            "the NatsSystem is suspended, so nothing was done: set its spec.suspend to false to let policies act"
        );
    }
    for loaded in policies {
        if loaded.spec.suspend {
            let name = name_of(loaded);
            let remedy = match loaded.origin {
                PolicyOrigin::Kubernetes => format!("leeward resume {name} lets it act"),
                PolicyOrigin::File { .. } | PolicyOrigin::Defaults => {
                    "set spec.suspend to false to let it act".to_owned()
                }
            };
            bail!("policy {name} is suspended, so nothing was done: {remedy}");
        }
        if operator_acts(loaded) {
            ask::print(&format!(
                "Policy {} is in Enforce: the operator in Kubernetes acts on it as well.",
                name_of(loaded)
            ));
        }
    }
    Ok(())
}

/// Whether an operator is known to act on a policy.
fn operator_acts(loaded: &LoadedPolicy) -> bool {
    loaded.origin == PolicyOrigin::Kubernetes
        && loaded.policy.mode == Mode::Enforce
        && loaded.past.last_evaluation_time.is_some()
}

/// The plans to confirm, one per policy.
fn plan_of(judged: &[Assessment<'_>]) -> PlanDocument {
    PlanDocument {
        time: judged.first().map_or(Timestamp::UNIX_EPOCH, |judged| judged.now),
        plans: judged.iter().map(planned).collect(),
    }
}

/// What may begin now, and what follows as soon as that is done.
fn now<'a>(judged: &'a Assessment<'_>) -> Vec<&'a Action> {
    if judged.outranked_by.is_some() {
        return Vec::new();
    }
    let waves = judged.forecast().waves.iter();
    let begins = waves.take_while(|wave| wave.at <= judged.now);
    begins.flat_map(|wave| &wave.actions).collect()
}

/// What the engine may do: the shown actions, towards the shown homes; of a saved plan, from where it says.
fn approval(judged: &Assessment<'_>) -> Proposal {
    let (view, homes) = (&judged.seen.view, &judged.decision.evaluation.homes);
    let approved = |action: &Action| {
        let proposed = match &judged.loaded.approved {
            Some(saved) => saved.actions.get(&action.asset)?.clone(),
            // What follows an action may be led from elsewhere after it.
            None => ProposedAction {
                action: action.action_type(),
                from: None,
                to: homes.reference(asset_index(view, &action.asset)?)?.clone(),
            },
        };
        Some((action.asset.clone(), proposed))
    };
    Proposal {
        actions: now(judged).into_iter().filter_map(approved).collect(),
    }
}

/// Runs the engine on the planned actions only, until it has nothing left to do.
async fn carry_out(
    session: &Session,
    rules: SystemRules,
    judged: &[Assessment<'_>],
    connection: &ConnectionArgs,
) -> anyhow::Result<Vec<ApplyResult>> {
    let common = SystemContext::new(rules);
    let progress = ApplyProgress::new();
    let policy_runs = judged.iter().map(|judged| {
        let actions = now(judged);
        let mut policy = judged.policy.clone();
        policy.mode = Mode::Enforce;
        let input = RunnerInput {
            policy: Arc::new(policy),
            generation: judged.loaded.generation,
            stale_after: stale_after(interval(connection)),
            owners: Arc::new(judged.loaded.owners.clone()),
            inhibited: BTreeSet::new(),
            approved: Some(Arc::new(approval(judged))),
        };
        let from = drive::StartedFrom {
            past: judged.loaded.past.clone(),
            usage: judged.seen.usage.clone(),
        };
        let started = drive::start(session, &common, judged.loaded, from, false, input);
        PolicyApply::new(started, progress.of(&actions))
    });
    let external = execution::Surroundings {
        state: session.client.state(),
        wait: connection.wait.as_std(),
        moves: rules.limits.moves,
    };
    execution::follow(policy_runs.collect(), &external).await
}

/// What a new look finds after everything ended.
fn conclude(
    session: &Session,
    policies: &[LoadedPolicy],
    before: &[Assessment<'_>],
    ended: Vec<ApplyResult>,
) -> (ApplyDocument, LookOutcome) {
    let pasts = policies.iter().zip(before).zip(&ended);
    let policies: Vec<LoadedPolicy> = pasts
        .map(|((loaded, before), ended)| LoadedPolicy {
            past: with_what_was_done(before, ended.policy_state.as_deref()),
            ..loaded.clone()
        })
        .collect();
    let mut seen = session.newest();
    // Who uses streams is not sampled again: nothing else was done than what the samples asked for.
    seen.usage = before
        .first()
        .map(|before| before.seen.usage.clone())
        .unwrap_or_default();
    let time = Timestamp::now();
    let after = judge(&policies, &seen, time);
    let found = found_after(&ended, found_of_plan(&after, worst(&after)));
    let applied = before
        .iter()
        .zip(&after)
        .zip(ended)
        .map(|((before, after), ended)| applied(before, after, ended))
        .collect();
    (ApplyDocument { time, applied }, found)
}

/// Of a saved plan nothing else is asked than that all of it is done.
fn found_of_plan(after: &[Assessment<'_>], found: LookOutcome) -> LookOutcome {
    let saved = after.iter().any(|judged| judged.loaded.approved.is_some());
    if saved && found == LookOutcome::Findings && after.iter().all(saved_plan::is_done) {
        LookOutcome::InPlace
    } else {
        found
    }
}

/// What the last look found, if it began after everything had ended; an older one does not show what was done.
fn found_after(ended: &[ApplyResult], found: LookOutcome) -> LookOutcome {
    if ended.iter().all(|ended| ended.seen) {
        found
    } else {
        LookOutcome::Incomplete
    }
}

/// A policy's past status with what was done now, so that failed actions count as tried.
fn with_what_was_done(before: &Assessment<'_>, policy_state: Option<&PolicyState>) -> PlacementPolicyStatus {
    let mut past = before.past().cloned().unwrap_or_default();
    let account = &before.seen.account;
    past.account = Some(Account {
        id: account.id.to_string(),
        name: Some(account.name.clone()),
    });
    if let Some(policy_state) = policy_state {
        past.memory = Some(policy_state.memory.clone());
        past.operations.clone_from(&policy_state.operations);
        past.breaker.clone_from(&policy_state.limits.breaker);
        past.findings.clone_from(&policy_state.report.findings);
    }
    past
}

fn applied(before: &Assessment<'_>, after: &Assessment<'_>, ended: ApplyResult) -> PolicyApplied {
    let ApplyResult {
        done,
        tried,
        unwatched,
        ..
    } = ended;
    let begun =
        |asset: &AssetName| tried.contains(asset) || unwatched.iter().any(|other| other.asset == *asset);
    let findings = after.findings().into_iter().map(|part| part.finding);
    PolicyApplied {
        about: after.about(),
        plan: after.loaded.approved_id.clone(),
        done,
        left: now(before)
            .into_iter()
            .filter(|action| !begun(&action.asset))
            .map(|action| before.action(action))
            .collect(),
        left_out: saved_plan::left_out(after, begun),
        unwatched: unwatched.iter().map(|action| before.action(action)).collect(),
        in_place: ReasonText::of(&after.report.in_place),
        findings: findings.filter(|finding| is_of_asset(finding.check)).collect(),
    }
}

/// The document of a command that did nothing.
fn untouched(judged: &[Assessment<'_>]) -> ApplyDocument {
    let nothing = ApplyResult::default();
    ApplyDocument {
        time: judged.first().map_or(Timestamp::UNIX_EPOCH, |judged| judged.now),
        applied: judged
            .iter()
            .map(|judged| applied(judged, judged, nothing.clone()))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
