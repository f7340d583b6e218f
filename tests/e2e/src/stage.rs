//! One NATS system, one namespace, one operator.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use leeward_lab::kube::{Kind, ObjectClient};
use leeward_lab::leeward::{Operator, OperatorOptions, manifests};
use leeward_lab::nats::{System, SystemBuilder, eventually};
use serde_json::Value;

use crate::binary;
use crate::shared_kube::SharedKube;

/// A generous limit for anything that converges on two busy cores.
pub const CONVERGED: Duration = Duration::from_mins(5);

#[derive(Debug)]
pub struct Stage {
    /// The operator, once it was started.
    pub operator: Option<Operator>,
    pub system: System,
    pub kube: Arc<SharedKube>,
    pub namespace: String,
    objects: ObjectClient,
    kubeconfig: PathBuf,
}

impl Stage {
    /// Starts a NATS system beside the shared API server.
    pub async fn new(builder: SystemBuilder) -> anyhow::Result<Self> {
        let (kube, system) = tokio::try_join!(Box::pin(SharedKube::get()), Box::pin(builder.start()))?;
        Self::with_kube(kube, system).await
    }

    /// A stage on an API server of the test's own.
    pub async fn with_kube(kube: Arc<SharedKube>, system: System) -> anyhow::Result<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        binary::build().await?;
        let namespace = format!("test-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        kube.kube().create_namespace(&namespace).await?;
        kube.kube().apply(&manifests::rbac(&namespace)?).await?;
        let token = kube.kube().service_account_token(&namespace, "leeward").await?;
        let kubeconfig = kube.kube().kubeconfig_for_token(&namespace, &token)?;
        let objects = kube.kube().objects().await?;
        Ok(Self {
            operator: None,
            system,
            kube,
            namespace,
            objects,
            kubeconfig,
        })
    }

    /// Applies the Secrets and a `NatsSystem` named `prod`, with `spec` merged over the usual one.
    pub async fn apply_system(&self, spec: Value) -> anyhow::Result<()> {
        for object in manifests::system_objects(&self.namespace, &self.system, spec)? {
            self.apply(&object).await?;
        }
        Ok(())
    }

    /// Applies a policy, with `spec` merged over an enforcing one.
    pub async fn apply_policy(&self, name: &str, spec: Value) -> anyhow::Result<()> {
        self.apply(&manifests::placement_policy(&self.namespace, name, spec))
            .await
    }

    pub async fn apply(&self, object: &Value) -> anyhow::Result<()> {
        self.objects.apply(object.clone()).await
    }

    pub async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        let all: Vec<&str> = ["--namespace", &self.namespace]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        self.kube.kube().kubectl(&all).await
    }

    /// Starts the operator for this namespace, or starts it again after it has ended.
    pub async fn start_operator(&mut self) -> anyhow::Result<()> {
        self.start_operator_with(&[]).await
    }

    /// As [`Self::start_operator`], with more arguments.
    pub async fn start_operator_with(&mut self, arguments: &[&str]) -> anyhow::Result<()> {
        let own = vec![self.namespace.clone()];
        self.start(own, arguments).await
    }

    /// As [`Self::start_operator`], for these namespaces.
    pub async fn start_operator_for(&mut self, namespaces: &[&str]) -> anyhow::Result<()> {
        let namespaces = namespaces.iter().map(|name| (*name).to_owned()).collect();
        self.start(namespaces, &[]).await
    }

    /// Starts another replica beside the operator, with its own log of this name; it contends for the same leases.
    pub async fn another_operator(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Operator> {
        let own = vec![self.namespace.clone()];
        Operator::start(self.options(name, own, arguments)).await
    }

    async fn start(&mut self, namespaces: Vec<String>, arguments: &[&str]) -> anyhow::Result<()> {
        self.operator = None;
        let options = self.options("operator", namespaces, arguments);
        self.operator = Some(Operator::start(options).await?);
        Ok(())
    }

    fn options(&self, log: &str, namespaces: Vec<String>, arguments: &[&str]) -> OperatorOptions {
        OperatorOptions {
            kubeconfig: self.kubeconfig.clone(),
            home: self.namespace.clone(),
            namespaces,
            log: self.kube.folder().join(format!("{}-{log}.log", self.namespace)),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        }
    }

    /// Restarts the killed operator, without the wait for its leases to expire: as if they had.
    pub async fn restart_operator(&mut self) -> anyhow::Result<()> {
        ensure!(!self.operator()?.running(), "it is not killed");
        for lease in self.list(Kind::Lease).await? {
            let name = lease["metadata"]["name"].as_str().context("a lease has a name")?;
            self.objects.delete(&self.namespace, Kind::Lease, name).await?;
        }
        self.operator()?.restart().await
    }

    pub fn operator(&mut self) -> anyhow::Result<&mut Operator> {
        self.operator.as_mut().context("no operator was started")
    }

    /// An object as it is now.
    pub async fn get(&self, kind: Kind, name: &str) -> anyhow::Result<Value> {
        self.get_in(&self.namespace, kind, name).await
    }

    /// An object of another namespace as it is now.
    pub async fn get_in(&self, namespace: &str, kind: Kind, name: &str) -> anyhow::Result<Value> {
        self.objects.get(namespace, kind, name).await
    }

    /// All objects of the namespace as they are now.
    pub async fn list(&self, kind: Kind) -> anyhow::Result<Vec<Value>> {
        self.objects.list(&self.namespace, kind).await
    }

    /// A policy as it is now.
    pub async fn policy(&self, name: &str) -> anyhow::Result<Value> {
        self.get(Kind::PlacementPolicy, name).await
    }

    /// Waits until a policy's condition has a reason, and returns its message. The error shows the status and the log.
    pub async fn await_reason(&self, policy: &str, kind: &str, reason: &str) -> anyhow::Result<String> {
        self.await_policy(policy, &format!("{kind} is {reason}"), |policy| {
            let (found, message) = condition(policy, kind).context("no such condition yet")?;
            ensure!(found == reason, "{kind} is {found}: {message}");
            Ok(message)
        })
        .await
    }

    /// Waits until a `NatsSystem`'s condition has a reason, and returns its message.
    pub async fn await_system_reason(&self, kind: &str, reason: &str) -> anyhow::Result<String> {
        let probe = || async {
            let system = self.get(Kind::NatsSystem, "prod").await?;
            let (found, message) = condition(&system, kind).context("no such condition yet")?;
            ensure!(found == reason, "{kind} is {found}: {message}");
            Ok(message)
        };
        eventually(CONVERGED, &format!("NatsSystem {kind} is {reason}"), probe).await
    }

    /// Waits until a policy is as `probe` wants it.
    pub async fn await_policy<T>(
        &self,
        name: &str,
        what: &str,
        probe: impl Fn(&Value) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.await_policy_for(CONVERGED, name, what, probe).await
    }

    /// As [`Self::await_policy`], with another time limit.
    pub async fn await_policy_for<T>(
        &self,
        limit: Duration,
        name: &str,
        what: &str,
        probe: impl Fn(&Value) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let looked = eventually(limit, what, || async { probe(&self.policy(name).await?) }).await;
        match looked {
            Ok(found) => Ok(found),
            Err(error) => {
                let status = self.policy(name).await.map(|policy| policy["status"].clone());
                let log = self
                    .operator
                    .as_ref()
                    .map(|operator| operator.log_tail(25))
                    .unwrap_or_default();
                Err(error.context(format!("status: {status:#?}\nthe operator's log ends:\n{log}")))
            }
        }
    }
}

pub fn condition(object: &Value, kind: &str) -> Option<(String, String)> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    Some((
        found["reason"].as_str()?.to_owned(),
        found["message"].as_str()?.to_owned(),
    ))
}
