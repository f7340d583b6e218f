//! The state machine of one action: checked again right before, requested, judged by what is read back (P4, P9).
//!
//! Pure: the engine reads assets, asks these functions what that means, and acts on it. [`before`] and [`after`] judge
//! the action; a [`ResumeCheck`] whether a consumer continues; [`after_cancel`] a cancelled move; [`refresh`] streams
//! that read a moved one; [`transfer`] who should lead in a move; [`completion`] what an abandoned move left.

mod asset_info;
mod cancel;
mod check;
mod left_behind;
mod proof;
mod refresh;
mod transfer;
mod verify;

use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::{ActionResult, FindingReason};
use serde::{Deserialize, Serialize};

use crate::names::ServerName;

pub use asset_info::{AssetInfo, PeerInfo, Progress, ReadResult, Upstream};
pub use cancel::{CANCEL_TIMEOUT, after_cancel, left_to_the_servers};
pub use check::{before, before_consumers};
pub use left_behind::{Completion, MoveLeftBehind, completion};
pub use proof::{
    ConsumerProgress, ResumeCheck, ResumeResult, STALL_AFTER, progress_since, proven_move, proven_step_down,
};
pub use refresh::{ACTIVE_AGAIN, REFRESH_GRACE, Refresh, TargetReached, is_active, refresh, refreshed};
pub use transfer::{MOST_TRANSFERS, Transfer, transfer};
pub use verify::{MOST_AIMED, STEP_DOWN_LANDS, after, arrives, led_by_target};

/// How long a step-down may take: a failed transfer means an ordinary election of 4–9 s (nats-facts N14).
pub const STEP_DOWN_TIMEOUT: Duration = Duration::from_secs(20);

/// How long to watch, how often to request, and what must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyLimits {
    /// After this long a move counts as timed out.
    pub move_timeout: Duration,
    /// Requests that may be sent for the asset in this operation.
    pub max_requests: u32,
    /// Raft entries that a member which takes over may lack.
    pub max_lag: u64,
    /// A consumer with more messages that wait for an acknowledgement is left alone.
    pub max_ack_pending: Option<u64>,
    /// After a move, streams that mirror or source it and do not resume get their leader stepped down.
    pub refresh_dependents: bool,
}

/// What to do before the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preflight {
    /// Send it.
    Request,
    /// Do not: the world has changed since the plan.
    Stop(Outcome),
}

/// The last request of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentRequest {
    /// The leader that was asked.
    pub of: ServerName,
    /// When.
    pub at: Timestamp,
    /// Requests sent so far, this one included.
    pub requests: u32,
    /// Whom the servers announced as elected since.
    pub elected: Option<ServerName>,
}

/// What a read after the request means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Read again.
    Wait,
    /// The leader is still outside home; retry.
    Again,
    /// A move is still under way after its time: cancel it. The outcome applies if it cannot be cancelled.
    Overdue(Outcome),
    /// It ended.
    Done(Outcome),
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its result.
    pub result: ActionResult,
    /// What blocked it.
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

#[cfg(test)]
mod tests;
