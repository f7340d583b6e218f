//! The folders of this machine that the compilers see, and the paths that they write into the binary instead.
//!
//! Promises: no byte depends on the paths of checkout, cargo's home and toolchain, nor on installed Rust sources.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::cargo::rustc;
use crate::generated::repository;

/// Folders and their replacements, the deeper one last: compilers use the last match.
pub struct Paths(Vec<(String, String)>);

impl Paths {
    pub fn of_this_machine() -> anyhow::Result<Self> {
        let cargo_home = match env::var_os("CARGO_HOME") {
            Some(path) => PathBuf::from(path),
            None => {
                Path::new(&env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?).join(".cargo")
            }
        };
        let sysroot = rustc(&["--print", "sysroot"])?;
        Self::of(
            &fs::canonicalize(repository())?,
            &cargo_home,
            Path::new(&sysroot),
            &rustc(&["--version", "--verbose"])?,
        )
    }

    /// `rust` is rustc's own version output.
    fn of(repository: &Path, cargo_home: &Path, sysroot: &Path, rust: &str) -> anyhow::Result<Self> {
        let sources = sysroot.join("lib/rustlib/src/rust");
        let mut paths = Vec::new();
        for (path, stand_in) in [
            (repository, "/leeward"),
            (cargo_home, "/cargo"),
            (sysroot, "/rust"),
            (&sources, &without_sources(rust)?),
        ] {
            // A slash at its end would be missing between the stand-in and the rest.
            let path: PathBuf = path.components().collect();
            let path = path
                .to_str()
                .with_context(|| format!("{} is not UTF-8", path.display()))?;
            paths.push((path.to_owned(), stand_in.to_owned()));
        }
        paths.sort_by_key(|(path, _)| path.len());
        Ok(Self(paths))
    }

    /// Each with a slash at its end.
    pub fn folders(&self) -> Vec<String> {
        self.0.iter().map(|(path, _)| format!("{path}/")).collect()
    }

    /// For the paths in panic messages.
    pub fn rust_flags(&self) -> Vec<String> {
        self.flags("--remap-path-prefix").collect()
    }

    /// For `__FILE__`.
    pub fn c_flags(&self) -> Vec<String> {
        self.flags("-ffile-prefix-map").collect()
    }

    fn flags(&self, option: &str) -> impl Iterator<Item = String> {
        self.0
            .iter()
            .map(move |(path, stand_in)| format!("{option}={path}={stand_in}"))
    }
}

/// The path that rustc gives the standard library's sources when the component rust-src is not installed.
fn without_sources(rust: &str) -> anyhow::Result<String> {
    let field = |name: &str| rust.lines().find_map(|line| line.strip_prefix(name));
    let commit = field("commit-hash: ").filter(|commit| *commit != "unknown");
    let built_from = commit.or_else(|| field("release: "));
    Ok(format!(
        "/rustc/{}",
        built_from.context("rustc tells neither its commit nor its release")?
    ))
}

#[cfg(test)]
mod tests;
