//! What an operation has sent so far. The loop shares it, for the audit trail of an operation that it stops watching.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use leeward_core::names::AssetName;

use super::AskedTransfer;
use crate::ports::ActError;

/// Requests of one operation.
#[derive(Debug, Default)]
pub struct SentRequests {
    own: AtomicU32,
    transfers: Mutex<Vec<AskedTransfer>>,
}

impl SentRequests {
    /// Requests for the operation's own asset.
    pub fn own(&self) -> u32 {
        self.own.load(Ordering::Acquire)
    }

    /// Leaders that were asked to hand over while their stream moves.
    pub fn transfers(&self) -> Vec<AskedTransfer> {
        self.lock().clone()
    }

    pub(super) fn add(&self) {
        self.own.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn add_transfer(&self, transfer: AskedTransfer) {
        self.lock().push(transfer);
    }

    /// The request for an asset that waits for its answer, if one was sent, has it.
    pub(super) fn answered(&self, asset: &AssetName, answer: Result<(), ActError>) {
        let mut transfers = self.lock();
        let mut open = transfers.iter_mut().filter(|transfer| transfer.answer.is_none());
        if let Some(transfer) = open.find(|transfer| transfer.asset == *asset) {
            transfer.answer = Some(answer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<AskedTransfer>> {
        self.transfers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
