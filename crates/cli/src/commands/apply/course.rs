//! Follows the engine until it has nothing left to do of what was approved.
//!
//! It ends: what has ended is not approved any more, and what cannot be seen is waited for only so long. The first
//! interrupt takes the approval away from everything, the second leaves what is in flight to the servers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use leeward_api::vocabulary::ObservedReason;
use leeward_core::names::AssetName;
use leeward_core::plan::Action;
use leeward_engine::execute::Finished;
use leeward_engine::occurrence::Occurrence;
use leeward_engine::runner::{Input, Runner};
use leeward_engine::standing::{Standing, recent_action, refreshed};
use leeward_engine::underway::Underway;
use leeward_nats::ConnectionState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::ask::say;
use super::progress::{Progress, short};
use crate::document::DonePart;

/// What came of one policy's actions.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    /// What was done, in the order in which it ended.
    pub(super) done: Vec<DonePart>,
    /// On these assets.
    pub(super) tried: BTreeSet<AssetName>,
    /// What was in flight when nobody could watch any longer.
    pub(super) unwatched: Vec<Action>,
    /// Where the policy stood then.
    pub(super) standing: Option<Arc<Standing>>,
}

/// What happens outside of the engine.
#[derive(Clone, Debug)]
pub(super) struct Outside {
    /// The connection of the account's user.
    pub(super) state: watch::Receiver<ConnectionState>,
    /// How long a connection, and a complete look, are waited for.
    pub(super) wait: Duration,
}

/// One policy on its way.
pub(super) struct Leg {
    runner: Runner,
    occurrences: mpsc::Receiver<Occurrence>,
    standing: watch::Receiver<Option<Arc<Standing>>>,
    underway: watch::Receiver<Arc<[Underway]>>,
    input: Input,
    progress: Progress,
    ended: Ended,
    last_end: Option<Timestamp>,
}

/// Where a policy is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Something is in flight, or may begin.
    Working,
    /// Nothing is, and what was done is not seen yet.
    Looking,
    /// Nothing is, as a complete look after the last end says.
    Over,
}

/// Where a policy is that stands like this.
pub(super) fn stage(standing: Option<&Standing>, last_end: Option<Timestamp>) -> Stage {
    let Some(standing) = standing else {
        return Stage::Looking;
    };
    if !standing.operations.is_empty() || standing.waiting > 0 {
        return Stage::Working;
    }
    let complete = standing.report.observed.0 == ObservedReason::Complete;
    let later = last_end.is_none_or(|end| standing.view.observed_at > end);
    if complete && later {
        Stage::Over
    } else {
        Stage::Looking
    }
}

/// Follows all policies to their ends.
pub(super) async fn follow(legs: Vec<Leg>, outside: &Outside) -> anyhow::Result<Vec<Ended>> {
    let mut signals = Signals::listen()?;
    let (stop, told) = watch::channel(false);
    let underway: Vec<_> = legs.iter().map(|leg| leg.underway.clone()).collect();
    let in_flight = || -> Vec<Underway> {
        let all = underway.iter().map(|one| one.borrow().clone());
        all.flat_map(|one| one.to_vec()).collect()
    };
    let following = legs
        .into_iter()
        .map(|leg| leg.follow(outside.clone(), told.clone()));
    let mut following = std::pin::pin!(futures::future::join_all(following));
    loop {
        tokio::select! {
            ended = &mut following => return Ok(ended),
            () = signals.next() => {
                let left = names(&in_flight());
                if *told.borrow() {
                    bail!("stopped at once; {}", abandoned(&left));
                }
                say(&stopping(&left));
                stop.send_replace(true);
            }
        }
    }
}

fn names(underway: &[Underway]) -> Vec<String> {
    let name = |one: &Underway| format!("{} {}", one.action.kind(), short(&one.action.asset));
    underway.iter().map(name).collect()
}

pub(super) fn stopping(in_flight: &[String]) -> String {
    if in_flight.is_empty() {
        return "Nothing else is begun.".to_owned();
    }
    format!(
        "Nothing else is begun; this ends after what is in flight: {}. Ctrl-C again ends at once and leaves that to the \
         servers.",
        in_flight.join(", ")
    )
}

pub(super) fn abandoned(in_flight: &[String]) -> String {
    if in_flight.is_empty() {
        return "nothing was in flight; leeward plan shows what is left".to_owned();
    }
    format!(
        "the servers go on with {}; leeward plan shows what came of it",
        in_flight.join(", ")
    )
}

impl Leg {
    pub(super) fn new(
        (runner, occurrences): (Runner, mpsc::Receiver<Occurrence>),
        input: Input,
        progress: Progress,
    ) -> Self {
        Self {
            standing: runner.standing(),
            underway: runner.underway(),
            runner,
            occurrences,
            input,
            progress,
            ended: Ended::default(),
            last_end: None,
        }
    }

    async fn follow(mut self, mut outside: Outside, mut stop: watch::Receiver<bool>) -> Ended {
        let mut patience: Option<Instant> = None;
        loop {
            let standing = self.standing.borrow_and_update().clone();
            // What ended before it was published is in the channel by now.
            self.take_in_all();
            let connected = outside.state.borrow_and_update().is_connected();
            let stage = stage(standing.as_deref(), self.last_end);
            if stage == Stage::Over {
                break;
            }
            let limit = (stage == Stage::Looking || !connected)
                .then(|| *patience.get_or_insert_with(|| Instant::now() + outside.wait));
            patience = limit;
            if limit.is_some_and(|limit| Instant::now() >= limit) {
                self.progress.say(&gave_up(connected, outside.wait));
                break;
            }
            tokio::select! {
                _ = self.standing.changed() => {}
                _ = self.underway.changed() => {
                    let underway = self.underway.borrow_and_update().clone();
                    self.progress.show(&underway);
                }
                Some(occurrence) = self.occurrences.recv() => self.take_in(occurrence),
                _ = outside.state.changed() => {}
                Ok(()) = stop.changed() => self.approve(BTreeSet::new()),
                () = until(limit) => {}
            }
        }
        self.end().await
    }

    fn take_in_all(&mut self) {
        while let Ok(occurrence) = self.occurrences.try_recv() {
            self.take_in(occurrence);
        }
    }

    fn take_in(&mut self, occurrence: Occurrence) {
        let Occurrence::Ended(finished) = occurrence else {
            return;
        };
        let asset = finished.action.asset.clone();
        self.last_end = self.last_end.max(Some(finished.ended));
        for part in parts(&finished) {
            self.progress.done(&part);
            self.ended.done.push(part);
        }
        // Once is enough, whatever came of it.
        let mut approved = self.input.approved.as_deref().cloned().unwrap_or_default();
        approved.remove(&asset);
        self.ended.tried.insert(asset);
        self.approve(approved);
    }

    fn approve(&mut self, approved: BTreeSet<AssetName>) {
        self.input.approved = Some(Arc::new(approved));
        self.runner.update(self.input.clone());
    }

    /// Ends the engine's loop, and takes in what it says last.
    async fn end(self) -> Ended {
        let Self {
            runner,
            mut occurrences,
            standing,
            underway,
            input: _,
            progress,
            mut ended,
            last_end: _,
        } = self;
        let in_flight = underway.borrow().clone();
        runner.shutdown().await;
        while let Ok(occurrence) = occurrences.try_recv() {
            if let Occurrence::Ended(finished) = occurrence {
                ended.tried.insert(finished.action.asset.clone());
                ended.done.extend(parts(&finished));
            }
        }
        let actions = in_flight.iter().map(|one| one.action.clone());
        ended.unwatched = actions
            .filter(|action| !ended.tried.contains(&action.asset))
            .collect();
        ended.standing.clone_from(&standing.borrow());
        progress.finish();
        ended
    }
}

/// Where there is a limit, until then.
async fn until(limit: Option<Instant>) {
    match limit {
        Some(limit) => tokio::time::sleep_until(limit).await,
        None => std::future::pending().await,
    }
}

fn gave_up(connected: bool, wait: Duration) -> String {
    let wait = crate::output::amount::about(wait);
    if connected {
        format!(
            "Not everything could be seen for {wait}: what was done may not show yet. --wait gives more time."
        )
    } else {
        format!("There was no connection to NATS for {wait}: nothing else is begun. --wait gives more time.")
    }
}

/// An operation with what was done for streams that read a stream that moved.
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

/// What asks a command to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
