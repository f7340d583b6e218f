//! Sees a system through a user of its system account, and gives each watched account a view (NATS.md N40–N49).
//!
//! Promises: only watched accounts are asked about; a full sweep every interval, one account's look soon after a refresh
//! or an event, never more than one look at a time; everything read is bounded; whatever is missing, late, refused or not
//! understood is a gap in the view (P6). What follows from a view is for others.

pub(crate) mod accounts;
pub(crate) mod arrivals;
pub(crate) mod assemble;
pub(crate) mod board;
pub(crate) mod census;
pub(crate) mod connections;
pub(crate) mod events;
pub(crate) mod history;
mod jetstream;
pub(crate) mod leaders;
pub(crate) mod merge;
pub(crate) mod pace;
mod round_trips;
pub(crate) mod sweep;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leeward_core::names::AccountId;
use leeward_core::snapshot::AccountView;
use leeward_engine::ports::Observe;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::account::AccountInfo;
use crate::connect::{ConnectConfig, Link};
use crate::status::SystemStatus;
use accounts::AccountsError;
use board::Board;
use events::Source;
use sweep::Sweep;

/// Sees all accounts of one system; it ends with this value.
#[derive(Debug)]
pub struct SystemObserver {
    link: Arc<Link>,
    board: Arc<Board>,
    status: watch::Receiver<SystemStatus>,
    tasks: Tasks,
}

impl SystemObserver {
    /// Starts to observe with the user in `config`, which has to be one of the system account; [`Self::status`] says if
    /// it is not.
    pub fn start(config: ConnectConfig, interval: Duration) -> Arc<Self> {
        let link = Arc::new(Link::open(config));
        let board = Arc::new(Board::new());
        let (sender, status) = watch::channel(SystemStatus::new());
        let sweep = Sweep::new(Arc::clone(&link), Arc::clone(&board), sender, interval);
        let events = events::listen(Arc::clone(&link), Arc::clone(&board), Source::System);
        let sweeps = pace::run(Arc::clone(&link), Arc::clone(&board), interval, sweep);
        Arc::new(Self {
            link,
            board,
            status,
            tasks: Tasks::start(sweeps, events),
        })
    }

    /// The newest status of the system and every newer one.
    pub fn status(&self) -> watch::Receiver<SystemStatus> {
        self.status.clone()
    }

    /// The accounts that have clients or that JetStream is on for, by id and without the system account, asked for now.
    /// Complete as far as the servers answered that were seen last.
    pub async fn accounts(&self) -> Result<Vec<AccountInfo>, AccountsError> {
        let answered = usize::try_from(self.status.borrow().servers_answered).ok();
        accounts::list(&self.link, answered.filter(|servers| *servers > 0)).await
    }

    /// Ends the observation; views keep their last value.
    pub async fn shutdown(&self) {
        self.tasks.shutdown().await;
    }
}

impl Observe for SystemObserver {
    fn watch(&self, account: &AccountId) -> watch::Receiver<Arc<AccountView>> {
        self.board.watch(account)
    }

    fn refresh(&self, account: &AccountId) {
        self.board.refresh(account);
    }
}

/// The tasks of an observer: aborted with it, or ended in order.
#[derive(Debug)]
pub(crate) struct Tasks {
    cancelled: CancellationToken,
    handles: Mutex<Vec<AbortOnDropHandle<()>>>,
}

impl Tasks {
    pub(crate) fn start(
        sweeps: impl Future<Output = ()> + Send + 'static,
        events: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let cancelled = CancellationToken::new();
        let handles = vec![spawn(&cancelled, sweeps), spawn(&cancelled, events)];
        Self {
            cancelled,
            handles: Mutex::new(handles),
        }
    }

    pub(crate) async fn shutdown(&self) {
        self.cancelled.cancel();
        let handles = std::mem::take(&mut *self.handles.lock().unwrap_or_else(PoisonError::into_inner));
        for handle in handles {
            // A task that panicked has ended too.
            let _ = handle.await;
        }
    }
}

fn spawn(
    cancelled: &CancellationToken,
    work: impl Future<Output = ()> + Send + 'static,
) -> AbortOnDropHandle<()> {
    let cancelled = cancelled.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::select! {
            () = cancelled.cancelled() => {}
            () = work => {}
        }
    }))
}
