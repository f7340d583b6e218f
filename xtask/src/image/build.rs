//! The static binary: a release build for the musl target of this machine, with no path of this machine in it.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};

use super::paths::Paths;
use crate::cargo::{self, Artifact, PackageId, program, rustc};
use crate::generated::repository;

/// What this machine can build and run.
#[derive(Clone, Copy)]
pub struct Platform {
    /// As Rust names it.
    pub triple: &'static str,
    /// As Go, and so the OCI, names it.
    pub architecture: &'static str,
}

pub struct Built {
    pub executable: PathBuf,
    /// The packages compiled for the target, as opposed to those that only ran during the build.
    pub packages: BTreeSet<PackageId>,
}

impl Platform {
    /// Only this machine's architecture: the binary is run before it is written.
    pub fn of_this_machine() -> anyhow::Result<Self> {
        let (triple, architecture) = match (env::consts::OS, env::consts::ARCH) {
            ("linux", "x86_64") => ("x86_64-unknown-linux-musl", "amd64"),
            ("linux", "aarch64") => ("aarch64-unknown-linux-musl", "arm64"),
            (system, machine) => {
                bail!(
                    "images are built on Linux, on x86_64 or aarch64, and this is {system} on {machine}; use the Dockerfile"
                )
            }
        };
        Ok(Self { triple, architecture })
    }
}

/// Builds `leeward`. In the target folder of the other builds: procedural macros and build scripts are the same for all
/// release builds. Never in one elsewhere, where paths would show in the binary.
pub fn build(platform: &Platform, profile: &str, paths: &Paths) -> anyhow::Result<Built> {
    ensure_target(platform.triple)?;
    let repository = fs::canonicalize(repository())?;
    let mut command = Command::new(program("CARGO", "cargo"));
    command
        .args(["build", "--locked", "--package", "leeward", "--bin", "leeward"])
        .args(["--profile", profile, "--target", platform.triple])
        .arg("--target-dir")
        .arg(repository.join("target"))
        .current_dir(&repository);
    isolate(&mut command, platform.triple, paths);
    let artifacts = cargo::build(&mut command);
    let artifacts = artifacts.with_context(|| format!("the build for {} failed", platform.triple))?;
    built(&artifacts, platform.triple)
}

/// Flags of whoever builds would change the bytes, so they are replaced; a compiler chosen for this target stays.
fn isolate(command: &mut Command, triple: &str, paths: &Paths) {
    // glibc's headers are found before musl's, and fortified functions are in glibc alone.
    let mut c = vec!["-U_FORTIFY_SOURCE".to_owned()];
    c.extend(paths.c_flags());
    let suffix = triple.replace('-', "_");
    let compiler = format!("CC_{suffix}");
    if env::var_os(&compiler).is_none() {
        command.env(compiler, "cc");
    }
    command
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", paths.rust_flags().join("\u{1f}"))
        .env("CARGO_INCREMENTAL", "0")
        .env(format!("CFLAGS_{suffix}"), c.join(" "));
}

fn ensure_target(triple: &str) -> anyhow::Result<()> {
    if Path::new(&rustc(&["--print", "target-libdir", "--target", triple])?).exists() {
        return Ok(());
    }
    let added = Command::new("rustup")
        .args(["target", "add", triple])
        .current_dir(repository())
        .status();
    ensure!(
        added.is_ok_and(|status| status.success()),
        "Rust's standard library for {triple} is missing; install it, with rustup by `rustup target add {triple}`"
    );
    Ok(())
}

fn built(artifacts: &[Artifact], triple: &str) -> anyhow::Result<Built> {
    // The rest ran on this machine during the build.
    let for_target = |artifact: &&Artifact| {
        let mut files = artifact.filenames.iter();
        files.any(|path| path.iter().any(|part| part == triple))
    };
    let artifacts = || artifacts.iter().filter(for_target);
    let executable = artifacts().find_map(|artifact| artifact.executable.clone());
    Ok(Built {
        executable: executable.context("cargo built no executable")?,
        packages: artifacts().map(|artifact| artifact.package_id.clone()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_told_to_keep_the_paths_of_this_machine_out_and_heeds_no_other_flags() {
        let paths = Paths::of_this_machine().unwrap();
        let mut command = Command::new("cargo");
        isolate(&mut command, "x86_64-unknown-linux-musl", &paths);
        let env = |name: &str| {
            let mut env = command.get_envs().filter(|(key, _)| *key == name);
            let (_, value) = env
                .next()
                .unwrap_or_else(|| panic!("cargo is not told of {name}"));
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(env("RUSTFLAGS"), None);
        assert_eq!(env("CARGO_INCREMENTAL").as_deref(), Some("0"));
        let rust = env("CARGO_ENCODED_RUSTFLAGS").unwrap();
        let c = env("CFLAGS_x86_64_unknown_linux_musl").unwrap();
        let repository = fs::canonicalize(repository()).unwrap();
        let checkout = format!("{}=/leeward", repository.display());
        assert!(
            rust.split('\u{1f}')
                .any(|flag| flag == format!("--remap-path-prefix={checkout}")),
            "{rust}"
        );
        assert!(
            c.split(' ')
                .any(|flag| flag == format!("-ffile-prefix-map={checkout}")),
            "{c}"
        );
        for (flags, stand_in) in [
            (&rust, "=/cargo"),
            (&rust, "=/rust"),
            (&rust, "=/rustc/"),
            (&c, "=/cargo"),
        ] {
            assert!(flags.contains(stand_in), "{stand_in}: {flags}");
        }
    }
}
