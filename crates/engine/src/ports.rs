//! What the engine needs from the outside: a system to observe, an account to act on, a clock.
//!
//! Adapters implement these against NATS (and, later, a simulation). Every call has a time limit of the adapter's own;
//! the adapter does not repeat a request that acts, since the next round decides. Only what a repair or a cancel has
//! begun to change is always completed, see P8 in ARCHITECTURE.md.

use std::future::Future;
use std::sync::Arc;

use jiff::Timestamp;
use leeward_api::vocabulary::FindingReason;
use leeward_core::action::Successor;
use leeward_core::names::{AccountId, AssetName, ServerName, StreamName};
use leeward_core::operation::{AssetInfo, ReadResult};
use leeward_core::refusal::may_not;
use leeward_core::snapshot::AccountView;
use leeward_core::target::MoveTarget;
use leeward_core::usage::{Sampled, Sampling};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::permit::Permit;

/// Sees accounts of one system.
pub trait Observe: Send + Sync + 'static {
    /// The newest view of an account and every newer one. This starts watching an account that was not watched; until
    /// its first observation its view has the gap `WarmingUp`.
    fn watch(&self, account: &AccountId) -> watch::Receiver<Arc<AccountView>>;

    /// Requests a look at an account soon, without waiting for it.
    fn refresh(&self, account: &AccountId);
}

/// Reads and changes the assets of one account, as a user of that account (nats-facts N17).
pub trait Act: Send + Sync + 'static {
    /// Reads an asset from the server that leads it.
    fn read(&self, asset: &AssetName) -> impl Future<Output = Result<ReadResult, ActError>> + Send;

    /// The same asset as the servers report it where no client of the account can answer in their place: what an
    /// operation decides on. `None` where there is no such source, as without a user of the system account; then the
    /// reading is all that is known. [`ActError::AnswersDiffer`] where the servers report another leader. A report that
    /// the servers began no earlier than `since` will do.
    fn confirm(
        &self,
        asset: &AssetName,
        reading: &AssetInfo,
        since: Instant,
    ) -> impl Future<Output = Result<Option<ReadResult>, ActError>> + Send;

    /// Waits until the servers announce, where no client of the account can in their place, that a server was elected
    /// leader of an asset since then, and gives the one that was elected last. What is announced may be lost, and where
    /// nothing is heard of it this never returns.
    fn elected(&self, asset: &AssetName, since: Instant) -> impl Future<Output = ServerName> + Send;

    /// Samples who uses a stream. What could not be sampled is left out and named; an error means that nothing was.
    fn sample_use(&self, sampling: &Sampling) -> impl Future<Output = Result<Sampled, ActError>> + Send;

    /// Asks the leader of an asset, which is on `from`, to step down, or its only replica to leave that server. An `Ok` means that the request was accepted, nothing more (P9).
    fn step_down(
        &self,
        permit: Permit,
        asset: &AssetName,
        from: &ServerName,
        successor: &Successor,
    ) -> impl Future<Output = Result<(), ActError>> + Send;

    /// Writes a stream's placement and nothing else of its configuration (P7). An `Ok` means that the edit was
    /// accepted, not that the stream moved (nats-facts N21).
    fn place(
        &self,
        permit: Permit,
        stream: &StreamName,
        target: &MoveTarget,
    ) -> impl Future<Output = Result<(), ActError>> + Send;

    /// Cancels a move that is under way, and puts the placement from before back where the servers do not (nats-facts
    /// N27). An `Ok` means that the cancel was accepted and the stored placement is the one from before.
    fn cancel_move(
        &self,
        permit: Permit,
        stream: &StreamName,
        target: &MoveTarget,
    ) -> impl Future<Output = Result<(), ActError>> + Send;
}

/// The clock.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Why a call on an account failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// The user may not publish the request, or not subscribe to its reply subject; the servers do not answer such a
    /// request but send an error event.
    #[error("the account's user {}", may_not(subject))]
    Denied {
        /// The request's subject.
        subject: String,
    },
    /// The server refused the request.
    #[error("the server refused {subject}: {description} ({code})")]
    Refused {
        /// The request's subject.
        subject: String,
        /// The server's error code (`err_code`), such as 10005.
        code: u32,
        /// The server's message.
        description: String,
        /// The matching finding, if there is one.
        reason: Option<FindingReason>,
    },
    /// No answer in time: whether the request took effect is unknown.
    #[error("nobody answered {subject} in time")]
    Unanswered {
        /// The request's subject.
        subject: String,
    },
    /// What had to be read first was not answered; nothing was sent.
    #[error("nothing was sent: {message}")]
    Unread {
        /// Who did not answer what.
        message: String,
    },
    /// There is no connection to the system.
    #[error("not connected to NATS")]
    Disconnected,
    /// The answer was not understood.
    #[error("the answer to {subject} was not understood: {message}")]
    Malformed {
        /// The request's subject.
        subject: String,
        /// Why.
        message: String,
    },
    /// The stream's configuration is not what the plan was made for; nothing was sent.
    #[error("{message}")]
    Changed {
        /// What differs.
        message: String,
    },
    /// Somebody else may be answering in the servers' place; nothing was sent.
    #[error("nothing was sent: {message}")]
    AnswersDiffer {
        /// Which answers differ, and from whom.
        message: String,
    },
    /// The servers stored something else than what was sent (P7).
    #[error("the stored configuration differs from what was sent in {fields:?}")]
    StoredDifferently {
        /// The fields that differ.
        fields: Vec<String>,
    },
    /// The right to act ended before the request was sent.
    #[error("the right to act ended before the request was sent")]
    PermitExpired,
}

impl ActError {
    /// A label of a fixed set, for metrics and logs.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Denied { .. } => "denied",
            Self::Refused { .. } => "refused",
            Self::Unanswered { .. } => "unanswered",
            Self::Unread { .. } => "unread",
            Self::Disconnected => "disconnected",
            Self::Malformed { .. } => "malformed",
            Self::Changed { .. } => "changed",
            Self::AnswersDiffer { .. } => "answers_differ",
            Self::StoredDifferently { .. } => "stored_differently",
            Self::PermitExpired => "permit_expired",
        }
    }

    /// The finding that matches the failure, if there is one.
    pub fn reason(&self) -> Option<FindingReason> {
        match self {
            Self::Denied { .. } => Some(FindingReason::PermissionDenied),
            Self::Refused { reason, .. } => *reason,
            Self::StoredDifferently { .. } => Some(FindingReason::Contested),
            Self::AnswersDiffer { .. } => Some(FindingReason::AnswersDiffer),
            Self::Unanswered { .. }
            | Self::Unread { .. }
            | Self::Disconnected
            | Self::Malformed { .. }
            | Self::Changed { .. }
            | Self::PermitExpired => None,
        }
    }

    /// Whether nobody could act or nobody answered, as in an election: an idempotent request may be retried.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Disconnected
                | Self::Unanswered { .. }
                | Self::Unread { .. }
                | Self::Refused {
                    reason: Some(FindingReason::NoLeader),
                    ..
                }
        )
    }

    /// Whether the request may have taken effect all the same, so that only a look can show it.
    pub fn may_have_acted(&self) -> bool {
        match self {
            Self::Unanswered { .. } | Self::Malformed { .. } | Self::StoredDifferently { .. } => true,
            Self::Denied { .. }
            | Self::Refused { .. }
            | Self::Unread { .. }
            | Self::Disconnected
            | Self::Changed { .. }
            | Self::AnswersDiffer { .. }
            | Self::PermitExpired => false,
        }
    }
}
