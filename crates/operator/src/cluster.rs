//! Calls to the Kubernetes API, each with a time limit: kube's own client may retry for minutes.
//!
//! An object that is missing or forbidden is distinguished from an API that did not answer: the first is a fact about
//! the cluster, the second only a reason to retry.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Status;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::key::Key;

/// The field manager of everything that Leeward writes.
pub const FIELD_MANAGER: &str = "leeward";

const LIMIT: Duration = Duration::from_secs(10);
/// A Secret read within this time is not read again: many policies may share one.
const SECRET_FRESH: Duration = Duration::from_secs(5);

/// The contents of a Secret.
pub type SecretData = BTreeMap<String, Vec<u8>>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// It does not exist.
    #[error("{what} does not exist")]
    Missing {
        /// Kind and key.
        what: String,
    },
    /// RBAC does not allow it.
    #[error("Kubernetes does not let Leeward {verb} {what}")]
    Forbidden {
        /// As in a Role.
        verb: &'static str,
        /// Kind and key.
        what: String,
    },
    /// A Secret that belongs to something else and must not be shown to any NATS server.
    #[error("{what} is of type {kind}, which is not for NATS")]
    Foreign {
        /// Kind and key.
        what: String,
        /// Its type.
        kind: String,
    },
    /// The API did not answer in time.
    #[error("the Kubernetes API did not answer in {} s when asked to {verb} {what}", LIMIT.as_secs())]
    Unanswered {
        /// As in a Role.
        verb: &'static str,
        /// Kind and key.
        what: String,
    },
    /// The call failed otherwise.
    #[error("the Kubernetes API could not {verb} {what}")]
    Failed {
        /// As in a Role.
        verb: &'static str,
        /// Kind and key.
        what: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
}

impl ClusterError {
    /// A label of a fixed set, for logs.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Forbidden { .. } => "forbidden",
            Self::Foreign { .. } => "foreign",
            Self::Unanswered { .. } => "unanswered",
            Self::Failed { .. } => "failed",
        }
    }

    /// Whether another object has that name.
    pub fn is_conflict(&self) -> bool {
        self.status()
            .is_some_and(|status| status.reason == "AlreadyExists")
    }

    /// Whether the object that was meant does not exist any more, though another one may have its name.
    pub fn is_of_another_object(&self) -> bool {
        let is_other = |status: &Status| status.code == 409 && status.message.contains("UID");
        matches!(self, Self::Missing { .. }) || self.status().is_some_and(is_other)
    }

    /// Whether the object is not in the version any more that was to be changed.
    pub fn is_outdated(&self) -> bool {
        self.status().is_some_and(|status| status.reason == "Conflict")
    }

    /// What the API answered.
    fn status(&self) -> Option<&Status> {
        match self {
            Self::Failed { source, .. } => match &**source {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            Self::Missing { .. }
            | Self::Forbidden { .. }
            | Self::Foreign { .. }
            | Self::Unanswered { .. } => None,
        }
    }

    /// Whether it is a fact about the object, and not only about the API.
    pub fn is_definite(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Forbidden { .. } | Self::Foreign { .. } => true,
            Self::Unanswered { .. } | Self::Failed { .. } => false,
        }
    }
}

/// Types of Secrets that something else owns: Kubernetes tokens, registry and ssh keys, Helm releases. Whoever may name
/// a Secret here also chooses the server that its contents are shown to.
const FOREIGN: [&str; 6] = [
    "kubernetes.io/service-account-token",
    "bootstrap.kubernetes.io/token",
    "kubernetes.io/dockercfg",
    "kubernetes.io/dockerconfigjson",
    "kubernetes.io/ssh-auth",
    "helm.sh/release.v1",
];

fn contents(what: String, secret: Secret) -> Result<SecretData, ClusterError> {
    if let Some(kind) = secret.type_.filter(|kind| FOREIGN.contains(&kind.as_str())) {
        return Err(ClusterError::Foreign { what, kind });
    }
    let data = secret.data.unwrap_or_default().into_iter();
    Ok(data.map(|(name, bytes)| (name, bytes.0)).collect())
}

/// A namespaced kind with a status.
pub trait HasStatus: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned {}

impl<K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned> HasStatus for K {}

/// The Kubernetes API.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    secrets: Arc<Mutex<BTreeMap<Key, ReadSecret>>>,
}

struct ReadSecret {
    at: Instant,
    data: Arc<SecretData>,
}

impl Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// Over a client.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            secrets: Arc::default(),
        }
    }

    /// The client, for watches and events.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The contents of a Secret, at most a few seconds old.
    pub async fn secret(&self, key: &Key) -> Result<Arc<SecretData>, ClusterError> {
        if let Some(data) = self.fresh_secret(key) {
            return Ok(data);
        }
        let api: Api<Secret> = Api::namespaced(self.client(), &key.namespace);
        let what = format!("Secret {key}");
        let secret = limited("get", what.clone(), api.get(&key.name)).await?;
        let data = Arc::new(contents(what, secret)?);
        let read = ReadSecret {
            at: Instant::now(),
            data: Arc::clone(&data),
        };
        self.lock_secrets().insert(key.clone(), read);
        Ok(data)
    }

    fn fresh_secret(&self, key: &Key) -> Option<Arc<SecretData>> {
        let mut secrets = self.lock_secrets();
        secrets.retain(|_, read| read.at.elapsed() < SECRET_FRESH);
        secrets.get(key).map(|read| Arc::clone(&read.data))
    }

    fn lock_secrets(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, ReadSecret>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The labels of a namespace.
    pub async fn namespace_labels(&self, name: &str) -> Result<BTreeMap<String, String>, ClusterError> {
        let api: Api<Namespace> = Api::all(self.client());
        let namespace = limited("get", format!("Namespace {name}"), api.get(name)).await?;
        Ok(namespace.labels().clone())
    }

    /// An object as the API has it now, newer than any cache.
    pub async fn read<K: HasStatus + Clone + Debug>(&self, key: &Key) -> Result<K, ClusterError> {
        let api: Api<K> = Api::namespaced(self.client(), &key.namespace);
        limited("get", format!("{} {key}", K::kind(&())), api.get(&key.name)).await
    }

    /// The objects of a namespace with these labels, as the API has them now.
    pub async fn list<K: HasStatus + Clone + Debug>(
        &self,
        namespace: &str,
        selector: &str,
    ) -> Result<Vec<K>, ClusterError> {
        let api: Api<K> = Api::namespaced(self.client(), namespace);
        let what = format!("{} in {namespace}", K::plural(&()));
        let params = ListParams::default().labels(selector);
        Ok(limited("list", what, api.list(&params)).await?.items)
    }

    /// Makes an object.
    pub async fn create<K: HasStatus + Clone + Debug + Serialize>(
        &self,
        object: &K,
    ) -> Result<K, ClusterError> {
        let key = Key::of(object);
        let api: Api<K> = Api::namespaced(self.client(), &key.namespace);
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PostParams::default()
        };
        let what = format!("{} {key}", K::kind(&()));
        limited("create", what, api.create(&params, object)).await
    }

    /// Deletes an object; with a uid, that one and not another one that has its name by now.
    pub async fn delete<K: HasStatus + Clone + Debug>(
        &self,
        key: &Key,
        uid: Option<&str>,
    ) -> Result<(), ClusterError> {
        let api: Api<K> = Api::namespaced(self.client(), &key.namespace);
        let what = format!("{} {key}", K::kind(&()));
        let params = DeleteParams {
            preconditions: uid.map(|uid| Preconditions {
                uid: Some(uid.to_owned()),
                ..Preconditions::default()
            }),
            ..DeleteParams::default()
        };
        let call = api.delete(&key.name, &params);
        limited("delete", what, call).await.map(|_| ())
    }

    /// Server-side applies the whole status of an object, under our own field manager.
    pub async fn apply_status<K: HasStatus>(
        &self,
        key: &Key,
        status: &impl Serialize,
    ) -> Result<(), ClusterError> {
        self.apply_status_of::<K>(key, None, status).await
    }

    /// The same, of one object and not of another one that has its name by now.
    pub async fn apply_status_of<K: HasStatus>(
        &self,
        key: &Key,
        uid: Option<&str>,
        status: &impl Serialize,
    ) -> Result<(), ClusterError> {
        let mut object = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {"name": key.name, "namespace": key.namespace},
            "status": status,
        });
        if let Some(uid) = uid {
            object["metadata"]["uid"] = json!(uid);
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        self.patch_status::<K>(key, &params, Patch::Apply(object)).await
    }

    /// Replaces some fields of the status of an object and leaves the others.
    pub async fn merge_status<K: HasStatus>(
        &self,
        key: &Key,
        fields: &impl Serialize,
    ) -> Result<(), ClusterError> {
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(json!({"status": fields}));
        self.patch_status::<K>(key, &params, patch).await
    }

    async fn patch_status<K: HasStatus>(
        &self,
        key: &Key,
        params: &PatchParams,
        patch: Patch<Value>,
    ) -> Result<(), ClusterError> {
        let api: Api<K> = Api::namespaced(self.client(), &key.namespace);
        let what = format!("the status of {} {key}", K::kind(&()));
        let call = async {
            // The answer is not needed, and the object may be one that cannot be read.
            match api.patch_status(&key.name, params, &patch).await {
                Ok(_) | Err(kube::Error::SerdeError(_)) => Ok(()),
                Err(error) => Err(error),
            }
        };
        limited("patch", what, call).await
    }
}

/// A call with a time limit and an error that names the object.
pub async fn limited<T>(
    verb: &'static str,
    what: String,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ClusterError> {
    match tokio::time::timeout(LIMIT, call).await {
        Err(_) => Err(ClusterError::Unanswered { verb, what }),
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(match &error {
            kube::Error::Api(status) if status.code == 404 => ClusterError::Missing { what },
            kube::Error::Api(status) if status.code == 403 => ClusterError::Forbidden { verb, what },
            _ => ClusterError::Failed {
                verb,
                what,
                source: Box::new(error),
            },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_something_else_owns_are_never_read() {
        let read = |kind: &str| {
            let secret: Secret = serde_json::from_value(json!({
                "metadata": {"name": "a"}, "type": kind, "data": {"token": "dA=="},
            }))
            .unwrap();
            contents("Secret a/b".to_owned(), secret)
        };
        for kind in ["Opaque", "kubernetes.io/basic-auth", "kubernetes.io/tls"] {
            assert_eq!(read(kind).unwrap()["token"], b"t", "{kind}");
        }
        for kind in FOREIGN {
            let error = read(kind).unwrap_err();
            assert!(error.is_definite() && error.to_string().contains(kind), "{error}");
        }
    }
}
