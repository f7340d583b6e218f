//! Placements that are written through the object to which a stream belongs: its `spec.placement` is patched, and its
//! controller makes the edit.
//!
//! The object is read right before, and patched in the version that was read: a change in between refuses the patch. Where
//! its controller does not make the edit in time, or the servers refuse it, the object says what it said before. What a
//! placement was before the first patch is kept in an annotation.

mod patch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use leeward_core::action::Successor;
use leeward_core::names::{AssetName, ServerName, StreamName};
use leeward_core::operation::{AssetInfo, ReadResult};
use leeward_core::target::MoveTarget;
use leeward_core::usage::{Sampled, Sampling};
use leeward_engine::permit::Permit;
use leeward_engine::ports::{Act, ActError};
use leeward_nats::AccountClient;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster::{Cluster, ClusterError, FIELD_MANAGER, limited};
use crate::error::chain;
use crate::owners::{OwnerKey, OwnerResource, not_patched};

/// NACK makes an edit within a second, and looks at everything every half minute.
const EDIT_LIMIT: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Acts as an account's user, and on objects that own its streams.
#[derive(Debug)]
pub struct OwnerEdits {
    account: Arc<AccountClient>,
    cluster: Cluster,
    /// The policy's: objects of other namespaces are not patched (P11).
    namespace: String,
    /// What objects said before this process patched them.
    before: Mutex<BTreeMap<String, Value>>,
}

impl OwnerEdits {
    /// For a policy of a namespace.
    pub fn new(account: Arc<AccountClient>, cluster: Cluster, namespace: String) -> Self {
        Self {
            account,
            cluster,
            namespace,
            before: Mutex::default(),
        }
    }

    async fn patch_owner(
        &self,
        permit: &Permit,
        owner: &str,
        stream: &StreamName,
        target: &MoveTarget,
    ) -> Result<(), ActError> {
        let key = self.key(owner)?;
        let object = self.read_owner(&key).await?;
        if let Some(why) = not_patched(&object) {
            return Err(changed(format!("{key} {why}")));
        }
        if key.kind.stream_of(&object) != *stream {
            return Err(changed(format!("{key} names another stream by now")));
        }
        let config = self
            .account
            .stored_config(stream, target.replaces.as_ref())
            .await?;
        if let Some(field) = patch::differing_field(&object.spec.rest, &config) {
            return Err(changed(format!(
                "{key} says another {field} than stream {stream} has: it may be of another account, or its controller has not \
                 carried it out"
            )));
        }
        let (before, placement) = (patch::placement_of(&object), json!(target.placement));
        self.lock_before().insert(owner.to_owned(), before.clone());
        if !permit.holds(Timestamp::now()) {
            return Err(ActError::PermitExpired);
        }
        self.patch(&key, &patch::edit(&object, &placement)).await?;
        tracing::info!(%stream, owner, %before, %placement, "the owner of a stream is patched");
        let Err(error) = self.edited(&key, stream, target).await else {
            return Ok(());
        };
        match self.put_back(owner).await {
            Ok(()) => Err(error),
            Err(left) => Err(ActError::Refused {
                subject: owner.to_owned(),
                code: 0,
                description: format!("{error}; and {key} still says the new placement: {left}"),
                reason: None,
            }),
        }
    }

    /// Waits until the controller has made the edit.
    async fn edited(&self, key: &OwnerKey, stream: &StreamName, target: &MoveTarget) -> Result<(), ActError> {
        let asset = AssetName::stream(stream.clone());
        let begun = Instant::now();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Ok(ReadResult::Seen(reading)) = self.account.read(&asset).await
                && reading.placement.as_ref() == Some(&target.placement)
            {
                return Ok(());
            }
            let refused = |description| ActError::Refused {
                subject: key.to_string(),
                code: 0,
                description,
                reason: None,
            };
            if begun.elapsed() >= EDIT_LIMIT {
                let waited = EDIT_LIMIT.as_secs();
                return Err(refused(format!(
                    "its controller did not make the edit in {waited} s"
                )));
            }
            let object = self.read_owner(key).await.ok();
            if let Some(message) = object.as_ref().and_then(patch::failure) {
                return Err(refused(format!("its controller failed: {message}")));
            }
        }
    }

    /// Writes what an object said before this process patched it.
    async fn put_back(&self, owner: &str) -> Result<(), ActError> {
        let key = self.key(owner)?;
        let Some(before) = self.lock_before().get(owner).cloned() else {
            return Ok(());
        };
        let object = self.read_owner(&key).await?;
        if patch::placement_of(&object) == before {
            return Ok(());
        }
        self.patch(&key, &patch::put_back(&object, &before)).await?;
        tracing::info!(owner, placement = %before, "the owner of a stream says again what it said before");
        Ok(())
    }

    fn key(&self, owner: &str) -> Result<OwnerKey, ActError> {
        OwnerKey::parse(owner)
            .filter(|key| key.namespace == self.namespace)
            .ok_or_else(|| changed(format!("{owner} is no object of namespace {}", self.namespace)))
    }

    fn api(&self, key: &OwnerKey) -> Api<OwnerResource> {
        Api::namespaced_with(self.cluster.client(), &key.namespace, &key.kind.resource())
    }

    async fn read_owner(&self, key: &OwnerKey) -> Result<OwnerResource, ActError> {
        let read = limited("get", key.to_string(), self.api(key).get(&key.name)).await;
        read.map_err(|error| not_done(key, &error))
    }

    async fn patch(&self, key: &OwnerKey, patch: &Value) -> Result<(), ActError> {
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        let (api, patch) = (self.api(key), Patch::Merge(patch));
        let patched = limited("patch", key.to_string(), api.patch(&key.name, &params, &patch)).await;
        patched.map(drop).map_err(|error| not_done(key, &error))
    }

    fn lock_before(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Value>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_done(key: &OwnerKey, error: &ClusterError) -> ActError {
    match error {
        ClusterError::Forbidden { .. } => ActError::Refused {
            subject: key.to_string(),
            code: 403,
            description: format!(
                "{error}: install the chart with rbac.patchOwners, or grant get and patch on {} of jetstream.nats.io",
                key.kind.resource().plural
            ),
            reason: None,
        },
        ClusterError::Missing { .. } => changed(format!("{key} does not exist any more")),
        ClusterError::Unanswered { verb: "patch", .. } => ActError::Unanswered {
            subject: key.to_string(),
        },
        ClusterError::Failed { .. } if error.is_outdated() => changed(format!("{key} was changed meanwhile")),
        ClusterError::Foreign { .. } | ClusterError::Unanswered { .. } | ClusterError::Failed { .. } => {
            ActError::Unread {
                message: chain(error),
            }
        }
    }
}

fn changed(message: String) -> ActError {
    ActError::Changed { message }
}

impl Act for OwnerEdits {
    async fn read(&self, asset: &AssetName) -> Result<ReadResult, ActError> {
        self.account.read(asset).await
    }

    async fn confirm(
        &self,
        asset: &AssetName,
        reading: &AssetInfo,
        since: Instant,
    ) -> Result<Option<ReadResult>, ActError> {
        self.account.confirm(asset, reading, since).await
    }

    async fn elected(&self, asset: &AssetName, since: Instant) -> ServerName {
        self.account.elected(asset, since).await
    }

    async fn sample_use(&self, sampling: &Sampling) -> Result<Sampled, ActError> {
        self.account.sample_use(sampling).await
    }

    async fn step_down(
        &self,
        permit: Permit,
        asset: &AssetName,
        from: &ServerName,
        successor: &Successor,
    ) -> Result<(), ActError> {
        self.account.step_down(permit, asset, from, successor).await
    }

    async fn place(&self, permit: Permit, stream: &StreamName, target: &MoveTarget) -> Result<(), ActError> {
        match &target.owner {
            None => self.account.place(permit, stream, target).await,
            Some(owner) => self.patch_owner(&permit, owner, stream, target).await,
        }
    }

    /// The object first: else its controller would begin the move again.
    async fn cancel_move(
        &self,
        permit: Permit,
        stream: &StreamName,
        target: &MoveTarget,
    ) -> Result<(), ActError> {
        if let Some(owner) = &target.owner {
            if !permit.holds(Timestamp::now()) {
                return Err(ActError::PermitExpired);
            }
            self.put_back(owner).await?;
        }
        self.account.cancel_move(permit, stream, target).await
    }
}
