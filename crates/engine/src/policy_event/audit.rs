//! The audit trail: one line for each act that ended, on its own log target, with stable fields.
//!
//! The fields are documented in `docs/metrics.md`; log filters never drop these lines.

use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::{ActionType, ApprovedBy};
use leeward_core::action::{Action, ActionKind, step_down_of};
use leeward_core::names::{AccountId, AssetName, StreamName};
use leeward_core::target::MoveTarget;
use leeward_core::time::elapsed;
use tracing::info;

use crate::execute::{AskedTransfer, Finished, FollowUp, SentRequests};
use crate::metrics::PolicyLabels;
use crate::ports::ActError;

/// Where the lines go.
pub const TARGET: &str = "leeward::audit";
/// The result of an act whose end nobody saw, because the process ended before it.
const UNWATCHED: &str = "Unwatched";
/// The result of a request whose effect is read with the move that it is part of.
const REQUESTED: &str = "Requested";

/// A plan was approved: by what, and by whom as that person's client says.
pub fn approved(
    policy: &PolicyLabels,
    account: &str,
    plan: &str,
    through: ApprovedBy,
    by: Option<&str>,
    actions: usize,
) {
    let PolicyLabels { namespace, policy } = policy;
    info!(target: TARGET, %namespace, %policy, account, plan, %through, by, actions, "approved");
}

/// The policy and account of an act.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuditSubject<'a> {
    pub(crate) policy: &'a PolicyLabels,
    pub(crate) account: &'a AccountId,
}

/// One line.
struct AuditEntry<'a> {
    asset: &'a AssetName,
    action: ActionType,
    from: Option<String>,
    wanted: Option<String>,
    to: Option<String>,
    result: &'a str,
    reason: Option<&'a str>,
    requests: u32,
    started: Timestamp,
    took: Duration,
    detail: &'a str,
}

impl AuditSubject<'_> {
    /// An operation ended, and with it what was done for the streams that read a stream that moved.
    pub(crate) fn ended(&self, finished: &Finished) {
        let Finished {
            action,
            outcome,
            requests,
            started,
            ended: _,
            follow_ups,
            transfers,
        } = finished;
        self.write(&AuditEntry {
            asset: &action.asset,
            action: action.action_type(),
            from: Some(action.from.to_string()),
            wanted: wanted(action),
            to: outcome.to.as_ref().map(ToString::to_string),
            result: outcome.result.as_ref(),
            reason: outcome.reason.as_ref().map(AsRef::as_ref),
            requests: *requests,
            started: *started,
            took: finished.duration(),
            detail: &outcome.message,
        });
        for transfer in transfers {
            self.transferred(transfer);
        }
        for follow_up in follow_ups {
            self.followed(follow_up);
        }
    }

    fn transferred(&self, transfer: &AskedTransfer) {
        let AskedTransfer {
            asset,
            from,
            to,
            at,
            answer,
        } = transfer;
        let error = answer.as_ref().and_then(|answer| answer.as_ref().err());
        let detail = match (answer, error) {
            (None, _) => "part of its stream's move; not answered while that was watched".to_owned(),
            (Some(_), None) => "part of its stream's move".to_owned(),
            (Some(_), Some(error)) => format!("part of its stream's move: {error}"),
        };
        self.write(&AuditEntry {
            asset,
            action: step_down_of(asset),
            from: Some(from.to_string()),
            wanted: Some(to.to_string()),
            to: None,
            result: REQUESTED,
            reason: error.and_then(ActError::reason).as_ref().map(AsRef::as_ref),
            requests: 1,
            started: *at,
            took: Duration::ZERO,
            detail: &detail,
        });
    }

    fn followed(&self, follow_up: &FollowUp) {
        let FollowUp {
            stream,
            outcome,
            requests,
            started,
            ended,
        } = follow_up;
        self.write(&AuditEntry {
            asset: &AssetName::stream(StreamName::clone(stream)),
            action: ActionType::StreamStepDown,
            from: None,
            wanted: None,
            to: outcome.to.as_ref().map(ToString::to_string),
            result: outcome.result.as_ref(),
            reason: outcome.reason.as_ref().map(AsRef::as_ref),
            requests: *requests,
            started: *started,
            took: elapsed(*started, *ended),
            detail: &outcome.message,
        });
    }

    /// A placement was written again that the move of an earlier process had taken away.
    pub(crate) fn put_back(
        &self,
        stream: &StreamName,
        target: &MoveTarget,
        began: Timestamp,
        answer: &Result<(), ActError>,
    ) {
        let error = answer.as_ref().err();
        let placed = target.placement.cluster.as_ref().map(ToString::to_string);
        self.write(&AuditEntry {
            asset: &AssetName::stream(stream.clone()),
            action: ActionType::StreamPlacement,
            from: None,
            wanted: placed.or_else(|| target.placement.tags.first().map(|tag| tag.as_str().to_owned())),
            to: None,
            result: REQUESTED,
            reason: error.and_then(ActError::reason).as_ref().map(AsRef::as_ref),
            requests: 1,
            started: began,
            took: Duration::ZERO,
            detail: "the placement that an unfinished move had taken away is written again",
        });
    }

    /// An operation is watched no more; what it sent takes its course.
    pub(crate) fn unwatched(&self, action: &Action, sent: &SentRequests, started: Timestamp, now: Timestamp) {
        self.write(&AuditEntry {
            asset: &action.asset,
            action: action.action_type(),
            from: Some(action.from.to_string()),
            wanted: wanted(action),
            to: None,
            result: UNWATCHED,
            reason: None,
            requests: sent.own(),
            started,
            took: elapsed(started, now),
            detail: "it takes its course in the servers; this process stopped watching it",
        });
        for transfer in sent.transfers() {
            self.transferred(&transfer);
        }
    }

    /// Without a request to NATS it was no act.
    fn write(&self, entry: &AuditEntry<'_>) {
        if entry.requests == 0 {
            return;
        }
        let AuditEntry {
            asset,
            action,
            from,
            wanted,
            to,
            result,
            reason,
            requests,
            started,
            took,
            detail,
        } = entry;
        let PolicyLabels { namespace, policy } = self.policy;
        let (stream, consumer) = (&asset.stream, asset.consumer.as_ref().map(ToString::to_string));
        let asset = match &consumer {
            Some(consumer) => format!("{stream}/{consumer}"),
            None => stream.to_string(),
        };
        let (operation, account) = (format!("{asset}@{}", started.as_millisecond()), self.account);
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        info!(target: TARGET, operation, %namespace, %policy, %account, asset, %stream, consumer, %action, from, wanted,
            to, result, reason, requests, %started, milliseconds, detail, "act");
    }
}

fn wanted(action: &Action) -> Option<String> {
    match &action.kind {
        ActionKind::StepDown(_) => action.target().map(ToString::to_string),
        ActionKind::Move(moving) => Some(moving.target.location.to_string()),
    }
}
