//! Operations of one policy: started under the limits, taken in when they end, watched to their end at shutdown.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use leeward_api::policy_status::{MAX_RECENT_ACTIONS, RecentAction};
use leeward_api::vocabulary::{ActionClass, ActionResult, ActionType, FindingReason};
use leeward_core::action::{Action, ActionKind, MoveSize};
use leeward_core::history::{BreakerTransition, EndedOperation, MoveRecord};
use leeward_core::names::{AssetName, StreamName};
use leeward_core::operation::{MOST_AIMED, Outcome, STEP_DOWN_TIMEOUT, VerifyLimits};
use leeward_core::policy::Policy;
use leeward_core::safety::is_moving;
use leeward_core::snapshot::{AccountView, Gap, Stream};
use leeward_core::time::later;

use tokio::sync::{mpsc, watch};
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

use super::proof::before;
use super::{GRACE, Loop};
use crate::execute::{Finished, OperationContext, OperationProgress, Stage, operate};
use crate::in_flight::OperationInFlight;
use crate::limits::{Busy, Slot};
use crate::metrics::PolicyLabels;
use crate::policy_event::{PolicyEvent, SPANS};
use crate::policy_state::{RunningOperation, recent_action, refreshed};
use crate::ports::{Act, Clock};
use crate::record::Recorded;
use crate::supervise::{self, SupervisedTask};

impl<A: Act, C: Clock + Clone> Loop<A, C> {
    /// Starts what the limits allow, in order, as long as the queue is up to date and nothing inhibits acting.
    pub(super) async fn start_operations(&mut self) {
        let most = self.input.borrow().policy.disruption.max_concurrent;
        let mut waiting = Vec::new();
        let mut full: BTreeSet<ActionType> = BTreeSet::new();
        // Their own actions go before those of their consumers.
        let mut first: BTreeSet<StreamName> = BTreeSet::new();
        while self.in_flight.len() + self.left_behind.count() < most
            && self.authorizer.inhibited().is_none()
            && !self.out_of_date()
        {
            let Some(action) = self.queue.pop() else { break };
            let waits = full.contains(&action.action_type()) || first.contains(&action.asset.stream);
            let started = (!waits).then(|| self.setup.limits.try_start(&self.setup.account, &action));
            if let Some(Ok(slot)) = started {
                self.start(action, slot).await;
                continue;
            }
            if matches!(started, Some(Err(Busy::System))) {
                full.insert(action.action_type());
            }
            if action.asset.consumer.is_none() {
                first.insert(action.asset.stream.clone());
            }
            waiting.push(action);
        }
        self.queue.extend(waiting.into_iter().rev());
    }

    /// Reports to the system's limits what moves, whoever started it, without what ended since the view was begun.
    pub(super) fn report_moves(&self, view: &AccountView) {
        if view.gaps.contains(&Gap::WarmingUp) {
            return;
        }
        let ended = |stream: &Stream| self.ended.keys().any(|asset| asset.stream == stream.name);
        let moving = view
            .streams
            .iter()
            .filter(|stream| is_moving(stream) && !ended(stream));
        let moving = moving
            .map(|stream| (stream.name.clone(), MoveSize::of(stream.bytes)))
            .collect();
        self.setup.limits.set_moving(&self.setup.account, moving);
    }

    async fn start(&mut self, action: Action, slot: Slot) {
        let policy: Arc<Policy> = Arc::clone(&self.input.borrow().policy);
        let now = self.setup.clock.now();
        let move_timeout = policy
            .actions
            .stream_placement
            .as_ref()
            .map_or(Duration::ZERO, |rules| rules.timeout);
        let limits = VerifyLimits {
            move_timeout,
            max_requests: self.most_requests(&action, policy.disruption.max_attempts),
            max_lag: policy.disruption.gates.max_replica_lag.into(),
            max_ack_pending: policy.disruption.gates.max_ack_pending,
            refresh_dependents: policy
                .actions
                .stream_placement
                .as_ref()
                .is_some_and(|rules| rules.refresh_dependents),
        };
        let deadline = match &action.kind {
            ActionKind::StepDown(_) => later(now, STEP_DOWN_TIMEOUT),
            ActionKind::Move(_) => later(now, move_timeout),
        };
        let proof = {
            let policy_state = self.policy_state.borrow();
            policy_state
                .as_ref()
                .map(|policy_state| before(&policy_state.report, &policy_state.view, &action))
        };
        self.row.begin(proof.as_ref());
        let operation = RunningOperation {
            action: action.clone(),
            started: now,
            deadline,
            stage: Stage::Recording,
            copied: None,
            proof,
            sent: Arc::default(),
        };
        let sent = Arc::clone(&operation.sent);
        self.in_flight.insert(action.asset.clone(), operation);
        self.unpublished += 1;
        self.publish_underway();
        self.history.begin(&action.asset, action.action_type());
        for dependent in dependents(&action) {
            self.history.begin(&dependent, ActionType::StreamStepDown);
        }
        let recorded = if self.setup.records {
            // The state that is published next shows it.
            Recorded::once(self.sequence + 1, self.written.clone())
        } else {
            Recorded::not_needed()
        };
        self.emit(PolicyEvent::Started {
            action: action.clone(),
        })
        .await;
        let (setup, authorizer) = (Arc::clone(&self.setup), self.authorizer.clone());
        let (advance, progress) = (
            Arc::new(watch::Sender::new(OperationProgress::new())),
            self.advance_sender.clone(),
        );
        let PolicyLabels { namespace, policy } = self.setup.labels.clone();
        let span = info_span!(target: SPANS, "operation", namespace, policy, account = %self.setup.account,
            asset = %action.asset, action = %action.action_type(), from = %action.from, to = Empty, result = Empty, requests = Empty);
        let forwarding = forward_progress(action.asset.clone(), advance.subscribe(), progress);
        self.tasks.spawn(
            async move {
                let conduct = OperationContext {
                    act: &*setup.act,
                    clock: &setup.clock,
                    authorizer: &authorizer,
                    limits,
                    recorded,
                    advance,
                    sent: Arc::clone(&sent),
                    slot: &slot,
                };
                let operation = async { tokio::join!(operate(conduct, action.clone()), forwarding).0 };
                let finished = supervise::catch(SupervisedTask::Operation, operation).await;
                let finished = finished.unwrap_or_else(|_| Finished {
                    action,
                    outcome: Outcome::new(
                        ActionResult::Failed,
                        None,
                        "the operation broke off: a defect of Leeward",
                    ),
                    // An attempt in any case, or it would break off again for ever.
                    requests: sent.own().max(1),
                    started: now,
                    ended: setup.clock.now(),
                    follow_ups: Vec::new(),
                    transfers: sent.transfers(),
                });
                record_on_span(&finished);
                (finished, slot)
            }
            .instrument(span),
        );
    }

    /// Requests that an operation may send.
    fn most_requests(&self, action: &Action, max_attempts: u32) -> u32 {
        if action.target().is_some() {
            return MOST_AIMED;
        }
        let past = self.history.assets.get(&action.asset);
        let used = past.map_or(0, |past| past.attempts);
        max_attempts.saturating_sub(used).max(1)
    }

    /// Takes in the result of an operation.
    pub(super) async fn finish(&mut self, finished: Finished) {
        let asset = finished.action.asset.clone();
        let proof = self
            .in_flight
            .remove(&asset)
            .and_then(|operation| operation.proof);
        self.publish_underway();
        self.cured.remove(&asset);
        self.ended.insert(asset.clone(), finished.ended);
        let view = Arc::clone(&self.view.borrow());
        self.report_moves(&view);
        if finished.outcome.reason == Some(FindingReason::PermissionDenied) {
            self.denied.insert(finished.action.action_type(), finished.ended);
            // No other action of its kind is worth an attempt.
            self.due = true;
        }
        let rules = self.input.borrow().policy.disruption.clone();
        let news = self.history.record(&ended(&finished), &rules);
        // A person must see `AnswersDiffer` even if nothing was sent.
        if finished.requests > 0 || finished.outcome.reason == Some(FindingReason::AnswersDiffer) {
            self.acted |= finished.requests > 0;
            self.row.count(finished.outcome.result, finished.ended);
            self.recent.insert(
                0,
                RecentAction {
                    proof,
                    ..recent_action(&finished)
                },
            );
        }
        self.take_in_follow_ups(&finished);
        self.recent.truncate(MAX_RECENT_ACTIONS);
        let action = finished.action.clone();
        let sent = finished.requests > 0;
        let last = format!("{}: {}", action.asset, finished.outcome.message);
        self.emit(PolicyEvent::Ended(finished)).await;
        self.report_breaker(news, last).await;
        let attempts = self.history.assets.get(&asset).map_or(0, |past| past.attempts);
        if sent && attempts >= rules.max_attempts {
            self.gave_up += 1;
            self.emit(PolicyEvent::AttemptsExhausted { action, attempts })
                .await;
        }
        self.unpublished += 1;
        if self.in_flight.is_empty() && self.queue.is_empty() {
            self.due = true;
            // Without a request nothing changed: the next look comes by itself, and requesting it would loop forever.
            if std::mem::take(&mut self.acted) {
                self.setup.observe.refresh(&self.setup.account);
            }
        }
    }

    /// What was done for the streams that read a stream that moved.
    fn take_in_follow_ups(&mut self, finished: &Finished) {
        for dependent in dependents(&finished.action) {
            let follow_up = finished
                .follow_ups
                .iter()
                .find(|follow_up| follow_up.stream == dependent.stream);
            let counted = follow_up.is_some_and(|follow_up| follow_up.requests > 0);
            let at = follow_up.map_or(finished.ended, |follow_up| follow_up.ended);
            self.history.ledger.end(&dependent, counted, at);
        }
        let sent = finished
            .follow_ups
            .iter()
            .filter(|follow_up| follow_up.requests > 0);
        for follow_up in sent {
            self.recent.insert(0, refreshed(follow_up));
        }
    }

    async fn report_breaker(&mut self, news: BreakerTransition, last: String) {
        match news {
            BreakerTransition::None => {}
            BreakerTransition::Opened => {
                // Nothing in the queue may start.
                self.due = true;
                let now = self.setup.clock.now();
                let open_for = self.input.borrow().policy.disruption.circuit_breaker.open_for;
                let until = later(now, open_for);
                self.emit(PolicyEvent::BreakerOpened { until, last }).await;
            }
            BreakerTransition::Closed => {
                self.due = true;
                self.emit(PolicyEvent::BreakerClosed).await;
            }
        }
    }

    /// Takes in all that operations did until now, so that it is published together.
    pub(super) async fn take_in(&mut self) {
        while let Ok((asset, advance)) = self.advances.try_recv() {
            self.advance(&asset, advance).await;
        }
        while let Some(joined) = self.tasks.try_join_next() {
            if let Ok((finished, _slot)) = joined {
                self.finish(finished).await;
            }
        }
    }

    /// An operation made progress.
    pub(super) async fn advance(&mut self, asset: &AssetName, advance: OperationProgress) {
        let OperationProgress { stage, copied } = advance;
        let Some(operation) = self.in_flight.get_mut(asset) else {
            return;
        };
        let first = operation.stage < Stage::Requested && stage >= Stage::Requested;
        let news = operation.stage.is_proof() != stage.is_proof();
        (operation.stage, operation.copied) = (stage, copied);
        self.publish_underway();
        let Some(operation) = self.in_flight.get(asset) else {
            return;
        };
        if first {
            let action = operation.action.clone();
            self.emit(PolicyEvent::Requested { action }).await;
        }
        self.unpublished += usize::from(news);
    }

    fn publish_underway(&self) {
        let underway = self.in_flight.values().map(OperationInFlight::of).collect();
        self.underway.send_replace(underway);
        let operations = self.in_flight.values();
        let began = operations.map(|operation| (operation.action.action_type(), operation.started));
        self.setup.metrics.underway(&self.setup.labels, began);
    }

    /// Watches step-downs under way for a short time; moves continue without being watched.
    pub(super) async fn drain(&mut self) {
        let until = tokio::time::Instant::now() + GRACE;
        while self
            .in_flight
            .values()
            .any(|operation| operation.action.action_type().class() == ActionClass::StepDown)
        {
            match tokio::time::timeout_at(until, self.tasks.join_next()).await {
                Ok(Some(Ok((finished, _slot)))) => {
                    self.finish(finished).await;
                    self.publish_progress();
                }
                Ok(Some(Err(_))) => {}
                Ok(None) | Err(_) => break,
            }
        }
    }
}

/// Records the result of an operation on its span.
fn record_on_span(finished: &Finished) {
    let span = Span::current();
    span.record("result", finished.outcome.result.as_ref());
    span.record("requests", finished.requests);
    if let Some(to) = &finished.outcome.to {
        span.record("to", to.as_str());
    }
}

/// Forwards the progress of an operation until it has ended.
async fn forward_progress(
    asset: AssetName,
    mut advance: watch::Receiver<OperationProgress>,
    progress: mpsc::Sender<(AssetName, OperationProgress)>,
) {
    while advance.changed().await.is_ok() {
        let now = *advance.borrow_and_update();
        if progress.send((asset.clone(), now)).await.is_err() {
            return;
        }
    }
}

/// The streams whose leader an action may ask to step down besides its own.
fn dependents(action: &Action) -> Vec<AssetName> {
    match &action.kind {
        ActionKind::StepDown(_) => Vec::new(),
        ActionKind::Move(moving) => moving.dependents.iter().cloned().map(AssetName::stream).collect(),
    }
}

fn ended(finished: &Finished) -> EndedOperation {
    let moved = match &finished.action.kind {
        ActionKind::StepDown(_) => None,
        ActionKind::Move(moving) => Some(MoveRecord {
            to: moving.target.location.clone(),
            bytes: moving.bytes,
            took: finished.duration(),
        }),
    };
    EndedOperation {
        asset: finished.action.asset.clone(),
        result: finished.outcome.result,
        reason: finished.outcome.reason,
        attempts: match finished.action.target() {
            Some(_) => finished.requests.min(1),
            None => finished.requests,
        },
        at: finished.ended,
        moved,
    }
}
