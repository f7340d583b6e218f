//! Cargo's JSON about the workspace and about a build. Only what is needed is read.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::generated::repository;

/// The program that a variable names, or else the usual one.
pub fn program(variable: &str, name: &str) -> OsString {
    env::var_os(variable).unwrap_or_else(|| name.into())
}

pub fn rustc(arguments: &[&str]) -> anyhow::Result<String> {
    let printed = printed(&program("RUSTC", "rustc"), arguments)?;
    Ok(printed.trim().to_owned())
}

/// The output of a program run in the repository, if it succeeds.
pub fn printed(program: &OsStr, arguments: &[&str]) -> anyhow::Result<String> {
    let name = Path::new(program).display();
    let output = Command::new(program)
        .args(arguments)
        .current_dir(repository())
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    ensure!(
        output.status.success(),
        "{name} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// The public registry, as cargo names it.
pub const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A package of one version from one source, as cargo names it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub struct PackageId(String);

impl std::fmt::Display for PackageId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// All packages that the workspace may need.
#[derive(Deserialize)]
pub struct Metadata {
    pub packages: Vec<Package>,
    pub workspace_members: Vec<PackageId>,
    pub resolve: Resolve,
}

#[derive(Deserialize)]
pub struct Package {
    pub id: PackageId,
    pub name: String,
    pub version: String,
    pub description: Option<String>,
    pub license: Option<String>,
    /// Where it was downloaded from; `None` for one of this workspace.
    pub source: Option<String>,
}

#[derive(Deserialize)]
pub struct Resolve {
    pub nodes: Vec<DependencyNode>,
}

/// A package and what it depends on.
#[derive(Deserialize)]
pub struct DependencyNode {
    pub id: PackageId,
    pub deps: Vec<Dependency>,
}

#[derive(Deserialize)]
pub struct Dependency {
    pub pkg: PackageId,
    pub dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
pub struct DependencyKind {
    /// `dev` or `build`; `None` for what is linked.
    pub kind: Option<String>,
}

impl Metadata {
    /// The packages for a target, exactly as in Cargo.lock.
    pub fn read(triple: &str) -> anyhow::Result<Self> {
        let arguments = [
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            triple,
        ];
        let metadata = printed(&program("CARGO", "cargo"), &arguments)?;
        serde_json::from_str(&metadata).context("cannot read what cargo says of the dependencies")
    }

    pub fn package(&self, id: &PackageId) -> anyhow::Result<&Package> {
        let package = self.packages.iter().find(|package| package.id == *id);
        package.with_context(|| format!("cargo does not know {id}"))
    }
}

/// A package as Cargo.lock pins it; without source and checksum if it is of this workspace.
#[derive(Deserialize)]
pub struct Locked {
    pub name: String,
    pub version: String,

    #[cfg(test)]
    pub source: Option<String>,
    pub checksum: Option<String>,
}

/// The packages in Cargo.lock, for all platforms.
pub fn locked() -> anyhow::Result<Vec<Locked>> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Locked>,
    }
    let text = fs::read_to_string(repository().join("Cargo.lock")).context("Cargo.lock")?;
    let lock: Lock = toml::from_str(&text).context("Cargo.lock")?;
    Ok(lock.package)
}

#[derive(Debug, Deserialize)]
pub struct Artifact {
    pub package_id: PackageId,
    pub filenames: Vec<PathBuf>,
    pub executable: Option<PathBuf>,
}

/// Runs cargo in the repository and returns its artifacts, with the fields that the caller needs.
pub fn build<A: DeserializeOwned>(cargo: &mut Command) -> anyhow::Result<Vec<A>> {
    let mut child = cargo
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let artifacts = artifacts(BufReader::new(output));
    // The exit code shows more than a broken stream of messages would.
    ensure!(child.wait()?.success(), "what cargo says is above");
    artifacts
}

/// The artifacts of a build, from all messages of cargo.
pub fn artifacts<A: DeserializeOwned>(output: impl BufRead) -> anyhow::Result<Vec<A>> {
    #[derive(Deserialize)]
    struct Message {
        reason: String,
    }
    let mut artifacts = Vec::new();
    for line in output.lines() {
        let line = line.context("cannot read what cargo says")?;
        // Output of a build script or a macro may be between the messages.
        let Ok(message) = serde_json::from_str::<Message>(&line) else {
            continue;
        };
        if message.reason == "compiler-artifact" {
            artifacts.push(serde_json::from_str(&line).with_context(|| format!("cargo says {line}"))?);
        }
    }
    Ok(artifacts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_are_found_between_other_messages_and_one_that_cannot_be_read_is_an_error() {
        let artifact = r#"{"reason":"compiler-artifact","package_id":"a@1","filenames":["/t/a"],"executable":"/t/a","fresh":true}"#;
        let text = format!("printed\n{{\"reason\":\"build-finished\",\"success\":true}}\n{artifact}\n");
        let found = artifacts::<Artifact>(text.as_bytes()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].package_id.to_string(), "a@1");
        assert_eq!(found[0].executable.as_deref(), Some("/t/a".as_ref()));
        let error = artifacts::<Artifact>(&br#"{"reason":"compiler-artifact"}"#[..]).unwrap_err();
        assert!(format!("{error:#}").contains("package_id"), "{error:#}");
    }
}
