//! Operations of one policy: started under the limits, taken in when they end, watched to their end at shutdown.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use leeward_api::policy_status::MAX_RECENT_ACTIONS;
use leeward_api::vocabulary::{ActionResult, ActionType, FindingReason};
use leeward_core::demand::later;
use leeward_core::history::Ended;
use leeward_core::operation::{Outcome, STEP_DOWN_TIMEOUT, VerifyLimits};
use leeward_core::plan::{Action, Deed};
use leeward_core::policy::Policy;
use leeward_core::safety::is_moving;
use leeward_core::snapshot::Stream;

use super::{GRACE, Loop};
use crate::execute::{Finished, operate};
use crate::limits::{Busy, Slot};
use crate::occurrence::Occurrence;
use crate::ports::{Act, Clock};
use crate::standing::{InFlight, recent_action};

impl<A: Act, C: Clock + Clone> Loop<A, C> {
    /// Starts what the limits allow, in order, for as long as the queue is up to date and nothing withholds the right.
    pub(super) async fn start_operations(&mut self) {
        let most = self.input.borrow().policy.disruption.max_concurrent;
        let adrift = self.moves_adrift();
        let mut waiting = Vec::new();
        let mut full: BTreeSet<ActionType> = BTreeSet::new();
        let mut started = false;
        while self.in_flight.len() < most && self.authority.withheld().is_none() && !self.out_of_date() {
            let Some(action) = self.queue.pop() else { break };
            if full.contains(&action.kind()) {
                waiting.push(action);
                continue;
            }
            match self.setup.limits.try_start(&self.setup.account, &action, adrift) {
                Ok(slot) => {
                    self.start(action, slot).await;
                    started = true;
                }
                Err(busy) => {
                    if busy == Busy::System {
                        full.insert(action.kind());
                    }
                    waiting.push(action);
                }
            }
        }
        self.queue.extend(waiting.into_iter().rev());
        if started {
            self.publish_progress();
        }
    }

    /// Streams that move and are not ours to watch: begun by somebody else, before a restart, or given up on.
    fn moves_adrift(&self) -> usize {
        let view = self.view.borrow();
        // What ended since the view was begun is seen in it as it was.
        let watched = |stream: &Stream| {
            let known = self.in_flight.keys().chain(self.ended.keys());
            known.into_iter().any(|asset| asset.stream == stream.name)
        };
        view.streams
            .iter()
            .filter(|stream| is_moving(stream) && !watched(stream))
            .count()
    }

    async fn start(&mut self, action: Action, slot: Slot) {
        let policy: Arc<Policy> = Arc::clone(&self.input.borrow().policy);
        let now = self.setup.clock.now();
        let used = self
            .history
            .assets
            .get(&action.asset)
            .map_or(0, |past| past.attempts);
        let move_timeout = policy
            .actions
            .stream_placement
            .as_ref()
            .map_or(Duration::ZERO, |rules| rules.timeout);
        let limits = VerifyLimits {
            move_timeout,
            max_requests: policy.disruption.max_attempts.saturating_sub(used).max(1),
        };
        let deadline = match &action.deed {
            Deed::StepDown(_) => later(now, STEP_DOWN_TIMEOUT),
            Deed::Move(_) => later(now, move_timeout),
        };
        let operation = InFlight {
            action: action.clone(),
            started: now,
            deadline,
        };
        self.in_flight.insert(action.asset.clone(), operation);
        self.occur(Occurrence::Started {
            action: action.clone(),
        })
        .await;
        let (setup, authority) = (Arc::clone(&self.setup), self.authority.clone());
        self.tasks.spawn(async move {
            let _slot = slot;
            let operation = operate(&*setup.act, &setup.clock, &authority, action.clone(), limits);
            let finished = AssertUnwindSafe(operation).catch_unwind().await;
            finished.unwrap_or_else(|_| Finished {
                action,
                outcome: Outcome::new(
                    ActionResult::Failed,
                    None,
                    "the operation broke off: a defect of Leeward",
                ),
                // A request may have been sent.
                requests: 1,
                started: now,
                ended: setup.clock.now(),
            })
        });
    }

    /// Takes in what came of an operation.
    pub(super) async fn finish(&mut self, finished: Finished) {
        let asset = finished.action.asset.clone();
        self.in_flight.remove(&asset);
        self.cured.remove(&asset);
        self.ended.insert(asset.clone(), finished.ended);
        if finished.outcome.reason == Some(FindingReason::PermissionDenied) {
            self.denied.insert(finished.action.kind(), finished.ended);
            // Nothing else of its kind is worth a try.
            self.due = true;
        }
        let rules = self.input.borrow().policy.disruption.clone();
        self.history.record(&Ended {
            asset: asset.clone(),
            result: finished.outcome.result,
            requests: finished.requests,
            at: finished.ended,
        });
        if finished.requests > 0 {
            self.acted = true;
            self.recent.insert(0, recent_action(&finished));
            self.recent.truncate(MAX_RECENT_ACTIONS);
        }
        let action = finished.action.clone();
        let sent = finished.requests > 0;
        self.occur(Occurrence::Ended(finished)).await;
        let attempts = self.history.assets.get(&asset).map_or(0, |past| past.attempts);
        if sent && attempts >= rules.max_attempts {
            self.gave_up += 1;
            self.occur(Occurrence::AttemptsExhausted { action, attempts })
                .await;
        }
        self.publish_progress();
        if self.in_flight.is_empty() && self.queue.is_empty() {
            self.due = true;
            // Without a request nothing changed: the next look comes by itself, and asking for it would never end.
            if std::mem::take(&mut self.acted) {
                self.setup.observe.refresh(&self.setup.account);
            }
        }
    }

    /// Watches hand-overs under way to their end for a short time; moves go on without being watched.
    pub(super) async fn drain(&mut self) {
        let until = tokio::time::Instant::now() + GRACE;
        while self
            .in_flight
            .values()
            .any(|operation| matches!(operation.action.deed, Deed::StepDown(_)))
        {
            match tokio::time::timeout_at(until, self.tasks.join_next()).await {
                Ok(Some(Ok(finished))) => self.finish(finished).await,
                Ok(Some(Err(_))) => {}
                Ok(None) | Err(_) => break,
            }
        }
    }
}
