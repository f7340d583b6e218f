//! The Leases of a namespace, as a store: listed all at once, written one at a time.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::coordination::v1::Lease as Object;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};

use crate::record::LeaseRecord;

const FIELD_MANAGER: &str = "leeward";

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
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
    /// Another replica has written the Lease since it was read.
    #[error("{what} was written by another replica meanwhile")]
    Conflict {
        /// Kind and key.
        what: String,
    },
    /// The API did not answer in time: whether it carried the request out is not known.
    #[error("the Kubernetes API did not answer in {} ms when asked to {verb} {what}", limit.as_millis())]
    Unanswered {
        /// As in a Role.
        verb: &'static str,
        /// Kind and key.
        what: String,
        /// How long the answer was awaited.
        limit: Duration,
    },
    /// The call failed otherwise.
    #[error("the Kubernetes API could not {verb} {what}: {reason}")]
    Failed {
        /// As in a Role.
        verb: &'static str,
        /// Kind and key.
        what: String,
        /// Why.
        reason: String,
    },
}

impl LeaseError {
    /// A label of a fixed set, for logs and metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Forbidden { .. } => "forbidden",
            Self::Conflict { .. } => "conflict",
            Self::Unanswered { .. } => "unanswered",
            Self::Failed { .. } => "failed",
        }
    }
}

/// Stores the Leases of one namespace. The tests of this crate have one without a network.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// The namespace and the name of a Lease, for people.
    fn key(&self, name: &str) -> String;

    /// All Leases as they are now, by name: everything that was written before the call is in them.
    async fn list(&self) -> Result<BTreeMap<String, LeaseRecord>, LeaseError>;

    /// Replaces the version that the record was made from, or creates the Lease; returns what is stored.
    async fn write(&self, name: &str, record: &LeaseRecord) -> Result<LeaseRecord, LeaseError>;
}

/// The Leases in the Kubernetes API. Each call is tried once within a time limit, since kube's client retries for minutes.
pub struct KubernetesStore {
    api: Api<Object>,
    namespace: String,
    limit: Duration,
}

impl KubernetesStore {
    /// The Leases of this namespace; no call takes longer than `limit`.
    pub fn new(client: Client, namespace: &str, limit: Duration) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            limit,
        }
    }

    async fn limited<T>(
        &self,
        verb: &'static str,
        what: String,
        call: impl Future<Output = Result<T, kube::Error>> + Send,
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
                    reason: reason(&error),
                },
            }),
        }
    }
}

#[async_trait]
impl LeaseStore for KubernetesStore {
    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.namespace)
    }

    async fn list(&self) -> Result<BTreeMap<String, LeaseRecord>, LeaseError> {
        let what = format!("leases in {}", self.namespace);
        let params = ListParams::default();
        let list = self.limited("list", what, self.api.list(&params)).await?;
        let named = |object: Object| Some((object.metadata.name.clone()?, LeaseRecord::of(object)));
        Ok(list.items.into_iter().filter_map(named).collect())
    }

    async fn write(&self, name: &str, record: &LeaseRecord) -> Result<LeaseRecord, LeaseError> {
        let object = record.object(&self.namespace, name);
        let what = format!("Lease {}", self.key(name));
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
}

/// What the API answered, or the error with those of its causes that it does not repeat itself.
fn reason(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return format!("{} ({})", status.message, status.code);
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_api_is_given_once() {
        let status = kube::core::Status::failure("etcd is away", "InternalError").with_code(500);
        let failed = LeaseError::Failed {
            verb: "list",
            what: "leases in ops".into(),
            reason: reason(&kube::Error::Api(Box::new(status))),
        };
        let expected = "the Kubernetes API could not list leases in ops: etcd is away (500)";
        assert_eq!(failed.to_string(), expected);
    }

    #[test]
    fn causes_are_given_unless_they_are_in_the_text_already() {
        let refused = std::io::Error::other("connection refused");
        let text = reason(&kube::Error::Service(Box::new(refused)));
        assert_eq!(text.matches("connection refused").count(), 1, "{text}");
    }
}
