//! Carries one action out: reads again, sends the request, reads back until the result is known (P4, P9).
//!
//! What is read is judged in [`leeward_core::operation`]; here are the order of the steps, the pauses between looks, and
//! the permits. Dropping an operation at any instant leaves nothing to clean up (P10).

// Handles numbers and texts from servers: no sum may overflow and no index may miss.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

mod backoff;
mod cancel;
mod copying;
mod move_stream;
mod preflight;
mod prove;
mod refresh;
mod sent_requests;
mod step_down;
mod transfer;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::ActionResult;
use leeward_core::action::{Action, ActionKind, Successor};
use leeward_core::names::{AssetName, ServerName, StreamName};
use leeward_core::operation::{
    AssetInfo, Outcome, ReadResult, SentRequest, Verification, VerifyLimits, after,
};
use leeward_core::time::elapsed;
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::sent_requests::SentRequests;
use crate::limits::Slot;
use crate::permit::Authorizer;
use crate::ports::{Act, ActError, Clock};
use crate::record::Recorded;

/// An operation that ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What was to be done.
    pub action: Action,
    /// The result.
    pub outcome: Outcome,
    /// Requests that were sent for it, or may have been; the cancel of a move is none of them.
    pub requests: u32,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// What was done for the streams that mirror or source a stream that moved; empty for those that resumed.
    pub follow_ups: Vec<FollowUp>,
    /// Leaders that were asked to hand over during a move.
    pub transfers: Vec<AskedTransfer>,
}

impl Finished {
    /// How long it took.
    pub fn duration(&self) -> Duration {
        elapsed(self.started, self.ended)
    }
}

/// A step-down of a stream that did not resume reading a stream that moved.
#[derive(Clone, Debug)]
pub struct FollowUp {
    /// The stream whose leader was to step down.
    pub stream: StreamName,
    /// The result.
    pub outcome: Outcome,
    /// Requests that were sent, or may have been.
    pub requests: u32,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

/// A leader that was asked to hand over while its stream moved. What comes of it is read with the move.
#[derive(Clone, Debug)]
pub struct AskedTransfer {
    /// Whose leader.
    pub asset: AssetName,
    /// The leader.
    pub from: ServerName,
    /// Who was to take over.
    pub to: ServerName,
    /// When.
    pub at: Timestamp,
    /// What was answered; `None` where nothing was yet.
    pub answer: Option<Result<(), ActError>>,
}

/// The stage of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It waits until it is written into the policy's status.
    Recording,
    /// The asset is read for the last time before the request.
    Checking,
    /// The request is sent; its effect is waited for.
    Requested,
    /// The effect is there; the consumers are to resume.
    Verifying,
    /// Streams that read a moved stream are to resume.
    Refreshing,
    /// A move that took too long is cancelled.
    Cancelling,
}

impl Stage {
    /// Whether the requested change is done, and is watched until clients resume.
    pub fn is_proof(self) -> bool {
        match self {
            Self::Verifying | Self::Refreshing => true,
            Self::Checking | Self::Recording | Self::Requested | Self::Cancelling => false,
        }
    }
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationProgress {
    /// Its stage.
    pub stage: Stage,
    /// How much of a moving stream's data has arrived; `None` while nothing can be measured.
    pub copied: Option<Copied>,
}

impl OperationProgress {
    /// At the beginning.
    pub fn new() -> Self {
        Self {
            stage: Stage::Recording,
            copied: None,
        }
    }
}

impl Default for OperationProgress {
    fn default() -> Self {
        Self::new()
    }
}

/// Data of a moving stream on the servers where it is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Bytes that have arrived.
    pub done_bytes: u64,
    /// Bytes to arrive: what the stream stores, for each of its replicas.
    pub total_bytes: u64,
}

impl Copied {
    /// Whether everything has arrived.
    pub fn is_all(self) -> bool {
        self.done_bytes >= self.total_bytes
    }
}

/// What an operation works with.
#[derive(Debug)]
pub struct OperationContext<'a, A, C> {
    /// Reads and acts.
    pub act: &'a A,
    /// The clock.
    pub clock: &'a C,
    /// Gives permits.
    pub authorizer: &'a Authorizer,
    /// How long to look, how many requests to send, what must hold.
    pub limits: VerifyLimits,
    /// Reports when the operation is recorded in the status.
    pub recorded: Recorded,
    /// Where it reports its progress.
    pub advance: Arc<watch::Sender<OperationProgress>>,
    /// Where it records what it sends.
    pub sent: Arc<SentRequests>,
    /// Its place in flight.
    pub slot: &'a Slot,
}

/// Carries an action out to its end.
pub async fn operate<A: Act, C: Clock>(
    operation_context: OperationContext<'_, A, C>,
    action: Action,
) -> Finished {
    let OperationContext {
        act,
        clock,
        authorizer,
        limits,
        mut recorded,
        advance,
        sent,
        slot,
    } = operation_context;
    let step_context = StepContext {
        sent: &sent,
        act,
        clock,
        authorizer,
        limits: &limits,
        advance: &advance,
        slot,
    };
    let started = clock.now();
    let mut requests = 0;
    let (outcome, follow_ups) = match &action.kind {
        ActionKind::StepDown(step_down) => {
            let stepping_down = step_context.step_down(&action, step_down, &mut recorded, &mut requests);
            (stepping_down.await, Vec::new())
        }
        ActionKind::Move(moving) => {
            let relocating = step_context.move_stream(&action, moving, &mut recorded, &mut requests);
            relocating.await
        }
    };
    Finished {
        action,
        outcome,
        requests,
        started,
        ended: clock.now(),
        follow_ups,
        transfers: sent.transfers(),
    }
}

/// What the steps of an operation share.
struct StepContext<'a, A, C> {
    act: &'a A,
    clock: &'a C,
    authorizer: &'a Authorizer,
    limits: &'a VerifyLimits,
    advance: &'a Arc<watch::Sender<OperationProgress>>,
    sent: &'a Arc<SentRequests>,
    slot: &'a Slot,
}

impl<A, C> Clone for StepContext<'_, A, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, C> Copy for StepContext<'_, A, C> {}

/// Reports a new stage.
fn enter(advance: &watch::Sender<OperationProgress>, stage: Stage) {
    advance.send_if_modified(|advance| {
        // What is looked at again before another request was requested already.
        let is_repeat = stage < Stage::Requested && advance.stage >= Stage::Requested;
        let changed = advance.stage != stage && !is_repeat;
        if changed {
            advance.stage = stage;
        }
        changed
    });
}

impl<A, C> StepContext<'_, A, C> {
    fn is_at(self, stage: Stage) {
        enter(self.advance, stage);
    }

    fn has_copied(self, copied: Copied) {
        self.advance.send_if_modified(|advance| {
            let changed = advance.copied != Some(copied);
            advance.copied = Some(copied);
            changed
        });
    }
}

impl<A: Act, C: Clock> StepContext<'_, A, C> {
    /// What was read, as the servers report it where no client of the account can answer for them.
    async fn confirmed(self, asset: &AssetName, reading: AssetInfo) -> ReadResult {
        let confirmed = self.confirm(asset, reading, Instant::now()).await;
        confirmed.unwrap_or(ReadResult::Unanswered)
    }

    async fn confirm(
        self,
        asset: &AssetName,
        reading: AssetInfo,
        since: Instant,
    ) -> Result<ReadResult, ActError> {
        let confirmed = self.act.confirm(asset, &reading, since).await?;
        Ok(confirmed.unwrap_or(ReadResult::Seen(reading)))
    }

    /// What a look after the request means. One that would end the wait counts only if it is confirmed.
    async fn judge(self, action: &Action, read_result: ReadResult, asked: &SentRequest) -> Verification {
        let means =
            |read_result: &ReadResult| after(action, read_result, asked, self.clock.now(), self.limits);
        match (means(&read_result), read_result) {
            (means, ReadResult::Seen(reading)) if is_announced(action, &reading, asked) => means,
            (Verification::Done(_) | Verification::Again, ReadResult::Seen(reading)) => {
                means(&self.confirmed(&action.asset, reading).await)
            }
            (means, _) => means,
        }
    }
}

/// Whether the servers themselves announced what decides a look after the request: who leads the asset now.
fn is_announced(action: &Action, reading: &AssetInfo, asked: &SentRequest) -> bool {
    let is_decisive = match &action.kind {
        // It has to have left its server, too.
        ActionKind::StepDown(step_down) => step_down.successor != Successor::OtherServer,
        ActionKind::Move(_) => false,
    };
    is_decisive && asked.elected.is_some() && asked.elected == reading.leader
}

/// Whether a request was sent, or may have been.
pub(crate) fn was_sent(answer: &Result<(), ActError>) -> bool {
    match answer {
        Ok(()) => true,
        Err(error) => error.may_have_acted() || matches!(error, ActError::Refused { .. }),
    }
}

fn failure(error: &ActError) -> Outcome {
    let result = match error {
        ActError::Refused { .. }
        | ActError::StoredDifferently { .. }
        | ActError::AnswersDiffer { .. }
        | ActError::Malformed { .. } => ActionResult::Failed,
        ActError::Denied { .. }
        | ActError::Unanswered { .. }
        | ActError::Unread { .. }
        | ActError::Disconnected
        | ActError::Changed { .. }
        | ActError::PermitExpired => ActionResult::Abandoned,
    };
    Outcome::new(result, error.reason(), error.to_string())
}

/// The end of an operation whose edit was stored with more changed than the placement (P7): no success, wherever the
/// stream is now.
fn unlike_sent(error: &ActError, seen: Outcome) -> Outcome {
    Outcome {
        result: ActionResult::Failed,
        reason: error.reason(),
        message: format!("{error}; {}", seen.message),
        to: seen.to,
    }
}
