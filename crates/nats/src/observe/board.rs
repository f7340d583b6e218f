//! The watched accounts: the newest view of each, and when each is to be looked at again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use leeward_core::names::AccountId;
use leeward_core::snapshot::{AccountView, Gap};
use leeward_core::topology::Topology;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// At least this long between two looks at one account.
const SPACING: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct Board {
    accounts: Mutex<BTreeMap<AccountId, Entry>>,
    changed: Notify,
}

#[derive(Debug)]
struct Entry {
    view: watch::Sender<Arc<AccountView>>,
    due: Option<Instant>,
    looked_at: Option<Instant>,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self {
            accounts: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Watches an account from now on; a new one is due at once.
    pub(crate) fn watch(&self, account: &AccountId) -> watch::Receiver<Arc<AccountView>> {
        let mut accounts = self.lock();
        let entry = accounts.entry(account.clone()).or_insert_with(|| Entry {
            view: watch::Sender::new(Arc::new(warming_up(account))),
            due: Some(Instant::now()),
            looked_at: None,
        });
        self.changed.notify_one();
        entry.view.subscribe()
    }

    /// Makes an account due in a while, and not before its last look is [`SPACING`] ago; unwatched ones are left alone.
    pub(crate) fn refresh(&self, account: &AccountId, after: Duration) {
        if let Some(entry) = self.lock().get_mut(account) {
            entry.make_due(after);
            self.changed.notify_one();
        }
    }

    /// The same for all.
    pub(crate) fn refresh_all(&self, after: Duration) {
        for entry in self.lock().values_mut() {
            entry.make_due(after);
        }
        self.changed.notify_one();
    }

    /// Waits until an account becomes due earlier than it was.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// When the next account is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.lock().values().filter_map(|entry| entry.due).min()
    }

    /// Takes the accounts that are due by now, or all; forgets those that nobody watches any more.
    pub(crate) fn take(&self, which: Which) -> Vec<AccountId> {
        let now = Instant::now();
        let mut accounts = self.lock();
        accounts.retain(|_, entry| entry.view.receiver_count() > 0);
        let mut taken = Vec::new();
        for (account, entry) in accounts.iter_mut() {
            if which == Which::All || entry.due.is_some_and(|due| due <= now) {
                entry.due = None;
                entry.looked_at = Some(now);
                taken.push(account.clone());
            }
        }
        taken
    }

    pub(crate) fn publish(&self, view: AccountView) {
        if let Some(entry) = self.lock().get(&view.account) {
            entry.view.send_replace(Arc::new(view));
        }
    }

    /// Keeps what was seen last and says that it is not to be relied on.
    pub(crate) fn publish_gap(&self, account: &AccountId, gap: Gap) {
        if let Some(entry) = self.lock().get(account) {
            entry.view.send_modify(|view| {
                let mut stale = AccountView::clone(view);
                stale.gaps = vec![gap];
                *view = Arc::new(stale);
            });
        }
    }

    pub(crate) fn accounts(&self) -> Vec<AccountId> {
        self.lock().keys().cloned().collect()
    }

    pub(crate) fn views(&self) -> Vec<Arc<AccountView>> {
        self.lock()
            .values()
            .map(|entry| Arc::clone(&entry.view.borrow()))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AccountId, Entry>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which accounts to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    Due,
}

impl Entry {
    fn make_due(&mut self, after: Duration) {
        let wanted = Instant::now() + after;
        let due = self
            .looked_at
            .map_or(wanted, |looked_at| wanted.max(looked_at + SPACING));
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }
}

fn warming_up(account: &AccountId) -> AccountView {
    AccountView {
        account: account.clone(),
        topology: Arc::new(Topology::default()),
        observed_at: Timestamp::now(),
        gaps: vec![Gap::WarmingUp],
        clients: Vec::new(),
        streams: Vec::new(),
        traffic: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn refreshes_are_kept_apart_and_the_earlier_one_counts() {
        let board = Board::new();
        let account = AccountId::from("A");
        let receiver = board.watch(&account);
        assert_eq!(receiver.borrow().gaps, [Gap::WarmingUp]);
        assert_eq!(board.take(Which::Due), std::slice::from_ref(&account));
        board.refresh(&account, Duration::from_secs(5));
        board.refresh(&account, Duration::ZERO);
        assert_eq!(board.next_due(), Some(Instant::now() + SPACING));
        assert!(board.take(Which::Due).is_empty(), "not due yet");
        tokio::time::advance(SPACING).await;
        assert_eq!(board.take(Which::Due), [account]);
    }

    #[tokio::test]
    async fn an_account_that_nobody_watches_is_forgotten() {
        let board = Board::new();
        drop(board.watch(&AccountId::from("A")));
        assert!(board.take(Which::All).is_empty());
        assert!(board.accounts().is_empty());
    }
}
