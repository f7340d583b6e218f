//! The loop of one policy: a round whenever something changed, operations in between, its state published.
//!
//! Level-triggered: a new view, a changed policy, an ended operation or a timer only triggers the next round. Dropping
//! the loop at any instant loses nothing that the next one would not see again (P10).

mod left_behind;
mod operations;
mod proof;
mod report_hold;
mod round;
mod sampler;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leeward_api::policy_status::{Finding as FindingStatus, PlacementPolicyStatus, RecentAction};
use leeward_api::vocabulary::ActionType;
use leeward_core::action::Action;
use leeward_core::approval::ProposalLook;
use leeward_core::history::History;
use leeward_core::names::{AccountId, AssetName};
use leeward_core::owner::StreamOwners;
use leeward_core::policy::{Mode, Policy};
use leeward_core::proposal::Proposal;
use leeward_core::snapshot::AccountView;
use leeward_core::usage::AccountUse;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, info_span};

use self::left_behind::LeftBehind;
use self::proof::OperationSeries;
use self::report_hold::ReportHold;
use self::sampler::Sampler;
use crate::execute::{Finished, OperationProgress};
use crate::in_flight::OperationInFlight;
use crate::limits::{Slot, SystemLimits};
use crate::metrics::{Metrics, PolicyLabels};
use crate::permit::{Authorizer, Inhibited};
use crate::policy_event::audit::AuditSubject;
use crate::policy_event::{PolicyEvent, SPANS};
use crate::policy_state::{PolicyState, RunningOperation};
use crate::ports::{Act, Clock, Observe};
use crate::supervise::{self, SupervisedTask};

/// At shutdown, step-downs under way are watched for at most this long.
const GRACE: Duration = Duration::from_secs(2);
/// Policy events that may be queued for the adapter before the loop blocks.
const EVENT_QUEUE: usize = 1024;

/// A view older than this many observation intervals decides nothing.
const STALE_INTERVALS: u32 = 3;
const STALE_FLOOR: Duration = Duration::from_secs(15);

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
    /// The clock.
    pub clock: C,
    /// Limits over all policies of the system.
    pub limits: Arc<SystemLimits>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The policy's status so far, of this account.
    pub past: PlacementPolicyStatus,
    /// What was sampled already of who uses streams.
    pub usage: AccountUse,
    /// Whether somebody stores the policy's state and confirms it with [`Runner::recorded`]: then no request is sent
    /// before its operation is stored.
    pub records: bool,
}

impl<A, C> Setup<A, C> {
    /// Policy and account of the acts.
    fn audit_subject(&self) -> AuditSubject<'_> {
        AuditSubject {
            policy: &self.labels,
            account: &self.account,
        }
    }
}

/// How old a view may be to decide anything, by the observation interval.
pub fn stale_after(interval: Duration) -> Duration {
    interval.saturating_mul(STALE_INTERVALS).max(STALE_FLOOR)
}

/// What may change while a loop runs.
#[derive(Clone, Debug, PartialEq)]
pub struct RunnerInput {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Its generation.
    pub generation: i64,
    /// A view older than this decides nothing.
    pub stale_after: Duration,
    /// Streams that somebody else's controller configures.
    pub owners: Arc<StreamOwners>,
    /// What inhibits acting, besides the policy's own mode.
    pub inhibited: BTreeSet<Inhibited>,
    /// What somebody approved: only its actions are started; `None` for all. What is in flight continues to
    /// its end whatever is approved, and so do follow-ups on streams that read a stream that moves.
    pub approved: Option<Arc<Proposal>>,
}

impl RunnerInput {
    /// All that inhibits acting: a policy that does not enforce never acts, whatever the caller forgot (P8).
    fn inhibitions(&self) -> impl Iterator<Item = Inhibited> {
        let mode = match self.policy.mode {
            Mode::Observe => Some(Inhibited::Observing),
            Mode::Suspended => Some(Inhibited::Suspended),
            Mode::Propose | Mode::Enforce => None,
        };
        self.inhibited.iter().copied().chain(mode)
    }

    /// What may be begun; `None` for all. A policy that proposes begins nothing that nobody approved, whatever the caller
    /// forgot (P8).
    fn approved(&self) -> Option<&Proposal> {
        static NOTHING: Proposal = Proposal {
            actions: BTreeMap::new(),
        };
        match self.policy.mode {
            Mode::Propose => Some(self.approved.as_deref().unwrap_or(&NOTHING)),
            Mode::Observe | Mode::Enforce | Mode::Suspended => self.approved.as_deref(),
        }
    }
}

/// A running loop. Dropping it ends the loop at once; [`Runner::shutdown`] ends it gently.
#[derive(Debug)]
pub struct Runner {
    input: watch::Sender<RunnerInput>,
    policy_state: watch::Receiver<Option<Arc<PolicyState>>>,
    underway: watch::Receiver<Arc<[OperationInFlight]>>,
    written: watch::Sender<u64>,
    authorizer: Authorizer,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Runner {
    /// Starts the loop. Each policy event arrives at the receiver once; the receiver may be dropped.
    pub fn start<A: Act, C: Clock + Clone>(
        setup: Setup<A, C>,
        input: RunnerInput,
    ) -> (Self, mpsc::Receiver<PolicyEvent>) {
        let authorizer = Authorizer::new(input.inhibitions());
        let (past, token) = (&setup.past, input.policy.reset_token.as_deref());
        let history = History::restore(past, token, setup.clock.now());
        let (recent, findings) = (past.recent_actions.clone(), past.findings.clone());
        setup
            .limits
            .set_moving(&setup.account, left_behind::moving_streams(&past.operations));
        // A loop that stores nothing does not own what another process began.
        let own = if setup.records {
            past.operations.as_slice()
        } else {
            &[]
        };
        let left_behind = LeftBehind::new(own);
        let (input_sender, input_receiver) = watch::channel(input);
        let (standing_sender, policy_state) = watch::channel(None);
        let (underway_sender, underway) = watch::channel(Arc::default());
        let (policy_events, receiver) = mpsc::channel(EVENT_QUEUE);
        let stop = CancellationToken::new();
        let view = setup.observe.watch(&setup.account);
        let written = watch::Sender::new(0);
        let (advance_sender, advances) = mpsc::channel(EVENT_QUEUE);
        let sampler = Sampler::new(setup.usage.clone());
        let body = Loop {
            freed: setup.limits.freed(),
            recent,
            findings,
            history,
            setup: Arc::new(setup),
            input: input_receiver,
            view,
            authorizer: authorizer.clone(),
            policy_state: standing_sender,
            underway: underway_sender,
            policy_events,
            written: written.subscribe(),
            sequence: 0,
            advance_sender,
            advances,
            row: OperationSeries::default(),
            left_behind,
            queue: Vec::new(),
            in_flight: BTreeMap::new(),
            tasks: JoinSet::new(),
            ended: BTreeMap::new(),
            denied: BTreeMap::new(),
            gave_up: 0,
            cured: BTreeSet::new(),
            proposed: None,
            was_complete: false,
            report_hold: ReportHold::default(),
            sampler,
            due: false,
            acted: false,
            unpublished: 0,
        };
        let round = body.run(stop.clone());
        let task = tokio::spawn(async move {
            // The owner of the loop restarts it, from what was stored.
            let _ = supervise::catch(SupervisedTask::Policy, round).await;
        });
        (
            Self {
                input: input_sender,
                policy_state,
                underway,
                written,
                authorizer,
                stop,
                task,
            },
            receiver,
        )
    }

    /// Replaces the input; what inhibits acting takes effect at once, for permits already issued too.
    pub fn update(&self, input: RunnerInput) {
        // Under the channel's lock: a loop that sees the authorizer lifted sees the new input as well.
        self.input.send_modify(|current| {
            self.authorizer.set(input.inhibitions());
            *current = input;
        });
    }

    /// The policy's state; `None` before the first round.
    pub fn policy_state(&self) -> watch::Receiver<Option<Arc<PolicyState>>> {
        self.policy_state.clone()
    }

    /// What is in flight, by asset: published whenever an operation begins, ends or changes its stage, and about once a
    /// second while the data of a stream is copied. [`PolicyState`] changes less often.
    pub fn underway(&self) -> watch::Receiver<Arc<[OperationInFlight]>> {
        self.underway.clone()
    }

    /// The state with this sequence, or a later one, is stored in the status.
    pub fn recorded(&self, sequence: u64) {
        self.written.send_if_modified(|written| {
            let news = sequence > *written;
            *written = sequence.max(*written);
            news
        });
    }

    /// Stops acting, watches step-downs under way for a short time, and ends.
    pub async fn shutdown(mut self) {
        self.authorizer.set([Inhibited::NotActive]);
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
        self.authorizer.set([Inhibited::NotActive]);
        self.task.abort();
    }
}

struct Loop<A, C: Clock> {
    setup: Arc<Setup<A, C>>,
    input: watch::Receiver<RunnerInput>,
    view: watch::Receiver<Arc<AccountView>>,
    freed: watch::Receiver<u64>,
    authorizer: Authorizer,
    policy_state: watch::Sender<Option<Arc<PolicyState>>>,
    underway: watch::Sender<Arc<[OperationInFlight]>>,
    policy_events: mpsc::Sender<PolicyEvent>,
    history: History,
    findings: Vec<FindingStatus>,
    recent: Vec<RecentAction>,
    /// The sequence of the state that was stored last.
    written: watch::Receiver<u64>,
    /// The sequence of the state that was published last.
    sequence: u64,
    advance_sender: mpsc::Sender<(AssetName, OperationProgress)>,
    advances: mpsc::Receiver<(AssetName, OperationProgress)>,
    /// Operations since there was nothing to do.
    row: OperationSeries,
    /// Moves of an earlier process, which may have to be completed.
    left_behind: LeftBehind,
    /// What is still to be started, the first at the end.
    queue: Vec<Action>,
    in_flight: BTreeMap<AssetName, RunningOperation>,
    /// Each frees its place only after its end was taken in: the next one has to know of it.
    tasks: JoinSet<(Finished, Slot)>,
    /// Operations that ended after the present view was begun: the view is out of date for them.
    ended: BTreeMap<AssetName, Timestamp>,
    denied: BTreeMap<ActionType, Timestamp>,
    /// Assets that used up their attempts and are still misplaced.
    gave_up: usize,
    /// Assets of the recent actions that the last complete view showed in place or gone.
    cured: BTreeSet<AssetName>,
    /// What the last round proposed, in mode Propose.
    proposed: Option<Arc<ProposalLook>>,
    was_complete: bool,
    report_hold: ReportHold,
    /// Who uses streams, as far as it was sampled.
    sampler: Sampler,
    /// Something changed since the last round: the queue is out of date.
    due: bool,
    /// A request was sent since the last look was requested.
    acted: bool,
    /// How often operations began, ended or went on since the state was published last.
    unpublished: usize,
}

impl<A: Act, C: Clock + Clone> Loop<A, C> {
    async fn run(mut self, stop: CancellationToken) {
        let mut next = self.traced_round().await;
        loop {
            if self.out_of_date() || Instant::now() >= next {
                next = self.traced_round().await;
            }
            self.start_operations().await;
            self.publish_progress();
            self.sampler.start(&self.setup.act);
            let wakes = self.sampler.wakes().map_or(next, |sample| sample.min(next));
            let by_use = self.input.borrow().policy.home.by_use;
            let pace = by_use.map_or(1, |rules| rules.messages_per_minute);
            tokio::select! {
                () = stop.cancelled() => break,
                changed = self.view.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.due = true;
                }
                changed = self.input.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.due = true;
                }
                Some((asset, advance)) = self.advances.recv() => self.advance(&asset, advance).await,
                Some(joined) = self.tasks.join_next() => {
                    if let Ok((finished, _slot)) = joined {
                        self.finish(finished).await;
                    }
                }
                _ = self.freed.changed(), if !self.queue.is_empty() => {}
                messages = self.sampler.next(&self.setup.clock, pace) => {
                    self.setup.metrics.sampled(&self.setup.labels, messages);
                    self.due = true;
                }
                () = tokio::time::sleep_until(wakes) => {}
            }
            self.take_in().await;
        }
        self.drain().await;
    }

    async fn traced_round(&mut self) -> Instant {
        let PolicyLabels { namespace, policy } = &self.setup.labels;
        let span = info_span!(target: SPANS, "round", %namespace, %policy, account = %self.setup.account);
        self.round().instrument(span).await
    }

    /// Whether the queue was made from input that has changed.
    fn out_of_date(&self) -> bool {
        // Through `borrow`, which waits for an update under way: see `Runner::update`.
        self.due || self.view.has_changed().unwrap_or(false) || self.input.borrow().has_changed()
    }

    async fn emit(&self, policy_event: PolicyEvent) {
        policy_event.emit(&self.setup.labels, &self.setup.metrics);
        if let PolicyEvent::Ended(finished) = &policy_event {
            self.setup.audit_subject().ended(finished);
        }
        // A missing receiver is no reason to stop.
        let _ = self.policy_events.send(policy_event).await;
    }
}

impl<A, C: Clock> Drop for Loop<A, C> {
    /// In the metrics, operations that nobody watches any more are no longer in flight.
    fn drop(&mut self) {
        for operation in self.in_flight.values() {
            let kind = operation.action.action_type();
            self.setup.metrics.dropped(&self.setup.labels, kind);
            let now = self.setup.clock.now();
            let subject = self.setup.audit_subject();
            subject.unwatched(&operation.action, &operation.sent, operation.started, now);
        }
        self.setup
            .metrics
            .underway(&self.setup.labels, std::iter::empty());
        self.setup.limits.forget(&self.setup.account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_stale_after_three_intervals_and_never_before_fifteen_seconds() {
        assert_eq!(stale_after(Duration::from_secs(30)), Duration::from_secs(90));
        assert_eq!(stale_after(Duration::from_secs(4)), Duration::from_secs(15));
    }
}
