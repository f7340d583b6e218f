//! Streams whose configuration belongs to NACK, NATS's own controller: those with a `Stream` object.
//!
//! Read every half minute, as little of each object as is needed. Where NACK is not installed no stream is owned; where
//! that cannot be told, every stream may be (P6). A list that was read stays good for some minutes while the Kubernetes
//! API does not answer, as everything else that is known from there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::api::{Api, ListParams, Object};
use kube::core::{ApiResource, GroupVersionKind, NotUsed};
use kube::{Client, ResourceExt as _};
use leeward_core::evaluate::Managed;
use leeward_core::names::StreamName;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::warn;

use crate::cluster::{ClusterError, limited};
use crate::error::chain;
use crate::scope::Scope;

const EVERY: Duration = Duration::from_secs(30);
/// A list is good for this long without an answer to the next question.
const GOOD_FOR: Duration = Duration::from_mins(5);
const PAGE: u32 = 500;

/// As much of a `Stream` as matters here.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Spec {
    name: Option<String>,
}

type StreamObject = Object<Spec, NotUsed>;

/// Reads the `Stream` objects again and again; `changed` is called after each change.
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
                warn!(category = error.category(), error = %chain(&error), "NACK's Stream objects could not be read");
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

fn why(error: &ClusterError) -> String {
    match error {
        ClusterError::Forbidden { .. } => format!("{error}: grant list on streams.jetstream.nats.io to it"),
        ClusterError::Missing { .. } | ClusterError::Unanswered { .. } | ClusterError::Failed { .. } => {
            error.to_string()
        }
    }
}

async fn read(client: &Client, scopes: &[Scope]) -> Result<BTreeMap<StreamName, String>, ClusterError> {
    let mut owners = BTreeMap::new();
    for scope in scopes {
        match read_scope(client, scope, &mut owners).await {
            // NACK is not installed.
            Ok(()) | Err(ClusterError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(owners)
}

async fn read_scope(
    client: &Client,
    scope: &Scope,
    owners: &mut BTreeMap<StreamName, String>,
) -> Result<(), ClusterError> {
    let kind = GroupVersionKind::gvk("jetstream.nats.io", "v1beta2", "Stream");
    let resource = ApiResource::from_gvk_with_plural(&kind, "streams");
    let api: Api<StreamObject> = match scope {
        Scope::All => Api::all_with(client.clone(), &resource),
        Scope::Namespace(name) => Api::namespaced_with(client.clone(), name, &resource),
    };
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let what = "the Stream objects of NACK".to_owned();
        let list = limited("list", what, api.list(&page)).await?;
        for object in &list.items {
            let owner = format!(
                "Stream {}/{}",
                object.namespace().unwrap_or_default(),
                object.name_any()
            );
            let stream = object.spec.name.clone().unwrap_or_else(|| object.name_any());
            owners.entry(StreamName::from(stream)).or_insert(owner);
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
}
