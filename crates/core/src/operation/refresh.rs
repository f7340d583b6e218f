//! Streams that mirror or source a stream that moved: they lose the leader that they read from, notice it only after 10
//! to 20 s, and resume within two when their own leader is elected anew (nats-facts N26).

use std::time::Duration;

use leeward_api::vocabulary::{ActionResult, FindingReason};

use super::{AssetInfo, Outcome, ReadResult};
use crate::action::{Action, ActionKind, StepDown, Successor};
use crate::names::{AssetName, ServerName, StreamName};
use crate::target::MoveTarget;

/// A busy stream that reads on is heard to do so within this time. Longer waiting tells no more: a quiet one hears a
/// heartbeat a second, and so far every stream stalled that read one that moved.
pub const REFRESH_GRACE: Duration = Duration::from_millis(200);

/// Two heartbeats were missed.
const SILENT: Duration = Duration::from_millis(2500);

/// After a hand-over of its own a stream hears within 1.6 s, or something went wrong.
pub const HEARS_AGAIN: Duration = Duration::from_secs(5);

/// By then it has resumed by itself or never will.
const GIVE_UP: Duration = Duration::from_secs(22);

/// How long ago the stream that is read reached its target, as far as was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetReached {
    /// It is led from there; members from before may still feed those that read it.
    HandOver(Duration),
    /// It is there as a whole.
    Done(Duration),
}

/// What to do about a stream that reads a moved stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Refresh {
    /// It reads on, or reads it no more.
    Resumed,
    /// Look again.
    Wait,
    /// Hand its leadership over.
    StepDown(Action),
    /// Nothing can be done for it.
    Leave(Outcome),
}

/// Whether a stream has heard of all that it reads from `moved` within `span`.
pub fn hears(reading: &AssetInfo, moved: &StreamName, span: Duration) -> bool {
    reading
        .upstreams
        .iter()
        .filter(|upstream| upstream.stream == *moved)
        .all(|upstream| upstream.heard_before.is_some_and(|ago| ago < span))
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
    let (TargetReached::HandOver(span) | TargetReached::Done(span)) = since;
    let reading = match read_result {
        ReadResult::Gone => return Refresh::Resumed,
        ReadResult::Unanswered if span < GIVE_UP => return Refresh::Wait,
        ReadResult::Unanswered => return leave(FindingReason::NoLeader, "nobody answers for it"),
        ReadResult::Seen(reading) => reading,
    };
    match is_read(reading, moved, since) {
        Reads::Not | Reads::On => return Refresh::Resumed,
        Reads::Unknown => return Refresh::Wait,
        Reads::NoMore => {}
    }
    if let Some((reason, message)) = why_not(reading) {
        return leave(reason, message);
    }
    match hand_over(dependent, target, reading, max_lag) {
        Some(action) => Refresh::StepDown(action),
        None if span < GIVE_UP => Refresh::Wait,
        None if reading.leader.is_none() => leave(FindingReason::NoLeader, "it has no leader"),
        None => leave(FindingReason::TargetLagging, "none of its peers is caught up"),
    }
}

enum Reads {
    Not,
    On,
    NoMore,
    Unknown,
}

fn is_read(reading: &AssetInfo, moved: &StreamName, since: TargetReached) -> Reads {
    let (TargetReached::HandOver(span) | TargetReached::Done(span)) = since;
    let of_moved = reading
        .upstreams
        .iter()
        .filter(|upstream| upstream.stream == *moved);
    // A stream may source another one more than once: the one heard of least counts.
    let Some(longest) = of_moved
        .map(|upstream| upstream.heard_before.unwrap_or(Duration::MAX))
        .max()
    else {
        return Reads::Not;
    };
    if span < REFRESH_GRACE {
        Reads::Unknown
    } else if longest >= span || longest > SILENT {
        Reads::NoMore
    } else if matches!(since, TargetReached::Done(_)) && span.saturating_sub(longest) > SILENT {
        Reads::On
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
fn hand_over(
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
            home_peers: others().cloned().collect(),
        }),
    })
}

/// The end of the hand-over of a stream that reads `moved`: `led` once it has a new leader, with whether it `heard`.
pub fn refreshed(led: Outcome, moved: &StreamName, heard: Result<Duration, Duration>) -> Outcome {
    let (result, words) = match heard {
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
        message: format!("{}, {words}", led.message),
        ..led
    }
}
