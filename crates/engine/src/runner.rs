//! The loop of one policy: a round whenever something changed, operations in between, its standing published.
//!
//! Level-triggered: a new view, a changed policy, an ended operation or a moment that was waited for each only make the
//! next round come. Dropping the loop at any instant loses nothing that the next one would not see again (P10).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leeward_api::policy_status::{
    Finding as FindingStatus, MAX_OPERATIONS, MAX_RECENT_ACTIONS, RecentAction,
};
use leeward_api::vocabulary::{ActionType, FindingReason};
use leeward_core::demand::{Home, elapsed, later};
use leeward_core::evaluate::{Circumstances, Evaluation, Managed, evaluate};
use leeward_core::history::{Ended, History};
use leeward_core::names::{AccountId, AssetName};
use leeward_core::operation::{STEP_DOWN_TIMEOUT, VerifyLimits};
use leeward_core::plan::{Action, Deed, plan};
use leeward_core::policy::Policy;
use leeward_core::report::{Report, report};
use leeward_core::snapshot::{AccountView, Gap};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::execute::{Finished, operate};
use crate::limits::{Slot, SystemLimits};
use crate::metrics::{Evaluated, Metrics, PolicyLabels};
use crate::occurrence::Occurrence;
use crate::permit::{Authority, Withheld};
use crate::ports::{Act, Clock, Observe};
use crate::standing::{InFlight, Standing, degraded, operation_status, progressing, recent_action};

/// A refused action is tried again after this long: rights may have been granted.
const DENIED_FOR: Duration = Duration::from_mins(5);
/// The loop looks at least this often, whatever the timers say.
const LONGEST_REST: Duration = Duration::from_mins(5);
/// At shutdown, hand-overs under way may be watched to their end for this long.
const GRACE: Duration = Duration::from_secs(2);
/// Occurrences that may wait for the adapter before the oldest loop waits for it.
const OCCURRENCES: usize = 1024;

/// What a loop works with for its whole life.
pub struct Setup<A, C> {
    /// Names the policy in logs and metrics.
    pub labels: PolicyLabels,
    /// The account that the policy is about.
    pub account: AccountId,
    /// Sees the account.
    pub observe: Arc<dyn Observe>,
    /// Acts in it.
    pub act: Arc<A>,
    /// Tells the time.
    pub clock: C,
    /// Limits over all policies of the system.
    pub limits: Arc<SystemLimits>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// What is known of the past.
    pub history: History,
    /// Findings of the past, for their `since`.
    pub findings: Vec<FindingStatus>,
    /// Actions of the past.
    pub recent_actions: Vec<RecentAction>,
}

/// What may change while a loop runs.
#[derive(Clone, Debug)]
pub struct Input {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Its generation.
    pub generation: i64,
    /// A view older than this decides nothing.
    pub stale_after: Duration,
    /// Streams that somebody else's controller configures.
    pub managed: Arc<Managed>,
    /// What withholds the right to act.
    pub withheld: BTreeSet<Withheld>,
}

/// A running loop. Dropping it ends the loop at once; [`Runner::shutdown`] ends it gently.
#[derive(Debug)]
pub struct Runner {
    input: watch::Sender<Input>,
    standing: watch::Receiver<Option<Arc<Standing>>>,
    authority: Authority,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Runner {
    /// Starts the loop. Occurrences arrive at the receiver, each once; a receiver that is dropped is no harm.
    pub fn start<A: Act, C: Clock + Clone>(
        setup: Setup<A, C>,
        input: Input,
    ) -> (Self, mpsc::Receiver<Occurrence>) {
        let authority = Authority::new(input.withheld.iter().copied());
        let (input_sender, input_receiver) = watch::channel(input);
        let (standing_sender, standing) = watch::channel(None);
        let (occurrences, receiver) = mpsc::channel(OCCURRENCES);
        let stop = CancellationToken::new();
        let view = setup.observe.watch(&setup.account);
        let body = Loop {
            freed: setup.limits.freed(),
            recent: setup.recent_actions.clone(),
            findings: setup.findings.clone(),
            history: setup.history.clone(),
            setup: Arc::new(setup),
            input: input_receiver,
            view,
            authority: authority.clone(),
            standing: standing_sender,
            occurrences,
            queue: Vec::new(),
            in_flight: BTreeMap::new(),
            tasks: JoinSet::new(),
            ended: BTreeMap::new(),
            denied: BTreeMap::new(),
            was_complete: false,
        };
        let task = tokio::spawn(body.run(stop.clone()));
        (
            Self {
                input: input_sender,
                standing,
                authority,
                stop,
                task,
            },
            receiver,
        )
    }

    /// Replaces the input; what withholds the right to act takes effect at once, for permits already issued too.
    pub fn update(&self, input: Input) {
        self.authority.set(input.withheld.iter().copied());
        self.input.send_replace(input);
    }

    /// Where the policy stands; `None` before the first round.
    pub fn standing(&self) -> watch::Receiver<Option<Arc<Standing>>> {
        self.standing.clone()
    }

    /// Acts no more, watches hand-overs under way to their end for a short time, and ends.
    pub async fn shutdown(mut self) {
        self.authority.set([Withheld::NotActive]);
        self.stop.cancel();
        if tokio::time::timeout(GRACE + Duration::from_secs(1), &mut self.task)
            .await
            .is_err()
        {
            self.task.abort();
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.authority.set([Withheld::NotActive]);
        self.task.abort();
    }
}

struct Loop<A, C> {
    setup: Arc<Setup<A, C>>,
    input: watch::Receiver<Input>,
    view: watch::Receiver<Arc<AccountView>>,
    freed: watch::Receiver<u64>,
    authority: Authority,
    standing: watch::Sender<Option<Arc<Standing>>>,
    occurrences: mpsc::Sender<Occurrence>,
    history: History,
    findings: Vec<FindingStatus>,
    recent: Vec<RecentAction>,
    /// What is still to be started, the first at the end.
    queue: Vec<Action>,
    in_flight: BTreeMap<AssetName, InFlight>,
    tasks: JoinSet<Finished>,
    /// Operations that ended after the present view was begun: what the view says of them is out of date.
    ended: BTreeMap<AssetName, Timestamp>,
    denied: BTreeMap<ActionType, Timestamp>,
    was_complete: bool,
}

impl<A: Act, C: Clock + Clone> Loop<A, C> {
    async fn run(mut self, stop: CancellationToken) {
        let mut wake = self.round().await;
        loop {
            self.start_operations().await;
            tokio::select! {
                () = stop.cancelled() => break,
                changed = self.view.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    wake = self.round().await;
                }
                changed = self.input.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    wake = self.round().await;
                }
                Some(joined) = self.tasks.join_next() => {
                    if let Ok(finished) = joined {
                        self.finish(finished).await;
                    }
                    if self.in_flight.is_empty() && self.queue.is_empty() {
                        self.setup.observe.refresh(&self.setup.account);
                        wake = self.round().await;
                    }
                }
                _ = self.freed.changed(), if !self.queue.is_empty() => {}
                () = tokio::time::sleep(wake) => wake = self.round().await,
            }
        }
        self.drain().await;
    }

    /// Evaluates, plans, publishes; returns how long to rest if nothing else happens.
    async fn round(&mut self) -> Duration {
        let input = self.input.borrow_and_update().clone();
        let view = Arc::clone(&self.view.borrow_and_update());
        let now = self.setup.clock.now();
        let began = std::time::Instant::now();
        self.prepare(&input, &view, now);
        let denied: BTreeSet<ActionType> = self.denied.keys().copied().collect();
        let (evaluation, actions, report) = {
            let circumstances = Circumstances {
                now,
                stale_after: input.stale_after,
                history: &self.history,
                managed: &input.managed,
                denied: &denied,
            };
            let evaluation = evaluate(&view, &input.policy, &circumstances);
            let plan = plan(&view, &input.policy, &circumstances, &evaluation);
            let report = report(&view, &input.policy, &circumstances, &evaluation, &self.findings);
            (evaluation, plan.actions, report)
        };
        let age = elapsed(view.observed_at, now);
        let evaluated = Evaluated {
            evaluation: &evaluation,
            took: began.elapsed(),
            age,
        };
        self.setup.metrics.round(&self.setup.labels, &evaluated);
        self.announce(&evaluation, &report).await;
        self.history.settle(evaluation.home_history.clone());
        self.queue = actions
            .into_iter()
            .filter(|action| !self.ended.contains_key(&action.asset))
            .collect();
        self.queue.reverse();
        self.findings.clone_from(&report.findings);
        self.publish(&input, view, report, now);
        self.rest(&input, &evaluation, now)
    }

    fn prepare(&mut self, input: &Input, view: &AccountView, now: Timestamp) {
        self.history.reset(input.policy.reset_token.as_deref());
        self.history.prune(&input.policy.disruption, now);
        self.ended.retain(|_, ended| *ended >= view.observed_at);
        self.denied.retain(|_, since| elapsed(*since, now) < DENIED_FOR);
    }

    async fn announce(&mut self, evaluation: &Evaluation, report: &Report) {
        if let Some(Home::Settled { location, since: _ }) = &evaluation.home {
            let before = self
                .history
                .home
                .settled
                .as_ref()
                .map(|home| home.location.clone());
            if before.as_ref() != Some(location) {
                let occurrence = Occurrence::HomeChanged {
                    from: before,
                    to: location.clone(),
                    percent: evaluation.tally.percent(location),
                    connections: evaluation.tally.connections(location),
                };
                self.occur(occurrence).await;
            }
        }
        let warming = evaluation.gaps.contains(&Gap::WarmingUp);
        let complete = evaluation.conclusive();
        if self.was_complete && !complete && !warming {
            self.occur(Occurrence::ObservationIncomplete {
                message: report.observed.1.clone(),
            })
            .await;
        }
        self.was_complete = complete;
    }

    fn publish(&self, input: &Input, view: Arc<AccountView>, report: Report, now: Timestamp) {
        let rules = &input.policy.disruption;
        let exhausted = self
            .history
            .assets
            .values()
            .filter(|asset| asset.exhausted(rules))
            .count();
        let standing = Standing {
            generation: input.generation,
            evaluated_at: now,
            view,
            report,
            progressing: progressing(&self.in_flight, self.authority.withheld(), self.queue.len()),
            degraded: degraded(&self.recent, exhausted),
            denied: self.denied.keys().copied().collect(),
            operations: self
                .in_flight
                .values()
                .take(MAX_OPERATIONS)
                .map(operation_status)
                .collect(),
            recent_actions: self.recent.clone(),
        };
        self.standing.send_replace(Some(Arc::new(standing)));
    }

    /// Publishes operations and their results between rounds, with the last round's report.
    fn publish_progress(&self) {
        let input = self.input.borrow().clone();
        let last = self.standing.borrow().clone();
        if let Some(last) = last {
            self.publish(
                &input,
                Arc::clone(&last.view),
                last.report.clone(),
                last.evaluated_at,
            );
        }
    }

    fn rest(&self, input: &Input, evaluation: &Evaluation, now: Timestamp) -> Duration {
        let settles = match &evaluation.home {
            Some(Home::Stabilizing { until, .. }) => Some(*until),
            Some(Home::Settled { .. } | Home::NoMajority { .. }) | None => None,
        };
        let cooled = self
            .history
            .assets
            .values()
            .filter_map(|asset| asset.cooling_until(&input.policy.disruption, now))
            .min();
        let granted = self.denied.values().map(|since| later(*since, DENIED_FOR)).min();
        let stale = later(
            self.view.borrow().observed_at,
            input.stale_after + Duration::from_millis(1),
        );
        let stale = (!evaluation.stale).then_some(stale);
        let next = [settles, cooled, granted, stale]
            .into_iter()
            .flatten()
            .filter(|time| *time > now)
            .min();
        next.map_or(LONGEST_REST, |time| elapsed(now, time).min(LONGEST_REST)) + Duration::from_millis(1)
    }

    async fn start_operations(&mut self) {
        if self.queue.is_empty() || self.authority.withheld().is_some() {
            return;
        }
        let policy = Arc::clone(&self.input.borrow().policy);
        let mut waiting = Vec::new();
        let mut started = false;
        while let Some(action) = self.queue.pop() {
            if self.in_flight.len() >= policy.disruption.max_concurrent {
                waiting.push(action);
                break;
            }
            match self.setup.limits.try_start(&self.setup.account, &action) {
                Some(slot) => {
                    self.start(&policy, action, slot).await;
                    started = true;
                }
                None => waiting.push(action),
            }
        }
        self.queue.extend(waiting.into_iter().rev());
        if started {
            self.publish_progress();
        }
    }

    async fn start(&mut self, policy: &Policy, action: Action, slot: Slot) {
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
        self.occur(Occurrence::Started {
            action: action.clone(),
        })
        .await;
        let operation = InFlight {
            action: action.clone(),
            started: now,
            deadline,
        };
        self.in_flight.insert(action.asset.clone(), operation);
        let (setup, authority) = (Arc::clone(&self.setup), self.authority.clone());
        self.tasks.spawn(async move {
            let _slot = slot;
            operate(&*setup.act, &setup.clock, &authority, action, limits).await
        });
    }

    async fn finish(&mut self, finished: Finished) {
        let asset = finished.action.asset.clone();
        self.in_flight.remove(&asset);
        self.ended.insert(asset.clone(), finished.ended);
        if finished.outcome.reason == Some(FindingReason::PermissionDenied) {
            self.denied.insert(finished.action.kind(), finished.ended);
        }
        let rules = self.input.borrow().policy.disruption.clone();
        self.history.record(&Ended {
            asset: asset.clone(),
            result: finished.outcome.result,
            requests: finished.requests,
            at: finished.ended,
        });
        if finished.requests > 0 {
            self.recent.insert(0, recent_action(&finished));
            self.recent.truncate(MAX_RECENT_ACTIONS);
        }
        let action = finished.action.clone();
        let sent = finished.requests > 0;
        self.occur(Occurrence::Ended(finished)).await;
        let attempts = self.history.assets.get(&asset).map_or(0, |past| past.attempts);
        if sent && attempts >= rules.max_attempts {
            self.occur(Occurrence::AttemptsExhausted { action, attempts })
                .await;
        }
        self.publish_progress();
    }

    /// Watches hand-overs under way to their end for a short time; moves go on without being watched.
    async fn drain(&mut self) {
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
        for operation in self.in_flight.values() {
            self.setup
                .metrics
                .dropped(&self.setup.labels, operation.action.kind());
        }
    }

    async fn occur(&self, occurrence: Occurrence) {
        occurrence.emit(&self.setup.labels, &self.setup.metrics);
        // Nobody listening is no reason to stop.
        let _ = self.occurrences.send(occurrence).await;
    }
}
