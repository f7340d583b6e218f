//! A move: the placement is edited, and read back until all replicas and consumers are there; the streams that read it
//! are handled once its new leader is seen.

use std::time::Duration;

use leeward_api::vocabulary::ActionResult;
use leeward_core::action::{Action, Move};
use leeward_core::names::ServerName;
use leeward_core::operation::{
    Outcome, Preflight, ReadResult, SentRequest, Verification, arrives, before_consumers, led_by_target,
    proven_move,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Copied;
use super::backoff::Backoff;
use super::copying::CopyProgress;
use super::preflight::PreflightRead;
use super::prove::Baseline;
use super::refresh::MoveProgress;
use super::transfer::{Asking, TransferTurns};
use super::{FollowUp, StepContext, unlike_sent};
use crate::ports::{Act, ActError, Clock};
use crate::record::Recorded;

/// Near the leader transfer looks are no further apart: the streams that read the moved one stall from then on.
const NEAR: Duration = Duration::from_millis(150);

/// People need not know more often how much of a stream is copied.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// A move that was requested.
struct StartedMove {
    asked: SentRequest,
    peers_before: Vec<ServerName>,
    consumers: Baseline,
    contested: Option<ActError>,
}

impl<A: Act, C: Clock> StepContext<'_, A, C> {
    pub(super) async fn move_stream(
        self,
        action: &Action,
        moving: &Move,
        recorded: &mut Recorded,
        requests: &mut u32,
    ) -> (Outcome, Vec<FollowUp>) {
        let begun = match self.begin(action, moving, recorded, requests).await {
            Ok(begun) => begun,
            Err(outcome) => return (outcome, Vec::new()),
        };
        let (reach, reached) = watch::channel(MoveProgress::Away);
        let waiting = self.await_move(action, moving, &begun, reach);
        let stream = &action.asset.stream;
        let transferring = self.transfer_consumers(stream, moving, reached.clone());
        let refreshing = self.refresh_all(stream, moving, reached);
        let moved = async {
            match until(waiting, transferring).await {
                Ok(done) => done,
                Err(overdue) => {
                    self.cancel(action, &moving.target, &begun.peers_before, overdue)
                        .await
                }
            }
        };
        let (outcome, follow_ups) = tokio::join!(moved, refreshing);
        let outcome = match &begun.contested {
            Some(error) => unlike_sent(error, outcome),
            None => outcome,
        };
        (outcome, follow_ups)
    }

    async fn begin(
        self,
        action: &Action,
        moving: &Move,
        recorded: &mut Recorded,
        requests: &mut u32,
    ) -> Result<StartedMove, Outcome> {
        self.record(recorded).await?;
        let look = self.check(action).await?;
        let consumers = self.baseline(&action.asset.stream, &moving.consumers).await;
        if let Preflight::Stop(outcome) = before_consumers(&consumers, self.limits) {
            return Err(outcome);
        }
        let PreflightRead { reading, leader, .. } = self.fresh(action, look).await?;
        let contested = self.request(action, requests).await?;
        Ok(StartedMove {
            asked: self.asked(leader, *requests),
            peers_before: reading.peers.into_iter().map(|peer| peer.server).collect(),
            consumers,
            contested,
        })
    }

    /// Looks until the move is done and its consumers resume. `Err` if its time is over before that.
    async fn await_move(
        self,
        action: &Action,
        moving: &Move,
        begun: &StartedMove,
        reach: watch::Sender<MoveProgress>,
    ) -> Result<Outcome, Outcome> {
        let target = &moving.target;
        let mut pace = Backoff::of_move();
        let (mut copying, mut reported) = (CopyProgress::default(), None::<Instant>);
        let (mut asked, mut asking) = (TransferTurns::default(), Asking::default());
        let done = loop {
            pace.rest().await;
            // A failed look shows nothing about the stream: it counts as unanswered.
            let read_result = self.act.read(&action.asset).await;
            let read_result = read_result.unwrap_or(ReadResult::Unanswered);
            if let ReadResult::Seen(reading) = &read_result {
                let copied = copying.look(&target.servers, reading);
                let due = |copied: &Copied| {
                    copied.is_all() || reported.is_none_or(|reported| reported.elapsed() >= REPORT_EVERY)
                };
                if let Some(copied) = copied.filter(due) {
                    self.has_copied(copied);
                    reported = Some(Instant::now());
                }
                if arrives(target, reading) {
                    pace.at_most(NEAR);
                }
                if led_by_target(target, reading) {
                    MoveProgress::Led(Instant::now()).publish(&reach);
                } else if moving.transfers.stream && asking == Asking::Open {
                    asking = self.transfer(&action.asset, moving, reading, &mut asked).await;
                }
            }
            match self.judge(action, read_result, &begun.asked).await {
                Verification::Wait | Verification::Again => {}
                Verification::Done(outcome) => break outcome,
                Verification::Overdue(overdue) => return Err(overdue),
            }
        };
        if done.result != ActionResult::Succeeded {
            return Ok(done);
        }
        MoveProgress::Done(Instant::now()).publish(&reach);
        let stream = &action.asset.stream;
        let proven = self.prove_all(stream, &target.servers, &begun.consumers).await;
        Ok(proven_move(done, &proven))
    }
}

/// Waits for the first, while the other does what it can.
async fn until<T>(first: impl Future<Output = T>, other: impl Future<Output = ()>) -> T {
    let other = async {
        other.await;
        std::future::pending().await
    };
    tokio::select! {
        ended = first => ended,
        never = other => never,
    }
}
