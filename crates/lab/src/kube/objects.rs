//! Objects over one lasting connection: waiting for a condition means many reads per second, and with `kubectl` each
//! would take as much CPU as all servers together.

use std::path::Path;

use anyhow::Context;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config, Resource as _};
use serde_json::{Value, json};

/// The kinds that tests wait for, as the API names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    NatsSystem,
    PlacementPolicy,
    PlacementPlan,
    Lease,
    Event,
    /// NACK's.
    NackStream,
}

/// The owner of the applied fields.
const FIELD_MANAGER: &str = "leeward-lab";
/// Longer than any test, and short enough to be granted.
const TOKEN_SECONDS: u32 = 24 * 60 * 60;

/// Reads and writes as the administrator. Its connection belongs to the runtime that it was made on.
#[derive(Clone)]
pub struct ObjectClient {
    client: Client,
}

impl ObjectClient {
    pub(super) async fn new(kubeconfig: &Path) -> anyhow::Result<Self> {
        let file = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        Ok(Self { client })
    }

    /// The whole stored object.
    pub async fn get(&self, namespace: &str, kind: Kind, name: &str) -> anyhow::Result<Value> {
        let object = self
            .api(namespace, kind)
            .get(name)
            .await
            .with_context(|| format!("cannot read {kind:?} {namespace}/{name}"))?;
        Ok(serde_json::to_value(&object)?)
    }

    pub async fn list(&self, namespace: &str, kind: Kind) -> anyhow::Result<Vec<Value>> {
        let list = self
            .api(namespace, kind)
            .list(&ListParams::default())
            .await
            .with_context(|| format!("cannot list {kind:?} of {namespace}"))?;
        let objects = list.items.iter().map(serde_json::to_value);
        Ok(objects.collect::<Result<_, _>>()?)
    }

    pub async fn create(&self, namespace: &str, kind: Kind, object: Value) -> anyhow::Result<()> {
        let object: DynamicObject = serde_json::from_value(object)?;
        self.api(namespace, kind)
            .create(&PostParams::default(), &object)
            .await
            .with_context(|| format!("cannot make {kind:?} in {namespace}"))?;
        Ok(())
    }

    /// Applies an object of any kind on the server side, taking over every field that it names; fields that its kind does
    /// not have are refused, as `kubectl` refuses them.
    pub async fn apply(&self, object: Value) -> anyhow::Result<()> {
        let object: DynamicObject = serde_json::from_value(object)?;
        let types = object.types.as_ref().context("an object has no kind")?;
        let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(types)?);
        let name = object.metadata.name.as_deref().context("an object has no name")?;
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let parameters = PatchParams::apply(FIELD_MANAGER).force().validation_strict();
        api.patch(name, &parameters, &Patch::Apply(&object))
            .await
            .with_context(|| format!("cannot apply {} {name}", types.kind))?;
        Ok(())
    }

    /// Merges fields into an object.
    pub async fn patch(&self, namespace: &str, kind: Kind, name: &str, fields: &Value) -> anyhow::Result<()> {
        let patched = self.api(namespace, kind);
        let patched = patched
            .patch(name, &PatchParams::default(), &Patch::Merge(fields))
            .await;
        patched
            .map(drop)
            .with_context(|| format!("cannot patch {kind:?} {namespace}/{name}"))
    }

    /// The same of its status.
    pub async fn patch_status(
        &self,
        namespace: &str,
        kind: Kind,
        name: &str,
        fields: &Value,
    ) -> anyhow::Result<()> {
        let api = self.api(namespace, kind);
        let patched = api
            .patch_status(name, &PatchParams::default(), &Patch::Merge(fields))
            .await;
        patched
            .map(drop)
            .with_context(|| format!("cannot patch the status of {kind:?} {namespace}/{name}"))
    }

    /// What would be stored for a new object in the namespace `default`, with defaults; nothing is created. Fields that
    /// its kind does not have are refused.
    pub async fn would_create(&self, kind: Kind, object: &Value) -> anyhow::Result<Value> {
        let path = DynamicObject::url_path(&kind.resource(), Some("default"));
        let request = http::Request::post(format!("{path}?dryRun=All&fieldValidation=Strict"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(object.to_string().into_bytes())?;
        Ok(self.client.request(request).await?)
    }

    /// A token for a service account.
    pub(super) async fn token(&self, namespace: &str, name: &str) -> anyhow::Result<String> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let body = json!({"spec": {"expirationSeconds": TOKEN_SECONDS}}).to_string();
        let request = http::Request::post(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body.into_bytes())?;
        let answer: Value = self.client.request(request).await?;
        let token = answer["status"]["token"].as_str().context("no token was given")?;
        Ok(token.to_owned())
    }

    /// Whether the API server can be used.
    pub(super) async fn ready(&self) -> anyhow::Result<()> {
        let request = http::Request::get("/readyz").body(Vec::new())?;
        self.client.request_text(request).await.map(drop)?;
        Ok(())
    }

    pub async fn delete(&self, namespace: &str, kind: Kind, name: &str) -> anyhow::Result<()> {
        self.api(namespace, kind)
            .delete(name, &DeleteParams::default())
            .await
            .with_context(|| format!("cannot delete {kind:?} {namespace}/{name}"))?;
        Ok(())
    }

    fn api(&self, namespace: &str, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &kind.resource())
    }
}

impl std::fmt::Debug for ObjectClient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Objects").finish_non_exhaustive()
    }
}

impl Kind {
    fn resource(self) -> ApiResource {
        let (group, version, kind) = match self {
            Self::NatsSystem => ("leeward.dev", "v1alpha1", "NatsSystem"),
            Self::PlacementPolicy => ("leeward.dev", "v1alpha1", "PlacementPolicy"),
            Self::PlacementPlan => ("leeward.dev", "v1alpha1", "PlacementPlan"),
            Self::Lease => ("coordination.k8s.io", "v1", "Lease"),
            Self::Event => ("events.k8s.io", "v1", "Event"),
            Self::NackStream => ("jetstream.nats.io", "v1beta2", "Stream"),
        };
        ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
    }
}
