//! Policy events: one type, whose `emit` writes the log line and the metric together, and from which the Kubernetes
//! adapter makes events.

pub mod audit;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use leeward_api::vocabulary::{ActionClass, ActionResult, EventReason, FindingReason};
use leeward_core::action::{Action, ActionKind, Move};
use leeward_core::history::MAX_REVERTS;
use leeward_core::names::{AssetName, Location};
use tracing::{info, warn};

use crate::execute::Finished;
use crate::metrics::{Metrics, PolicyLabels};

/// The target of spans: rounds and operations here, looks in the adapters. They are for traces only; no log shows them.
pub const SPANS: &str = "leeward::spans";

/// What a series of operations changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completed {
    /// How many ended, by result.
    pub results: BTreeMap<ActionResult, u32>,
    /// Assets in place before.
    pub in_place_before: String,
    /// And after.
    pub in_place_after: String,
    /// The share of bytes that crossed gateways before, in percent.
    pub gateway_before: Option<i32>,
    /// And after.
    pub gateway_after: Option<i32>,
}

impl fmt::Display for Completed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let results: Vec<String> = self
            .results
            .iter()
            .map(|(result, count)| format!("{result} {count}"))
            .collect();
        write!(
            formatter,
            "{}; in place {} before, {} after",
            results.join(", "),
            self.in_place_before,
            self.in_place_after
        )?;
        match (self.gateway_before, self.gateway_after) {
            (Some(before), Some(after)) => {
                write!(formatter, "; across gateways {before} % before, {after} % after")
            }
            (None, _) | (_, None) => Ok(()),
        }
    }
}

/// Something that happened to one policy.
#[derive(Clone, Debug)]
pub enum PolicyEvent {
    /// Home is another location now; that of the account also where it is known for the first time.
    HomeChanged {
        /// The stream or consumer whose own clients decided it; `None` for the account's home.
        asset: Option<AssetName>,
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
    /// The first request of an operation was sent.
    Requested {
        /// What it does.
        action: Action,
    },
    /// An operation ended.
    Ended(Finished),
    /// Operations ended, and a complete look after them shows what they changed.
    PlanCompleted(Completed),
    /// Somebody else reverted an edit so often that it is not repeated.
    Contested {
        /// The asset.
        asset: AssetName,
    },
    /// Repeated failures stop all actions.
    BreakerOpened {
        /// Until when.
        until: Timestamp,
        /// What failed last.
        last: String,
    },
    /// Actions resume.
    BreakerClosed,
    /// An asset used up its attempts.
    AttemptsExhausted {
        /// What was tried.
        action: Action,
        /// How often.
        attempts: u32,
    },
}

impl PolicyEvent {
    /// Writes the log line and the metrics.
    pub fn emit(&self, policy: &PolicyLabels, metrics: &Metrics) {
        let PolicyLabels {
            namespace,
            policy: name,
        } = policy;
        match self {
            Self::HomeChanged {
                asset,
                from,
                to,
                percent,
                connections,
            } => {
                let from = from.as_ref().map(ToString::to_string);
                let asset = asset.as_ref().map(ToString::to_string);
                info!(%namespace, policy = %name, asset, from, %to, percent, connections, "home changed");
            }
            Self::ObservationIncomplete { message } => {
                warn!(%namespace, policy = %name, missing = %message, "observation incomplete");
            }
            Self::Started { action } => {
                metrics.started(policy, action.action_type());
                info!(%namespace, policy = %name, action = %action.action_type(), asset = %action.asset,
                    from = %action.from, to = action.target().map(ToString::to_string), "operation started");
            }
            Self::Ended(finished) => {
                let Finished {
                    action,
                    outcome,
                    requests,
                    started: _,
                    ended: _,
                    follow_ups: _,
                    transfers: _,
                } = finished;
                let reason = outcome.reason.as_ref().map(FindingReason::as_ref);
                if let (ActionKind::Move(moving), ActionResult::Succeeded) = (&action.kind, outcome.result) {
                    metrics.moved(policy, moving.cost.bytes);
                }
                metrics.ended(
                    policy,
                    action.action_type(),
                    outcome.result,
                    reason,
                    finished.duration(),
                );
                info!(%namespace, policy = %name, action = %action.action_type(), asset = %action.asset,
                    from = %action.from, to = outcome.to.as_ref().map(ToString::to_string),
                    result = %outcome.result, reason, requests, detail = %outcome.message,
                    milliseconds = finished.duration().as_millis(), "operation ended");
            }
            Self::Requested { action } => {
                info!(%namespace, policy = %name, action = %action.action_type(), asset = %action.asset, "operation requested");
            }
            Self::PlanCompleted(completed) => {
                info!(%namespace, policy = %name, detail = %completed, "plan completed");
            }
            Self::Contested { asset } => {
                warn!(%namespace, policy = %name, %asset, "placement contested");
            }
            Self::BreakerOpened { until, last } => {
                warn!(%namespace, policy = %name, %until, last, "circuit breaker opened");
            }
            Self::BreakerClosed => info!(%namespace, policy = %name, "circuit breaker closed"),
            Self::AttemptsExhausted { action, attempts } => {
                warn!(%namespace, policy = %name, asset = %action.asset, attempts, "attempts exhausted");
            }
        }
    }

    /// The event's reason and note; `None` for what has no event of its own.
    pub fn event(&self) -> Option<(EventReason, String)> {
        match self {
            Self::HomeChanged {
                asset,
                from,
                to,
                percent,
                connections,
            } => {
                let (home, share) = asset.as_ref().map_or_else(
                    || ("home".to_owned(), "%"),
                    |asset| (format!("home of {asset}"), "% of its use"),
                );
                let before = from
                    .as_ref()
                    .map_or_else(|| "unknown".to_owned(), ToString::to_string);
                let note = format!(
                    "{home} is {to} ({percent} {share}, {connections} connections), before: {before}"
                );
                Some((EventReason::HomeChanged, note))
            }
            Self::ObservationIncomplete { message } => {
                Some((EventReason::ObservationIncomplete, message.clone()))
            }
            Self::Started { action: _ } => None,
            Self::Requested { action } => move_started(action),
            Self::PlanCompleted(completed) => Some((EventReason::PlanCompleted, completed.to_string())),
            Self::Contested { asset } => Some((
                EventReason::PlacementContested,
                format!(
                    "{asset}: somebody else undid its move {MAX_REVERTS} times; let one tool own its placement, then change resetToken"
                ),
            )),
            Self::BreakerOpened { until, last } => Some((
                EventReason::BreakerOpened,
                format!("nothing is done until {until}, then one action is tried; the last failure: {last}"),
            )),
            Self::BreakerClosed => Some((
                EventReason::BreakerClosed,
                "an action succeeded: all others go on".into(),
            )),
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

fn move_started(action: &Action) -> Option<(EventReason, String)> {
    let ActionKind::Move(moving) = &action.kind else {
        return None;
    };
    let Move { target, cost, .. } = &**moving;
    let stall = if cost.stall.is_zero() {
        String::new()
    } else {
        format!(", and blocks its writes for about {} s", cost.stall.as_secs())
    };
    let note = format!(
        "{} moves from {} to {}: {} bytes, about {} s{stall}",
        action.asset,
        action.from,
        target.location,
        cost.bytes,
        cost.time.as_secs()
    );
    Some((EventReason::StreamMoveStarted, note))
}

fn ended_event(finished: &Finished) -> Option<(EventReason, String)> {
    let Finished { action, outcome, .. } = finished;
    let class = action.action_type().class();
    let reason = match (outcome.result, class, outcome.reason) {
        (ActionResult::Succeeded, ActionClass::Move, _) => EventReason::StreamMoveCompleted,
        (ActionResult::Succeeded, ActionClass::StepDown, _) => EventReason::LeaderMoved,
        (ActionResult::TimedOut, ActionClass::Move, _) => EventReason::StreamMoveTimedOut,
        (_, _, Some(FindingReason::PermissionDenied)) => EventReason::PermissionDenied,
        (_, _, Some(FindingReason::AnswersDiffer)) => EventReason::AnswersDiffer,
        (_, _, Some(FindingReason::Contested)) => EventReason::PlacementContested,
        (ActionResult::Missed, _, _) => EventReason::StepDownMissed,
        (ActionResult::Stalled, _, _) => EventReason::ConsumerStalled,
        (ActionResult::Failed, _, _) | (ActionResult::TimedOut, ActionClass::StepDown, _) => {
            EventReason::StepDownFailed
        }
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
