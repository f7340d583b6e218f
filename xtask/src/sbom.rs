//! The SBOM of a built binary, in JSON of `CycloneDX`: the crates that were compiled into it, Rust's standard library,
//! and the CA certificates beside it in the image.
//!
//! Promises: a function of the build and commit; even the serial number is derived. Finds no vulnerabilities.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    cargo::{CRATES_IO, DependencyKind, DependencyNode, Locked, Metadata, Package, PackageId, locked, rustc},
    digest::Digest,
};

const ROOT: &str = "leeward";
/// Not linked, but in the image, and one day outdated like any other crate.
const CERTIFICATES: &str = "webpki-root-certs";

/// The SBOM as text, of the packages that were compiled for the target.
pub fn of_build(
    triple: &str,
    compiled: &BTreeSet<PackageId>,
    executable: &[u8],
    time: Timestamp,
) -> anyhow::Result<String> {
    let checksums = Checksums::read()?;
    let release = rustc(&["--version"])?;
    let bill = SbomInput {
        metadata: &Metadata::read(triple)?,
        compiled,
        checksums: &checksums,
        rust: release
            .split(' ')
            .nth(1)
            .context("rustc does not tell its version")?,
        executable: &Digest::of(executable),
        time,
    };
    Ok(format!("{:#}\n", bill.document()?))
}

/// SHA-256 of the downloads, by name and version.
struct Checksums(BTreeMap<(String, String), String>);

impl Checksums {
    fn read() -> anyhow::Result<Self> {
        let checksum = |locked: Locked| Some(((locked.name, locked.version), locked.checksum?));
        Ok(Self(locked()?.into_iter().filter_map(checksum).collect()))
    }

    fn of(&self, package: &Package) -> anyhow::Result<&str> {
        let key = (package.name.clone(), package.version.clone());
        let checksum = self.0.get(&key);
        checksum
            .map(String::as_str)
            .with_context(|| format!("Cargo.lock has no checksum of {}", reference(package)))
    }
}

/// The inputs of an SBOM.
struct SbomInput<'a> {
    metadata: &'a Metadata,
    /// For the target, not for the build.
    compiled: &'a BTreeSet<PackageId>,
    checksums: &'a Checksums,
    rust: &'a str,
    executable: &'a Digest,
    time: Timestamp,
}

impl SbomInput<'_> {
    fn document(&self) -> anyhow::Result<Value> {
        let root = self.root()?;
        let edges = self.edges(&root.id)?;
        let mut components = vec![self.rust()];
        for id in edges.keys().filter(|id| **id != root.id) {
            components.push(self.component(self.metadata.package(id)?)?);
        }
        let certificates = self.certificates()?;
        if !edges.contains_key(&certificates.id) {
            components.push(self.component(certificates)?);
        }
        components.sort_by_key(|component| component["bom-ref"].to_string());
        let mut document = json!({
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "timestamp": self.time.to_string(),
                "lifecycles": [{"phase": "build"}],
                "component": self.subject(root),
            },
            "components": components,
            "dependencies": self.dependencies(root, &edges)?,
        });
        document["serialNumber"] = serial(&document).into();
        Ok(document)
    }

    fn root(&self) -> anyhow::Result<&Package> {
        let is_root = |package: &&Package| {
            package.name == ROOT && self.metadata.workspace_members.contains(&package.id)
        };
        let package = self.metadata.packages.iter().find(is_root);
        package.context("the workspace has no package leeward")
    }

    fn certificates(&self) -> anyhow::Result<&Package> {
        let package = self
            .metadata
            .packages
            .iter()
            .find(|package| package.name == CERTIFICATES);
        package.with_context(|| format!("no package depends on {CERTIFICATES}"))
    }

    fn subject(&self, root: &Package) -> Value {
        json!({
            "type": "application",
            "bom-ref": reference(root),
            "name": root.name,
            "version": root.version,
            "description": root.description,
            "licenses": licenses(root),
            "hashes": hashes(&self.executable.0),
        })
    }

    /// The standard library; the CPE is what advisories about it name.
    fn rust(&self) -> Value {
        let version = self.rust;
        json!({
            "type": "library",
            "bom-ref": self.rust_reference(),
            "name": "rust-std",
            "version": version,
            "licenses": [{"expression": "MIT OR Apache-2.0"}],
            "cpe": format!("cpe:2.3:a:rust-lang:rust:{version}:*:*:*:*:*:*:*"),
        })
    }

    fn rust_reference(&self) -> String {
        format!("rust-std@{}", self.rust)
    }

    fn component(&self, package: &Package) -> anyhow::Result<Value> {
        let mut component = json!({
            "type": "library",
            "bom-ref": reference(package),
            "name": package.name,
            "version": package.version,
        });
        if package.license.is_some() {
            component["licenses"] = licenses(package);
        }
        let Some(source) = &package.source else {
            // Of this workspace: published nowhere, so it has no address and no hash of its own.
            return Ok(component);
        };
        ensure!(
            source == CRATES_IO,
            "{} comes from {source}; only crates of crates.io can be named in the SBOM",
            reference(package)
        );
        component["purl"] = format!("pkg:cargo/{}", reference(package).replace('+', "%2B")).into();
        component["hashes"] = hashes(self.checksums.of(package)?);
        Ok(component)
    }

    /// Every package of the binary, and its dependencies.
    fn edges(&self, root: &PackageId) -> anyhow::Result<BTreeMap<PackageId, BTreeSet<PackageId>>> {
        let nodes = self.metadata.resolve.nodes.iter();
        let nodes: BTreeMap<&PackageId, &DependencyNode> = nodes.map(|node| (&node.id, node)).collect();
        let mut edges = BTreeMap::new();
        let mut waiting = vec![root.clone()];
        while let Some(id) = waiting.pop() {
            if edges.contains_key(&id) {
                continue;
            }
            let Some(node) = nodes.get(&id) else {
                bail!("cargo resolved no {id}");
            };
            let needs = self.needs(node);
            waiting.extend(needs.iter().cloned());
            edges.insert(id, needs);
        }
        Ok(edges)
    }

    /// Features that only tests turn on are in the metadata, but were not compiled; procedural macros were, but for the build.
    fn needs(&self, node: &DependencyNode) -> BTreeSet<PackageId> {
        let normal = |kind: &DependencyKind| kind.kind.is_none();
        let needed = node
            .deps
            .iter()
            .filter(|dependency| dependency.dep_kinds.iter().any(normal));
        let ids = needed.map(|dependency| dependency.pkg.clone());
        ids.filter(|id| self.compiled.contains(id)).collect()
    }

    fn dependencies(
        &self,
        root: &Package,
        edges: &BTreeMap<PackageId, BTreeSet<PackageId>>,
    ) -> anyhow::Result<Vec<Value>> {
        let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let named = |id| self.metadata.package(id).map(reference);
        for (id, needed) in edges {
            let needed = needed
                .iter()
                .map(named)
                .collect::<anyhow::Result<BTreeSet<_>>>()?;
            needs.entry(named(id)?).or_default().extend(needed);
        }
        for beside in [self.rust_reference(), reference(self.certificates()?)] {
            needs.entry(beside.clone()).or_default();
            needs.entry(reference(root)).or_default().insert(beside);
        }
        Ok(needs
            .into_iter()
            .map(|(reference, needed)| json!({"ref": reference, "dependsOn": needed}))
            .collect())
    }
}

/// Names a component within the SBOM.
fn reference(package: &Package) -> String {
    format!("{}@{}", package.name, package.version)
}

/// Cargo once allowed a slash for "or".
fn licenses(package: &Package) -> Value {
    let expression = package
        .license
        .as_deref()
        .map(|license| license.replace('/', " OR "));
    json!([{"expression": expression}])
}

fn hashes(sha256: &str) -> Value {
    json!([{"alg": "SHA-256", "content": sha256}])
}

/// A UUID of version 8, for which the maker chooses the bits: here those of the document's hash.
fn serial(document: &Value) -> String {
    let Digest(hash) = Digest::of(document.to_string().as_bytes());
    format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        &hash[0..8],
        &hash[8..12],
        &hash[12..15],
        &hash[15..18],
        &hash[18..30]
    )
}

#[cfg(test)]
mod tests;
