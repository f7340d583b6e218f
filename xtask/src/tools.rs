//! `tools/build` as the Makefile uses it: names, programs on the `PATH`, and the output before anything is built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::generated::repository;

/// An empty cache, and a folder that comes first on the `PATH`, with a Go that builds nothing and no program of a version
/// that would be used, whatever this machine has.
struct HomeFolder(TempDir);

impl HomeFolder {
    fn new() -> Self {
        let home = Self(TempDir::new().unwrap());
        fs::create_dir(home.0.path().join("bin")).unwrap();
        script(
            &home.0.path().join("bin/go"),
            "echo nothing is built here; exit 1",
        );
        for (tool, version) in pinned() {
            home.on_path(&tool, &other(&version, 1));
        }
        home
    }

    fn on_path(&self, program: &str, version: &str) -> PathBuf {
        let path = self.0.path().join("bin").join(program);
        install(&path, program, version);
        path
    }

    fn in_cache(&self, program: &str, version: &str) -> PathBuf {
        let folder = self.0.path().join("leeward/tools").join(program).join(version);
        fs::create_dir_all(&folder).unwrap();
        install(&folder.join(program), program, version);
        folder.join(program)
    }

    /// Nothing in the environment shows where a tool is.
    fn run(&self, arguments: &[&str]) -> Output {
        let path = std::env::var("PATH").unwrap();
        let bin = self.0.path().join("bin");
        let mut command = Command::new(repository().join("tools/build"));
        for (name, _) in std::env::vars() {
            if name.starts_with("LEEWARD_") || name == "KUBEBUILDER_ASSETS" {
                command.env_remove(name);
            }
        }
        command
            .env("XDG_CACHE_HOME", self.0.path())
            .env("PATH", format!("{}:{path}", bin.display()))
            .args(arguments);
        command.output().unwrap()
    }
}

/// A program that only prints its version.
fn install(path: &Path, program: &str, version: &str) {
    script(path, &format!("echo '{program} v{version}'"));
}

/// Written by another process: one that a thread starts while this one has a program open for writing would inherit it,
/// and a file that is open for writing cannot be run.
fn script(path: &Path, text: &str) {
    let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$0\" && chmod 755 \"$0\"";
    let status = Command::new("sh")
        .args(["-c", write])
        .arg(path)
        .arg(text)
        .status();
    assert!(status.unwrap().success(), "{}", path.display());
}

/// The output of a program, if it succeeds.
fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", complaint(output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

pub fn pinned() -> Vec<(String, String)> {
    let text = fs::read_to_string(repository().join("tools/versions")).unwrap();
    let pairs = text.lines().map(|line| line.split_once(' ').unwrap());
    pairs
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect()
}

fn version_of(tool: &str) -> String {
    let found = pinned().into_iter().find(|(name, _)| name == tool);
    found.unwrap_or_else(|| panic!("no {tool} in tools/versions")).1
}

/// The version with another number at one position.
fn other(version: &str, place: usize) -> String {
    let mut numbers: Vec<u32> = version.split('.').map(|number| number.parse().unwrap()).collect();
    numbers[place] += 1;
    let words: Vec<String> = numbers.iter().map(u32::to_string).collect();
    words.join(".")
}

#[test]
fn a_program_on_the_path_is_used_if_its_major_and_minor_version_are_the_pinned_ones() {
    for tool in ["nats-server", "etcd", "kube-apiserver", "kubectl"] {
        let pinned = version_of(tool);
        let home = HomeFolder::new();
        let program = home.on_path(tool, &other(&pinned, 2));
        assert_eq!(
            stdout(&home.run(&["--path", tool])),
            program.display().to_string()
        );
        let found = format!("{tool} {pinned}: found on PATH ({})", other(&pinned, 2));
        assert_eq!(stdout(&home.run(&[tool])), found);
        assert_eq!(
            stdout(&home.run(&["--quiet", tool])),
            found,
            "what is not pinned is said"
        );
        for place in [0, 1] {
            home.on_path(tool, &other(&pinned, place));
            let refused = home.run(&["--path", tool]);
            assert!(!refused.status.success());
            assert!(complaint(&refused).contains(&format!("{tool} {pinned} is missing")));
        }
    }
}

#[test]
fn the_environment_is_that_of_the_named_tools_or_fails_as_a_whole() {
    let home = HomeFolder::new();
    let etcd = home.in_cache("etcd", &version_of("etcd"));
    let kubectl = home.in_cache("kubectl", &version_of("kubectl"));
    let lines = format!(
        "export LEEWARD_ETCD={}\nexport LEEWARD_KUBECTL={}",
        etcd.display(),
        kubectl.display()
    );
    assert_eq!(stdout(&home.run(&["--env", "etcd", "kubectl"])), lines);
    for lacking in [&["--env", "etcd", "helm"][..], &["--env"], &["--env", "etc"]] {
        let output = home.run(lacking);
        assert!(!output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "half an environment");
    }
}

#[test]
fn what_is_built_is_said_with_what_is_left_and_what_is_there_costs_nothing() {
    let home = HomeFolder::new();
    home.in_cache("etcd", &version_of("etcd"));
    assert_eq!(stdout(&home.run(&["--cost", "etcd"])), "0");
    assert_eq!(stdout(&home.run(&["--quiet", "etcd"])), "");
    let cost = |tools: &[&str]| -> u32 { stdout(&home.run(&[&["--cost"], tools].concat())).parse().unwrap() };
    let (server, kubectl) = (cost(&["nats-server"]), cost(&["kubectl"]));
    assert_eq!(cost(&["nats-server", "etcd", "kubectl"]), server + kubectl);
    let first = format!(
        "building nats-server {} (1 of 2): about {server} s of CPU time; then kubectl, about {kubectl} s\n",
        version_of("nats-server")
    );
    let stopped = home.run(&["--quiet", "nats-server", "etcd", "kubectl"]);
    assert!(complaint(&stopped).starts_with(&first), "{}", complaint(&stopped));
    assert!(!stopped.status.success());
    assert!(
        complaint(&stopped).contains("nothing is built here"),
        "{}",
        complaint(&stopped)
    );
}

#[test]
fn the_demo_names_tools_that_there_are_and_fewer_than_the_tests() {
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    let list = makefile
        .lines()
        .find_map(|line| line.strip_prefix("DEMO_TOOLS = "));
    let list = list.unwrap().replace("$(if $(KEEP),nats)", "nats");
    let named: Vec<&str> = list.split(' ').collect();
    let pinned = pinned();
    let is_pinned = |tool: &&str| pinned.iter().any(|(name, _)| name == tool);
    assert!(named.iter().all(is_pinned), "{named:?}");
    assert!(named.len() < pinned.len());
}
