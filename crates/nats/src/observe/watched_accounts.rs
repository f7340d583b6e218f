//! The watched accounts: the newest view of each, and when its next look is due.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use leeward_core::names::AccountId;
use leeward_core::snapshot::{AccountView, Gap};
use leeward_core::topology::Topology;
use leeward_engine::supervise::Panicked;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::moments::{ahead, later};

/// Elections remembered between two looks at an account; more of them are remembered as [`LeaderElected::Any`].
const MOST_ELECTIONS: usize = 4096;
/// At least this long between two looks at one account.
const SPACING: Duration = Duration::from_millis(250);
/// The least time between a look due to events and the next of that kind, or [`EVENT_FACTOR`] times the duration of the
/// last look: a storm of events takes no more than a small part of the servers' time (nats-facts N44, N45).
const EVENT_SPACING: Duration = Duration::from_secs(2);
const EVENT_FACTOR: u32 = 10;

#[derive(Debug)]
pub(crate) struct WatchedAccounts {
    accounts: Mutex<BTreeMap<AccountId, WatchedAccount>>,
    changed: Notify,
}

#[derive(Debug)]
struct WatchedAccount {
    view: watch::Sender<Arc<AccountView>>,
    /// Whether a view was published; warming up is none.
    seen: bool,
    /// When it is due because of a request.
    asked: Option<Instant>,
    /// When it is due because of events.
    event: Option<Instant>,
    /// When the last look began.
    looked_at: Option<Instant>,
    /// When the last look due to events ended; while it runs, when it began.
    event_look: Option<Instant>,
    /// How long the last look at single accounts took.
    took: Duration,
    /// Elections received since the last look.
    elections: Vec<LeaderElected>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LeaderElected {
    /// Of a stream, or of one of its consumers.
    Of {
        stream: String,
        consumer: Option<String>,
    },
    /// Of any assets, too many to keep.
    Any,
}

impl WatchedAccounts {
    pub(crate) fn new() -> Self {
        Self {
            accounts: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Watches an account from now on; a new one is due at once.
    pub(crate) fn watch(&self, account: &AccountId) -> watch::Receiver<Arc<AccountView>> {
        let mut accounts = self.lock();
        let entry = accounts.entry(account.clone()).or_insert_with(|| {
            self.changed.notify_one();
            WatchedAccount::new(account)
        });
        entry.view.subscribe()
    }

    /// Makes an account due, though not before its last look is [`SPACING`] ago; unwatched ones are ignored.
    pub(crate) fn refresh(&self, account: &AccountId) {
        if let Some(entry) = self.lock().get_mut(account) {
            entry.request_look();
            self.changed.notify_one();
        }
    }

    /// Makes an account due in a while because of an event, though not before the last look of that kind is
    /// [`EVENT_SPACING`] ago.
    pub(crate) fn event(&self, account: &AccountId, after: Duration) {
        if let Some(entry) = self.lock().get_mut(account) {
            entry.note_event(after);
            self.changed.notify_one();
        }
    }

    /// Makes an account due in a while because of an election, which its next look takes.
    pub(crate) fn elected(&self, account: &AccountId, election: LeaderElected, after: Duration) {
        if let Some(entry) = self.lock().get_mut(account) {
            if entry.elections.len() >= MOST_ELECTIONS {
                entry.elections = vec![LeaderElected::Any];
            }
            entry.elections.push(election);
            entry.note_event(after);
            self.changed.notify_one();
        }
    }

    /// Elections may have been missed: none is received while there is no connection.
    pub(crate) fn may_have_elected(&self) {
        for entry in self.lock().values_mut() {
            entry.elections = vec![LeaderElected::Any];
        }
    }

    /// Takes the elections received so far. To be called before a look begins: one received meanwhile is for the next.
    pub(crate) fn take_elections(&self, account: &AccountId) -> Vec<LeaderElected> {
        let mut accounts = self.lock();
        let entry = accounts.get_mut(account);
        entry
            .map(|entry| std::mem::take(&mut entry.elections))
            .unwrap_or_default()
    }

    /// Makes all accounts due in a while because of an event.
    pub(crate) fn event_for_all(&self, after: Duration) {
        for entry in self.lock().values_mut() {
            entry.note_event(after);
        }
        self.changed.notify_one();
    }

    /// Waits until an account becomes due earlier than it was.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// When the next account is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.lock().values().filter_map(WatchedAccount::due).min()
    }

    /// Takes the accounts that are due by now, or all; forgets those without watchers.
    pub(crate) fn take(&self, which: AccountFilter) -> Vec<AccountId> {
        let now = Instant::now();
        let mut accounts = self.lock();
        accounts.retain(|_, entry| entry.view.receiver_count() > 0);
        let mut taken = Vec::new();
        for (account, entry) in accounts.iter_mut() {
            if which == AccountFilter::All || entry.due().is_some_and(|due| due <= now) {
                if entry.event.is_some_and(|due| due <= now) {
                    entry.event_look = Some(now);
                }
                (entry.asked, entry.event) = (None, None);
                entry.looked_at = Some(now);
                taken.push(account.clone());
            }
        }
        taken
    }

    /// Ends the look at accounts that were taken.
    pub(crate) fn looked(&self, accounts: &[AccountId], which: AccountFilter) {
        let now = Instant::now();
        let mut entries = self.lock();
        for account in accounts {
            let Some(entry) = entries.get_mut(account) else {
                continue;
            };
            // The time for all of them together does not show that of one.
            if which == AccountFilter::Due {
                entry.took = entry
                    .looked_at
                    .map_or(Duration::ZERO, |began| now.duration_since(began));
            }
            if entry.event_look.is_some() && entry.event_look == entry.looked_at {
                entry.event_look = Some(now);
            }
        }
    }

    pub(crate) fn publish(&self, view: AccountView) {
        if let Some(entry) = self.lock().get_mut(&view.account) {
            entry.seen = true;
            entry.view.send_replace(Arc::new(view));
        }
    }

    /// Keeps the last view and marks it as unreliable. Publishes nothing that was published before: a woken watcher may
    /// watch again.
    pub(crate) fn publish_gap(&self, account: &AccountId, gap: Gap) {
        let entries = self.lock();
        let Some(entry) = entries.get(account) else { return };
        let mut gaps = vec![gap];
        if !entry.seen {
            gaps.push(Gap::WarmingUp);
        }
        entry.view.send_if_modified(|view| {
            let changes = view.gaps != gaps;
            if changes {
                let mut stale = AccountView::clone(view);
                stale.gaps = gaps;
                *view = Arc::new(stale);
            }
            changes
        });
    }

    /// Publishes for all accounts that the look panicked and is retried.
    pub(crate) fn on_panic(&self, panicked: &Panicked) -> Gap {
        let gap = on_panic(panicked);
        for account in self.accounts() {
            self.publish_gap(&account, gap.clone());
        }
        gap
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

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AccountId, WatchedAccount>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountFilter {
    All,
    Due,
}

impl WatchedAccount {
    /// A new one is due at once.
    fn new(account: &AccountId) -> Self {
        Self {
            view: watch::Sender::new(Arc::new(warming_up(account))),
            seen: false,
            asked: Some(Instant::now()),
            event: None,
            looked_at: None,
            event_look: None,
            took: Duration::ZERO,
            elections: Vec::new(),
        }
    }

    fn due(&self) -> Option<Instant> {
        self.asked.into_iter().chain(self.event).min()
    }

    fn request_look(&mut self) {
        let due = self.spaced(Instant::now());
        self.asked = Some(self.asked.map_or(due, |earlier| earlier.min(due)));
    }

    fn note_event(&mut self, after: Duration) {
        let rest = EVENT_SPACING.max(self.took.saturating_mul(EVENT_FACTOR));
        let wanted = self.spaced(ahead(after));
        let due = self
            .event_look
            .map_or(wanted, |looked| wanted.max(later(looked, rest)));
        self.event = Some(self.event.map_or(due, |earlier| earlier.min(due)));
    }

    fn spaced(&self, wanted: Instant) -> Instant {
        self.looked_at
            .map_or(wanted, |looked_at| wanted.max(later(looked_at, SPACING)))
    }
}

/// What a look that panicked leaves unseen.
pub(crate) fn on_panic(panicked: &Panicked) -> Gap {
    Gap::Unreadable {
        message: format!("the look broke off and is tried again ({panicked})"),
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
        let board = WatchedAccounts::new();
        let account = AccountId::from("A");
        let receiver = board.watch(&account);
        assert_eq!(receiver.borrow().gaps, [Gap::WarmingUp]);
        assert_eq!(board.take(AccountFilter::Due), std::slice::from_ref(&account));
        board.event(&account, Duration::from_secs(5));
        board.refresh(&account);
        assert_eq!(board.next_due(), Some(Instant::now() + SPACING));
        assert!(board.take(AccountFilter::Due).is_empty(), "not due yet");
        tokio::time::advance(SPACING).await;
        assert_eq!(board.take(AccountFilter::Due), [account]);
    }

    #[tokio::test(start_paused = true)]
    async fn looks_that_events_ask_for_are_spaced_and_those_that_are_asked_for_are_not() {
        let (board, account) = (WatchedAccounts::new(), AccountId::from("A"));
        let _receiver = board.watch(&account);
        let second = Duration::from_secs(1);
        let look = |took: Duration| {
            let board = &board;
            async move {
                let taken = board.take(AccountFilter::Due);
                assert_eq!(taken.len(), 1, "it is due");
                tokio::time::advance(took).await;
                board.looked(&taken, AccountFilter::Due);
            }
        };
        look(second / 10).await;
        tokio::time::advance(second).await;
        board.event(&account, Duration::ZERO);
        look(second / 10).await;
        board.event(&account, Duration::ZERO);
        assert_eq!(board.next_due(), Some(Instant::now() + EVENT_SPACING));
        tokio::time::advance(EVENT_SPACING).await;
        look(second).await;
        board.event(&account, Duration::ZERO);
        assert_eq!(board.next_due(), Some(Instant::now() + second * EVENT_FACTOR));
        board.refresh(&account);
        assert_eq!(board.next_due(), Some(Instant::now()), "it was asked for");
        look(second).await;
        assert_eq!(board.next_due(), None, "one look serves both");
    }

    #[tokio::test]
    async fn a_gap_is_told_once_and_nothing_seen_stays_warming_up() {
        let (board, account) = (WatchedAccounts::new(), AccountId::from("A"));
        let mut receiver = board.watch(&account);
        let gap = |message: &str| Gap::Unreadable {
            message: message.into(),
        };
        board.publish_gap(&account, gap("a"));
        assert!(receiver.has_changed().unwrap());
        assert_eq!(receiver.borrow_and_update().gaps, [gap("a"), Gap::WarmingUp]);
        board.publish_gap(&account, gap("a"));
        assert!(!receiver.has_changed().unwrap(), "it is the same");
        board.publish(AccountView {
            gaps: vec![],
            ..warming_up(&account)
        });
        board.publish_gap(&account, gap("a"));
        assert_eq!(receiver.borrow_and_update().gaps, [gap("a")]);
    }

    #[tokio::test]
    async fn a_look_that_breaks_off_is_said_of_every_account() {
        let (board, account) = (WatchedAccounts::new(), AccountId::from("A"));
        let receiver = board.watch(&account);
        let panicked = leeward_engine::supervise::catch_now(
            leeward_engine::supervise::SupervisedTask::Observation,
            || panic!("attempt to add with overflow"),
        );
        let gap = board.on_panic(&panicked.unwrap_err());
        assert!(
            matches!(&gap, Gap::Unreadable { message } if message.contains("add with overflow")),
            "{gap:?}"
        );
        assert!(receiver.borrow().gaps.contains(&gap));
    }

    #[tokio::test(start_paused = true)]
    async fn watching_again_wakes_nobody() {
        let (board, account) = (WatchedAccounts::new(), AccountId::from("A"));
        let _first = board.watch(&account);
        board.changed().await;
        let _second = board.watch(&account);
        let woken = tokio::time::timeout(Duration::from_secs(1), board.changed()).await;
        assert!(woken.is_err(), "it was watched already");
    }

    #[tokio::test]
    async fn elections_are_kept_until_a_look_takes_them_and_too_many_are_one() {
        let (board, account) = (WatchedAccounts::new(), AccountId::from("A"));
        let of = |stream: usize| LeaderElected::Of {
            stream: stream.to_string(),
            consumer: None,
        };
        let hear = |number| {
            for stream in 0..number {
                board.elected(&account, of(stream), Duration::ZERO);
            }
        };
        hear(1);
        assert!(board.take_elections(&account).is_empty(), "nobody watches it");
        let _receiver = board.watch(&account);
        hear(2);
        assert_eq!(board.take_elections(&account), [of(0), of(1)]);
        assert!(board.take_elections(&account).is_empty(), "they were taken");
        hear(MOST_ELECTIONS + 1);
        assert_eq!(board.take_elections(&account)[0], LeaderElected::Any);
        board.may_have_elected();
        assert_eq!(board.take_elections(&account), [LeaderElected::Any]);
    }

    #[tokio::test]
    async fn an_account_that_nobody_watches_is_forgotten() {
        let board = WatchedAccounts::new();
        drop(board.watch(&AccountId::from("A")));
        assert!(board.take(AccountFilter::All).is_empty());
        assert!(board.accounts().is_empty());
    }
}
