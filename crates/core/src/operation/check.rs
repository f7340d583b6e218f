//! The last look before the request: is everything still as the plan found it?

use leeward_api::vocabulary::{ActionResult, FindingReason};

use super::{AssetInfo, Outcome, PeerInfo, Preflight, Progress, ReadResult, VerifyLimits};
use crate::action::{Action, ActionKind, StepDown, Successor};
use crate::names::{ConsumerName, ServerName};
use crate::target::MoveTarget;

/// Judges an asset right before the request.
pub fn before(action: &Action, read_result: &ReadResult, limits: &VerifyLimits) -> Preflight {
    let reading = match read_result {
        ReadResult::Seen(reading) => reading,
        ReadResult::Gone => return abandon(None, "it does not exist any more"),
        ReadResult::Unanswered => return abandon(Some(FindingReason::NoLeader), "nobody answered for it"),
    };
    let Some(leader) = &reading.leader else {
        return abandon(Some(FindingReason::NoLeader), "it has no leader now");
    };
    if reading.is_moving() {
        return abandon(Some(FindingReason::MoveInProgress), "its stream is moving");
    }
    if let Some(offline) = reading.peers.iter().find(|peer| peer.offline) {
        let message = format!("its peer {} is offline", offline.server);
        return abandon(Some(FindingReason::QuorumAtRisk), message);
    }
    let stopped = match &action.kind {
        ActionKind::StepDown(step_down) => why_no_step_down(action, step_down, reading, leader, limits),
        ActionKind::Move(moving) => why_no_move(action, &moving.target, reading, leader, limits),
    };
    match stopped {
        None => Preflight::Request,
        Some((reason, message)) => {
            let outcome = Outcome::new(ActionResult::Abandoned, reason, message);
            Preflight::Stop(outcome.led_by(Some(leader)))
        }
    }
}

fn abandon(reason: Option<FindingReason>, message: impl Into<String>) -> Preflight {
    Preflight::Stop(Outcome::new(ActionResult::Abandoned, reason, message))
}

type Stopped = (Option<FindingReason>, String);

fn why_no_step_down(
    action: &Action,
    step_down: &StepDown,
    reading: &AssetInfo,
    leader: &ServerName,
    limits: &VerifyLimits,
) -> Option<Stopped> {
    if *leader != action.from {
        let message = if step_down.home_peers.contains(leader) {
            "its leader is home already"
        } else {
            "its leader changed meanwhile"
        };
        return Some((None, message.to_owned()));
    }
    let ready = |server: &ServerName| reading.is_ready(server, limits.max_lag);
    let lagging = match &step_down.successor {
        Successor::Peer(server) if ready(server) => None,
        Successor::Peer(server) => Some(format!("{server} is not a caught-up peer of it")),
        Successor::Anyone if step_down.home_peers.iter().any(ready) => None,
        Successor::Anyone => Some("none of its peers in home is caught up".to_owned()),
        // The servers bring whichever peer they choose up to date before it takes over.
        Successor::OtherServer => None,
    };
    if let Some(message) = lagging {
        return Some((Some(FindingReason::TargetLagging), message));
    }
    let held = why_consumer_held(reading.progress.as_ref()?, limits)?;
    Some((Some(FindingReason::AckPendingHigh), held))
}

pub(super) fn why_consumer_held(progress: &Progress, limits: &VerifyLimits) -> Option<String> {
    let (waiting, most) = (progress.ack_pending, limits.max_ack_pending?);
    let words = || format!("{waiting} of its messages wait for an acknowledgement, more than {most}");
    (waiting > most).then(words)
}

/// Judges the consumers of a stream right before it is moved: they move with it.
pub fn before_consumers(consumers: &[(ConsumerName, Progress)], limits: &VerifyLimits) -> Preflight {
    let held = |(name, progress): &(ConsumerName, Progress)| {
        why_consumer_held(progress, limits).map(|words| format!("consumer {name}: {words}"))
    };
    match consumers.iter().find_map(held) {
        None => Preflight::Request,
        Some(message) => abandon(Some(FindingReason::AckPendingHigh), message),
    }
}

fn why_no_move(
    action: &Action,
    target: &MoveTarget,
    reading: &AssetInfo,
    leader: &ServerName,
    limits: &VerifyLimits,
) -> Option<Stopped> {
    if reading.has_peers(&target.servers) {
        return Some((None, format!("it is in {} already", target.location)));
    }
    if reading.placement != target.replaces {
        return Some((None, "its placement was changed meanwhile".to_owned()));
    }
    if *leader != action.from {
        return Some((None, "its leader changed meanwhile".to_owned()));
    }
    let lags = |peer: &&PeerInfo| peer.server != *leader && !peer.is_healthy(limits.max_lag);
    let behind = reading.peers.iter().find(lags)?;
    let message = format!("its peer {} is not caught up", behind.server);
    Some((Some(FindingReason::TargetLagging), message))
}
