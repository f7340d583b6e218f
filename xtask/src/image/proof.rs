//! Reads an archive back as a registry and a node would, and runs what is in it.

use std::{collections::BTreeMap, io::Read as _, process::Command};

use anyhow::{Context as _, bail, ensure};
use flate2::read::GzDecoder;
use serde_json::Value;
use tar::{Archive, EntryType};

use crate::digest::Digest;

use super::{
    archive::{self, Image, MANIFEST_TYPE},
    content::{BINARY, CERTIFICATES, File, write},
};

/// In bytes, compressed.
const LARGEST: usize = 20_000_000;

/// The contents of an archive.
#[derive(Debug)]
pub struct Unpacked {
    /// The image's `config`: user, entry point and so on.
    pub config: Value,
    /// The files of the layer.
    pub files: Vec<File>,
}

/// Fails with the faults of an archive that was made of an image.
pub fn prove(bytes: &[u8], image: &Image) -> anyhow::Result<()> {
    if let Some(reason) = why_too_large(bytes.len()) {
        bail!(reason);
    }
    let unpacked = read(bytes).context("the archive does not hold together")?;
    if let Some(reason) = why_unsafe(&unpacked) {
        bail!("the image {reason}");
    }
    ensure!(
        archive::pack(image)? == bytes,
        "packing the same files again gives other bytes; something besides the files went into the archive"
    );
    ensure_runs(&unpacked)
}

/// Above 20 MB a node takes noticeably longer to start its first pod.
pub fn why_too_large(bytes: usize) -> Option<String> {
    (bytes > LARGEST).then(|| {
        format!("the archive has {bytes} bytes, {LARGEST} are allowed; look for a large new dependency in its SBOM")
    })
}

/// Follows every digest from the index to the layer.
pub fn read(bytes: &[u8]) -> anyhow::Result<Unpacked> {
    let entries: BTreeMap<String, Vec<u8>> = unpack(bytes)?
        .into_iter()
        .map(|file| (file.path, file.bytes))
        .collect();
    let index = entries.get("index.json").context("it has no index.json")?;
    let index: Value = serde_json::from_slice(index).context("index.json")?;
    let entry = &index["manifests"][0];
    ensure!(
        entry["mediaType"] == MANIFEST_TYPE,
        "its index names no OCI manifest but {}",
        entry["mediaType"]
    );
    let manifest: Value = serde_json::from_slice(blob(&entries, entry)?).context("the manifest")?;
    let config: Value = serde_json::from_slice(blob(&entries, &manifest["config"])?).context("the config")?;
    let mut layer = Vec::new();
    GzDecoder::new(blob(&entries, &manifest["layers"][0])?).read_to_end(&mut layer)?;
    ensure!(
        config["rootfs"]["diff_ids"][0] == Digest::of(&layer).to_string(),
        "its layer is not the one that the config names"
    );
    Ok(Unpacked {
        config: config["config"].clone(),
        files: unpack(&layer)?,
    })
}

/// The content of a descriptor, if its size and digest match.
fn blob<'a>(entries: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> anyhow::Result<&'a [u8]> {
    let digest = descriptor["digest"]
        .as_str()
        .context("a descriptor has no digest")?;
    let hexadecimal = digest
        .strip_prefix("sha256:")
        .with_context(|| format!("{digest} is no SHA-256"))?;
    let expected = Digest(hexadecimal.to_owned());
    let bytes = entries
        .get(&expected.path())
        .with_context(|| format!("{digest} is missing"))?;
    ensure!(
        descriptor["size"] == bytes.len(),
        "{digest} has {} bytes, not {}",
        bytes.len(),
        descriptor["size"]
    );
    ensure!(Digest::of(bytes) == expected, "{digest} has other bytes");
    Ok(bytes)
}

/// The files of a tar archive.
fn unpack(bytes: &[u8]) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    for entry in Archive::new(bytes).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type() != EntryType::Regular {
            continue;
        }
        let path = entry.path()?.to_str().context("a path is not UTF-8")?.to_owned();
        let mode = entry.header().mode()?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        files.push(File { path, mode, bytes });
    }
    Ok(files)
}

/// Violations of Kubernetes' restricted Pod Security, or obstacles to TLS.
pub fn why_unsafe(unpacked: &Unpacked) -> Option<String> {
    let user = unpacked.config["User"].as_str().unwrap_or_default();
    let number = user.split(':').next().and_then(|user| user.parse::<u32>().ok());
    if number.is_none_or(|number| number == 0) {
        return Some(format!("runs as `{user}`; give it a number that is not root's"));
    }
    if let Some(file) = unpacked.files.iter().find(|file| file.mode & 0o7022 != 0) {
        return Some(format!(
            "lets others change {}, or runs it as its owner: mode {:o}",
            file.path, file.mode
        ));
    }
    let missing = |path: &&str| !unpacked.files.iter().any(|file| file.path == **path);
    [BINARY, CERTIFICATES]
        .iter()
        .find(|path| missing(path))
        .map(|path| format!("has no {path}"))
}

/// Runs the binary in an otherwise empty environment.
fn ensure_runs(unpacked: &Unpacked) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    write(folder.path(), &unpacked.files)?;
    let run = |command: &str| -> anyhow::Result<String> {
        let output = Command::new(folder.path().join(BINARY))
            .arg(command)
            .env_clear()
            .output()?;
        ensure!(
            output.status.success(),
            "it ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8(output.stdout)?)
    };
    let version = run("version").context("`leeward version` does not run")?;
    let expected = concat!("leeward ", env!("CARGO_PKG_VERSION"), "\n");
    ensure!(
        version == expected,
        "`leeward version` prints {version:?}, not {expected:?}"
    );
    let crds = run("crds").context("`leeward crds` does not run")?;
    let kinds = crds.matches("kind: CustomResourceDefinition").count();
    ensure!(kinds > 0, "`leeward crds` prints no CustomResourceDefinition");
    Ok(())
}
