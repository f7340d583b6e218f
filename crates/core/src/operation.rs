//! The state machine of one action: checked again right before, requested, judged by what is read back (P4, P9).
//!
//! Pure: the engine reads the asset, asks [`before`] or [`after`] what that means, and does as told.

use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::{ActionResult, FindingReason};
use serde::{Deserialize, Serialize};

use crate::demand::elapsed;
use crate::names::ServerName;
use crate::plan::{Action, Aim, Deed, StepDown};
use crate::safety::is_healthy;
use crate::snapshot::Placement;
use crate::target::MoveTarget;

/// How long a hand-over may take: a failed transfer means an ordinary election of 4–9 s (NATS.md N14).
pub const STEP_DOWN_TIMEOUT: Duration = Duration::from_secs(20);

/// A server that leads a stream shows an edit at acceptance (NATS.md N21); one that just took over, a moment later.
const EDIT_SHOWS: Duration = Duration::from_secs(30);

/// An asset as read from the server that leads it, just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The leader; `None` during an election.
    pub leader: Option<ServerName>,
    /// All members, the leader among them.
    pub peers: Vec<PeerReading>,
    /// Configured replicas.
    pub replicas: u8,
    /// The servers say that the group is changing.
    pub moving: bool,
    /// A stream's stored placement; for a consumer its stream's is not read.
    pub placement: Option<Placement>,
    /// Bytes stored by a stream; 0 for a consumer.
    pub bytes: u64,
}

/// A member as read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerReading {
    /// Where.
    pub server: ServerName,
    /// Heard of lately and caught up.
    pub current: bool,
    /// Known to be down.
    pub offline: bool,
    /// Raft entries behind.
    pub lag: u64,
}

/// The answer to a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// The asset as it is.
    Seen(Reading),
    /// It does not exist any more.
    Gone,
    /// Nobody answered: an election, or a lost connection. Never read as an absence.
    Unanswered,
}

/// What to do before the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// Send it.
    Request,
    /// Do not: the world has changed since the plan.
    Stop(Outcome),
}

/// What a look after the request means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// Look again.
    Wait,
    /// The leader is outside home still; ask again.
    Again,
    /// It ended.
    Done(Outcome),
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// In one word.
    pub result: ActionResult,
    /// The code of what stood against it.
    pub reason: Option<FindingReason>,
    /// For people.
    pub message: String,
    /// The leader at the end, if one was seen.
    pub to: Option<ServerName>,
}

impl Outcome {
    /// An outcome with no leader seen.
    pub fn new(result: ActionResult, reason: Option<FindingReason>, message: impl Into<String>) -> Self {
        Self {
            result,
            reason,
            message: message.into(),
            to: None,
        }
    }

    fn led_by(mut self, leader: Option<&ServerName>) -> Self {
        self.to = leader.cloned();
        self
    }
}

/// Judges an asset right before the request.
pub fn before(action: &Action, sighting: &Sighting) -> Before {
    let abandon =
        |reason, message: String| Before::Stop(Outcome::new(ActionResult::Abandoned, reason, message));
    let reading = match sighting {
        Sighting::Seen(reading) => reading,
        Sighting::Gone => return abandon(None, "it does not exist any more".into()),
        Sighting::Unanswered => {
            return abandon(Some(FindingReason::NoLeader), "nobody answered for it".into());
        }
    };
    if reading.leader.is_none() {
        return abandon(Some(FindingReason::NoLeader), "it has no leader now".into());
    }
    if reading.moving || reading.peers.len() > usize::from(reading.replicas.max(1)) {
        return abandon(Some(FindingReason::MoveInProgress), "its stream is moving".into());
    }
    if let Some(offline) = reading.peers.iter().find(|peer| peer.offline) {
        return abandon(
            Some(FindingReason::QuorumAtRisk),
            format!("its peer {} is offline", offline.server),
        );
    }
    match &action.deed {
        Deed::StepDown(step_down) => before_step_down(action, step_down, reading),
        Deed::Move(target) => before_move(action, target, reading),
    }
}

fn before_step_down(action: &Action, step_down: &StepDown, reading: &Reading) -> Before {
    let leader = reading.leader.as_ref();
    if leader != Some(&action.from) {
        let at_home = leader.is_some_and(|leader| step_down.home_peers.contains(leader));
        let message = if at_home {
            "its leader is home already"
        } else {
            "its leader changed meanwhile"
        };
        let outcome = Outcome::new(ActionResult::Abandoned, None, message);
        return Before::Stop(outcome.led_by(leader));
    }
    let ready = |server: &ServerName| {
        reading
            .peers
            .iter()
            .any(|peer| peer.server == *server && healthy(peer))
    };
    let lagging = match &step_down.aim {
        Aim::Peer(server) if ready(server) => None,
        Aim::Peer(server) => Some(format!("{server} is not a caught-up peer of it")),
        Aim::Anyone if step_down.home_peers.iter().any(ready) => None,
        Aim::Anyone => Some("none of its peers in home is caught up".to_owned()),
    };
    match lagging {
        None => Before::Request,
        Some(message) => {
            let reason = Some(FindingReason::TargetLagging);
            Before::Stop(Outcome::new(ActionResult::Abandoned, reason, message).led_by(leader))
        }
    }
}

fn before_move(action: &Action, target: &MoveTarget, reading: &Reading) -> Before {
    let stop = |reason, message: String| {
        let outcome = Outcome::new(ActionResult::Abandoned, reason, message);
        Before::Stop(outcome.led_by(reading.leader.as_ref()))
    };
    if all_home(target, reading) {
        return stop(None, format!("it is in {} already", target.location));
    }
    if reading.placement != target.replaces {
        return stop(None, "its placement was changed meanwhile".into());
    }
    if reading.leader.as_ref() != Some(&action.from) {
        return stop(None, "its leader changed meanwhile".into());
    }
    let lags = |peer: &&PeerReading| Some(&peer.server) != reading.leader.as_ref() && !healthy(peer);
    match reading.peers.iter().find(lags) {
        Some(peer) => stop(
            Some(FindingReason::TargetLagging),
            format!("its peer {} is not caught up", peer.server),
        ),
        None => Before::Request,
    }
}

/// The last request of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The leader that was asked.
    pub of: ServerName,
    /// When.
    pub at: Timestamp,
    /// Requests sent so far, this one included.
    pub requests: u32,
}

/// Judges an asset after the request.
pub fn after(
    action: &Action,
    sighting: &Sighting,
    asked: &Asked,
    now: Timestamp,
    limits: &VerifyLimits,
) -> After {
    let reading = match sighting {
        Sighting::Seen(reading) => Some(reading),
        Sighting::Gone => {
            let outcome = Outcome::new(ActionResult::Abandoned, None, "it was deleted meanwhile");
            return After::Done(outcome);
        }
        Sighting::Unanswered => None,
    };
    let waited = elapsed(asked.at, now);
    match &action.deed {
        Deed::StepDown(step_down) => {
            let may_repeat = asked.requests < limits.max_requests;
            after_step_down(&asked.of, step_down, reading, waited, may_repeat)
        }
        Deed::Move(target) => after_move(target, reading, waited, limits.move_timeout),
    }
}

/// How long to look, and how often to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyLimits {
    /// After this long a move counts as timed out.
    pub move_timeout: Duration,
    /// Requests that may be sent for the asset in this operation.
    pub max_requests: u32,
}

fn after_step_down(
    asked: &ServerName,
    step_down: &StepDown,
    reading: Option<&Reading>,
    waited: Duration,
    may_repeat: bool,
) -> After {
    let leader = reading.and_then(|reading| reading.leader.as_ref());
    match leader {
        Some(leader) if step_down.home_peers.contains(leader) => {
            let outcome = Outcome::new(ActionResult::Succeeded, None, format!("{leader} leads it now"));
            After::Done(outcome.led_by(Some(leader)))
        }
        Some(leader) if leader != asked => match &step_down.aim {
            Aim::Anyone if may_repeat => After::Again,
            Aim::Anyone | Aim::Peer(_) => {
                let message = format!("{leader} leads it now, outside home");
                After::Done(Outcome::new(ActionResult::Missed, None, message).led_by(Some(leader)))
            }
        },
        Some(_) | None if waited < STEP_DOWN_TIMEOUT => After::Wait,
        Some(leader) => {
            let message = format!("{leader} still leads it after {} s", waited.as_secs());
            After::Done(Outcome::new(ActionResult::Missed, None, message).led_by(Some(leader)))
        }
        None => {
            let message = format!("no leader was seen for {} s", waited.as_secs());
            After::Done(Outcome::new(
                ActionResult::TimedOut,
                Some(FindingReason::NoLeader),
                message,
            ))
        }
    }
}

fn after_move(target: &MoveTarget, reading: Option<&Reading>, waited: Duration, timeout: Duration) -> After {
    if let Some(reading) = reading.filter(|reading| move_is_done(target, reading)) {
        let message = format!("it is in {} now", target.location);
        let outcome = Outcome::new(ActionResult::Succeeded, None, message);
        return After::Done(outcome.led_by(reading.leader.as_ref()));
    }
    let undone = reading
        .filter(|_| waited >= EDIT_SHOWS)
        .and_then(|reading| edit_undone(target, reading));
    if let Some(outcome) = undone {
        return After::Done(outcome);
    }
    if waited < timeout {
        return After::Wait;
    }
    let message = format!("not done after {} s", waited.as_secs());
    After::Done(Outcome::new(
        ActionResult::TimedOut,
        Some(FindingReason::MoveInProgress),
        message,
    ))
}

/// The stored placement is not the one that was written: the edit was never taken, or somebody wrote another since.
fn edit_undone(target: &MoveTarget, reading: &Reading) -> Option<Outcome> {
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

/// NATS.md N22: led from the target, R peers, all of them there and caught up, nothing under way.
fn move_is_done(target: &MoveTarget, reading: &Reading) -> bool {
    !reading.moving
        && reading
            .leader
            .as_ref()
            .is_some_and(|leader| target.servers.contains(leader))
        && reading.peers.len() == usize::from(reading.replicas.max(1))
        && all_home(target, reading)
        && reading
            .peers
            .iter()
            .all(|peer| Some(&peer.server) == reading.leader.as_ref() || healthy(peer))
}

fn healthy(peer: &PeerReading) -> bool {
    is_healthy(peer.current, peer.offline, peer.lag)
}

fn all_home(target: &MoveTarget, reading: &Reading) -> bool {
    !reading.peers.is_empty()
        && reading
            .peers
            .iter()
            .all(|peer| target.servers.contains(&peer.server))
}

#[cfg(test)]
mod tests;
