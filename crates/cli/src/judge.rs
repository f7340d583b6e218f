//! Judges one look by a policy. Pure.
//!
//! Decides by the same functions as the engine's rounds. A single look cannot wait for `home.stabilizationWindow`: if
//! the status does not record since when a location is home, the look itself decides, and
//! [`Assessment::home_from_this_look`] is set. What is shown, and in which order, is decided elsewhere.

// Server data comes here: no sum may overflow and no index may be out of range.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

#[cfg(test)]
pub mod fixtures;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use leeward_api::policy_status::{Account, PlacementPolicyStatus};
use leeward_api::vocabulary::ActionType;
use leeward_core::action::{Action, ActionKind};
use leeward_core::asset::{asset_index, asset_name};
use leeward_core::conflict::outranked;
use leeward_core::context::DecisionContext;
use leeward_core::decide::{Decision, decide};
use leeward_core::evaluate::{Evaluation, Finding};
use leeward_core::forecast::{Forecast, forecast};
use leeward_core::history::History;
use leeward_core::limits::Limits;
use leeward_core::names::AssetName;
use leeward_core::policy::{Mode, Policy};
use leeward_core::proposal::Proposal;
use leeward_core::propose::propose;
use leeward_core::report::Report;
use leeward_core::sampling::{next_samplings, unconfirmed};
use leeward_core::snapshot::AccountView;
use leeward_core::usage::Sampling;
use leeward_engine::policy_worker::status_of_account;

use crate::document::{ActionPart, DocumentHeader, FindingPart, ReasonText};
use crate::exit::LookOutcome;
use crate::loaded_policy::{LoadedPolicy, PolicyOrigin, name_of};
use crate::look::Looked;

/// A look is valid for this long: its servers may have been waited for.
const STALE_AFTER: Duration = Duration::from_mins(5);
/// A mere look was denied nothing.
static NOTHING_DENIED: BTreeSet<ActionType> = BTreeSet::new();

/// A look, judged.
#[derive(Debug)]
pub struct Assessment<'a> {
    /// By this policy.
    pub loaded: &'a LoadedPolicy,
    /// The same as applied: with no stabilization window if no home is recorded, and with all findings.
    pub policy: Policy,
    /// Of this look.
    pub seen: &'a Looked,
    /// At this moment.
    pub now: Timestamp,
    /// What the policy's status remembers of this account.
    pub history: History,
    /// Whether the status records no home, so that this look alone decided.
    pub home_from_this_look: bool,
    /// The decision.
    pub decision: Decision,
    /// What would be done, and when; computed at first use.
    pub forecast: OnceCell<Forecast>,
    /// What budgets, windows and the circuit breaker allow now.
    pub limits: Limits,
    /// The report, with all findings.
    pub report: Report,
    /// The policy that acts instead on streams that both select, if there is one.
    pub outranked_by: Option<String>,
}

/// Judges a look by all policies, in the order of their rank.
pub fn judge<'a>(policies: &'a [LoadedPolicy], seen: &'a Looked, now: Timestamp) -> Vec<Assessment<'a>> {
    let ranked: Vec<&Policy> = policies.iter().map(|loaded| &loaded.policy).collect();
    let winners = outranked(&seen.view, &ranked);
    policies
        .iter()
        .zip(winners)
        .map(|(loaded, winner)| {
            let winner = winner.and_then(|(above, _)| policies.get(above));
            judge_by(loaded, seen, now, winner.map(name_of))
        })
        .collect()
}

/// Whose use should be sampled next so that a look decides as the engine would, the most urgent first.
pub fn samplings(policies: &[LoadedPolicy], seen: &Looked) -> Vec<Sampling> {
    let now = seen.view.observed_at;
    let mut all: Vec<Sampling> = Vec::new();
    for loaded in policies {
        let judged = judge_by(loaded, seen, now, None);
        let context = DecisionContext {
            usage: Some(&seen.usage),
            ..judged.context()
        };
        let evaluation = &judged.decision.evaluation;
        let due = if seen.usage.is_empty() {
            next_samplings(&context, evaluation)
        } else {
            unconfirmed(&context, evaluation)
        };
        for sampling in due {
            // Policies with other locations differ in where they would listen.
            if !all.iter().any(|one| one.stream == sampling.stream) {
                all.push(sampling);
            }
        }
    }
    all
}

fn judge_by<'a>(
    loaded: &'a LoadedPolicy,
    seen: &'a Looked,
    now: Timestamp,
    outranked_by: Option<String>,
) -> Assessment<'a> {
    let nothing = PlacementPolicyStatus::default();
    let past = status_of_account(&loaded.past, &seen.account.id).unwrap_or(&nothing);
    let home_from_this_look = past.home.is_none();
    let policy = as_applied(loaded, &seen.view, home_from_this_look);
    let history = history(past, &policy, seen, now);
    let context = context(loaded, &policy, seen, &history, now);
    let decision = decide(&context);
    let report = decision.report(&context, &past.findings);
    let limits = Limits::new(&policy, &history, &decision.evaluation, now);
    Assessment {
        loaded,
        limits,
        policy,
        seen,
        now,
        history,
        home_from_this_look,
        decision,
        forecast: OnceCell::new(),
        report,
        outranked_by,
    }
}

fn as_applied(loaded: &LoadedPolicy, view: &AccountView, home_from_this_look: bool) -> Policy {
    let mut policy = loaded.policy.clone();
    policy.max_findings = usize::MAX;
    if home_from_this_look {
        policy.home.stabilization_window = Duration::ZERO;
    }
    // No status records the homes of single streams.
    policy.home.stream_stabilization_window = Duration::ZERO;
    // Where nobody watched traffic, it cannot be weighed.
    if view.streams.iter().all(|stream| stream.message_rate.is_none()) {
        policy.disruption.max_payback = None;
    }
    if loaded.origin == PolicyOrigin::Defaults {
        // Nobody chose a mode, so none is shown.
        policy.mode = Mode::Enforce;
    }
    policy
}

/// As the engine has it at the start of a round.
fn history(past: &PlacementPolicyStatus, policy: &Policy, seen: &Looked, now: Timestamp) -> History {
    let token = policy.reset_token.as_deref();
    let mut history = History::restore(past, token, now);
    history.reset(token);
    history.prune(&policy.disruption, now);
    history.forget_deleted(&seen.view);
    history
}

fn context<'a>(
    loaded: &'a LoadedPolicy,
    policy: &'a Policy,
    seen: &'a Looked,
    history: &'a History,
    now: Timestamp,
) -> DecisionContext<'a> {
    DecisionContext {
        view: &seen.view,
        policy,
        now,
        stale_after: STALE_AFTER,
        usage: Some(&seen.usage).filter(|usage| !usage.is_empty()),
        history,
        owners: &loaded.owners,
        denied: &NOTHING_DENIED,
        approved: loaded.approved.as_ref(),
    }
}

impl Assessment<'_> {
    /// What the decision depends on.
    pub fn context(&self) -> DecisionContext<'_> {
        context(self.loaded, &self.policy, self.seen, &self.history, self.now)
    }

    /// What would be done, and when.
    pub fn forecast(&self) -> &Forecast {
        self.forecast
            .get_or_init(|| forecast(&self.context(), &self.decision))
    }

    /// What the plan proposes.
    pub fn proposal(&self) -> Proposal {
        propose(&self.context(), &self.decision.evaluation)
    }

    /// Ids of plans of the policy that ended.
    pub fn spent_plans(&self) -> &[String] {
        let approval = self.past().and_then(|past| past.approval.as_ref());
        approval.map_or(&[], |approval| &approval.spent)
    }

    /// The policy's status, if it is of this account.
    pub fn past(&self) -> Option<&PlacementPolicyStatus> {
        status_of_account(&self.loaded.past, &self.seen.account.id)
    }

    /// The header of its document.
    pub fn about(&self) -> DocumentHeader {
        let account = &self.seen.account;
        DocumentHeader {
            policy: name_of(self.loaded),
            account: Account {
                id: account.id.to_string(),
                name: Some(account.name.clone()).filter(|name| !name.is_empty()),
            },
            outranked_by: self.outranked_by.clone(),
            observed: ReasonText::of(&self.report.observed),
            home_from_this_look: self.home_from_this_look,
        }
    }

    /// The outcome of a command that shows it. Locations without a leader of their own are no failure: no leader can be
    /// everywhere.
    pub fn found(&self) -> LookOutcome {
        let Evaluation {
            streams, consumers, ..
        } = &self.decision.evaluation;
        if !self.decision.evaluation.conclusive() || self.home_is_missing() {
            LookOutcome::Incomplete
        } else if [streams, consumers]
            .iter()
            .any(|of| of.misplaced > 0 || of.held > 0)
        {
            LookOutcome::Findings
        } else {
            LookOutcome::InPlace
        }
    }

    /// Whether assets are selected and all was seen, but no location is home: then it is unknown whether any is in
    /// place.
    pub fn home_is_missing(&self) -> bool {
        let evaluation = &self.decision.evaluation;
        let selected = [evaluation.streams, evaluation.consumers];
        let selected = selected.iter().any(|of| of.total > of.ignored);
        selected && evaluation.conclusive() && !evaluation.has_homes()
    }

    /// All findings, the greatest gain first, those that are about no asset last.
    pub fn findings(&self) -> Vec<FindingPart> {
        let view = &self.seen.view;
        let gains: BTreeMap<AssetName, f32> = self
            .decision
            .evaluation
            .findings
            .iter()
            .filter_map(|finding| Some((asset_name(view, finding.asset)?, finding.known_gain(view)?)))
            .collect();
        let gain_of =
            |stream: &String, consumer: Option<&str>| gains.get(&AssetName::of(stream, consumer)).copied();
        let part = |finding: &leeward_api::policy_status::Finding| FindingPart {
            gain: finding
                .stream
                .as_ref()
                .and_then(|stream| gain_of(stream, finding.consumer.as_deref())),
            finding: finding.clone(),
        };
        self.report.findings.iter().map(part).collect()
    }

    /// An action with its cost and gain, including consumers that come along.
    pub fn action(&self, action: &Action) -> ActionPart {
        let asset = &action.asset;
        let moving = match &action.kind {
            ActionKind::Move(moving) => Some(moving),
            ActionKind::StepDown(_) => None,
        };
        let at = asset_index(&self.seen.view, asset);
        let comes_along = |finding: &&Finding| {
            let is_of_stream = at.is_some_and(|at| at.stream() == finding.asset.stream());
            moving.is_some() && finding.follows_stream() && is_of_stream
        };
        let all = self.decision.evaluation.findings.iter();
        let followers: Vec<&Finding> = all.clone().filter(comes_along).collect();
        let own = all.filter(|finding| Some(finding.asset) == at);
        let gains = own.chain(followers.iter().copied());
        ActionPart {
            action: action.action_type(),
            stream: asset.stream.to_string(),
            consumer: asset.consumer.as_ref().map(ToString::to_string),
            from: action.from.to_string(),
            to: match moving {
                Some(moving) => Some(moving.target.location.to_string()),
                None => action.target().map(ToString::to_string),
            },
            bytes: moving.map(|moving| moving.cost.bytes),
            seconds: moving.map(|moving| moving.cost.time.as_secs_f64()),
            stall_seconds: moving.map(|moving| moving.cost.stall.as_secs_f64()),
            followers: moving.map(|_| followers.len()),
            gain: gains
                .filter_map(|finding| finding.known_gain(&self.seen.view))
                .reduce(|sum, gain| sum + gain),
        }
    }
}

#[cfg(test)]
mod tests;
