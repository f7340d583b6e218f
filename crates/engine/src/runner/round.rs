//! One round: evaluate, plan, publish; and when the next one is due.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leeward_api::policy_status::{MAX_OPERATIONS, RecentAction};
use leeward_api::vocabulary::{ActionResult, ActionType, FindingReason, ProgressingReason};
use leeward_core::approval::ProposalLook;
use leeward_core::asset::{AssetIx, asset_index, asset_name};
use leeward_core::context::DecisionContext;
use leeward_core::decide::{Decision, decide};
use leeward_core::demand::{Home, HomeHistory};
use leeward_core::evaluate::{Evaluation, Verdict};
use leeward_core::limits::{Limits, breaker};
use leeward_core::names::AssetName;
use leeward_core::policy::Mode;
use leeward_core::report::Report;
use leeward_core::safety::is_moving;
use leeward_core::sampling::next_samplings;
use leeward_core::snapshot::{AccountView, Consumer, Gap};
use leeward_core::time::{elapsed, later};
use tokio::time::Instant;

use super::proof::complete;
use super::{Loop, RunnerInput};
use crate::metrics::{Evaluated, RoundNumbers};
use crate::policy_event::PolicyEvent;
use crate::policy_state::{PolicyState, asset_of, degraded, last_of_each, operation_status, progressing};
use crate::ports::{Act, Clock};

/// A denied action is tried again after this long: rights may have been granted.
const DENIED_FOR: Duration = Duration::from_mins(5);
/// A round runs at least this often, whatever the timers are.
const LONGEST_REST: Duration = Duration::from_mins(5);

impl<A: Act, C: Clock + Clone> Loop<A, C> {
    /// Evaluates, plans, publishes; returns when the next round is due if nothing else happens.
    pub(super) async fn round(&mut self) -> Instant {
        self.due = false;
        let input = self.input.borrow_and_update().clone();
        let view = Arc::clone(&self.view.borrow_and_update());
        let now = self.setup.clock.now();
        let began = std::time::Instant::now();
        self.prepare(&input, &view, now);
        let denied: BTreeSet<ActionType> = self.denied.keys().copied().collect();
        let (
            Decision {
                evaluation, actions, ..
            },
            report,
            due,
        ) = {
            let context = DecisionContext {
                view: &view,
                policy: &input.policy,
                now,
                stale_after: input.stale_after,
                usage: Some(self.sampler.usage()),
                history: &self.history,
                owners: &input.owners,
                denied: &denied,
                approved: input.approved(),
            };
            let decision = decide(&context);
            let report = decision.report(&context, &self.findings);
            self.proposed = (input.policy.mode == Mode::Propose)
                .then(|| proposed(&context, &decision.evaluation, &report, input.generation))
                .flatten();
            let due = next_samplings(&context, &decision.evaluation);
            (decision, report, due)
        };
        self.sampler.set_due(due);
        let age = elapsed(view.observed_at, now);
        let limits = Limits::new(&input.policy, &self.history, &evaluation, now);
        let evaluated = Evaluated {
            evaluation: &evaluation,
            took: began.elapsed(),
            age,
            limits: &limits,
            gateway_percent: report.gateway.as_ref().map(|gateway| gateway.percent),
            judged: RoundNumbers {
                view: &view,
                mode: input.policy.mode,
                findings: &report.findings,
                now,
            },
        };
        self.setup.metrics.round(&self.setup.labels, &evaluated);
        self.announce(&view, &evaluation, &report).await;
        self.history
            .settle(evaluation.home_history.clone(), evaluation.asset_homes.clone());
        self.report_moves(&view);
        self.notice_reverted(&view, &evaluation).await;
        self.queue = actions
            .into_iter()
            .filter(|action| {
                // The view may be older than the operations on these.
                !self.ended.contains_key(&action.asset)
                    && !self.in_flight.contains_key(&action.asset)
                    && !self.left_behind.holds(&action.asset.stream)
            })
            .collect();
        self.queue.reverse();
        self.gave_up = gave_up(&evaluation);
        self.cured = cured(&self.recent, &view, &evaluation);
        // A view that shows nothing yet does not end earlier findings, such as those from before a restart.
        if !evaluation.gaps.contains(&Gap::WarmingUp) {
            self.findings.clone_from(&report.findings);
        }
        self.prove(&view, &evaluation, &report).await;
        if evaluation.conclusive() {
            self.complete_left_behind(&view, &input.policy);
        }
        let patience = input.stale_after;
        let report = self
            .report_hold
            .report(&evaluation, report, input.generation, patience, now);
        let rest = self.rest(&input, &evaluation, limits.next_change, now);
        self.publish(input.generation, view, Arc::new(report), limits, now);
        Instant::now() + rest
    }

    fn prepare(&mut self, input: &RunnerInput, view: &AccountView, now: Timestamp) {
        self.history.reset(input.policy.reset_token.as_deref());
        self.history.prune(&input.policy.disruption, now);
        self.history.forget_deleted(view);
        let window = input.policy.home.stream_stabilization_window;
        self.sampler.usage_mut().observe(window, view, now);
        self.ended.retain(|_, ended| *ended >= view.observed_at);
        self.denied.retain(|_, since| elapsed(*since, now) < DENIED_FOR);
    }

    async fn announce(&mut self, view: &AccountView, evaluation: &Evaluation, report: &Report) {
        if let Some(location) = evaluation.homes.account().and_then(Home::settled) {
            let before = self
                .history
                .home
                .settled
                .as_ref()
                .map(|home| home.location.clone());
            if before.as_ref() != Some(location) {
                let policy_event = PolicyEvent::HomeChanged {
                    asset: None,
                    from: before,
                    to: location.clone(),
                    percent: evaluation.tally.percent(location),
                    connections: evaluation.tally.connections(location),
                };
                self.emit(policy_event).await;
            }
        }
        for changed in self.changed_homes(view, evaluation) {
            self.emit(changed).await;
        }
        let warming = evaluation.gaps.contains(&Gap::WarmingUp);
        let complete = evaluation.conclusive();
        if self.was_complete && !complete && !warming {
            self.emit(PolicyEvent::ObservationIncomplete {
                message: report.observed.1.clone(),
            })
            .await;
        }
        self.was_complete = complete;
    }

    /// Assets whose own clients have made another location their home.
    fn changed_homes(&self, view: &AccountView, evaluation: &Evaluation) -> Vec<PolicyEvent> {
        let changed = |(asset, after): (&AssetName, &HomeHistory)| {
            let location = |home: &HomeHistory| Some(home.settled.as_ref()?.location.clone());
            let from = location(self.history.asset_homes.get(asset)?)?;
            let to = location(after).filter(|to| *to != from)?;
            let home = evaluation.homes.own(asset_index(view, asset)?)?;
            let row = home.used()?.locations.get(&to);
            Some(PolicyEvent::HomeChanged {
                asset: Some(asset.clone()),
                from: Some(from),
                percent: row.map_or(0, |row| row.percent),
                connections: row.map_or(0, |row| row.connections),
                to,
            })
        };
        evaluation.asset_homes.iter().filter_map(changed).collect()
    }

    /// Moved streams that have their peers elsewhere again: somebody reverted it.
    async fn notice_reverted(&mut self, view: &AccountView, evaluation: &Evaluation) {
        let reverted = evaluation
            .findings
            .iter()
            .filter(|finding| needs_a_move(finding.verdict))
            .filter(|finding| {
                let stream = view.streams.get(finding.asset.stream() as usize);
                stream.is_some_and(|stream| !is_moving(stream))
            })
            .filter_map(|finding| {
                let home = evaluation.homes.of(finding.asset)?.settled()?;
                Some((asset_name(view, finding.asset)?, home.clone()))
            })
            .collect();
        let contested = self.history.notice_reverted(&reverted, view.observed_at);
        for asset in contested {
            // The plan was made before this was known.
            self.due = true;
            self.emit(PolicyEvent::Contested { asset }).await;
        }
    }

    /// This look shows the effect of what was done before it.
    async fn prove(&mut self, view: &AccountView, evaluation: &Evaluation, report: &Report) {
        if !evaluation.conclusive() {
            return;
        }
        complete(&mut self.recent, report, view.observed_at);
        if self.in_flight.is_empty()
            && self.queue.is_empty()
            && let Some(completed) = self.row.complete(report, view.observed_at)
        {
            self.emit(PolicyEvent::PlanCompleted(completed)).await;
        }
    }

    fn publish(
        &mut self,
        generation: i64,
        view: Arc<AccountView>,
        report: Arc<Report>,
        limits: Limits,
        now: Timestamp,
    ) {
        self.sequence += 1;
        self.unpublished = 0;
        let policy = Arc::clone(&self.input.borrow().policy);
        let clock = self.setup.clock.now();
        let limits = Limits {
            breaker: breaker(&policy, &self.history, clock),
            ..limits
        };
        let progressing = progressing(
            &self.in_flight,
            self.authorizer.inhibited(),
            self.queue.len(),
            self.awaiting_approval().or_else(|| limits.waiting.clone()),
        );
        let degraded = degraded(&self.recent, &self.cured, self.gave_up, limits.breaker.as_ref());
        self.setup.metrics.degraded(&self.setup.labels, degraded.0);
        let policy_state = PolicyState {
            sequence: self.sequence,
            memory: self.history.memory(&policy.disruption, clock),
            limits,
            generation,
            evaluated_at: now,
            view,
            report,
            progressing,
            degraded,
            denied: self.denied.keys().copied().collect(),
            operations: self
                .in_flight
                .values()
                .map(operation_status)
                .chain(self.left_behind.operations())
                .take(MAX_OPERATIONS)
                .collect(),
            settling: self.ended.keys().cloned().collect(),
            waiting: self.queue.len(),
            recent_actions: self.recent.clone(),
            proposed: self.proposed.clone(),
        };
        self.policy_state.send_replace(Some(Arc::new(policy_state)));
    }

    /// What waits for nothing but a person.
    fn awaiting_approval(&self) -> Option<(ProgressingReason, String)> {
        let look = self.proposed.as_ref()?;
        let approved = |asset: &&AssetName| look.approved.actions.contains_key(*asset);
        let asking = look
            .proposal
            .actions
            .keys()
            .filter(|asset| !approved(asset))
            .count();
        let waits = asking > 0 && asking == look.proposal.actions.len();
        waits.then(|| {
            let text = format!("{asking} actions wait for approval");
            (ProgressingReason::AwaitingApproval, text)
        })
    }

    /// Publishes what operations did since the last time, with the last round's report.
    pub(super) fn publish_progress(&mut self) {
        if self.unpublished == 0 {
            return;
        }
        let last = self.policy_state.borrow().clone();
        if let Some(last) = last {
            let (view, report) = (Arc::clone(&last.view), Arc::clone(&last.report));
            let limits = last.limits.clone();
            self.publish(last.generation, view, report, limits, last.evaluated_at);
        }
    }

    fn rest(
        &self,
        input: &RunnerInput,
        evaluation: &Evaluation,
        limits_change: Option<Timestamp>,
        now: Timestamp,
    ) -> Duration {
        let settles = match evaluation.homes.account() {
            Some(Home::Stabilizing { until, .. }) => Some(*until),
            Some(Home::Settled { .. } | Home::NoMajority { .. }) | None => None,
        };
        let cooled = self.history.next_cooled(&input.policy.disruption, now);
        let granted = self.denied.values().map(|since| later(*since, DENIED_FOR)).min();
        let stale = later(
            self.view.borrow().observed_at,
            input.stale_after + Duration::from_millis(1),
        );
        let stale = (!evaluation.stale).then_some(stale);
        let shown = self.report_hold.ends(input.stale_after);
        let next = [settles, cooled, granted, stale, limits_change, shown]
            .into_iter()
            .flatten()
            .filter(|time| *time > now)
            .min();
        next.map_or(LONGEST_REST, |time| elapsed(now, time).min(LONGEST_REST)) + Duration::from_millis(1)
    }
}

/// What a complete look proposes, and what became of what was approved.
fn proposed(
    context: &DecisionContext<'_>,
    evaluation: &Evaluation,
    report: &Report,
    generation: i64,
) -> Option<Arc<ProposalLook>> {
    let gateway_percent = report.gateway.as_ref().map(|gateway| gateway.percent);
    ProposalLook::new(context, evaluation, generation, gateway_percent).map(Arc::new)
}

/// Whether a stream has its peers elsewhere and needs a move.
fn needs_a_move(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Misplaced(remedy) | Verdict::Held(remedy, _) => {
            remedy.action().is_some_and(ActionType::is_move)
        }
        Verdict::InPlace | Verdict::Ignored(_) => false,
    }
}

/// Assets that were acted on lately and need nothing any more; only a complete view shows that (P6).
fn cured(recent: &[RecentAction], view: &AccountView, evaluation: &Evaluation) -> BTreeSet<AssetName> {
    if !evaluation.conclusive() {
        return BTreeSet::new();
    }
    let mut cured: BTreeSet<AssetName> = recent.iter().map(asset_of).collect();
    let shown: BTreeMap<AssetIx, AssetName> = cured
        .iter()
        .filter_map(|asset| Some((asset_index(view, asset)?, asset.clone())))
        .collect();
    for outside_home in evaluation
        .findings
        .iter()
        .filter_map(|finding| shown.get(&finding.asset))
    {
        cured.remove(outside_home);
    }
    for asset in stalled(recent) {
        if has_no_deliveries(view, &asset) {
            cured.remove(&asset);
        }
    }
    cured
}

/// Assets whose last operation left consumers that did not resume.
fn stalled(recent: &[RecentAction]) -> BTreeSet<AssetName> {
    let stalled = last_of_each(recent)
        .into_iter()
        .filter(|(_, action)| action.result == ActionResult::Stalled);
    stalled.map(|(asset, _)| asset).collect()
}

/// Whether a consumer, or no consumer of a stream, delivers anything: being led from home does not remedy that.
fn has_no_deliveries(view: &AccountView, asset: &AssetName) -> bool {
    let Some(stream) = view.stream(&asset.stream) else {
        return false;
    };
    let meant = |consumer: &&Consumer| asset.consumer.as_ref().is_none_or(|name| consumer.name == *name);
    let delivers = |consumer: &Consumer| consumer.message_rate.is_some_and(|rate| rate > 0.0);
    !stream.consumers.iter().filter(meant).any(delivers)
}

/// Assets that are misplaced and used up their attempts.
fn gave_up(evaluation: &Evaluation) -> usize {
    let is_given_up = |verdict| matches!(verdict, Verdict::Held(_, FindingReason::AttemptsExhausted));
    let findings = evaluation.findings.iter();
    findings.filter(|finding| is_given_up(finding.verdict)).count()
}
