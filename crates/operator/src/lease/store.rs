//! Leases in the Kubernetes API: each call once, with a hard time limit, since kube's client retries for minutes.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease as Object;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};

use super::record::LeaseRecord;
use crate::cluster::FIELD_MANAGER;
use crate::key::Key;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// RBAC does not allow it.
    #[error(
        "Leeward's service account may not {verb} {what}: allow it to list, create and update leases in that namespace"
    )]
    Forbidden {
        /// As in a Role.
        verb: &'static str,
        /// Kind and key.
        what: String,
    },
    /// Somebody else wrote it since it was read.
    #[error("{what} was written by another replica meanwhile")]
    Conflict {
        /// Kind and key.
        what: String,
    },
    /// The API did not answer in time: whether it did what was asked is not known.
    #[error("the Kubernetes API did not answer in {} ms when asked to {verb} {what}", limit.as_millis())]
    Unanswered {
        /// As in a Role.
        verb: &'static str,
        /// Kind and key.
        what: String,
        /// How long was waited.
        limit: Duration,
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

impl LeaseError {
    /// A bounded word for logs and metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Forbidden { .. } => "forbidden",
            Self::Conflict { .. } => "conflict",
            Self::Unanswered { .. } => "unanswered",
            Self::Failed { .. } => "failed",
        }
    }
}

/// The Leases of one namespace.
#[derive(Clone)]
pub struct LeaseStore {
    api: Api<Object>,
    namespace: String,
    limit: Duration,
}

impl LeaseStore {
    /// The Leases of this namespace; no call takes longer than `limit`.
    pub fn new(client: Client, namespace: &str, limit: Duration) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            limit,
        }
    }

    /// The key of a Lease.
    pub fn key(&self, name: &str) -> Key {
        Key::new(self.namespace.as_str(), name)
    }

    /// All as they are now, by their names: what was written before is seen.
    pub async fn list(&self) -> Result<BTreeMap<String, LeaseRecord>, LeaseError> {
        let what = format!("leases in {}", self.namespace);
        let params = ListParams::default();
        let list = self.limited("list", what, self.api.list(&params)).await?;
        let named = |object: Object| Some((object.metadata.name.clone()?, LeaseRecord::of(object)));
        Ok(list.items.into_iter().filter_map(named).collect())
    }

    /// Writes over the edition that the record was made from, or makes a new one; returns what is stored.
    pub async fn write(&self, name: &str, record: &LeaseRecord) -> Result<LeaseRecord, LeaseError> {
        let key = self.key(name);
        let object = record.object(&key);
        let what = format!("Lease {key}");
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let stored = if record.version.is_some() {
            self.limited("update", what, self.api.replace(name, &params, &object))
                .await
        } else {
            self.limited("create", what, self.api.create(&params, &object))
                .await
        };
        stored.map(LeaseRecord::of)
    }

    async fn limited<T>(
        &self,
        verb: &'static str,
        what: String,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, LeaseError> {
        let limit = self.limit;
        match tokio::time::timeout(limit, call).await {
            Err(_) => Err(LeaseError::Unanswered { verb, what, limit }),
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(match &error {
                kube::Error::Api(status) if status.code == 403 => LeaseError::Forbidden { verb, what },
                kube::Error::Api(status) if status.code == 409 => LeaseError::Conflict { what },
                // It was deleted since it was read.
                kube::Error::Api(status) if status.code == 404 && verb == "update" => {
                    LeaseError::Conflict { what }
                }
                _ => LeaseError::Failed {
                    verb,
                    what,
                    source: Box::new(error),
                },
            }),
        }
    }
}
