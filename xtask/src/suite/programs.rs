//! The test programs that cargo builds, from the cheapest level to the costliest.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde::Deserialize;

use crate::cargo;
use crate::cargo::program;
use crate::generated::repository;

/// A test's requirements, and so roughly its cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Build,
    /// Only itself; the generated files and the documents are read, too.
    Unit,
    /// Real NATS servers, and one that lies.
    Contract,
    /// The built binary beside real servers of NATS and Kubernetes.
    EndToEnd,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Unit => "unit",
            Self::Contract => "contract, real NATS servers",
            Self::EndToEnd => "end to end",
        }
    }

    /// How many tests keep two cores busy: those of the contract mostly wait for servers. `None` for as many as there are
    /// cores.
    pub fn threads(self) -> Option<usize> {
        match self {
            Self::Build | Self::Unit => None,
            Self::Contract => Some(8),
            Self::EndToEnd => Some(5),
        }
    }

    fn of(package: &Path, kind: &str) -> Self {
        match (package, kind) {
            (path, "test") if path.ends_with("tests/e2e") => Self::EndToEnd,
            (path, "test") if path.ends_with("crates/nats") || path.ends_with("crates/lab") => Self::Contract,
            (_, _) => Self::Unit,
        }
    }
}

pub struct TestProgram {
    pub level: Level,
    pub path: PathBuf,
    /// The folder of its package, in which it runs.
    pub package: PathBuf,
    source: PathBuf,
}

impl TestProgram {
    /// As `cargo test` shows it.
    pub fn shown(&self) -> String {
        let source = self.source.strip_prefix(&self.package).unwrap_or(&self.source);
        let package = self.package.file_name().unwrap_or_default().display();
        format!("{} ({package}: {})", source.display(), self.path.display())
    }
}

pub fn build() -> anyhow::Result<Vec<TestProgram>> {
    let mut cargo = Command::new(program("CARGO", "cargo"));
    cargo
        .args(["test", "--locked", "--workspace", "--no-run"])
        .current_dir(repository());
    let built = cargo::build(&mut cargo).context("the tests do not build")?;
    Ok(in_order(built))
}

/// Cargo's message about an artifact.
#[derive(Deserialize)]
struct BuiltPrograms {
    manifest_path: PathBuf,
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

fn in_order(built: Vec<BuiltPrograms>) -> Vec<TestProgram> {
    let mut programs: Vec<TestProgram> = built.into_iter().filter_map(test_program).collect();
    programs.sort_by(|one, other| (one.level, &one.source).cmp(&(other.level, &other.source)));
    programs
}

fn test_program(built: BuiltPrograms) -> Option<TestProgram> {
    let path = built.executable.filter(|_| built.profile.test)?;
    let package = built.manifest_path.parent()?.to_path_buf();
    let kind = built.target.kind.first()?;
    Some(TestProgram {
        level: Level::of(&package, kind),
        path,
        package,
        source: built.target.src_path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(package: &str, kind: &str, source: &str, test: bool) -> String {
        serde_json::json!({
            "reason": "compiler-artifact",
            "package_id": package,
            "manifest_path": format!("/code/{package}/Cargo.toml"),
            "target": {"kind": [kind], "name": "any", "src_path": format!("/code/{package}/{source}")},
            "profile": {"test": test},
            "filenames": ["/t/any"],
            "executable": format!("/t/{kind}"),
        })
        .to_string()
    }

    #[test]
    fn test_programs_come_with_the_cheapest_level_first_and_no_other_program_is_run() {
        let messages = [
            built("tests/e2e", "test", "tests/e2e/main.rs", true),
            built("crates/cli", "bin", "src/main.rs", false),
            built("crates/nats", "test", "tests/contract.rs", true),
            built("tests/e2e", "lib", "src/lib.rs", true),
            built("crates/engine", "test", "tests/loop/main.rs", true),
        ];
        let programs = in_order(cargo::artifacts(messages.join("\n").as_bytes()).unwrap());
        let found: Vec<(Level, &str)> = programs
            .iter()
            .map(|program| (program.level, program.package.to_str().unwrap()))
            .collect();
        let expected = [
            (Level::Unit, "/code/crates/engine"),
            (Level::Unit, "/code/tests/e2e"),
            (Level::Contract, "/code/crates/nats"),
            (Level::EndToEnd, "/code/tests/e2e"),
        ];
        assert_eq!(found, expected);
        assert_eq!(programs[3].shown(), "tests/e2e/main.rs (e2e: /t/test)");
    }
}
