//! Starts all parts of the operator, and shuts them down in order.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use leeward_api::{NatsSystem, PlacementPlan, PlacementPolicy};
use leeward_engine::metrics::Metrics;
use leeward_engine::supervise::{self, SupervisedTask};
use leeward_lease::{LeaderElection, Leadership, Leaderships, LeaseMetrics};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch as value};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cluster::Cluster;
use crate::config::Config;
use crate::endpoint::{metrics_page, probes, serve};
use crate::error::chain;
use crate::events::{EventRecorder, EventSink};
use crate::gauges::Gauges;
use crate::objects::Objects;
use crate::owners::{self, OwnerObjects};
use crate::policy::{PlanChanges, Policies};
use crate::reconcile_queue::ReconcileQueue;
use crate::scope::Scope;
use crate::shared::Shared;
use crate::system::Systems;
use crate::systems::SystemHandles;
use crate::watch::control;

/// Connecting to the Kubernetes API.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// At the end, reconciles under way may finish for this long.
const RECONCILES_END: Duration = Duration::from_millis(300);
/// And those that take longer may write what was done last.
const STATUS_FLUSH_TIMEOUT: Duration = Duration::from_millis(1500);
/// Releasing the lease may take this long, two slow answers of the API server, so that another replica need not wait until it
/// expires.
const LEASE_END: Duration = Duration::from_secs(7);
/// And events that wait may be written for this long.
const EVENTS_END: Duration = Duration::from_millis(500);

/// Why the operator could not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No cluster is configured.
    #[error("no Kubernetes cluster is configured: run in a pod, or set KUBECONFIG")]
    Kubeconfig(#[source] Box<kube::config::InferConfigError>),
    /// The client could not be made.
    #[error("the Kubernetes client could not be made: check the kubeconfig")]
    Client(#[source] Box<kube::Error>),
    /// The address is in use, or not this machine's.
    #[error("cannot listen on {address}: choose another address with {argument}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The argument that set it.
        argument: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A part ended that should run forever.
    #[error("{part} ended by itself")]
    Ended {
        /// Which.
        part: String,
    },
}

impl OperatorError {
    /// A label of a fixed set, for logs.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Kubeconfig(_) => "kubeconfig",
            Self::Client(_) => "client",
            Self::Listen { .. } => "listen",
            Self::Ended { .. } => "ended",
        }
    }
}

/// Runs until `stop`, then shuts down gently.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), OperatorError> {
    let client = client().await?;
    let listeners = Listeners {
        metrics: listen(config.listen, "--listen").await?,
        probes: listen(config.probe_listen, "--probe-listen").await?,
    };
    let scopes = Scope::covering(&config.namespaces);
    let metrics = Arc::new(Metrics::new());
    let gauges = Gauges::register(&metrics);
    let (mut lease_tasks, leave) = (JoinSet::new(), CancellationToken::new());
    let leaderships = contend(&mut lease_tasks, &client, &config, &gauges, &leave);
    let (publisher, events) = EventRecorder::new(client.clone(), config.instance);
    let mut event_tasks = JoinSet::new();
    event_tasks.spawn(async move {
        let publisher = &Mutex::new(publisher);
        let publish = || async move { publisher.lock().await.run().await };
        supervise::keep(SupervisedTask::Process, |_| {}, publish).await;
    });
    let mut parts = JoinSet::new();
    let sinks = ControllerContext {
        metrics,
        gauges,
        events,
        leaderships: leaderships.clone(),
    };
    let (systems, policies) = start(&mut parts, &client, &scopes, sinks, listeners, &stop);
    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        Some(ended) = parts.join_next() => if stop.is_cancelled() { Ok(()) } else { Err(unexpected(ended)) },
        Some(ended) = lease_tasks.join_next() => Err(unexpected(ended)),
    };
    info!("shutting down");
    leaderships.close();
    policies.inhibit();
    stop.cancel();
    // The controllers first: reconciles put back the entries they hold, or end with them.
    let _ = tokio::time::timeout(RECONCILES_END, async {
        while parts.join_next().await.is_some() {}
    })
    .await;
    policies.shutdown().await;
    // Now each entry's last status is written; then all that the next holder has to know is.
    let _ = tokio::time::timeout(STATUS_FLUSH_TIMEOUT, leaderships.drain()).await;
    leave.cancel();
    let _ = tokio::time::timeout(LEASE_END, lease_tasks.join_next()).await;
    systems.shutdown().await;
    parts.shutdown().await;
    drop((policies, systems));
    let _ = tokio::time::timeout(EVENTS_END, event_tasks.join_next()).await;
    outcome
}

/// Takes part in leader election, if there is to be one.
fn contend(
    lease_tasks: &mut JoinSet<&'static str>,
    client: &Client,
    config: &Config,
    gauges: &Gauges,
    leave: &CancellationToken,
) -> Leaderships {
    let Some(election) = &config.lease else {
        warn!("there is no lease: nothing stops another replica from acting at the same time");
        return Leaderships::alone();
    };
    let metrics: Arc<dyn LeaseMetrics> = Arc::new(gauges.clone());
    let (election, leaderships) =
        LeaderElection::new(client.clone(), election, config.instance.as_deref(), &metrics);
    lease_tasks.spawn(named("the keeper of the leases", election.run(leave.clone())));
    leaderships
}

async fn client() -> Result<Client, OperatorError> {
    let mut config = kube::Config::infer()
        .await
        .map_err(|error| OperatorError::Kubeconfig(Box::new(error)))?;
    config.connect_timeout = Some(CONNECT_LIMIT);
    Client::try_from(config).map_err(|error| OperatorError::Client(Box::new(error)))
}

/// Where HTTP is served.
struct Listeners {
    metrics: TcpListener,
    probes: TcpListener,
}

async fn listen(address: SocketAddr, argument: &'static str) -> Result<TcpListener, OperatorError> {
    let failed = |source| OperatorError::Listen {
        address,
        argument,
        source,
    };
    let listener = match TcpListener::bind(address).await {
        // Without IPv6 on this machine, listen on all IPv4 addresses.
        Err(_) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    let listener = listener.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    info!(%address, argument, "listening");
    Ok(listener)
}

fn unexpected(ended: Result<&'static str, JoinError>) -> OperatorError {
    let part = match ended {
        Ok(part) => part.to_owned(),
        Err(error) => chain(&error),
    };
    OperatorError::Ended { part }
}

/// Where the controllers report to, and what they depend on.
struct ControllerContext {
    metrics: Arc<Metrics>,
    gauges: Gauges,
    events: EventSink,
    leaderships: Leaderships,
}

fn start(
    parts: &mut JoinSet<&'static str>,
    client: &Client,
    scopes: &[Scope],
    sinks: ControllerContext,
    listeners: Listeners,
    stop: &CancellationToken,
) -> (Arc<Systems>, Arc<Policies>) {
    let (system_objects, system_writers) = Objects::<NatsSystem>::new(scopes);
    let (policy_objects, policy_writers) = Objects::<PlacementPolicy>::new(scopes);
    let (plan_objects, plan_writers) = Objects::<PlacementPlan>::new(scopes);
    let unknown = OwnerObjects::Unknown("the Stream objects of NACK were not read yet".into());
    let (owners_sender, owners) = value::channel(Arc::new(unknown));
    let shared = Shared {
        cluster: Cluster::new(client.clone()),
        systems: system_objects,
        policies: policy_objects,
        plans: plan_objects,
        system_queue: ReconcileQueue::new(scopes),
        policy_queue: ReconcileQueue::new(scopes),
        handles: Arc::new(SystemHandles::default()),
        owners,
        events: sinks.events,
        metrics: sinks.metrics,
        gauges: sinks.gauges,
        leaderships: sinks.leaderships,
    };
    let systems = Arc::new(Systems::new(shared.clone()));
    let policies = Arc::new(Policies::new(shared.clone()));
    for (scope, writer) in system_writers {
        let reconcile_queue = shared.system_queue.clone();
        let run = control(
            client.clone(),
            scope,
            writer,
            reconcile_queue,
            Arc::clone(&systems),
            stop.clone(),
        );
        parts.spawn(named("the controller of NatsSystems", run));
    }
    for (scope, writer) in policy_writers {
        let reconcile_queue = shared.policy_queue.clone();
        let run = control(
            client.clone(),
            scope,
            writer,
            reconcile_queue,
            Arc::clone(&policies),
            stop.clone(),
        );
        parts.spawn(named("the controller of PlacementPolicies", run));
    }
    let plans = Arc::new(PlanChanges::new(shared.clone()));
    let plan_queue = ReconcileQueue::new(scopes);
    for (scope, writer) in plan_writers {
        let (client, queue, plans) = (client.clone(), plan_queue.clone(), Arc::clone(&plans));
        let run = control(client, scope, writer, queue, plans, stop.clone());
        parts.spawn(named("the controller of PlacementPlans", run));
    }
    serve_http(parts, &shared, listeners, stop);
    for (shard, leadership) in shared.leaderships.by_shard().iter().enumerate() {
        let (shared, policies, leadership) = (shared.clone(), Arc::clone(&policies), leadership.clone());
        let follow =
            move || follow_lease_epochs(shared.clone(), Arc::clone(&policies), shard, leadership.clone());
        let stopped = stop.clone();
        parts.spawn(named("the follower of a lease", async move {
            let kept = supervise::keep(SupervisedTask::Process, |_| {}, follow);
            stopped.run_until_cancelled(kept).await;
        }));
    }
    let (client, scopes, stopped) = (client.clone(), scopes.to_vec(), stop.clone());
    parts.spawn(named("the reader of NACK's Streams", async move {
        let follow = || {
            let enqueue = || shared.enqueue_policies();
            owners::follow(client.clone(), scopes.clone(), owners_sender.clone(), enqueue)
        };
        let kept = Box::pin(supervise::keep(SupervisedTask::Process, |_| {}, follow));
        stopped.run_until_cancelled(kept).await;
    }));
    (systems, policies)
}

/// Reconciles a shard's objects when its lease epoch or its right to act begins or ends. What must not wait for that
/// checks the leadership itself.
async fn follow_lease_epochs(
    shared: Shared,
    policies: Arc<Policies>,
    shard: usize,
    mut leadership: Leadership,
) {
    loop {
        leadership.changed().await;
        if !leadership.act_deadline().holds() {
            policies.inhibit();
        }
        shared.enqueue_shard(shard);
    }
}

async fn named(name: &'static str, part: impl Future<Output = ()>) -> &'static str {
    part.await;
    name
}

fn serve_http(
    parts: &mut JoinSet<&'static str>,
    shared: &Shared,
    listeners: Listeners,
    stop: &CancellationToken,
) {
    let (ready_sender, ready) = value::channel(false);
    let metrics = metrics_page(Arc::clone(&shared.metrics));
    let served = serve(listeners.metrics, metrics, stop.clone());
    parts.spawn(named("the endpoint of metrics", served));
    let served = serve(listeners.probes, probes(ready), stop.clone());
    parts.spawn(named("the endpoint of probes", served));
    let (systems, policies, stopped) = (shared.systems.clone(), shared.policies.clone(), stop.clone());
    parts.spawn(named("the wait for the caches", async move {
        let synced = async {
            systems.synced().await;
            policies.synced().await;
            info!("caches are filled");
            ready_sender.send_replace(true);
            std::future::pending::<()>().await;
        };
        stopped.run_until_cancelled(synced).await;
    }));
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn all_addresses_are_those_of_ipv4_too_whatever_the_machine_has() {
        let listener = listen((Ipv6Addr::UNSPECIFIED, 0).into(), "--listen")
            .await
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let taken = (Ipv6Addr::UNSPECIFIED, port).into();
        let refused = listen(taken, "--probe-listen").await.unwrap_err().to_string();
        assert!(
            refused.contains("another address with --probe-listen"),
            "{refused}"
        );
    }
}
