//! One controller per kind and scope: a guarded watch, a cache, and reconciles that are debounced and few at a time.
//!
//! An object that cannot be read reaches its reconciler as such and disturbs no other. Watch errors are retried with
//! pauses of at most a few seconds and never reach the controller, whose own pauses would hold back everything else.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, future};
use kube::{Client, Resource as _};
use kube_runtime::controller::{Action, Config, Controller};
use kube_runtime::utils::Backoff;
use kube_runtime::watcher::{self, Event};
use kube_runtime::{Predicate as _, PredicateConfig, WatchStreamExt as _, predicates, watcher as watch};
use leeward_engine::supervise::{self, Panicked, SupervisedTask};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::cluster::ClusterError;
use crate::error::chain;
use crate::key::Key;
use crate::objects::{Guarded, Watched, Writer, object_ref};
use crate::reconcile_queue::ReconcileQueue;
use crate::scope::Scope;

/// Requests for one object within this time are one; each restarts the time, so frequent sources leave longer pauses.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// Reconciles of one kind and scope at once.
const CONCURRENCY: u16 = 32;
/// After a reconcile that could not write.
const RETRY: Duration = Duration::from_secs(5);
/// After one that panicked, which it will do again until the object changes.
const RETRY_BROKEN_OFF: Duration = Duration::from_secs(30);
const PAGE: u32 = 250;

/// What is done for objects of a kind.
pub trait Reconcile<K: Watched>: Send + Sync + 'static {
    /// Reconciles one object; returns when to reconcile it again at the latest.
    fn reconcile(&self, object: &Guarded<K>) -> impl Future<Output = Result<Duration, ClusterError>> + Send;

    /// Ends what runs for objects that are gone.
    fn sweep(&self) -> impl Future<Output = ()> + Send;
}

/// Runs the controller of one kind in one scope until `stop`.
pub async fn control<K: Watched, R: Reconcile<K>>(
    client: Client,
    scope: Scope,
    writer: Writer<K>,
    reconcile_queue: ReconcileQueue,
    reconciler: Arc<R>,
    stop: CancellationToken,
) {
    let gone = Arc::new(Notify::new());
    let reader = writer.reader();
    let changes = changes(client, &scope, writer, reconcile_queue.clone(), Arc::clone(&gone));
    let poked = reconcile_queue.stream(&scope).map(|key| object_ref(&key));
    let sweeping = Arc::clone(&reconciler);
    let controller = Controller::for_stream(changes, reader)
        .with_config(Config::default().debounce(DEBOUNCE).concurrency(CONCURRENCY))
        .reconcile_on(poked)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(
            |object, reconciler: Arc<R>| async move {
                guarded(reconciler.reconcile(&object)).await.map(Action::requeue)
            },
            |_, error, _| Action::requeue(error.retry()),
            reconciler,
        )
        .for_each(|result| {
            if let Err(error) = result {
                report(&error);
            }
            future::ready(())
        });
    let sweeps = async {
        loop {
            gone.notified().await;
            // What it did not get to is found by the next one.
            let _ = supervise::catch(SupervisedTask::Reconcile, sweeping.sweep()).await;
        }
    };
    tokio::select! {
        () = controller => {}
        () = sweeps => {}
    }
}

/// Why a reconcile did not come to its end.
#[derive(Debug, thiserror::Error)]
enum ReconcileError {
    #[error(transparent)]
    Cluster(ClusterError),
    #[error("the reconcile broke off")]
    BrokeOff(#[source] Panicked),
}

impl ReconcileError {
    /// A label of a fixed set, for logs.
    fn category(&self) -> &'static str {
        match self {
            Self::Cluster(error) => error.category(),
            Self::BrokeOff(_) => "panic",
        }
    }

    fn retry(&self) -> Duration {
        match self {
            Self::Cluster(_) => RETRY,
            Self::BrokeOff(_) => RETRY_BROKEN_OFF,
        }
    }
}

/// All objects of a kind are reconciled in one task: a panic over one must not end the others.
async fn guarded<T>(reconcile: impl Future<Output = Result<T, ClusterError>>) -> Result<T, ReconcileError> {
    match supervise::catch(SupervisedTask::Reconcile, reconcile).await {
        Ok(ended) => ended.map_err(ReconcileError::Cluster),
        Err(panicked) => Err(ReconcileError::BrokeOff(panicked)),
    }
}

fn report(error: &kube_runtime::controller::Error<ReconcileError, watcher::Error>) {
    match error {
        // It was deleted meanwhile.
        kube_runtime::controller::Error::ObjectNotFound(object) => {
            debug!(%object, "gone before its reconcile");
        }
        kube_runtime::controller::Error::ReconcilerFailed(error, object) => {
            warn!(%object, category = error.category(), error = %chain(error), "reconcile failed, trying again");
        }
        other => warn!(error = %chain(other), "controller"),
    }
}

/// Objects whose specification or annotations changed. Fills the cache on the way, and signals possible deletions.
fn changes<K: Watched>(
    client: Client,
    scope: &Scope,
    writer: Writer<K>,
    reconcile_queue: ReconcileQueue,
    gone: Arc<Notify>,
) -> impl futures::Stream<Item = Result<Guarded<K>, watcher::Error>> + Send + 'static {
    let Writer { writer, synced } = writer;
    let store = writer.as_reader();
    let config = watcher::Config::default().page_size(PAGE);
    let kind = K::kind(&());
    watch(scope.api::<Guarded<K>>(client), config)
        .modify(|object| object.meta_mut().managed_fields = None)
        .backoff(RelistBackoff::new())
        .reflect(writer)
        .filter_map(move |event| {
            match &event {
                Ok(Event::Delete(_)) => gone.notify_one(),
                Ok(Event::InitDone) => {
                    synced.send_replace(true);
                    gone.notify_one();
                    // Objects of a list arrive before the cache has them.
                    reconcile_queue.enqueue_all(store.state().iter().map(|object| Key::of(&**object)));
                }
                Ok(Event::Init | Event::InitApply(_) | Event::Apply(_)) => {}
                Err(error) => warn!(%kind, error = %chain(error), "watch failed, trying again"),
            }
            future::ready(event.is_ok().then_some(event))
        })
        .applied_objects()
        .predicate_filter(
            predicates::generation.combine(predicates::annotations),
            PredicateConfig::default(),
        )
}

/// Pauses between attempts to watch, up to a few seconds. kube's own backoff restarts with every attempt, since even
/// one that fails yields something first.
struct RelistBackoff {
    next: Duration,
    last: Option<Instant>,
}

impl RelistBackoff {
    const SHORTEST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(5);
    /// After this long without an error the pauses restart from the shortest.
    const FORGOTTEN: Duration = Duration::from_secs(15);

    fn new() -> Self {
        Self {
            next: Self::SHORTEST,
            last: None,
        }
    }
}

impl Iterator for RelistBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.last.is_some_and(|last| last.elapsed() > Self::FORGOTTEN) {
            self.next = Self::SHORTEST;
        }
        self.last = Some(Instant::now());
        let pause = self.next;
        self.next = (pause * 2).min(Self::LONGEST);
        Some(pause)
    }
}

impl Backoff for RelistBackoff {
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reconcile_that_panics_is_an_error_of_its_object() {
        let broken = guarded::<()>(async { panic!("attempt to subtract with overflow") }).await;
        let error = broken.unwrap_err();
        assert!(chain(&error).contains("subtract with overflow"), "{error}");
        assert_eq!(error.category(), "panic");
        assert_eq!(error.retry(), RETRY_BROKEN_OFF);
        assert_eq!(guarded(async { Ok(1) }).await.unwrap(), 1);
    }

    #[test]
    fn pauses_grow_although_every_attempt_yields_something_first() {
        let mut patience = RelistBackoff::new();
        let pauses: Vec<Duration> = (0..8)
            .filter_map(|_| {
                patience.reset();
                patience.next()
            })
            .collect();
        assert_eq!(pauses[0], RelistBackoff::SHORTEST);
        assert_eq!(pauses[7], RelistBackoff::LONGEST);
    }
}
