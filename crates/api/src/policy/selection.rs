//! Which clients count, and which streams and consumers a policy is for.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

/// Which client connections count. The operator's own never do.
///
/// A connection counts if its kind is listed, its user and its name match a glob of `users` and `names` (where given),
/// and neither matches `excludeUsers` or `excludeNames`. In a glob `*` stands for any characters and `?` for one.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default = "Clients::default")]
pub struct Clients {
    /// Kinds of connections that count: `Client`, and `Leafnode` for leaf node connections.
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub kinds: Vec<ClientKind>,

    /// Globs on user names; if given, only matching users count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub users: Vec<String>,

    /// Globs on user names that never count, such as those of monitoring and CI.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub exclude_users: Vec<String>,

    /// Globs on connection names; if given, only matching connections count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub names: Vec<String>,

    /// Globs on connection names that never count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub exclude_names: Vec<String>,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            kinds: vec![ClientKind::Client],
            users: Vec::new(),
            exclude_users: Vec::new(),
            names: Vec::new(),
            exclude_names: Vec::new(),
        }
    }
}

/// A kind of connection.
#[derive(
    Serialize, Deserialize, JsonSchema, Display, AsRefStr, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord,
)]
pub enum ClientKind {
    /// A client's connection.
    Client,
    /// A leaf node's connection.
    Leafnode,
}

/// Which streams a policy is for. Key-value buckets are the streams `KV_*`, object stores `OBJ_*`.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", default = "StreamSelection::default")]
pub struct StreamSelection {
    /// Globs on stream names; if given, only matching streams are selected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub include: Vec<String>,

    /// Globs on names of streams that are not selected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub exclude: Vec<String>,

    /// Metadata that a stream must have, with these values, to be selected.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub metadata: BTreeMap<String, String>,
}

impl StreamSelection {
    /// Whether nothing narrows the selection.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// Which consumers of the selected streams a policy is for. Ephemeral consumers never are.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", default = "ConsumerSelection::default")]
pub struct ConsumerSelection {
    /// Globs on consumer names; if given, only matching consumers are selected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub include: Vec<String>,

    /// Globs on names of consumers that are not selected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub exclude: Vec<String>,
}

impl ConsumerSelection {
    /// Whether nothing narrows the selection.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}
