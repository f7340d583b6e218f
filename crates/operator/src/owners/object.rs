//! Objects of NACK that own a stream, of which only what matters here is read.

use std::fmt;

use kube::ResourceExt as _;
use kube::api::Object;
use kube::core::{ApiResource, GroupVersionKind};
use leeward_core::names::StreamName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::applied_by::applied_by;

/// As much of an object as matters here.
pub type OwnerResource = Object<OwnerSpec, OwnerStatus>;

/// What an object says of its stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<String>,
    /// NACK leaves the stream as it is.
    #[serde(default)]
    prevent_update: bool,
    /// As it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Value>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, Value>,
}

/// How NACK got on with it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OwnerStatus {
    /// `Ready` among them.
    #[serde(default)]
    pub conditions: Vec<OwnerCondition>,
}

/// A condition that NACK reports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OwnerCondition {
    /// Which.
    #[serde(rename = "type", default)]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    #[serde(default)]
    pub status: String,
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// A kind of object that owns streams.
#[derive(Debug, PartialEq, Eq)]
pub struct OwnerKind {
    /// As Kubernetes names it.
    pub name: &'static str,
    plural: &'static str,
    /// What the servers put before a bucket's name to name its stream.
    prefix: &'static str,
}

/// All kinds.
pub static KINDS: [OwnerKind; 3] = [
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

impl OwnerKind {
    /// For calls to the API.
    pub fn resource(&self) -> ApiResource {
        let group = GroupVersionKind::gvk("jetstream.nats.io", "v1beta2", self.name);
        ApiResource::from_gvk_with_plural(&group, self.plural)
    }

    /// The stream that an object owns.
    pub fn stream_of(&self, object: &OwnerResource) -> StreamName {
        let OwnerSpec { name, bucket, .. } = &object.spec;
        let named = if self.prefix.is_empty() { name } else { bucket };
        let stream = named.clone().unwrap_or_else(|| object.name_any());
        StreamName::from(format!("{}{stream}", self.prefix))
    }
}

/// Which object: `Stream nats/orders`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerKey {
    /// Its kind.
    pub kind: &'static OwnerKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl OwnerKey {
    pub(super) fn of(kind: &'static OwnerKind, object: &OwnerResource) -> Self {
        Self {
            kind,
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
        }
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, key) = text.split_once(' ')?;
        let (namespace, name) = key.split_once('/')?;
        Some(Self {
            kind: KINDS.iter().find(|known| known.name == kind)?,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for OwnerKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}/{}", self.kind.name, self.namespace, self.name)
    }
}

/// Why nobody but its own source may change an object.
pub fn not_patched(object: &OwnerResource) -> Option<String> {
    if object.metadata.deletion_timestamp.is_some() {
        return Some("is being deleted".to_owned());
    }
    if object.spec.prevent_update {
        return Some("has preventUpdate, so that NACK would not make the edit".to_owned());
    }
    applied_by(&object.metadata)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: usize, spec: &Value) -> OwnerResource {
        let object = json!({
            "apiVersion": "jetstream.nats.io/v1beta2",
            "kind": KINDS[kind].name,
            "metadata": {"name": "orders", "namespace": "nats"},
            "spec": spec,
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn each_kind_of_nack_owns_the_stream_that_the_servers_know_by_its_name() {
        for (kind, spec, stream, name) in [
            (0, json!({"name": "ORDERS"}), "ORDERS", "Stream nats/orders"),
            (0, json!({}), "orders", "Stream nats/orders"),
            (1, json!({"bucket": "carts"}), "KV_carts", "KeyValue nats/orders"),
            (
                2,
                json!({"bucket": "bills"}),
                "OBJ_bills",
                "ObjectStore nats/orders",
            ),
        ] {
            let object = object(kind, &spec);
            assert_eq!(KINDS[kind].stream_of(&object).as_str(), stream);
            let key = OwnerKey::of(&KINDS[kind], &object);
            assert_eq!(key.to_string(), name);
            assert_eq!(OwnerKey::parse(name), Some(key));
        }
        for text in ["Stream nats", "Pod nats/orders", "Stream"] {
            assert_eq!(OwnerKey::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_object_that_nack_would_not_carry_out_is_not_patched() {
        assert_eq!(not_patched(&object(0, &json!({"name": "A"}))), None);
        let prevented = not_patched(&object(0, &json!({"preventUpdate": true}))).unwrap();
        assert!(prevented.contains("preventUpdate"), "{prevented}");
    }
}
