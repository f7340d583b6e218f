//! Streams that mirror or source a stream that moved: they lose the leader that they read from, notice it only after 10
//! to 20 s, and resume within two when their own leader is elected anew (nats-facts N26).

use std::time::Duration;

use leeward_api::vocabulary::{ActionResult, FindingReason};

use super::{AssetInfo, Outcome, ReadResult};
use crate::action::{Action, ActionKind, StepDown, Successor};
use crate::names::{AssetName, ServerName, StreamName};
use crate::target::MoveTarget;

/// A busy stream that keeps reading is active within this time. Longer waiting shows no more: a quiet one receives a
/// heartbeat a second, and so far every stream that read a moved one stalled.
pub const REFRESH_GRACE: Duration = Duration::from_millis(200);

/// Two heartbeats were missed.
const INACTIVE_AFTER: Duration = Duration::from_millis(2500);

/// After its own step-down a stream is active within 1.6 s, or something went wrong.
pub const ACTIVE_AGAIN: Duration = Duration::from_secs(5);

/// By then it has resumed by itself or never will.
const GIVE_UP: Duration = Duration::from_secs(22);

/// How long ago the stream that is read reached its target, as far as was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetReached {
    /// It is led from there; members from before may still feed those that read it.
    Led(Duration),
    /// It is there as a whole.
    Done(Duration),
}

/// What to do about a stream that reads a moved stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Refresh {
    /// It resumed, or no longer reads it.
    Resumed,
    /// Read again.
    Wait,
    /// Ask its leader to step down.
    StepDown(Action),
    /// Nothing can be done for it.
    Leave(Outcome),
}

/// Whether all that a stream reads from `moved` was active within `span`.
pub fn is_active(reading: &AssetInfo, moved: &StreamName, span: Duration) -> bool {
    reading
        .upstreams
        .iter()
        .filter(|upstream| upstream.stream == *moved)
        .all(|upstream| upstream.last_active.is_some_and(|ago| ago < span))
}

/// Judges a stream that reads `moved`.
pub fn refresh(
    dependent: &StreamName,
    moved: &StreamName,
    target: &MoveTarget,
    read_result: &ReadResult,
    since: TargetReached,
    max_lag: u64,
) -> Refresh {
    let (TargetReached::Led(span) | TargetReached::Done(span)) = since;
    let reading = match read_result {
        ReadResult::Gone => return Refresh::Resumed,
        ReadResult::Unanswered if span < GIVE_UP => return Refresh::Wait,
        ReadResult::Unanswered => return leave(FindingReason::NoLeader, "nobody answers for it"),
        ReadResult::Seen(reading) => reading,
    };
    match is_read(reading, moved, since) {
        Reads::NotReading | Reads::Active => return Refresh::Resumed,
        Reads::Unknown => return Refresh::Wait,
        Reads::Stalled => {}
    }
    if let Some((reason, message)) = why_not(reading) {
        return leave(reason, message);
    }
    match step_down_to(dependent, target, reading, max_lag) {
        Some(action) => Refresh::StepDown(action),
        None if span < GIVE_UP => Refresh::Wait,
        None if reading.leader.is_none() => leave(FindingReason::NoLeader, "it has no leader"),
        None => leave(FindingReason::TargetLagging, "none of its peers is caught up"),
    }
}

enum Reads {
    NotReading,
    Active,
    Stalled,
    Unknown,
}

fn is_read(reading: &AssetInfo, moved: &StreamName, since: TargetReached) -> Reads {
    let (TargetReached::Led(span) | TargetReached::Done(span)) = since;
    let of_moved = reading
        .upstreams
        .iter()
        .filter(|upstream| upstream.stream == *moved);
    // A stream may source another one more than once: the least recently active counts.
    let Some(longest) = of_moved
        .map(|upstream| upstream.last_active.unwrap_or(Duration::MAX))
        .max()
    else {
        return Reads::NotReading;
    };
    if span < REFRESH_GRACE {
        Reads::Unknown
    } else if longest >= span || longest > INACTIVE_AFTER {
        Reads::Stalled
    } else if matches!(since, TargetReached::Done(_)) && span.saturating_sub(longest) > INACTIVE_AFTER {
        Reads::Active
    } else {
        Reads::Unknown
    }
}

fn leave(reason: FindingReason, message: impl Into<String>) -> Refresh {
    Refresh::Leave(Outcome::new(ActionResult::Abandoned, Some(reason), message))
}

fn why_not(reading: &AssetInfo) -> Option<(FindingReason, String)> {
    if reading.is_moving() {
        return Some((FindingReason::MoveInProgress, "it moves itself".to_owned()));
    }
    if reading.peers.len() <= 1 {
        let message = "its only peer cannot hand over; it resumes by itself in up to 20 s";
        return Some((FindingReason::SinglePeer, message.to_owned()));
    }
    let offline = reading.peers.iter().find(|peer| peer.offline)?;
    let message = format!("its peer {} is offline", offline.server);
    Some((FindingReason::QuorumAtRisk, message))
}

/// To a caught-up peer, one on the same side of the move as the present leader if there is one.
fn step_down_to(
    dependent: &StreamName,
    target: &MoveTarget,
    reading: &AssetInfo,
    max_lag: u64,
) -> Option<Action> {
    let leader = reading.leader.as_ref()?;
    let side = |server: &ServerName| target.servers.contains(server);
    let others = || {
        reading
            .peers
            .iter()
            .filter(|peer| peer.server != *leader)
            .map(|peer| &peer.server)
    };
    let ready = others().filter(|server| reading.is_ready(server, max_lag));
    let next = ready.min_by_key(|server| (side(server) != side(leader), *server))?;
    Some(Action {
        asset: AssetName::stream(dependent.clone()),
        from: leader.clone(),
        kind: ActionKind::StepDown(StepDown {
            successor: Successor::Peer(next.clone()),
            alternatives: Vec::new(),
            home_peers: others().cloned().collect(),
        }),
    })
}

/// The end of the step-down of a stream that reads `moved`: `led` once it has a new leader, with whether it `active`.
pub fn refreshed(led: Outcome, moved: &StreamName, active: Result<Duration, Duration>) -> Outcome {
    let (result, text) = match active {
        Ok(after) => (
            led.result,
            format!("and it heard of {moved} again after {} ms", after.as_millis()),
        ),
        Err(waited) => (
            ActionResult::Stalled,
            format!("but it has not heard of {moved} for {} s", waited.as_secs()),
        ),
    };
    Outcome {
        result,
        message: format!("{}, {text}", led.message),
        ..led
    }
}
