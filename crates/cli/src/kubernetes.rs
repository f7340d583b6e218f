//! Reading and changing policies in Kubernetes from the command line, as the user of a kubeconfig.
//!
//! What a policy refers to is read and judged by the operator's own rules. Errors name the object and the fix.

mod client;
pub mod plans;

use anyhow::{Context as _, bail};
use itertools::Itertools as _;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use leeward_api::PlacementPolicy;
use leeward_operator::lookup::{self, SystemLookup};

pub use client::{Kubernetes, answered, connect, is_definite, place, problem};

use crate::args::KubernetesArgs;
use crate::connection::{AccountConnection, ConnectionOptions};
use crate::loaded_policy::{LoadedPolicy, PolicyOrigin, SystemRules};

/// The field manager of what people change through the command line.
const FIELD_MANAGER: &str = "leeward-cli";

/// What the API calls policies.
pub const POLICIES: &str = "placementpolicies";

/// A policy as the cluster has it.
#[derive(Clone, Debug)]
pub struct FromCluster {
    /// The policy.
    pub loaded: LoadedPolicy,
    /// The connections of its references, if asked for.
    pub connections: Option<ConnectionOptions>,
    /// Its system, or why that is not known; needed to act, since it may be suspended.
    pub system: Result<SystemRules, String>,
}

/// Reads a policy, NAME or NAMESPACE/NAME; the only one of the namespace, if none is named.
pub async fn policy(
    args: &KubernetesArgs,
    wanted: Option<&str>,
    wants_connections: bool,
) -> anyhow::Result<FromCluster> {
    let kubernetes = connect(args).await?;
    let object = match wanted {
        Some(wanted) => {
            let (namespace, name) = kubernetes.key(wanted)?;
            read(&kubernetes, &namespace, &name).await?
        }
        None => only(&kubernetes).await?,
    };
    let client = &kubernetes.client;
    let system = SystemLookup::of(client, &object).await;
    let connections = match &system {
        _ if !wants_connections => None,
        Ok(system) => Some(connections(client, system, &object).await?),
        Err(error) => bail!("{}: {error}", title(&object)),
    };
    Ok(FromCluster {
        loaded: loaded(client, object).await?,
        connections,
        system: system.as_ref().map(rules).map_err(ToString::to_string),
    })
}

fn rules(system: &SystemLookup) -> SystemRules {
    SystemRules {
        limits: system.limits(),
        interval: Some(system.interval()),
        suspended: system.is_suspended(),
    }
}

async fn connections(
    client: &Client,
    system: &SystemLookup,
    object: &PlacementPolicy,
) -> anyhow::Result<ConnectionOptions> {
    let access = system.access(client, object).await;
    let access = access.map_err(|error| {
        anyhow::anyhow!("{}: {error}; or say with --context how to connect", title(object))
    })?;
    Ok(ConnectionOptions {
        account: Some(AccountConnection {
            config: access.account,
            domain: object.spec.jet_stream_domain.clone(),
        }),
        system: access.system,
    })
}

async fn loaded(client: &Client, object: PlacementPolicy) -> anyhow::Result<LoadedPolicy> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let title = title(&object);
    let loaded = LoadedPolicy::new(namespace.clone(), name, object.spec, PolicyOrigin::Kubernetes)
        .with_context(|| format!("{title} cannot be used"))?;
    Ok(LoadedPolicy {
        generation: object.metadata.generation.unwrap_or_default(),
        uid: object.metadata.uid,
        past: object.status.unwrap_or_default(),
        owners: lookup::owners(client, &namespace).await,
        ..loaded
    })
}

fn title(object: &PlacementPolicy) -> String {
    format!(
        "PlacementPolicy {}/{}",
        object.namespace().unwrap_or_default(),
        object.name_any()
    )
}

/// Reads one policy; where there is none, the error lists those that are there.
pub async fn read(kubernetes: &Kubernetes, namespace: &str, name: &str) -> anyhow::Result<PlacementPolicy> {
    let policies = kubernetes.policies(namespace);
    answer_about(kubernetes, "get", namespace, name, policies.get(name)).await
}

/// What the API answers about one policy that should be there.
async fn answer_about(
    kubernetes: &Kubernetes,
    verb: &str,
    namespace: &str,
    name: &str,
    call: impl Future<Output = Result<PlacementPolicy, kube::Error>>,
) -> anyhow::Result<PlacementPolicy> {
    match answered(&kubernetes.server, call).await? {
        Ok(object) => Ok(object),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            Err(missing(kubernetes, namespace, name).await)
        }
        Err(error) => Err(problem(&kubernetes.server, verb, POLICIES, namespace, &error)),
    }
}

/// Sets `spec.suspend`; returns whether that changed it.
pub async fn suspend(kubernetes: &Kubernetes, key: &(String, String), to: bool) -> anyhow::Result<bool> {
    let (namespace, name) = key;
    if read(kubernetes, namespace, name).await?.spec.suspend == to {
        return Ok(false);
    }
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(serde_json::json!({"spec": {"suspend": to}}));
    let policies = kubernetes.policies(namespace);
    let call = policies.patch(name, &params, &patch);
    answer_about(kubernetes, "patch", namespace, name, call).await?;
    Ok(true)
}

async fn only(kubernetes: &Kubernetes) -> anyhow::Result<PlacementPolicy> {
    let namespace = &kubernetes.namespace;
    let mut objects = list(kubernetes, namespace).await?;
    if objects.len() > 1 {
        bail!(
            "namespace {namespace} has several policies, {}: choose one with --policy",
            names(&objects)
        );
    }
    objects.pop().with_context(|| {
        format!("namespace {namespace} has no PlacementPolicy: choose another namespace with -n, or give files with -f")
    })
}

async fn missing(kubernetes: &Kubernetes, namespace: &str, name: &str) -> anyhow::Error {
    let what = format!("PlacementPolicy {namespace}/{name} does not exist");
    match list(kubernetes, namespace).await {
        Ok(objects) if objects.is_empty() => {
            anyhow::anyhow!("{what}: namespace {namespace} has none, choose another with -n")
        }
        Ok(objects) => anyhow::anyhow!("{what}: namespace {namespace} has {}", names(&objects)),
        Err(error) => anyhow::anyhow!("{what}, and others cannot be listed: {error:#}"),
    }
}

async fn list(kubernetes: &Kubernetes, namespace: &str) -> anyhow::Result<Vec<PlacementPolicy>> {
    let policies = kubernetes.policies(namespace);
    let list = answered(&kubernetes.server, policies.list(&ListParams::default())).await?;
    let list = list.map_err(|error| problem(&kubernetes.server, "list", POLICIES, namespace, &error))?;
    Ok(list.items)
}

fn names(objects: &[PlacementPolicy]) -> String {
    objects.iter().map(kube::ResourceExt::name_any).join(", ")
}
