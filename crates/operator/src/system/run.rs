//! What runs for one system: its observer, its limits, and the task that queues a reconcile when it sees something new.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use leeward_api::NatsSystem;
use leeward_api::system_status::NatsSystemStatus;
use leeward_api::vocabulary::ConnectedReason;
use leeward_engine::condition::ReasonMessage;
use leeward_engine::limits::SystemLimits;
use leeward_lease::LeaseEpoch;
use leeward_nats::{ConnectConfig, SystemObserver, SystemStatus};
use tokio::task::JoinSet;
use tracing::info;

use super::dereference::ObserverInput;
use crate::key::Key;
use crate::reconcile_queue::{ReconcileQueue, enqueue_on};
use crate::systems::Route;

/// Counts routes over all systems, so that no two are confused.
static EPOCHS: AtomicU64 = AtomicU64::new(1);

/// One system at work.
pub struct RunningSystem {
    /// The uid of the object: one that was recreated is another object.
    pub uid: String,
    /// How to reach the system, or why that is not known.
    pub route: Result<Route, ReasonMessage<ConnectedReason>>,
    /// Limits over all policies; they outlive observers.
    pub limits: Arc<SystemLimits>,
    /// The newest status.
    pub status: NatsSystemStatus,
    /// The status that is stored.
    pub written: NatsSystemStatus,
    /// The lease epoch in which the object was read again.
    pub lease_epoch: Option<LeaseEpoch>,
    limited: Option<(usize, usize)>,
    materials: Option<ObserverInput>,
    watchers: JoinSet<()>,
}

impl std::fmt::Debug for RunningSystem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Entry")
            .field("uid", &self.uid)
            .finish_non_exhaustive()
    }
}

impl RunningSystem {
    /// Nothing runs yet.
    pub fn new(system: &NatsSystem) -> Self {
        let status = system.status.clone().unwrap_or_default();
        Self {
            uid: system.metadata.uid.clone().unwrap_or_default(),
            route: Err(ReasonMessage::new(
                ConnectedReason::Connecting,
                "the first connection is being made",
            )),
            limits: SystemLimits::new(0, 0),
            written: status.clone(),
            status,
            lease_epoch: None,
            limited: None,
            materials: None,
            watchers: JoinSet::new(),
        }
    }

    /// Takes over the object's status at the beginning of a lease epoch.
    pub fn enter(&mut self, lease_epoch: LeaseEpoch, system: &NatsSystem) {
        self.status = system.status.clone().unwrap_or_default();
        self.written.clone_from(&self.status);
        self.lease_epoch = Some(lease_epoch);
    }

    /// Whether the observer that runs was started with these.
    pub fn uses(&self, materials: &ObserverInput) -> bool {
        self.route.is_ok() && self.materials.as_ref() == Some(materials)
    }

    /// Starts an observer in place of the one that runs.
    pub async fn start(
        &mut self,
        materials: ObserverInput,
        config: ConnectConfig,
        key: &Key,
        reconcile_queue: &ReconcileQueue,
    ) {
        self.end_observer().await;
        info!(system = %key, servers = ?config.servers, "system starts");
        let public = config.for_another_user();
        let observer = materials
            .credentials
            .is_some()
            .then(|| SystemObserver::start(config, materials.interval));
        if let Some(observer) = &observer {
            self.watchers.spawn(enqueue_on(
                observer.status(),
                key.clone(),
                reconcile_queue.clone(),
            ));
        }
        self.route = Ok(Route {
            epoch: EPOCHS.fetch_add(1, Ordering::Relaxed),
            connect: public,
            observer,
        });
        self.materials = Some(materials);
    }

    /// Stops the observer, for a reason.
    pub async fn stop(&mut self, why: ReasonMessage<ConnectedReason>) {
        self.end_observer().await;
        self.materials = None;
        self.route = Err(why);
    }

    /// The Kubernetes API did not answer: what runs continues.
    pub fn wait(&mut self, message: String) {
        if self.route.is_err() {
            self.route = Err(ReasonMessage::new(ConnectedReason::Connecting, message));
        }
    }

    /// Sets how many operations there may be at once.
    pub fn limit(&mut self, limits: (usize, usize)) {
        if self.limited != Some(limits) {
            self.limits.set(limits.0, limits.1);
            self.limited = Some(limits);
        }
    }

    /// What the observer saw; `None` where there is none.
    pub fn seen(&self) -> Option<SystemStatus> {
        let observer = self.route.as_ref().ok()?.observer.as_ref()?;
        Some(observer.status().borrow().clone())
    }

    /// Ends everything.
    pub async fn end(mut self) {
        self.end_observer().await;
    }

    async fn end_observer(&mut self) {
        self.watchers.shutdown().await;
        if let Ok(Route {
            observer: Some(observer),
            ..
        }) = &self.route
        {
            observer.shutdown().await;
        }
    }
}
