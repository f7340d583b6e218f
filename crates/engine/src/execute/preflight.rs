//! The steps up to the request: the entry in the policy's status, the last look, the permit.

use std::sync::Arc;
use std::time::Duration;

use leeward_api::vocabulary::{ActionResult, FindingReason};
use leeward_core::action::{Action, ActionKind};
use leeward_core::names::ServerName;
use leeward_core::operation::{AssetInfo, Outcome, Preflight, ReadResult, SentRequest, before};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::{Stage, StepContext, enter, failure, was_sent};
use crate::permit::Permit;
use crate::ports::{Act, ActError, Clock};
use crate::record::Recorded;

/// A look older than this is not "right before" the request any more (P4).
const FRESH: Duration = Duration::from_millis(250);

/// What the servers reported or confirmed within this time need not be confirmed again; it is read again all the same.
const CONFIRMED: Duration = Duration::from_secs(5);

/// Pauses before each look after a refusal.
const AFTER_REFUSAL: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];

/// How often the reading is compared with the confirmed one before they count as different.
const LOOKS: u32 = 3;

/// An asset that was read right before its request and may be acted on.
pub(super) struct PreflightRead {
    pub(super) reading: AssetInfo,
    pub(super) leader: ServerName,
    at: Instant,
    confirmed: Instant,
}

impl<A: Act, C: Clock> StepContext<'_, A, C> {
    /// Reads an asset and judges, on the reading and on the confirmed one, whether to send the request.
    pub(super) async fn check(self, action: &Action) -> Result<PreflightRead, Outcome> {
        self.is_at(Stage::Checking);
        let now = Instant::now();
        let recent = now.checked_sub(CONFIRMED).unwrap_or(now);
        match self.look(action).await {
            Ok(look) => {
                let confirmed = self.confirm(&action.asset, look.reading.clone(), recent).await;
                if self.before(action, confirmed) == Preflight::Request {
                    return Ok(look);
                }
                // An older report may have been overtaken: a new one decides.
            }
            Err(differ) if differ.reason == Some(FindingReason::AnswersDiffer) => {}
            Err(stopped) => return Err(stopped),
        }
        let mut pace = Backoff::urgent();
        for _ in 1..LOOKS {
            match self.check_once(action).await {
                // Its leader may have changed in between.
                Err(differ) if differ.reason == Some(FindingReason::AnswersDiffer) => pace.rest().await,
                checked => return checked,
            }
        }
        self.check_once(action).await
    }

    async fn check_once(self, action: &Action) -> Result<PreflightRead, Outcome> {
        let look = self.look(action).await?;
        let since = Instant::now();
        let confirmed = self.confirm(&action.asset, look.reading.clone(), since).await;
        match self.before(action, confirmed) {
            Preflight::Request => Ok(PreflightRead {
                confirmed: Instant::now(),
                ..look
            }),
            Preflight::Stop(outcome) => Err(outcome),
        }
    }

    /// What to do by the confirmed reading. An answer that contradicts the servers must be reported.
    fn before(self, action: &Action, confirmed: Result<ReadResult, ActError>) -> Preflight {
        match confirmed {
            Ok(confirmed) => before(action, &confirmed, self.limits),
            Err(error @ ActError::AnswersDiffer { .. }) => Preflight::Stop(failure(&error)),
            Err(_) => before(action, &ReadResult::Unanswered, self.limits),
        }
    }

    async fn look(self, action: &Action) -> Result<PreflightRead, Outcome> {
        let read_result = self.act.read(&action.asset).await;
        let at = Instant::now();
        let read_result = read_result.map_err(|error| failure(&error))?;
        let unseen = |reason, message| Outcome::new(ActionResult::Abandoned, reason, message);
        match (before(action, &read_result, self.limits), read_result) {
            (Preflight::Request, ReadResult::Seen(reading)) => match reading.leader.clone() {
                Some(leader) => Ok(PreflightRead {
                    reading,
                    leader,
                    at,
                    confirmed: at,
                }),
                None => Err(unseen(Some(FindingReason::NoLeader), "it has no leader now")),
            },
            // This reading may end as a success an operation that has already sent a request.
            (Preflight::Stop(_), ReadResult::Seen(reading)) => {
                match self.before(action, self.confirm(&action.asset, reading, at).await) {
                    Preflight::Stop(outcome) => Err(outcome),
                    Preflight::Request => Err(unseen(None, "what was read of it is not confirmed")),
                }
            }
            (Preflight::Stop(outcome), _) => Err(outcome),
            (Preflight::Request, ReadResult::Gone | ReadResult::Unanswered) => {
                Err(unseen(None, "it was not seen right before the request"))
            }
        }
    }

    /// A look that is fresh enough to be right before the request.
    pub(super) async fn fresh(self, action: &Action, look: PreflightRead) -> Result<PreflightRead, Outcome> {
        let look = if look.confirmed.elapsed() > CONFIRMED {
            self.check(action).await?
        } else {
            look
        };
        if look.at.elapsed() <= FRESH {
            return Ok(look);
        }
        // Confirming it may have taken longer than that.
        self.look(action).await
    }

    /// Waits until the operation is written into the policy's status.
    pub(super) async fn record(self, recorded: &mut Recorded) -> Result<(), Outcome> {
        self.is_at(Stage::Recording);
        let waited = recorded.wait().await;
        waited.map_err(|error| Outcome::new(ActionResult::Abandoned, None, error.to_string()))
    }

    /// Sends the request. An error inside `Ok` means that the request changed more than intended.
    pub(super) async fn request(
        self,
        action: &Action,
        requests: &mut u32,
    ) -> Result<Option<ActError>, Outcome> {
        let (sent, advance) = (Arc::clone(self.sent), Arc::downgrade(self.advance));
        let permit = self.permit()?.reporting(move || {
            sent.add();
            // Its operation may have ended.
            if let Some(advance) = advance.upgrade() {
                enter(&advance, Stage::Requested);
            }
        });
        match self.send(permit, action, requests).await {
            Ok(()) => Ok(None),
            // Only a look can show its result.
            Err(error) if error.may_have_acted() => {
                Ok(matches!(error, ActError::StoredDifferently { .. }).then_some(error))
            }
            Err(error @ ActError::Refused { .. }) if self.is_done_all_the_same(action).await => {
                let asset = &action.asset;
                // An earlier request may have been carried out meanwhile.
                if *requests == 1 {
                    tracing::warn!(%asset, %error, "it was done all the same: somebody else may be answering in the servers' place");
                }
                Ok(None)
            }
            Err(error) => Err(failure(&error)),
        }
    }

    /// Whether the servers did what was refused: then the refusal did not come from them.
    async fn is_done_all_the_same(self, action: &Action) -> bool {
        for pause in AFTER_REFUSAL {
            tokio::time::sleep(pause).await;
            let Ok(ReadResult::Seen(reading)) = self.act.read(&action.asset).await else {
                continue;
            };
            let ReadResult::Seen(seen) = self.confirmed(&action.asset, reading).await else {
                continue;
            };
            let is_done = match &action.kind {
                ActionKind::StepDown(_) => seen.leader.is_some_and(|leader| leader != action.from),
                ActionKind::Move(moving) => {
                    !moving.target.is_repair() && seen.placement.as_ref() == Some(&moving.target.placement)
                }
            };
            if is_done {
                return true;
            }
        }
        false
    }

    pub(super) fn permit(self) -> Result<Permit, Outcome> {
        let permit = self.authorizer.issue(self.clock.now());
        permit.map_err(|inhibited| Outcome::new(ActionResult::Abandoned, None, inhibited.to_string()))
    }

    /// Sends the request and counts it, if it was or may have been sent.
    pub(super) async fn send(
        self,
        permit: Permit,
        action: &Action,
        requests: &mut u32,
    ) -> Result<(), ActError> {
        let answer = match &action.kind {
            ActionKind::StepDown(step_down) => {
                self.act
                    .step_down(permit, &action.asset, &action.from, &step_down.successor)
                    .await
            }
            ActionKind::Move(moving) => {
                let stream = &action.asset.stream;
                self.act.place(permit, stream, &moving.target).await
            }
        };
        *requests = requests.saturating_add(u32::from(was_sent(&answer)));
        answer
    }

    /// The request that was sent and to whom, for the looks that follow.
    pub(super) fn asked(self, of: ServerName, requests: u32) -> SentRequest {
        SentRequest {
            of,
            at: self.clock.now(),
            requests,
            elected: None,
        }
    }
}
