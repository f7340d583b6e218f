//! Carries one action out: read again, ask, read back until it is plain what came of it (P4, P9).

use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::{ActionResult, FindingReason};
use leeward_core::demand::elapsed;
use leeward_core::names::ServerName;
use leeward_core::operation::{After, Asked, Before, Outcome, Sighting, VerifyLimits, after, before};
use leeward_core::plan::{Action, Deed};

use crate::permit::Authority;
use crate::ports::{Act, ActError, Clock};

/// An operation that ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What was to be done.
    pub action: Action,
    /// What came of it.
    pub outcome: Outcome,
    /// Requests that were sent, or may have been.
    pub requests: u32,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

impl Finished {
    /// How long it took.
    pub fn duration(&self) -> Duration {
        elapsed(self.started, self.ended)
    }
}

/// The pause before the next look: short at first, since most hand-overs take tens of milliseconds (NATS.md N14).
struct Pace {
    next: Duration,
    most: Duration,
}

impl Pace {
    fn of(deed: &Deed) -> Self {
        match deed {
            Deed::StepDown(_) => Self {
                next: Duration::from_millis(10),
                most: Duration::from_millis(500),
            },
            Deed::Move(_) => Self {
                next: Duration::from_millis(200),
                most: Duration::from_secs(2),
            },
        }
    }

    async fn rest(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 3 / 2).min(self.most);
    }
}

/// Carries an action out to its end. Cancelling it (dropping the future) leaves nothing to clean up (P10).
pub async fn operate<A: Act, C: Clock>(
    act: &A,
    clock: &C,
    authority: &Authority,
    action: Action,
    limits: VerifyLimits,
) -> Finished {
    let started = clock.now();
    let mut requests = 0;
    let outcome = drive(act, clock, authority, &action, &limits, &mut requests).await;
    Finished {
        action,
        outcome,
        requests,
        started,
        ended: clock.now(),
    }
}

async fn drive<A: Act, C: Clock>(
    act: &A,
    clock: &C,
    authority: &Authority,
    planned: &Action,
    limits: &VerifyLimits,
    requests: &mut u32,
) -> Outcome {
    let mut action = planned.clone();
    loop {
        let leader = match check(act, &action).await {
            Ok(leader) => leader,
            Err(outcome) if *requests > 0 => return missed_before(&action, outcome),
            Err(outcome) => return outcome,
        };
        action.from = leader;
        let contested = match request(act, clock, authority, &action, requests).await {
            Ok(contested) => contested,
            Err(outcome) => return outcome,
        };
        let asked = Asked {
            of: action.from.clone(),
            at: clock.now(),
            requests: *requests,
        };
        match verify(act, clock, &action, &asked, limits).await {
            Verified::Ended(outcome) => {
                return match contested {
                    Some(error) => unlike_sent(&error, outcome),
                    None => outcome,
                };
            }
            Verified::LedBy(leader) => action.from = leader,
        }
    }
}

/// An operation that stops before it asks again: its last request was read back outside home, and counts as an attempt.
fn missed_before(action: &Action, stopped: Outcome) -> Outcome {
    let is_home = |leader| match &action.deed {
        Deed::StepDown(step_down) => step_down.home_peers.contains(leader),
        Deed::Move(_) => false,
    };
    let result = match stopped.result {
        ActionResult::Abandoned if stopped.to.as_ref().is_some_and(is_home) => ActionResult::Succeeded,
        ActionResult::Abandoned => ActionResult::Missed,
        result => result,
    };
    Outcome { result, ..stopped }
}

/// The last look before the request; gives the leader that will be asked.
async fn check<A: Act>(act: &A, action: &Action) -> Result<ServerName, Outcome> {
    let sighting = act.read(&action.asset).await.map_err(|error| failure(&error))?;
    match (before(action, &sighting), sighting) {
        (Before::Request, Sighting::Seen(reading)) => reading.leader.ok_or_else(|| {
            let reason = Some(FindingReason::NoLeader);
            Outcome::new(ActionResult::Abandoned, reason, "it has no leader now")
        }),
        (Before::Stop(outcome), _) => Err(outcome),
        (Before::Request, Sighting::Gone | Sighting::Unanswered) => Err(Outcome::new(
            ActionResult::Abandoned,
            None,
            "it was not seen right before the request",
        )),
    }
}

/// Sends the request. An error that comes with `Ok` says that the request changed more than it was meant to.
async fn request<A: Act, C: Clock>(
    act: &A,
    clock: &C,
    authority: &Authority,
    action: &Action,
    requests: &mut u32,
) -> Result<Option<ActError>, Outcome> {
    let permit = authority
        .issue(clock.now())
        .map_err(|withheld| Outcome::new(ActionResult::Abandoned, None, withheld.to_string()))?;
    let answer = match &action.deed {
        Deed::StepDown(step_down) => act.step_down(permit, &action.asset, &step_down.aim).await,
        Deed::Move(target) => act.place(permit, &action.asset.stream, target).await,
    };
    match answer {
        Ok(()) => *requests += 1,
        // Only a look can tell what came of it.
        Err(error) if error.may_have_acted() => {
            *requests += 1;
            return Ok(matches!(error, ActError::StoredDifferently { .. }).then_some(error));
        }
        Err(error) => {
            if matches!(error, ActError::Refused { .. }) {
                *requests += 1;
            }
            return Err(failure(&error));
        }
    }
    Ok(None)
}

/// The end of an operation whose edit was stored with more changed than the placement (P7): no success, wherever the
/// stream is now.
fn unlike_sent(error: &ActError, seen: Outcome) -> Outcome {
    Outcome {
        result: ActionResult::Failed,
        reason: error.reason(),
        message: format!("{error}; {}", seen.message),
        to: seen.to,
    }
}

enum Verified {
    Ended(Outcome),
    LedBy(ServerName),
}

async fn verify<A: Act, C: Clock>(
    act: &A,
    clock: &C,
    action: &Action,
    asked: &Asked,
    limits: &VerifyLimits,
) -> Verified {
    let mut pace = Pace::of(&action.deed);
    loop {
        pace.rest().await;
        // A failed look says nothing about the asset: it is one more moment without an answer.
        let sighting = act.read(&action.asset).await.unwrap_or(Sighting::Unanswered);
        match after(action, &sighting, asked, clock.now(), limits) {
            After::Wait => {}
            After::Done(outcome) => return Verified::Ended(outcome),
            After::Again => {
                if let Sighting::Seen(reading) = sighting
                    && let Some(leader) = reading.leader
                {
                    return Verified::LedBy(leader);
                }
            }
        }
    }
}

fn failure(error: &ActError) -> Outcome {
    let result = match error {
        ActError::Refused { .. } | ActError::StoredDifferently { .. } | ActError::Malformed { .. } => {
            ActionResult::Failed
        }
        ActError::Denied { .. }
        | ActError::Unanswered { .. }
        | ActError::Disconnected
        | ActError::Changed { .. }
        | ActError::PermitExpired => ActionResult::Abandoned,
    };
    Outcome::new(result, error.reason(), error.to_string())
}
