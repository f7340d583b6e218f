//! What a read after the request means: the leader is home, the move is done, or time is up.

use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::{ActionResult, FindingReason};

use super::{AssetInfo, Outcome, ReadResult, STEP_DOWN_TIMEOUT, SentRequest, Verification, VerifyLimits};
use crate::action::{Action, ActionKind, StepDown, Successor};
use crate::safety::SMALL_LAG;
use crate::target::MoveTarget;
use crate::time::elapsed;

/// A server that leads a stream shows an edit at acceptance (nats-facts N21); one that just took over, a moment
/// later.
const EDIT_SHOWS: Duration = Duration::from_secs(30);

/// Requests of one aimed step-down while its leader stays, each of which names another peer, if there is one.
pub const MOST_AIMED: u32 = 3;

/// A leader that still answers after this long does not step down: most transfers show within 0.1 s (nats-facts N14).
pub const STEP_DOWN_LANDS: Duration = Duration::from_millis(1500);

/// An overdue move is read for this long before it is left to the servers unseen.
const UNSEEN: Duration = Duration::from_mins(1);

/// Judges an asset after the request.
pub fn after(
    action: &Action,
    read_result: &ReadResult,
    asked: &SentRequest,
    now: Timestamp,
    limits: &VerifyLimits,
) -> Verification {
    let reading = match read_result {
        ReadResult::Seen(reading) => Some(reading),
        ReadResult::Gone => {
            let outcome = Outcome::new(ActionResult::Abandoned, None, "it was deleted meanwhile");
            return Verification::Done(outcome);
        }
        ReadResult::Unanswered => None,
    };
    let waited = elapsed(asked.at, now);
    match &action.kind {
        ActionKind::StepDown(step_down) => {
            let may_repeat = asked.requests < limits.max_requests;
            after_step_down(asked, step_down, reading, waited, may_repeat)
        }
        ActionKind::Move(moving) => after_move(&moving.target, reading, waited, limits.move_timeout),
    }
}

fn after_step_down(
    asked: &SentRequest,
    step_down: &StepDown,
    reading: Option<&AssetInfo>,
    waited: Duration,
    may_repeat: bool,
) -> Verification {
    let leader = reading.and_then(|reading| reading.leader.as_ref());
    let done = |result, reason, message: String| {
        Verification::Done(Outcome::new(result, reason, message).led_by(leader))
    };
    let is_aimed = matches!(step_down.successor, Successor::Peer(_));
    // The old server has to leave before the next can be asked, and before the consumer counts as moved.
    let leaves = step_down.successor == Successor::OtherServer && reading.is_some_and(AssetInfo::is_moving);
    match leader {
        Some(_) if leaves && waited < STEP_DOWN_TIMEOUT => Verification::Wait,
        Some(leader) if step_down.home_peers.contains(leader) => {
            done(ActionResult::Succeeded, None, format!("{leader} leads it now"))
        }
        Some(leader) if *leader != asked.of => match &step_down.successor {
            Successor::Anyone | Successor::OtherServer if may_repeat => Verification::Again,
            Successor::Anyone | Successor::OtherServer | Successor::Peer(_) => {
                let message = format!("{leader} leads it now, outside home");
                done(ActionResult::Missed, None, message)
            }
        },
        Some(leader) if is_aimed && waited >= STEP_DOWN_LANDS && asked.elected.as_ref() == Some(leader) => {
            done(ActionResult::Missed, None, format!("{leader} was elected again"))
        }
        Some(_) if is_aimed && waited >= STEP_DOWN_LANDS && may_repeat => Verification::Again,
        Some(_) | None if waited < STEP_DOWN_TIMEOUT => Verification::Wait,
        Some(leader) => {
            let message = format!("{leader} still leads it after {} s", waited.as_secs());
            done(ActionResult::Missed, None, message)
        }
        None => {
            let message = format!("no leader was seen for {} s", waited.as_secs());
            done(ActionResult::TimedOut, Some(FindingReason::NoLeader), message)
        }
    }
}

fn after_move(
    target: &MoveTarget,
    reading: Option<&AssetInfo>,
    waited: Duration,
    timeout: Duration,
) -> Verification {
    if let Some(outcome) = reading.and_then(|reading| done(target, reading)) {
        return Verification::Done(outcome);
    }
    let reverted = reading
        .filter(|_| waited >= EDIT_SHOWS)
        .and_then(|reading| placement_reverted(target, reading));
    if let Some(outcome) = reverted {
        return Verification::Done(outcome);
    }
    let overdue = |message: String| {
        Outcome::new(
            ActionResult::TimedOut,
            Some(FindingReason::MoveInProgress),
            message,
        )
    };
    let seconds = waited.as_secs();
    match reading {
        _ if waited < timeout => Verification::Wait,
        Some(reading) => {
            let outcome = overdue(format!("not done after {seconds} s"));
            Verification::Overdue(outcome.led_by(reading.leader.as_ref()))
        }
        None if waited < timeout.saturating_add(UNSEEN) => Verification::Wait,
        None => {
            let message = format!("not done after {seconds} s: left to the servers, nobody answers for it");
            Verification::Done(overdue(message))
        }
    }
}

/// The end of a move that is done.
pub(super) fn done(target: &MoveTarget, reading: &AssetInfo) -> Option<Outcome> {
    move_is_done(target, reading).then(|| {
        let message = format!("it is in {} now", target.location);
        Outcome::new(ActionResult::Succeeded, None, message).led_by(reading.leader.as_ref())
    })
}

/// The stored placement is not the one that was written: the edit was never taken, or somebody wrote another since.
fn placement_reverted(target: &MoveTarget, reading: &AssetInfo) -> Option<Outcome> {
    let leader = reading.leader.as_ref();
    if reading.placement.as_ref() == Some(&target.placement) {
        None
    } else if reading.placement == target.replaces {
        let message = "the servers still store the placement from before";
        Some(Outcome::new(ActionResult::Failed, None, message).led_by(leader))
    } else {
        let reason = Some(FindingReason::Contested);
        let message = "somebody else wrote another placement meanwhile";
        Some(Outcome::new(ActionResult::Failed, reason, message).led_by(leader))
    }
}

/// nats-facts N22: led from the target, R peers, all of them there and caught up, nothing under way.
fn move_is_done(target: &MoveTarget, reading: &AssetInfo) -> bool {
    led_by_target(target, reading)
        && !reading.moving
        && reading.peers.len() == usize::from(reading.replicas.max(1))
        && reading.has_peers(&target.servers)
        && reading
            .peers
            .iter()
            .all(|peer| Some(&peer.server) == reading.leader.as_ref() || peer.is_healthy(SMALL_LAG.into()))
}

/// Whether a stream that moves is led from its target: from now on streams that read it may stall (nats-facts N26).
pub fn led_by_target(target: &MoveTarget, reading: &AssetInfo) -> bool {
    reading
        .leader
        .as_ref()
        .is_some_and(|leader| target.servers.contains(leader))
}

/// Whether a stream that moves has a caught-up member in its target, so that the transfer may be near.
pub fn arrives(target: &MoveTarget, reading: &AssetInfo) -> bool {
    reading
        .peers
        .iter()
        .any(|peer| target.servers.contains(&peer.server) && peer.current)
}
