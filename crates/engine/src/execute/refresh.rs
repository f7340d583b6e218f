//! Looks after the streams that read a stream that moved: those that do not go on by themselves get a new leader.

use futures::StreamExt as _;
use leeward_api::vocabulary::ActionResult;
use leeward_core::action::{Action, ActionKind, Move, Successor};
use leeward_core::names::{AssetName, StreamName};
use leeward_core::operation::{
    HEARS_AGAIN, Outcome, ReadResult, Refresh, TargetReached, hears, refresh, refreshed,
};
use leeward_core::target::MoveTarget;
use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::hand_over::Verified;
use super::{FollowUp, Stage, StepContext, failure};
use crate::ports::{Act, ActError, Clock};

/// Streams that are looked after at once.
const AT_ONCE: usize = 8;

/// Servers before 2.11 refuse a step-down that names a peer (nats-facts N10).
const TAKES_NO_AIM: u32 = 10_003;

/// How far a stream that moves was seen to be.
#[derive(Clone, Copy, Debug)]
pub(super) enum MoveProgress {
    /// Led from where it was.
    Abroad,
    /// Led from its target.
    HandedOver(Instant),
    /// There as a whole.
    Done(Instant),
}

impl MoveProgress {
    /// Tells it unless as much is known.
    pub(super) fn tell(self, to: &watch::Sender<Self>) {
        to.send_if_modified(|known| {
            let further = matches!(
                (&known, self),
                (Self::Abroad, Self::HandedOver(_) | Self::Done(_)) | (Self::HandedOver(_), Self::Done(_))
            );
            if further {
                *known = self;
            }
            further
        });
    }

    /// How long ago that was seen; what is not told any more was the end.
    fn since(reached: &watch::Receiver<Self>) -> Option<TargetReached> {
        match *reached.borrow() {
            Self::Abroad => None,
            Self::HandedOver(at) if reached.has_changed().is_ok() => {
                Some(TargetReached::HandOver(at.elapsed()))
            }
            Self::HandedOver(at) | Self::Done(at) => Some(TargetReached::Done(at.elapsed())),
        }
    }
}

impl<A: Act, C: Clock> StepContext<'_, A, C> {
    /// Waits until the new leader of a stream that moves was seen, and looks after those that read it.
    pub(super) async fn refresh_all(
        self,
        moved: &StreamName,
        moving: &Move,
        mut reached: watch::Receiver<MoveProgress>,
    ) -> Vec<FollowUp> {
        if !self.limits.refresh_dependents || moving.dependents.is_empty() {
            return Vec::new();
        }
        let led_there = |reach: &MoveProgress| !matches!(reach, MoveProgress::Abroad);
        if reached.wait_for(led_there).await.is_err() {
            return Vec::new();
        }
        let one = |dependent: StreamName| {
            let reached = reached.clone();
            async move { self.look_after(&dependent, moved, moving, reached).await }
        };
        let all = futures::stream::iter(moving.dependents.iter().cloned().map(one));
        let done: Vec<Option<FollowUp>> = all.buffered(AT_ONCE).collect().await;
        done.into_iter().flatten().collect()
    }

    /// `None` for a stream that goes on by itself.
    async fn look_after(
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

    /// Hands its leadership over, and once more if it does not hear of the moved stream after that.
    async fn follow_up(self, mut action: Action, moved: &StreamName, target: &MoveTarget) -> FollowUp {
        self.is_at(Stage::Refreshing);
        let started = self.clock.now();
        let mut requests = 0;
        let first = self.revive(&mut action, moved, &mut requests).await;
        let outcome = if first.result == ActionResult::Stalled {
            match self.look_again(&action, moved, target).await {
                Some(mut next) => self.revive(&mut next, moved, &mut requests).await,
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

    async fn revive(self, action: &mut Action, moved: &StreamName, requests: &mut u32) -> Outcome {
        let asked_at = Instant::now();
        match self.ask_again(action, requests).await {
            Ok(led) if led.result == ActionResult::Succeeded => {
                let heard = self.hears_again(&action.asset, moved, asked_at).await;
                refreshed(led, moved, heard)
            }
            Ok(led) | Err(led) => led,
        }
    }

    /// What is to be asked of a stream that does not hear although it has a new leader.
    async fn look_again(self, action: &Action, moved: &StreamName, target: &MoveTarget) -> Option<Action> {
        let read_result = self.act.read(&action.asset).await.ok()?;
        let (stream, since) = (&action.asset.stream, TargetReached::Done(HEARS_AGAIN));
        match refresh(stream, moved, target, &read_result, since, self.limits.max_lag) {
            Refresh::StepDown(next) => Some(next),
            Refresh::Resumed | Refresh::Wait | Refresh::Leave(_) => None,
        }
    }

    /// A step-down of a stream that was looked at just now; any other leader will do.
    async fn ask_again(self, action: &mut Action, requests: &mut u32) -> Result<Outcome, Outcome> {
        let mut answer = self.send(action, requests).await?;
        if let (
            Err(ActError::Refused {
                code: TAKES_NO_AIM, ..
            }),
            ActionKind::StepDown(step_down),
        ) = (&answer, &mut action.kind)
        {
            step_down.successor = Successor::Anyone;
            answer = self.send(action, requests).await?;
        }
        match answer {
            Err(error) if !error.may_have_acted() => return Err(failure(&error)),
            Ok(()) | Err(_) => {}
        }
        let asked = self.asked(action.from.clone(), *requests);
        match self.verify(action, &asked).await {
            Verified::Ended(outcome) => Ok(outcome),
            Verified::LedBy(leader) => Ok(Outcome::new(
                ActionResult::Missed,
                None,
                format!("{leader} leads it now"),
            )),
        }
    }

    /// After how long the stream heard of the one that moved, or for how long it did not.
    async fn hears_again(
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
                ReadResult::Seen(reading) if hears(&reading, moved, span) => {
                    self.confirmed(asset, reading).await
                }
                read_result => read_result,
            };
            match read_result {
                ReadResult::Gone => return Ok(span),
                ReadResult::Seen(reading) if hears(&reading, moved, span) => return Ok(span),
                ReadResult::Seen(_) | ReadResult::Unanswered if span >= HEARS_AGAIN => return Err(span),
                ReadResult::Seen(_) | ReadResult::Unanswered => pace.rest().await,
            }
        }
    }
}
