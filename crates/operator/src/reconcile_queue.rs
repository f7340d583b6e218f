//! Queues reconciles from outside the watch: a set of keys, so it is bounded by what exists and a key that is queued
//! twice is read once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::Stream;
use tokio::sync::{Notify, watch};

use crate::key::Key;
use crate::scope::Scope;

/// One source queues its key at most this often; longer than the controllers' debounce, which each request restarts.
const PACE: Duration = Duration::from_millis(60);

/// Queued reconciles for objects of one kind; clones share them.
#[derive(Clone, Debug)]
pub struct ReconcileQueue {
    lanes: Arc<Vec<QueueLane>>,
}

#[derive(Debug)]
struct QueueLane {
    scope: Scope,
    waiting: Mutex<BTreeSet<Key>>,
    notify: Notify,
}

impl ReconcileQueue {
    /// Nothing waits yet.
    pub fn new(scopes: &[Scope]) -> Self {
        let lane = |scope: &Scope| QueueLane {
            scope: scope.clone(),
            waiting: Mutex::default(),
            notify: Notify::new(),
        };
        Self {
            lanes: Arc::new(scopes.iter().map(lane).collect()),
        }
    }

    /// Queues a reconcile. A key that no scope covers is ignored.
    pub fn enqueue(&self, key: Key) {
        if let Some(lane) = self.lanes.iter().find(|lane| lane.scope.covers(&key.namespace)) {
            lane.waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(key);
            lane.notify.notify_one();
        }
    }

    /// Queues many.
    pub fn enqueue_all(&self, keys: impl IntoIterator<Item = Key>) {
        for key in keys {
            self.enqueue(key);
        }
    }

    /// The queued keys of one scope; it has one reader.
    pub fn stream(&self, scope: &Scope) -> impl Stream<Item = Key> + Send + use<> {
        let position = self.lanes.iter().position(|lane| lane.scope == *scope);
        let lanes = Arc::clone(&self.lanes);
        futures::stream::unfold(lanes, move |lanes| async move {
            let lane = lanes.get(position?)?;
            let key = lane.next().await;
            Some((key, lanes))
        })
    }
}

impl QueueLane {
    async fn next(&self) -> Key {
        loop {
            let notified = self.notify.notified();
            let key = self
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_first();
            match key {
                Some(key) => return key,
                None => notified.await,
            }
        }
    }
}

/// Enqueues an object whenever a value changes, until its sender is gone, which counts as a change too. The last change
/// is never missed.
pub async fn enqueue_on<T: Send + Sync>(
    mut changes: watch::Receiver<T>,
    key: Key,
    reconcile_queue: ReconcileQueue,
) {
    while changes.changed().await.is_ok() {
        reconcile_queue.enqueue(key.clone());
        tokio::time::sleep(PACE).await;
    }
    reconcile_queue.enqueue(key);
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;

    #[tokio::test]
    async fn a_key_that_is_poked_twice_is_read_once_and_only_in_its_scope() {
        let scopes = Scope::covering(&["a".into(), "b".into()]);
        let reconcile_queue = ReconcileQueue::new(&scopes);
        reconcile_queue.enqueue_all([Key::new("a", "x"), Key::new("a", "x"), Key::new("c", "x")]);
        let mut first = Box::pin(reconcile_queue.stream(&scopes[0]));
        let mut second = Box::pin(reconcile_queue.stream(&scopes[1]));
        assert_eq!(first.next().await, Some(Key::new("a", "x")));
        assert_eq!(first.next().now_or_never(), None, "read once");
        assert_eq!(second.next().now_or_never(), None, "not in this scope");
        reconcile_queue.enqueue(Key::new("b", "y"));
        assert_eq!(second.next().await, Some(Key::new("b", "y")));
    }
}
