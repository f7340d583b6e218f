//! Watches the streams that read a stream that moved: those that do not resume by themselves get a new leader.

use futures::StreamExt as _;
use leeward_api::vocabulary::ActionResult;
use leeward_core::action::{Action, ActionKind, Move, Successor};
use leeward_core::names::{AssetName, StreamName};
use leeward_core::operation::{
    ACTIVE_AGAIN, Outcome, ReadResult, Refresh, TargetReached, is_active, refresh, refreshed,
};
use leeward_core::target::MoveTarget;
use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::step_down::Verified;
use super::{FollowUp, Stage, StepContext, failure};
use crate::ports::{Act, ActError, Clock};

/// Streams that are watched at once.
const AT_ONCE: usize = 8;

/// Servers before 2.11 refuse a step-down that names a peer (nats-facts N10).
const PEER_NOT_SUPPORTED: u32 = 10_003;

/// How far a stream that moves was seen to be.
#[derive(Clone, Copy, Debug)]
pub(super) enum MoveProgress {
    /// Led from where it was.
    Away,
    /// Led from its target.
    Led(Instant),
    /// Completely there.
    Done(Instant),
}

impl MoveProgress {
    /// Publishes it unless as much is known.
    pub(super) fn publish(self, to: &watch::Sender<Self>) {
        to.send_if_modified(|known| {
            let further = matches!(
                (&known, self),
                (Self::Away, Self::Led(_) | Self::Done(_)) | (Self::Led(_), Self::Done(_))
            );
            if further {
                *known = self;
            }
            further
        });
    }

    /// How long ago that was seen; once the sender is gone, the last state was the end.
    fn since(reached: &watch::Receiver<Self>) -> Option<TargetReached> {
        match *reached.borrow() {
            Self::Away => None,
            Self::Led(at) if reached.has_changed().is_ok() => Some(TargetReached::Led(at.elapsed())),
            Self::Led(at) | Self::Done(at) => Some(TargetReached::Done(at.elapsed())),
        }
    }
}

impl<A: Act, C: Clock> StepContext<'_, A, C> {
    /// Waits until the new leader of a stream that moves was seen, and watches those that read it.
    pub(super) async fn refresh_all(
        self,
        moved: &StreamName,
        moving: &Move,
        mut reached: watch::Receiver<MoveProgress>,
    ) -> Vec<FollowUp> {
        if !self.limits.refresh_dependents || moving.dependents.is_empty() {
            return Vec::new();
        }
        let led_there = |reach: &MoveProgress| !matches!(reach, MoveProgress::Away);
        if reached.wait_for(led_there).await.is_err() {
            return Vec::new();
        }
        let one = |dependent: StreamName| {
            let reached = reached.clone();
            async move { self.watch_dependent(&dependent, moved, moving, reached).await }
        };
        let all = futures::stream::iter(moving.dependents.iter().cloned().map(one));
        let done: Vec<Option<FollowUp>> = all.buffered(AT_ONCE).collect().await;
        done.into_iter().flatten().collect()
    }

    /// `None` for a stream that resumes by itself.
    async fn watch_dependent(
        self,
        dependent: &StreamName,
        moved: &StreamName,
        moving: &Move,
        mut reached: watch::Receiver<MoveProgress>,
    ) -> Option<FollowUp> {
        let asset = AssetName::stream(dependent.clone());
        let mut pace = Backoff::urgent();
        let max_lag = self.limits.max_lag;
        loop {
            let read_result = self.act.read(&asset).await.unwrap_or(ReadResult::Unanswered);
            let since = MoveProgress::since(&reached)?;
            let means = |read_result: &ReadResult| {
                refresh(dependent, moved, &moving.target, read_result, since, max_lag)
            };
            let next = match (means(&read_result), read_result) {
                (Refresh::Wait, _) => Refresh::Wait,
                (_, ReadResult::Seen(reading)) => means(&self.confirmed(&asset, reading).await),
                (next, _) => next,
            };
            match next {
                Refresh::Resumed => return None,
                Refresh::Wait => tokio::select! {
                    () = pace.rest() => {}
                    Ok(()) = reached.changed() => {}
                },
                Refresh::StepDown(action) => {
                    return Some(self.follow_up(action, moved, &moving.target).await);
                }
                Refresh::Leave(outcome) => {
                    let now = self.clock.now();
                    return Some(FollowUp {
                        stream: dependent.clone(),
                        outcome,
                        requests: 0,
                        started: now,
                        ended: now,
                    });
                }
            }
        }
    }

    /// Makes its leader step down, and once more if it does not receive from the moved stream after that.
    async fn follow_up(self, mut action: Action, moved: &StreamName, target: &MoveTarget) -> FollowUp {
        self.is_at(Stage::Refreshing);
        let started = self.clock.now();
        let mut requests = 0;
        let first = self.retry_step_down(&mut action, moved, &mut requests).await;
        let outcome = if first.result == ActionResult::Stalled {
            match self.next_step_down(&action, moved, target).await {
                Some(mut next) => self.retry_step_down(&mut next, moved, &mut requests).await,
                None => first,
            }
        } else {
            first
        };
        FollowUp {
            stream: action.asset.stream,
            outcome,
            requests,
            started,
            ended: self.clock.now(),
        }
    }

    async fn retry_step_down(self, action: &mut Action, moved: &StreamName, requests: &mut u32) -> Outcome {
        let asked_at = Instant::now();
        match self.send_and_verify(action, requests).await {
            Ok(led) if led.result == ActionResult::Succeeded => {
                let active = self.await_source_active(&action.asset, moved, asked_at).await;
                refreshed(led, moved, active)
            }
            Ok(led) | Err(led) => led,
        }
    }

    /// The next step-down for a stream that does not receive although it has a new leader.
    async fn next_step_down(
        self,
        action: &Action,
        moved: &StreamName,
        target: &MoveTarget,
    ) -> Option<Action> {
        let read_result = self.act.read(&action.asset).await.ok()?;
        let (stream, since) = (&action.asset.stream, TargetReached::Done(ACTIVE_AGAIN));
        match refresh(stream, moved, target, &read_result, since, self.limits.max_lag) {
            Refresh::StepDown(next) => Some(next),
            Refresh::Resumed | Refresh::Wait | Refresh::Leave(_) => None,
        }
    }

    /// A step-down of a stream that was looked at just now; any other leader will do.
    async fn send_and_verify(self, action: &mut Action, requests: &mut u32) -> Result<Outcome, Outcome> {
        let since = Instant::now();
        let mut answer = self.send(self.permit()?, action, requests).await;
        if let (
            Err(ActError::Refused {
                code: PEER_NOT_SUPPORTED,
                ..
            }),
            ActionKind::StepDown(step_down),
        ) = (&answer, &mut action.kind)
        {
            step_down.successor = Successor::Anyone;
            answer = self.send(self.permit()?, action, requests).await;
        }
        match answer {
            Err(error) if !error.may_have_acted() => return Err(failure(&error)),
            Ok(()) | Err(_) => {}
        }
        // Whoever else leads it now, nobody is asked again here.
        let mut asked = self.asked(action.from.clone(), self.limits.max_requests);
        match self.verify(action, &mut asked, since).await {
            Verified::Ended(outcome) => Ok(outcome),
            Verified::LedBy(_) => Ok(Outcome::new(
                ActionResult::Missed,
                None,
                "no other leader came of it",
            )),
        }
    }

    /// After how long the stream received from the one that moved, or for how long it did not.
    async fn await_source_active(
        self,
        asset: &AssetName,
        moved: &StreamName,
        since: Instant,
    ) -> Result<std::time::Duration, std::time::Duration> {
        let mut pace = Backoff::urgent();
        loop {
            let read_result = self.act.read(asset).await.unwrap_or(ReadResult::Unanswered);
            let span = since.elapsed();
            let read_result = match read_result {
                ReadResult::Seen(reading) if is_active(&reading, moved, span) => {
                    self.confirmed(asset, reading).await
                }
                read_result => read_result,
            };
            match read_result {
                ReadResult::Gone => return Ok(span),
                ReadResult::Seen(reading) if is_active(&reading, moved, span) => return Ok(span),
                ReadResult::Seen(_) | ReadResult::Unanswered if span >= ACTIVE_AGAIN => return Err(span),
                ReadResult::Seen(_) | ReadResult::Unanswered => pace.rest().await,
            }
        }
    }
}
