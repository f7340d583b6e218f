//! A step-down: repeated with another peer while its leader stays, and while the servers choose; a consumer has to resume after
//! it.

use std::pin::pin;
use std::time::Duration;

use leeward_api::vocabulary::{ActionResult, FindingReason};
use leeward_core::action::{Action, ActionKind, StepDown, Successor};
use leeward_core::names::{AssetName, ServerName};
use leeward_core::operation::{
    AssetInfo, Outcome, Progress, ReadResult, STEP_DOWN_TIMEOUT, SentRequest, Verification, proven_step_down,
};
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
    LedBy(AssetInfo),
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

    /// Asks until the leader is home or no request is left; `progress` is a consumer's before the first request.
    async fn lead_home(
        self,
        planned: &Action,
        step_down: &StepDown,
        recorded: &mut Recorded,
        requests: &mut u32,
        progress: &mut Option<Progress>,
    ) -> Outcome {
        let mut action = planned.clone();
        let look = match self.last_look(&action, recorded).await {
            Ok(look) => look,
            Err(outcome) => return outcome,
        };
        (action.from, *progress) = (look.leader, look.reading.progress);
        let mut since = Instant::now();
        if let Err(outcome) = self.request(&action, requests).await {
            return outcome;
        }
        let mut asked = self.asked(action.from.clone(), *requests);
        loop {
            let leads = match self.verify(&action, &mut asked, since).await {
                Verified::Ended(outcome) => return outcome,
                Verified::LedBy(leads) => leads,
            };
            match self.repeat(&action.asset, step_down, &leads, requests).await {
                Ok(repeated) => {
                    (action, since) = repeated;
                    asked = self.asked(action.from.clone(), *requests);
                }
                // A person must see these.
                Err(stopped)
                    if matches!(
                        stopped.reason,
                        Some(FindingReason::AnswersDiffer | FindingReason::PermissionDenied)
                    ) =>
                {
                    return Outcome {
                        result: ActionResult::Missed,
                        ..stopped
                    };
                }
                // The last request may be landing just now: what comes of it shows.
                Err(stopped)
                    if stopped.reason == Some(FindingReason::NoLeader)
                        && since.elapsed() < STEP_DOWN_TIMEOUT => {}
                Err(_) => asked.requests = self.limits.max_requests,
            }
        }
    }

    /// Asks who leads an asset now, in favour of the next peer that is ready; gives what was asked, and since when it counts.
    async fn repeat(
        self,
        asset: &AssetName,
        step_down: &StepDown,
        leads: &AssetInfo,
        requests: &mut u32,
    ) -> Result<(Action, Instant), Outcome> {
        let stopped = |reason, message: &str| Outcome::new(ActionResult::Abandoned, Some(reason), message);
        let Some(leader) = &leads.leader else {
            return Err(stopped(FindingReason::NoLeader, "it has no leader now"));
        };
        let nobody = || {
            stopped(
                FindingReason::TargetLagging,
                "none of its peers in home can take over now",
            )
        };
        let is_ready = |server: &ServerName| leads.is_ready(server, self.limits.max_lag);
        let mut next = step_down.after(*requests, is_ready).ok_or_else(nobody)?;
        if let Successor::Peer(server) = &next.successor
            && self.slot.redirect(server).is_err()
        {
            let mut others = next.alternatives.iter();
            let other = others.find(|server| self.slot.redirect(server).is_ok());
            next.successor = Successor::Peer(other.ok_or_else(nobody)?.clone());
        }
        let action = Action {
            asset: asset.clone(),
            from: leader.clone(),
            kind: ActionKind::StepDown(next),
        };
        let look = self.check(&action).await?;
        self.fresh(&action, look).await?;
        let since = Instant::now();
        self.request(&action, requests).await?;
        Ok((action, since))
    }

    async fn last_look(self, action: &Action, recorded: &mut Recorded) -> Result<PreflightRead, Outcome> {
        self.record(recorded).await?;
        let look = self.check(action).await?;
        self.fresh(action, look).await
    }

    /// Looks whenever the servers announce an election, and else from time to time.
    pub(super) async fn verify(self, action: &Action, asked: &mut SentRequest, since: Instant) -> Verified {
        let mut pace = Backoff::of_step_down();
        let elections = |since| self.act.elected(&action.asset, since);
        let mut elected = pin!(elections(since));
        let mut is_announced = false;
        loop {
            let look = async {
                if !is_announced {
                    pace.rest().await;
                }
                self.act.read(&action.asset).await
            };
            let read_result = tokio::select! {
                read_result = look => read_result,
                // A look that fell into the election may not be answered at all. After each announcement it is read once.
                leader = &mut elected, if !is_announced => {
                    asked.elected = Some(leader);
                    elected.set(elections(Instant::now()));
                    is_announced = true;
                    continue;
                }
            };
            is_announced = false;
            // A failed look shows nothing about the asset: it counts as unanswered.
            let read_result = read_result.unwrap_or(ReadResult::Unanswered);
            let leads = match &read_result {
                ReadResult::Seen(reading) => Some(reading.clone()),
                ReadResult::Gone | ReadResult::Unanswered => None,
            };
            let leader = leads.as_ref().and_then(|leads| leads.leader.as_ref());
            if leader.is_some_and(|leader| *leader != asked.of) && asked.elected.as_ref() != leader {
                // Confirming costs the servers more than what they are about to announce.
                if let Ok(leader) = tokio::time::timeout(ANNOUNCED, &mut elected).await {
                    asked.elected = Some(leader);
                    elected.set(elections(Instant::now()));
                }
            }
            match (self.judge(action, read_result, asked).await, leads) {
                (Verification::Done(outcome) | Verification::Overdue(outcome), _) => {
                    return Verified::Ended(outcome);
                }
                (Verification::Again, Some(leads)) => return Verified::LedBy(leads),
                (Verification::Wait, _) | (Verification::Again, None) => {}
            }
        }
    }
}
