//! The archive: an OCI image layout of one image with one layer, in a tar file.
//!
//! It also has Docker's `manifest.json`: `docker load` without the containerd image store reads nothing else.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::digest::Digest;

use super::{
    content::{BINARY, CERTIFICATES, File, USER},
    reference::Reference,
    tarball::{gzip, tar},
};

pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The parts of an archive.
pub struct Image {
    pub reference: Reference,
    pub labels: BTreeMap<String, String>,
    /// As Go names it: `amd64`, `arm64`.
    pub architecture: &'static str,
    pub time: Timestamp,
    pub files: Vec<File>,
}

/// The archive's bytes, a function of the image.
pub fn pack(image: &Image) -> anyhow::Result<Vec<u8>> {
    let layer = tar(&image.files, image.time)?;
    let compressed = gzip(&layer)?;
    let config = serde_json::to_vec(&config(image, &Digest::of(&layer)))?;
    let manifest = serde_json::to_vec(&manifest(image, &config, &compressed))?;
    let index = serde_json::to_vec(&index(image, &manifest))?;
    let docker = serde_json::to_vec(&docker_manifest(image, &config, &compressed))?;
    let blobs = [compressed, config, manifest].map(|blob| File::readable(&Digest::of(&blob).path(), blob));
    let mut files = vec![
        File::readable("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#),
        File::readable("index.json", index),
        File::readable("manifest.json", docker),
    ];
    files.extend(blobs);
    tar(&files, image.time)
}

fn config(image: &Image, layer: &Digest) -> Value {
    let created = image.time.to_string();
    json!({
        "architecture": image.architecture,
        "os": "linux",
        "created": created,
        "config": {
            "User": USER,
            "Entrypoint": [format!("/{BINARY}")],
            "Cmd": ["operator"],
            "Env": ["PATH=/", format!("SSL_CERT_FILE=/{CERTIFICATES}")],
            "WorkingDir": "/",
            "Labels": image.labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.to_string()]},
        "history": [{"created": created, "created_by": "cargo xtask image"}],
    })
}

fn manifest(image: &Image, config: &[u8], layer: &[u8]) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(CONFIG_TYPE, config),
        "layers": [descriptor(LAYER_TYPE, layer)],
        "annotations": image.labels,
    })
}

fn index(image: &Image, manifest: &[u8]) -> Value {
    let mut entry = descriptor(MANIFEST_TYPE, manifest);
    entry["platform"] = json!({"architecture": image.architecture, "os": "linux"});
    entry["annotations"] = json!({
        "org.opencontainers.image.ref.name": image.reference.tag,
        "io.containerd.image.name": image.reference.qualified(),
    });
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    })
}

fn docker_manifest(image: &Image, config: &[u8], layer: &[u8]) -> Value {
    json!([{
        "Config": Digest::of(config).path(),
        "RepoTags": [image.reference.short()],
        "Layers": [Digest::of(layer).path()],
    }])
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len()})
}
