//! A step-down: repeated, each time with another peer, while no leader in home comes of it; a consumer has to resume after it.

use std::pin::pin;
use std::time::Duration;

use leeward_api::vocabulary::ActionResult;
use leeward_core::action::{Action, ActionKind, StepDown};
use leeward_core::names::ServerName;
use leeward_core::operation::{Outcome, Progress, ReadResult, SentRequest, Verification, proven_step_down};

use tokio::time::Instant;

use super::StepContext;
use super::backoff::Backoff;
use super::preflight::PreflightRead;
use crate::ports::{Act, Clock};
use crate::record::Recorded;

/// So long after a new leader can be read its election is announced, too.
const ANNOUNCED: Duration = Duration::from_millis(50);

pub(super) enum Verified {
    Ended(Outcome),
    LedBy(ServerName),
}

impl<A: Act, C: Clock> StepContext<'_, A, C> {
    pub(super) async fn step_down(
        self,
        planned: &Action,
        step_down: &StepDown,
        recorded: &mut Recorded,
        requests: &mut u32,
    ) -> Outcome {
        let mut progress = None;
        let led = self
            .lead_home(planned, step_down, recorded, requests, &mut progress)
            .await;
        match progress {
            Some(before) if *requests > 0 && led.result == ActionResult::Succeeded => {
                let proven = self.prove(&planned.asset, &step_down.home_peers, &before).await;
                proven_step_down(led, &proven)
            }
            Some(_) | None => led,
        }
    }

    /// Repeats until the leader is home or no request is left; `progress` is a consumer's before the first request.
    async fn lead_home(
        self,
        planned: &Action,
        step_down: &StepDown,
        recorded: &mut Recorded,
        requests: &mut u32,
        progress: &mut Option<Progress>,
    ) -> Outcome {
        let mut action = planned.clone();
        loop {
            let PreflightRead { reading, leader, .. } = match self.last_look(&action, recorded).await {
                Ok(look) => look,
                Err(outcome) if *requests > 0 => return missed_before(step_down, outcome),
                Err(outcome) => return outcome,
            };
            action.from = leader;
            if *requests == 0 {
                *progress = reading.progress;
            }
            let since = Instant::now();
            if let Err(outcome) = self.request(&action, requests).await {
                return outcome;
            }
            let asked = self.asked(action.from.clone(), *requests);
            match self.verify(&action, asked, since).await {
                Verified::Ended(outcome) => return outcome,
                Verified::LedBy(leader) => {
                    action.from = leader;
                    action.kind = ActionKind::StepDown(step_down.after(*requests));
                }
            }
        }
    }

    async fn last_look(self, action: &Action, recorded: &mut Recorded) -> Result<PreflightRead, Outcome> {
        self.record(recorded).await?;
        let look = self.check(action).await?;
        self.fresh(action, look).await
    }

    /// Looks whenever the servers announce an election, and else from time to time.
    pub(super) async fn verify(self, action: &Action, mut asked: SentRequest, since: Instant) -> Verified {
        let mut pace = Backoff::of_step_down();
        let mut elected = pin!(self.act.elected(&action.asset, since));
        loop {
            tokio::select! {
                () = pace.rest() => {}
                leader = &mut elected, if asked.elected.is_none() => asked.elected = Some(leader),
            }
            let read_result = tokio::select! {
                read_result = self.act.read(&action.asset) => read_result,
                // One that fell into the election may not be answered at all.
                leader = &mut elected, if asked.elected.is_none() => {
                    asked.elected = Some(leader);
                    self.act.read(&action.asset).await
                }
            };
            // A failed look shows nothing about the asset: it counts as unanswered.
            let read_result = read_result.unwrap_or(ReadResult::Unanswered);
            let leader = match &read_result {
                ReadResult::Seen(reading) => reading.leader.clone(),
                ReadResult::Gone | ReadResult::Unanswered => None,
            };
            if asked.elected.is_none() && leader.as_ref().is_some_and(|leader| *leader != asked.of) {
                // Confirming costs the servers more than what they are about to announce.
                let announced = tokio::time::timeout(ANNOUNCED, &mut elected).await;
                asked.elected = announced.ok();
            }
            match (self.judge(action, read_result, &asked).await, leader) {
                (Verification::Done(outcome) | Verification::Overdue(outcome), _) => {
                    return Verified::Ended(outcome);
                }
                (Verification::Again, Some(leader)) => return Verified::LedBy(leader),
                (Verification::Wait, _) | (Verification::Again, None) => {}
            }
        }
    }
}

/// An operation that stops before a retry: its last request was read back outside home, and counts as an attempt.
fn missed_before(step_down: &StepDown, stopped: Outcome) -> Outcome {
    let is_home = |leader| step_down.home_peers.contains(leader);
    let result = match stopped.result {
        ActionResult::Abandoned if stopped.to.as_ref().is_some_and(is_home) => ActionResult::Succeeded,
        ActionResult::Abandoned => ActionResult::Missed,
        result => result,
    };
    Outcome { result, ..stopped }
}
