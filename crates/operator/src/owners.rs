//! Streams whose configuration belongs to NACK, NATS's own controller: those with a `Stream`, `KeyValue` or
//! `ObjectStore` object, in any namespace where that may be read, else in those that are watched.
//!
//! Read every half minute, as little of each object as is needed. Where NACK is not installed no stream is owned; where
//! that is not known, every stream may be (P6). A list stays valid for some minutes while the Kubernetes API does not
//! answer, like everything else read from it.

mod applied_by;
mod object;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{Api, ListParams};
use leeward_core::names::StreamName;
use leeward_core::owner::{OwnerObject, StreamOwners};
use tokio::sync::watch;
use tracing::warn;

use crate::cluster::{ClusterError, limited};
use crate::error::chain;
use crate::scope::Scope;

pub use object::{KINDS, OwnerKey, OwnerKind, OwnerResource, not_patched};

const EVERY: Duration = Duration::from_secs(30);
/// A list stays valid for this long while the next read gets no answer.
const GOOD_FOR: Duration = Duration::from_mins(5);
const PAGE: u32 = 500;

/// The objects that own streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerObjects {
    /// By the streams that they name.
    Read(BTreeMap<StreamName, Vec<NamedOwner>>),
    /// Not known, for this reason.
    Unknown(String),
}

/// An object that names a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedOwner {
    key: OwnerKey,
    /// Why no policy may patch it.
    not_patched: Option<String>,
}

impl OwnerObjects {
    /// As policies of a namespace have them: what a policy may patch is in its own namespace (P11).
    pub fn seen_from(&self, namespace: &str) -> StreamOwners {
        let objects = match self {
            Self::Read(objects) => objects,
            Self::Unknown(why) => return StreamOwners::Unknown(why.clone()),
        };
        let owner = |named: &[NamedOwner]| {
            // One of another namespace may be of another account.
            let mut own = named.iter().filter(|owner| owner.key.namespace == namespace);
            let (owner, not_patched) = match (own.next(), own.next()) {
                (Some(owner), None) => (owner, owner.not_patched.clone()),
                (Some(owner), Some(other)) => (
                    owner,
                    Some(format!(
                        "is not the only one of that stream, {} is another",
                        other.key
                    )),
                ),
                (None, _) => (
                    named.first()?,
                    Some("is in another namespace than the policy".to_owned()),
                ),
            };
            Some(OwnerObject {
                name: owner.key.to_string(),
                not_patched,
            })
        };
        let seen = objects
            .iter()
            .filter_map(|(stream, named)| Some((stream.clone(), owner(named)?)));
        StreamOwners::Known(seen.collect())
    }
}

/// Reads the objects again and again; `changed` is called after each change.
pub async fn follow(
    client: Client,
    scopes: Vec<Scope>,
    owners: watch::Sender<Arc<OwnerObjects>>,
    changed: impl Fn(),
) {
    let mut read_at: Option<Instant> = None;
    loop {
        let now = match read(&client, &scopes).await {
            Ok(owners) => {
                read_at = Some(Instant::now());
                OwnerObjects::Read(owners)
            }
            Err(error) => {
                warn!(category = error.category(), error = %chain(&error), "NACK's objects could not be read");
                let good = read_at.is_some_and(|at| at.elapsed() < GOOD_FOR);
                if good && !error.is_definite() {
                    tokio::time::sleep(EVERY).await;
                    continue;
                }
                OwnerObjects::Unknown(why(&error))
            }
        };
        let differs = owners.send_if_modified(|before| {
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
pub async fn read_once(client: &Client) -> OwnerObjects {
    match read(client, &[Scope::All]).await {
        Ok(owners) => OwnerObjects::Read(owners),
        Err(error) => OwnerObjects::Unknown(why(&error)),
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

type Owners = BTreeMap<StreamName, Vec<NamedOwner>>;

async fn read(client: &Client, scopes: &[Scope]) -> Result<Owners, ClusterError> {
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
    kind: &'static OwnerKind,
    owners: &mut Owners,
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
    kind: &'static OwnerKind,
    owners: &mut Owners,
) -> Result<(), ClusterError> {
    let resource = kind.resource();
    let api: Api<OwnerResource> = match scope {
        Scope::All => Api::all_with(client.clone(), &resource),
        Scope::Namespace(name) => Api::namespaced_with(client.clone(), name, &resource),
    };
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let what = format!("the {} objects of NACK", kind.name);
        let list = limited("list", what, api.list(&page)).await?;
        for object in &list.items {
            let named = NamedOwner {
                key: OwnerKey::of(kind, object),
                not_patched: object::not_patched(object),
            };
            owners.entry(kind.stream_of(object)).or_default().push(named);
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(kind: &'static OwnerKind, namespace: &str, not_patched: Option<&str>) -> NamedOwner {
        NamedOwner {
            key: OwnerKey {
                kind,
                namespace: namespace.to_owned(),
                name: "orders".to_owned(),
            },
            not_patched: not_patched.map(str::to_owned),
        }
    }

    #[test]
    fn p11_a_policy_patches_the_only_object_of_a_stream_in_its_own_namespace() {
        let stream =
            |of: Vec<NamedOwner>| OwnerObjects::Read(BTreeMap::from([(StreamName::from("ORDERS"), of)]));
        let not_patched = |objects: &OwnerObjects| match objects.seen_from("shop") {
            StreamOwners::Known(seen) => seen[&StreamName::from("ORDERS")].not_patched.clone(),
            StreamOwners::Unknown(why) => panic!("{why}"),
        };
        let [streams, values, _] = &KINDS;
        assert_eq!(not_patched(&stream(vec![named(streams, "shop", None)])), None);
        let elsewhere = not_patched(&stream(vec![named(streams, "other", None)])).unwrap();
        assert!(elsewhere.contains("another namespace"), "{elsewhere}");
        let applied = not_patched(&stream(vec![named(streams, "shop", Some("is applied by Flux"))]));
        assert_eq!(applied.as_deref(), Some("is applied by Flux"));
        let both = vec![named(streams, "shop", None), named(values, "shop", None)];
        let both = not_patched(&stream(both)).unwrap();
        assert!(both.contains("KeyValue shop/orders"), "{both}");
        let others = vec![named(streams, "other", None), named(streams, "shop", None)];
        assert_eq!(
            not_patched(&stream(others)),
            None,
            "the other one is of another account"
        );
        let unknown = OwnerObjects::Unknown("forbidden".to_owned()).seen_from("shop");
        assert_eq!(unknown, StreamOwners::Unknown("forbidden".to_owned()));
    }
}
