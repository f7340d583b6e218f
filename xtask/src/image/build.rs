//! The static binary: a release build for the musl target of this machine, with no path of this machine in it.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::cargo::{Artifact, PackageId, artifacts};
use crate::generated::repository;
use anyhow::{Context as _, bail, ensure};

/// What the machine can build and run.
#[derive(Clone, Copy)]
pub struct Platform {
    /// As Rust names it.
    pub triple: &'static str,
    /// As Go, and so the OCI, names it.
    pub architecture: &'static str,
}

/// A finished build.
pub struct Built {
    pub executable: PathBuf,
    /// What was compiled for the target, as opposed to what only ran during the build.
    pub packages: BTreeSet<PackageId>,
}

impl Platform {
    /// Only the own architecture: what was built is run before it is written.
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

/// Builds `leeward` in a target folder of its own, so that no other build waits for it.
pub fn build(platform: &Platform, profile: &str) -> anyhow::Result<Built> {
    ensure_target(platform.triple)?;
    let repository = fs::canonicalize(repository())?;
    let mut command = Command::new(program("CARGO", "cargo"));
    command
        .args(["build", "--locked", "--package", "leeward", "--bin", "leeward"])
        .args(["--profile", profile, "--target", platform.triple])
        .arg("--target-dir")
        .arg(repository.join("target/musl"))
        .arg("--message-format=json-render-diagnostics")
        .current_dir(&repository)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    isolate(&mut command, platform.triple)?;
    let mut child = command.spawn().context("cannot run cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let artifacts = artifacts(std::io::BufReader::new(output));
    // The exit code says more than a broken stream of messages would.
    ensure!(
        child.wait()?.success(),
        "the build for {} failed; what cargo says is above",
        platform.triple
    );
    built(&artifacts?, platform.triple)
}

/// The folders that must not show in the binary, each with a slash at its end; the deeper one last, because rustc obeys the last that fits.
pub fn machine_paths() -> anyhow::Result<Vec<String>> {
    let mut paths: Vec<String> = remapped()?
        .into_iter()
        .map(|(path, _)| format!("{path}/"))
        .collect();
    paths.sort_by_key(String::len);
    Ok(paths)
}

/// Paths of this machine, and what stands for them in panics and in C's `__FILE__`.
fn remapped() -> anyhow::Result<Vec<(String, &'static str)>> {
    let cargo_home = match env::var("CARGO_HOME") {
        Ok(path) => PathBuf::from(path),
        Err(_) => Path::new(&env::var("HOME").context("neither CARGO_HOME nor HOME is set")?).join(".cargo"),
    };
    let sysroot = rustc(&["--print", "sysroot"])?;
    let mut paths = Vec::new();
    for (path, stand_in) in [
        (fs::canonicalize(repository())?, "/leeward"),
        (cargo_home, "/cargo"),
        (PathBuf::from(sysroot), "/rust"),
    ] {
        let path = path
            .to_str()
            .with_context(|| format!("{} is not UTF-8", path.display()))?;
        paths.push((path.to_owned(), stand_in));
    }
    paths.sort_by_key(|(path, _)| path.len());
    Ok(paths)
}

/// Flags of the person who builds would change the bytes, so they are replaced; a compiler that was chosen for this target stays.
fn isolate(command: &mut Command, triple: &str) -> anyhow::Result<()> {
    let remapped = remapped()?;
    let rust: Vec<String> = remapped
        .iter()
        .map(|(path, stand_in)| format!("--remap-path-prefix={path}={stand_in}"))
        .collect();
    // glibc's headers are found before musl's, and fortified functions are in glibc alone.
    let c: Vec<String> = std::iter::once("-U_FORTIFY_SOURCE".to_owned())
        .chain(
            remapped
                .iter()
                .map(|(path, stand_in)| format!("-ffile-prefix-map={path}={stand_in}")),
        )
        .collect();
    let suffix = triple.replace('-', "_");
    let compiler = format!("CC_{suffix}");
    if env::var_os(&compiler).is_none() {
        command.env(compiler, "cc");
    }
    command
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}"))
        .env(format!("CFLAGS_{suffix}"), c.join(" "));
    Ok(())
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

/// What rustc prints.
pub fn rustc(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program("RUSTC", "rustc"))
        .args(arguments)
        .current_dir(repository())
        .output()
        .context("cannot run rustc")?;
    ensure!(
        output.status.success(),
        "rustc {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// What a variable names, or else the usual program.
pub fn program(variable: &str, name: &str) -> OsString {
    env::var_os(variable).unwrap_or_else(|| name.into())
}
