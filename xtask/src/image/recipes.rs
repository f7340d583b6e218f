//! The Dockerfile and the workflows, which nothing here runs, agree with what is tested here.

use std::fs;

use clap::Parser as _;
use serde_json::Value;

use super::archive::pack;
use super::proof;
use super::tests::image;
use crate::generated::repository;

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The last instruction of this kind in the Dockerfile.
fn instruction(name: &str) -> String {
    let text = read("Dockerfile");
    let found = text
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .next_back();
    found.unwrap_or_else(|| panic!("no {name}")).to_owned()
}

#[test]
fn the_dockerfile_builds_with_the_toolchain_and_gives_the_image_that_is_built_without_it() {
    let toolchain: toml::Table = toml::from_str(&read("rust-toolchain.toml")).unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    let from = format!("FROM rust:{channel}-slim AS build");
    assert!(read("Dockerfile").lines().any(|line| line == from), "{from}");

    let config = proof::read(&pack(&image(b"a binary")).unwrap()).unwrap().config;
    assert_eq!(instruction("USER"), config["User"]);
    let list = |name: &str| -> Value { serde_json::from_str(&instruction(name)).unwrap() };
    assert_eq!(list("ENTRYPOINT"), config["Entrypoint"]);
    assert_eq!(list("CMD"), config["Cmd"]);
    let set: Vec<String> = instruction("ENV").split(' ').map(str::to_owned).collect();
    assert_eq!(Value::from(set), config["Env"]);
    let build = instruction("RUN");
    assert!(
        crate::Args::try_parse_from(build.split(' ').skip(1)).is_ok(),
        "{build}"
    );
}

/// What stands in a workflow for what only a run knows.
const KNOWN_LATER: [(&str, &str); 6] = [
    ("${{ matrix.architecture }}", "amd64"),
    ("${GITHUB_REF_NAME#v}", "1.2.3"),
    (
        "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY",
        "https://example.com/leeward",
    ),
    ("$GITHUB_SHA", "0123456789abcdef0123456789abcdef01234567"),
    ("$REGISTRY", "example.com/team"),
    ("\\\n", " "),
];

/// All that the steps of a workflow run, a line each.
fn lines(workflow: &str) -> Vec<String> {
    let workflow: Value = serde_saphyr::from_str(workflow).unwrap();
    let jobs = workflow["jobs"].as_object().unwrap().values();
    let steps = jobs.flat_map(|job| job["steps"].as_array().unwrap());
    let scripts = steps.filter_map(|step| step["run"].as_str());
    let known = |script: &str| {
        KNOWN_LATER
            .iter()
            .fold(script.to_owned(), |text, (later, now)| text.replace(later, now))
    };
    scripts
        .flat_map(|script| known(script).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[test]
fn what_the_workflows_run_of_this_repository_is_there() {
    let makefile = read("Makefile");
    let mut seen = 0;
    for path in [".github/workflows/ci.yml", ".github/workflows/release.yml"] {
        for line in lines(&read(path)) {
            let words: Vec<&str> = line
                .split_whitespace()
                .map(|word| word.trim_matches('"'))
                .collect();
            match words.as_slice() {
                ["make", target] => {
                    let rule = format!("{target}:");
                    assert!(
                        makefile.lines().any(|line| line.starts_with(&rule)),
                        "{path}: {line}"
                    );
                }
                ["cargo", rest @ ..] => {
                    let parsed = crate::Args::try_parse_from(rest);
                    assert!(parsed.is_ok(), "{path}: {line}: {:?}", parsed.err());
                }
                [".ci/run"] => assert!(repository().join(".ci/run").is_file()),
                _ => continue,
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 3, "a test, an image, a release");
}
