//! Follows the engine until no approved action is left to do.
//!
//! It terminates: an ended action loses its approval, and a missing look is waited for only so long. The first
//! interrupt withdraws all approvals, the second leaves what is in flight to the servers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use jiff::Timestamp;
use leeward_api::vocabulary::ObservedReason;
use leeward_core::action::Action;
use leeward_core::names::AssetName;
use leeward_core::proposal::Proposal;
use leeward_core::safety::is_moving;
use leeward_engine::execute::Finished;
use leeward_engine::in_flight::OperationInFlight;
use leeward_engine::policy_event::PolicyEvent;
use leeward_engine::policy_state::{PolicyState, recent_action, refreshed};
use leeward_engine::policy_worker::PolicyWorker;
use leeward_nats::ConnectionState;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::ask::print;
use super::progress::{ApplyProgress, short};
use crate::document::DonePart;
use crate::output::amount;
use crate::runtime::ExitSignals;

/// Streams named at most.
const MOST_NAMED: usize = 3;

/// Results of one policy's actions.
#[derive(Clone, Debug, Default)]
pub(super) struct ApplyResult {
    /// What was done, in the order in which it ended.
    pub(super) done: Vec<DonePart>,
    /// Their assets.
    pub(super) tried: BTreeSet<AssetName>,
    /// What was in flight when watching ended.
    pub(super) unwatched: Vec<Action>,
    /// Whether a complete look after the last end shows that nothing is left to do.
    pub(super) seen: bool,
    /// The policy's state then.
    pub(super) policy_state: Option<Arc<PolicyState>>,
}

/// What happens outside of the engine.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    /// The connection of the account's user.
    pub(super) state: watch::Receiver<ConnectionState>,
    /// How long to wait for a connection and for a complete look.
    pub(super) wait: Duration,
    /// Streams of the system that may move at once, whoever began it.
    pub(super) moves: u32,
}

/// A policy being applied.
pub(super) struct PolicyApply {
    worker: PolicyWorker,
    policy_events: mpsc::Receiver<PolicyEvent>,
    policy_state: watch::Receiver<Option<Arc<PolicyState>>>,
    underway: watch::Receiver<Arc<[OperationInFlight]>>,
    progress: ApplyProgress,
    /// Assets for which a request was sent.
    sent: watch::Sender<BTreeSet<AssetName>>,
    /// The last line printed about moves that are not this policy's.
    held_up: Option<String>,
    ended: ApplyResult,
    last_end: Option<Timestamp>,
}

/// The stage of a policy's apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApplyStage {
    /// Something is in flight, or may begin.
    Working,
    /// Nothing is, but no look shows the result yet.
    Looking,
    /// Nothing is, as a complete look after the last end shows.
    Over,
}

/// The stage of a policy in this state.
pub(super) fn stage(policy_state: Option<&PolicyState>, last_end: Option<Timestamp>) -> ApplyStage {
    let Some(policy_state) = policy_state else {
        return ApplyStage::Looking;
    };
    if !policy_state.operations.is_empty() || policy_state.waiting > 0 {
        return ApplyStage::Working;
    }
    let complete = policy_state.report.observed.0 == ObservedReason::Complete;
    let later = last_end.is_none_or(|end| policy_state.view.observed_at > end);
    if complete && later {
        ApplyStage::Over
    } else {
        ApplyStage::Looking
    }
}

/// What holds up approved moves, while streams move that this policy did not move.
pub(super) fn held_up(
    policy_state: &PolicyState,
    approved: &Proposal,
    ended: &ApplyResult,
    most: u32,
) -> Option<String> {
    let operations = policy_state.operations.iter();
    let own: BTreeSet<&str> = operations
        .filter(|operation| operation.action.is_move())
        .map(|operation| operation.stream.as_str())
        .collect();
    let is_own = |stream: &str| {
        let tried = || ended.tried.iter().any(|asset| asset.stream.as_str() == stream);
        own.contains(stream) || tried()
    };
    let others: Vec<&str> = policy_state
        .view
        .streams
        .iter()
        .filter(|stream| is_moving(stream))
        .map(|stream| stream.name.as_str())
        .filter(|stream| !is_own(stream))
        .collect();
    let mut left = approved.actions.iter();
    let waits =
        left.any(|(asset, approved)| approved.action.is_move() && !own.contains(asset.stream.as_str()));
    let full = u64::try_from(own.len() + others.len()).is_ok_and(|now| now >= u64::from(most));
    let held_up = policy_state.waiting > 0 && waits && full && !others.is_empty();
    held_up.then(|| waiting_for(&others, most))
}

fn waiting_for(others: &[&str], most: u32) -> String {
    let named = amount::names(others, MOST_NAMED);
    format!(
        "Waiting for what moves already, {named}: of the system's streams at most {most} may move at once \
         (limits.moves of the NatsSystem)."
    )
}

/// Follows all policies to their ends.
pub(super) async fn follow(
    policy_runs: Vec<PolicyApply>,
    external: &Surroundings,
) -> anyhow::Result<Vec<ApplyResult>> {
    let mut signals = ExitSignals::listen()?;
    let (stop, stopped) = watch::channel(false);
    let underway: Vec<_> = policy_runs
        .iter()
        .map(|policy_run| (policy_run.underway.clone(), policy_run.sent.subscribe()))
        .collect();
    let in_flight = || -> Vec<Action> {
        let all = underway.iter().map(|(one, _)| one.borrow().clone());
        all.flat_map(|one| actions(&one)).collect()
    };
    let requested_assets = || -> Vec<Action> {
        let all = underway.iter();
        all.flat_map(|(one, sent)| requested(actions(&one.borrow()), &sent.borrow()))
            .collect()
    };
    let following = policy_runs
        .into_iter()
        .map(|policy_run| policy_run.follow(external.clone(), stopped.clone()));
    let mut following = std::pin::pin!(futures::future::join_all(following));
    loop {
        tokio::select! {
            ended = &mut following => return Ok(ended),
            () = signals.next() => {
                if *stopped.borrow() {
                    bail!("stopped at once; {}", abandoned(&action_names(&requested_assets())));
                }
                print(&stopping(&action_names(&in_flight())));
                stop.send_replace(true);
            }
        }
    }
}

fn actions(underway: &[OperationInFlight]) -> Vec<Action> {
    underway.iter().map(|one| one.action.clone()).collect()
}

/// Those requested of the servers; the others were only being checked.
pub(super) fn requested(mut in_flight: Vec<Action>, sent: &BTreeSet<AssetName>) -> Vec<Action> {
    in_flight.retain(|action| sent.contains(&action.asset));
    in_flight
}

fn action_names(actions: &[Action]) -> Vec<String> {
    let name = |action: &Action| format!("{} {}", action.action_type(), short(&action.asset));
    actions.iter().map(name).collect()
}

pub(super) fn stopping(in_flight: &[String]) -> String {
    if in_flight.is_empty() {
        return "Nothing else is begun.".to_owned();
    }
    format!(
        "Nothing else is begun; this ends after what is in flight: {}. Ctrl-C again ends at once and leaves to the \
         servers what was asked of them.",
        in_flight.join(", ")
    )
}

pub(super) fn abandoned(requested_assets: &[String]) -> String {
    if requested_assets.is_empty() {
        return "the servers were asked for nothing that is still to be done; leeward plan shows what is left".to_owned();
    }
    format!(
        "the servers go on with {}; leeward plan shows what came of it",
        requested_assets.join(", ")
    )
}

impl PolicyApply {
    pub(super) fn new(
        (worker, policy_events): (PolicyWorker, mpsc::Receiver<PolicyEvent>),
        progress: ApplyProgress,
    ) -> Self {
        Self {
            policy_state: worker.watch(),
            underway: worker.underway(),
            worker,
            policy_events,
            progress,
            sent: watch::Sender::new(BTreeSet::new()),
            held_up: None,
            ended: ApplyResult::default(),
            last_end: None,
        }
    }

    async fn follow(mut self, mut external: Surroundings, mut stop: watch::Receiver<bool>) -> ApplyResult {
        let mut patience: Option<Instant> = None;
        loop {
            let policy_state = self.policy_state.borrow_and_update().clone();
            // What ended before this state was published is in the channel.
            self.take_in_all();
            self.report_what_holds_up(policy_state.as_deref(), external.moves);
            let connected = external.state.borrow_and_update().is_connected();
            let stage = stage(policy_state.as_deref(), self.last_end);
            if stage == ApplyStage::Over {
                self.ended.seen = true;
                break;
            }
            if self.worker.broke_off() {
                self.progress
                    .print("The engine broke off, a defect of Leeward: nothing else is begun.");
                break;
            }
            let limit = (stage == ApplyStage::Looking || !connected)
                .then(|| *patience.get_or_insert_with(|| Instant::now() + external.wait));
            patience = limit;
            if limit.is_some_and(|limit| Instant::now() >= limit) {
                self.progress.print(&gave_up(connected, external.wait));
                break;
            }
            tokio::select! {
                _ = self.policy_state.changed() => {}
                _ = self.underway.changed() => {
                    let underway = self.underway.borrow_and_update().clone();
                    self.progress.show(&underway);
                }
                Some(policy_event) = self.policy_events.recv() => self.take_in(policy_event),
                _ = external.state.changed() => {}
                Ok(()) = stop.changed() => self.worker.approve(Arc::default()),
                () = until(limit) => {}
            }
        }
        self.end().await
    }

    /// Prints each reason to wait once.
    fn report_what_holds_up(&mut self, policy_state: Option<&PolicyState>, most: u32) {
        let approved = self.worker.input().approved.as_deref();
        let held_up = policy_state
            .zip(approved)
            .and_then(|(policy_state, approved)| held_up(policy_state, approved, &self.ended, most));
        if held_up == self.held_up {
            return;
        }
        if let Some(line) = &held_up {
            self.progress.print(line);
        }
        self.held_up = held_up;
    }

    fn take_in_all(&mut self) {
        while let Ok(policy_event) = self.policy_events.try_recv() {
            self.take_in(policy_event);
        }
    }

    fn take_in(&mut self, policy_event: PolicyEvent) {
        note_request(&self.sent, &policy_event);
        let PolicyEvent::Ended(finished) = policy_event else {
            return;
        };
        let asset = finished.action.asset.clone();
        self.last_end = self.last_end.max(Some(finished.ended));
        for part in parts(&finished) {
            self.progress.done(&part);
            self.ended.done.push(part);
        }
        // Once only, whatever the result.
        let approved = self.worker.input().approved.as_deref();
        let mut approved = approved.cloned().unwrap_or_default();
        approved.actions.remove(&asset);
        self.ended.tried.insert(asset);
        self.worker.approve(Arc::new(approved));
    }

    /// Ends the engine's loop, and takes in its last events.
    async fn end(self) -> ApplyResult {
        let Self {
            worker,
            mut policy_events,
            policy_state: _,
            underway,
            progress,
            sent,
            held_up: _,
            mut ended,
            last_end: _,
        } = self;
        let in_flight = underway.borrow().clone();
        let policy_state = worker.end().await;
        while let Ok(policy_event) = policy_events.try_recv() {
            note_request(&sent, &policy_event);
            if let PolicyEvent::Ended(finished) = policy_event {
                ended.tried.insert(finished.action.asset.clone());
                ended.done.extend(parts(&finished));
            }
        }
        ended.unwatched = requested(actions(&in_flight), &sent.borrow());
        ended
            .unwatched
            .retain(|action| !ended.tried.contains(&action.asset));
        ended.policy_state = policy_state;
        progress.finish();
        ended
    }
}

fn note_request(sent: &watch::Sender<BTreeSet<AssetName>>, policy_event: &PolicyEvent) {
    if let PolicyEvent::Requested { action } = policy_event {
        sent.send_modify(|sent| {
            sent.insert(action.asset.clone());
        });
    }
}

/// Until the limit, if there is one.
async fn until(limit: Option<Instant>) {
    match limit {
        Some(limit) => tokio::time::sleep_until(limit).await,
        None => std::future::pending().await,
    }
}

fn gave_up(connected: bool, wait: Duration) -> String {
    let wait = amount::about(wait);
    if connected {
        format!(
            "Not everything could be seen for {wait}: what was done may not show yet. --wait gives more time."
        )
    } else {
        format!("There was no connection to NATS for {wait}: nothing else is begun. --wait gives more time.")
    }
}

/// An operation, with the refreshes of streams that read a moved stream.
fn parts(finished: &Finished) -> Vec<DonePart> {
    let own = DonePart {
        action: recent_action(finished),
        requests: finished.requests,
        message: finished.outcome.message.clone(),
    };
    let others = finished
        .follow_ups
        .iter()
        .filter(|follow_up| follow_up.requests > 0)
        .map(|follow_up| DonePart {
            action: refreshed(follow_up),
            requests: follow_up.requests,
            message: follow_up.outcome.message.clone(),
        });
    std::iter::once(own).chain(others).collect()
}
