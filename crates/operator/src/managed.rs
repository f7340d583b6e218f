//! Streams whose configuration belongs to NACK, NATS's own controller: those with a `Stream`, `KeyValue` or
//! `ObjectStore` object, in any namespace where that may be read, else in those that are watched.
//!
//! Read every half minute, as little of each object as is needed. Where NACK is not installed no stream is owned; where
//! that is not known, every stream may be (P6). A list stays valid for some minutes while the Kubernetes API does not
//! answer, like everything else read from it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::api::{Api, ListParams, Object};
use kube::core::{ApiResource, GroupVersionKind, NotUsed};
use kube::{Client, ResourceExt as _};
use leeward_core::context::Managed;
use leeward_core::names::StreamName;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::warn;

use crate::cluster::{ClusterError, limited};
use crate::error::chain;
use crate::scope::Scope;

const EVERY: Duration = Duration::from_secs(30);
/// A list stays valid for this long while the next read gets no answer.
const GOOD_FOR: Duration = Duration::from_mins(5);
const PAGE: u32 = 500;

/// As much of an object as matters here.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct OwnerSpec {
    name: Option<String>,
    bucket: Option<String>,
}

type Owner = Object<OwnerSpec, NotUsed>;

/// A kind of object that owns streams.
struct OwnerKind {
    name: &'static str,
    plural: &'static str,
    /// What the servers put before a bucket's name to name its stream.
    prefix: &'static str,
}

const KINDS: [OwnerKind; 3] = [
    OwnerKind {
        name: "Stream",
        plural: "streams",
        prefix: "",
    },
    OwnerKind {
        name: "KeyValue",
        plural: "keyvalues",
        prefix: "KV_",
    },
    OwnerKind {
        name: "ObjectStore",
        plural: "objectstores",
        prefix: "OBJ_",
    },
];

/// Reads the objects again and again; `changed` is called after each change.
pub async fn follow(
    client: Client,
    scopes: Vec<Scope>,
    managed: watch::Sender<Arc<Managed>>,
    changed: impl Fn(),
) {
    let mut read_at: Option<Instant> = None;
    loop {
        let now = match read(&client, &scopes).await {
            Ok(owners) => {
                read_at = Some(Instant::now());
                Managed::Streams(owners)
            }
            Err(error) => {
                warn!(category = error.category(), error = %chain(&error), "NACK's objects could not be read");
                let good = read_at.is_some_and(|at| at.elapsed() < GOOD_FOR);
                if good && !error.is_definite() {
                    tokio::time::sleep(EVERY).await;
                    continue;
                }
                Managed::Unknown(why(&error))
            }
        };
        let differs = managed.send_if_modified(|before| {
            let differs = **before != now;
            if differs {
                *before = Arc::new(now);
            }
            differs
        });
        if differs {
            changed();
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Reads the objects of all namespaces once.
pub async fn read_once(client: &Client) -> Managed {
    match read(client, &[Scope::All]).await {
        Ok(owners) => Managed::Streams(owners),
        Err(error) => Managed::Unknown(why(&error)),
    }
}

fn why(error: &ClusterError) -> String {
    match error {
        ClusterError::Forbidden { .. } => {
            format!("{error}: grant list on streams, keyvalues and objectstores of jetstream.nats.io to it")
        }
        ClusterError::Missing { .. }
        | ClusterError::Foreign { .. }
        | ClusterError::Unanswered { .. }
        | ClusterError::Failed { .. } => error.to_string(),
    }
}

async fn read(client: &Client, scopes: &[Scope]) -> Result<BTreeMap<StreamName, String>, ClusterError> {
    let mut owners = BTreeMap::new();
    for kind in &KINDS {
        match read_scope(client, &Scope::All, kind, &mut owners).await {
            // NACK is not installed, or is too old for this kind.
            Ok(()) | Err(ClusterError::Missing { .. }) => {}
            Err(ClusterError::Forbidden { .. }) if !scopes.contains(&Scope::All) => {
                read_namespaces(client, scopes, kind, &mut owners).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(owners)
}

async fn read_namespaces(
    client: &Client,
    scopes: &[Scope],
    kind: &OwnerKind,
    owners: &mut BTreeMap<StreamName, String>,
) -> Result<(), ClusterError> {
    for scope in scopes {
        match read_scope(client, scope, kind, owners).await {
            Ok(()) | Err(ClusterError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn read_scope(
    client: &Client,
    scope: &Scope,
    kind: &OwnerKind,
    owners: &mut BTreeMap<StreamName, String>,
) -> Result<(), ClusterError> {
    let group = GroupVersionKind::gvk("jetstream.nats.io", "v1beta2", kind.name);
    let resource = ApiResource::from_gvk_with_plural(&group, kind.plural);
    let api: Api<Owner> = match scope {
        Scope::All => Api::all_with(client.clone(), &resource),
        Scope::Namespace(name) => Api::namespaced_with(client.clone(), name, &resource),
    };
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let what = format!("the {} objects of NACK", kind.name);
        let list = limited("list", what, api.list(&page)).await?;
        for object in &list.items {
            let (stream, owner) = owned(kind, object);
            owners.entry(stream).or_insert(owner);
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
}

/// The stream that an object owns, and the object's name for people.
fn owned(kind: &OwnerKind, object: &Owner) -> (StreamName, String) {
    let OwnerKind {
        name,
        plural: _,
        prefix,
    } = kind;
    let OwnerSpec { name: stream, bucket } = &object.spec;
    let named = if prefix.is_empty() { stream } else { bucket };
    let stream = named.clone().unwrap_or_else(|| object.name_any());
    let owner = format!(
        "{name} {}/{}",
        object.namespace().unwrap_or_default(),
        object.name_any()
    );
    (StreamName::from(format!("{prefix}{stream}")), owner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owner_of(kind: usize, spec: &serde_json::Value) -> (String, String) {
        let object = json!({
            "apiVersion": "jetstream.nats.io/v1beta2",
            "kind": KINDS[kind].name,
            "metadata": {"name": "orders", "namespace": "nats"},
            "spec": spec,
        });
        let (stream, owner) = owned(&KINDS[kind], &serde_json::from_value(object).unwrap());
        (stream.to_string(), owner)
    }

    #[test]
    fn each_kind_of_nack_owns_the_stream_that_the_servers_know_by_its_name() {
        let owned = |stream: &str, owner: &str| (stream.to_owned(), owner.to_owned());
        assert_eq!(
            owner_of(0, &json!({"name": "ORDERS"})),
            owned("ORDERS", "Stream nats/orders")
        );
        assert_eq!(owner_of(0, &json!({})), owned("orders", "Stream nats/orders"));
        assert_eq!(
            owner_of(1, &json!({"bucket": "carts"})),
            owned("KV_carts", "KeyValue nats/orders")
        );
        assert_eq!(
            owner_of(2, &json!({"bucket": "bills"})),
            owned("OBJ_bills", "ObjectStore nats/orders")
        );
    }
}
