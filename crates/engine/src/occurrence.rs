//! Things that happen: one type, whose `emit` writes the log line and the metric together, and from which the Kubernetes
//! adapter makes events.

use leeward_api::vocabulary::{ActionResult, ActionType, EventReason, FindingReason};
use leeward_core::names::Location;
use leeward_core::plan::Action;
use tracing::{info, warn};

use crate::execute::Finished;
use crate::metrics::{Metrics, PolicyLabels};

/// Something that happened to one policy.
#[derive(Clone, Debug)]
pub enum Occurrence {
    /// Home is another location now, or known for the first time.
    HomeChanged {
        /// Where it was.
        from: Option<Location>,
        /// Where it is.
        to: Location,
        /// The new home's share in percent.
        percent: u8,
        /// The new home's connections.
        connections: u32,
    },
    /// What was complete before cannot be seen completely any more.
    ObservationIncomplete {
        /// What is missing.
        message: String,
    },
    /// An operation began.
    Started {
        /// What it does.
        action: Action,
    },
    /// An operation ended.
    Ended(Finished),
    /// An asset used up its attempts.
    AttemptsExhausted {
        /// What was tried.
        action: Action,
        /// How often.
        attempts: u32,
    },
}

impl Occurrence {
    /// Writes the log line and the metrics.
    pub fn emit(&self, policy: &PolicyLabels, metrics: &Metrics) {
        let PolicyLabels {
            namespace,
            policy: name,
        } = policy;
        match self {
            Self::HomeChanged {
                from,
                to,
                percent,
                connections,
            } => {
                let from = from.as_ref().map(ToString::to_string);
                info!(%namespace, policy = %name, from, %to, percent, connections, "home changed");
            }
            Self::ObservationIncomplete { message } => {
                warn!(%namespace, policy = %name, missing = %message, "observation incomplete");
            }
            Self::Started { action } => {
                metrics.started(policy, action.kind());
                info!(%namespace, policy = %name, action = %action.kind(), asset = %action.asset,
                    from = %action.from, to = action.target().map(ToString::to_string), "operation started");
            }
            Self::Ended(finished) => {
                let Finished {
                    action,
                    outcome,
                    requests,
                    started: _,
                    ended: _,
                } = finished;
                let reason = outcome.reason.as_ref().map(FindingReason::as_ref);
                metrics.ended(policy, action.kind(), outcome.result, reason, finished.duration());
                info!(%namespace, policy = %name, action = %action.kind(), asset = %action.asset,
                    from = %action.from, to = outcome.to.as_ref().map(ToString::to_string),
                    result = %outcome.result, reason, requests, detail = %outcome.message,
                    milliseconds = finished.duration().as_millis(), "operation ended");
            }
            Self::AttemptsExhausted { action, attempts } => {
                warn!(%namespace, policy = %name, asset = %action.asset, attempts, "attempts exhausted");
            }
        }
    }

    /// The event's reason and note; `None` for what is no event of its own.
    pub fn event(&self) -> Option<(EventReason, String)> {
        match self {
            Self::HomeChanged {
                from,
                to,
                percent,
                connections,
            } => {
                let before = from
                    .as_ref()
                    .map_or_else(|| "unknown".to_owned(), ToString::to_string);
                let note = format!("home is {to} ({percent} %, {connections} connections), before: {before}");
                Some((EventReason::HomeChanged, note))
            }
            Self::ObservationIncomplete { message } => {
                Some((EventReason::ObservationIncomplete, message.clone()))
            }
            Self::Started { action } => (action.kind() == ActionType::StreamPlacement).then(|| {
                (
                    EventReason::StreamMoveStarted,
                    format!("{} moves from {}", action.asset, action.from),
                )
            }),
            Self::Ended(finished) => ended_event(finished),
            Self::AttemptsExhausted { action, attempts } => Some((
                EventReason::AttemptsExhausted,
                format!(
                    "{}: {attempts} attempts without success; change resetToken to try again",
                    action.asset
                ),
            )),
        }
    }
}

fn ended_event(finished: &Finished) -> Option<(EventReason, String)> {
    let Finished { action, outcome, .. } = finished;
    let is_move = action.kind() == ActionType::StreamPlacement;
    let reason = match (outcome.result, is_move, outcome.reason) {
        (ActionResult::Succeeded, true, _) => EventReason::StreamMoveCompleted,
        (ActionResult::Succeeded, false, _) => EventReason::LeaderMoved,
        (ActionResult::TimedOut, true, _) => EventReason::StreamMoveTimedOut,
        (_, _, Some(FindingReason::PermissionDenied)) => EventReason::PermissionDenied,
        (_, _, Some(FindingReason::Contested)) => EventReason::PlacementContested,
        (ActionResult::Missed, _, _) => EventReason::StepDownMissed,
        (ActionResult::Failed, _, _) | (ActionResult::TimedOut, false, _) => EventReason::StepDownFailed,
        (ActionResult::Abandoned, _, _) => return None,
    };
    let milliseconds = finished.duration().as_millis();
    Some((
        reason,
        format!(
            "{} from {}: {} ({milliseconds} ms)",
            action.asset, action.from, outcome.message
        ),
    ))
}

#[cfg(test)]
mod tests;
