//! Observes a system through a user of its system account, and gives each watched account a view (nats-facts N40–N49).
//!
//! Promises: only watched accounts are asked about; a full sweep every interval, a look at one account soon after a
//! refresh or an event, never more than one look at a time; everything read is bounded; whatever is missing, late,
//! refused or not understood is a gap in the view (P6). Decisions on a view are made elsewhere.

pub(crate) mod accounts;
pub(crate) mod assemble;
pub(crate) mod connections;
pub(crate) mod elections;
pub(crate) mod events;
pub(crate) mod history;
mod jetstream;
pub(crate) mod leaders;
pub(crate) mod leafs;
pub(crate) mod listings;
pub(crate) mod merge;
pub(crate) mod pace;
mod round_trips;
pub(crate) mod server_inventory;
pub(crate) mod server_start_times;
pub(crate) mod sweep;
#[cfg(test)]
mod tests;
pub(crate) mod watched_accounts;
pub(crate) mod witness;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leeward_core::names::AccountId;
use leeward_core::snapshot::AccountView;
use leeward_engine::ports::Observe;
use leeward_engine::supervise::{self, Panicked, SupervisedTask};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::connect::Link;
use crate::connect_config::ConnectConfig;
use crate::status::SystemStatus;
use crate::user_info::AccountInfo;
use accounts::AccountsError;
use elections::Elections;
use events::EventSource;
use sweep::Sweep;
use watched_accounts::WatchedAccounts;
use witness::{Directory, Witness};

/// Observes all accounts of one system; it ends with this value.
#[derive(Debug)]
pub struct SystemObserver {
    link: Arc<Link>,
    board: Arc<WatchedAccounts>,
    status: watch::Receiver<SystemStatus>,
    witness: Witness,
    tasks: Tasks,
}

impl SystemObserver {
    /// Starts to observe with the user in `config`, which has to be one of the system account; [`Self::status`] reports
    /// if it is not.
    pub fn start(config: ConnectConfig, interval: Duration) -> Arc<Self> {
        let link = Arc::new(Link::open(config));
        let board = Arc::new(WatchedAccounts::new());
        let (sender, status) = watch::channel(SystemStatus::default());
        let servers = Arc::new(Directory::default());
        let elections = Elections::default();
        let witness = Witness::new(Arc::clone(&link), Arc::clone(&servers), elections.clone());
        let tasks = Tasks::new();
        let (listening, listened) = (Arc::clone(&link), Arc::clone(&board));
        tasks.keep(
            SupervisedTask::Advisories,
            |_| {},
            move || {
                let source = EventSource::System(elections.clone());
                events::listen(Arc::clone(&listening), Arc::clone(&listened), source)
            },
        );
        let (looking, seen, status_sender) = (Arc::clone(&link), Arc::clone(&board), sender.clone());
        tasks.keep(
            SupervisedTask::Observation,
            move |panicked| {
                let gap = seen.on_panic(panicked);
                status_sender.send_modify(|status| status.gaps = vec![gap]);
            },
            {
                let board = Arc::clone(&board);
                move || {
                    let sweep = Sweep::new(
                        Arc::clone(&looking),
                        Arc::clone(&board),
                        Arc::clone(&servers),
                        sender.clone(),
                        interval,
                    );
                    pace::run(Arc::clone(&looking), Arc::clone(&board), interval, sweep)
                }
            },
        );
        Arc::new(Self {
            link,
            board,
            status,
            witness,
            tasks,
        })
    }

    /// The newest status of the system and every newer one.
    pub fn status(&self) -> watch::Receiver<SystemStatus> {
        self.status.clone()
    }

    /// The accounts that have clients or JetStream enabled, requested now, by id and without the system account.
    /// Complete as far as the servers seen last answered.
    pub async fn accounts(&self) -> Result<Vec<AccountInfo>, AccountsError> {
        let answered = usize::try_from(self.status.borrow().servers_answered).ok();
        accounts::list(&self.link, answered.filter(|servers| *servers > 0)).await
    }

    /// Confirms answers on connections of other accounts.
    pub fn witness(&self) -> Witness {
        self.witness.clone()
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

/// The tasks of an observer: kept while it lives, aborted with it, or ended in order.
#[derive(Debug)]
pub(crate) struct Tasks {
    cancelled: CancellationToken,
    handles: Mutex<Vec<AbortOnDropHandle<()>>>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            cancelled: CancellationToken::new(),
            handles: Mutex::default(),
        }
    }

    /// Starts a task; see [`supervise::keep`].
    pub(crate) fn keep<F: Future<Output = ()> + Send + 'static>(
        &self,
        task: SupervisedTask,
        on_panic: impl FnMut(&Panicked) + Send + 'static,
        begin: impl FnMut() -> F + Send + 'static,
    ) {
        let cancelled = self.cancelled.clone();
        let handle = tokio::spawn(async move {
            cancelled
                .run_until_cancelled(supervise::keep(task, on_panic, begin))
                .await;
        });
        self.lock().push(AbortOnDropHandle::new(handle));
    }

    pub(crate) async fn shutdown(&self) {
        self.cancelled.cancel();
        let handles = std::mem::take(&mut *self.lock());
        for handle in handles {
            // An aborted task has ended too.
            let _ = handle.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<AbortOnDropHandle<()>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
