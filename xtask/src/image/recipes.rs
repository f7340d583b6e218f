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

/// What follows the last instruction of this kind.
fn instruction<'a>(recipe: &'a str, name: &str) -> Option<&'a str> {
    let argument = |line: &'a str| line.strip_prefix(name)?.strip_prefix(' ');
    recipe.lines().filter_map(argument).next_back()
}

#[test]
fn the_dockerfile_gives_the_image_that_is_built_without_it() {
    let text = read("Dockerfile");
    let (_, last) = text
        .rsplit_once("\nFROM scratch\n")
        .expect("the last stage is empty");
    let of = |name: &str| instruction(last, name).unwrap_or_else(|| panic!("no {name}"));
    let list = |name: &str| -> Value { serde_json::from_str(of(name)).unwrap() };
    let config = proof::read(&pack(&image(b"a binary")).unwrap()).unwrap().config;
    assert_eq!(of("USER"), config["User"]);
    assert_eq!(list("ENTRYPOINT"), config["Entrypoint"]);
    assert_eq!(list("CMD"), config["Cmd"]);
    let set: Vec<&str> = of("ENV").split(' ').collect();
    assert_eq!(Value::from(set), config["Env"]);
    assert_eq!(instruction(last, "WORKDIR").unwrap_or("/"), config["WorkingDir"]);
    let ports: Vec<&str> = instruction(last, "EXPOSE")
        .iter()
        .flat_map(|ports| ports.split(' '))
        .collect();
    let exposed = config["ExposedPorts"].as_object().into_iter().flatten();
    assert_eq!(ports, exposed.map(|(port, _)| port.as_str()).collect::<Vec<_>>());
}

#[test]
fn the_dockerfile_builds_with_the_pinned_toolchain_as_it_is_built_without_it() {
    let toolchain: toml::Table = toml::from_str(&read("rust-toolchain.toml")).unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    let text = read("Dockerfile");
    let from = format!("FROM rust:{channel}-slim AS build");
    assert!(text.lines().any(|line| line == from), "{from}");

    let of = |command: &str| match crate::Args::try_parse_from(command.split(' ').skip(1)) {
        Ok(crate::Args {
            task: crate::Task::Image(args),
        }) => args,
        _ => panic!("{command} builds no image"),
    };
    let built = of(instruction(&text, "RUN").unwrap());
    assert_eq!(built.profile, of("cargo xtask image").profile);
    let files = built.files.unwrap();
    let copied = format!("--from=build {}/ /", files.display());
    assert_eq!(instruction(&text, "COPY"), Some(copied.as_str()));
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

/// All that the steps of a workflow run, each command with its arguments.
fn commands(workflow: &str) -> Vec<Vec<String>> {
    let workflow: Value = serde_saphyr::from_str(workflow).unwrap();
    let jobs = workflow["jobs"].as_object().unwrap().values();
    let steps = jobs.flat_map(|job| job["steps"].as_array().unwrap());
    let scripts = steps.filter_map(|step| step["run"].as_str());
    let mut commands = Vec::new();
    for script in scripts {
        let known = KNOWN_LATER
            .iter()
            .fold(script.to_owned(), |text, (later, now)| text.replace(later, now));
        commands.extend(known.split(['\n', ';', '|', '&']).map(words));
    }
    commands
}

/// Without the variables that are set before it.
fn words(command: &str) -> Vec<String> {
    let words = command.split_whitespace();
    let words = words.skip_while(|word| word.contains('='));
    words.map(|word| word.trim_matches('"').to_owned()).collect()
}

/// Whether a command is about this repository; if so and it cannot run, why not.
fn is_of_this_repository(command: &[String], makefile: &str) -> Result<bool, String> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let reason = match words.as_slice() {
        ["make", targets @ ..] => targets.iter().find_map(|target| why_no_target(target, makefile)),
        ["cargo", task @ ..] if task.first() == Some(&"xtask") => {
            let parsed = crate::Args::try_parse_from(task);
            parsed.err().map(|error| error.to_string())
        }
        ["cargo", ..] => Some("workflows build by make and xtask".to_owned()),
        [script, ..] if script.starts_with('.') => {
            let is_there = repository().join(script).is_file();
            (!is_there).then(|| format!("there is no {script}"))
        }
        _ => return Ok(false),
    };
    reason.map_or(Ok(true), Err)
}

fn why_no_target(word: &str, makefile: &str) -> Option<String> {
    let rule = format!("{word}:");
    let is_there = word.contains('=') || makefile.lines().any(|line| line.starts_with(&rule));
    (!is_there).then(|| format!("the Makefile has no target {word}"))
}

#[test]
fn what_the_workflows_run_of_this_repository_is_there() {
    let makefile = read("Makefile");
    let mut seen = Vec::new();
    for entry in fs::read_dir(repository().join(".github/workflows")).unwrap() {
        let path = entry.unwrap().path();
        for command in commands(&fs::read_to_string(&path).unwrap()) {
            match is_of_this_repository(&command, &makefile) {
                Ok(true) => seen.push(command[..command.len().min(3)].join(" ")),
                Ok(false) => {}
                Err(reason) => panic!("{}: {}: {reason}", path.display(), command.join(" ")),
            }
        }
    }
    seen.sort();
    assert_eq!(seen, [".ci/run", "cargo xtask image", "make image"]);
}

#[test]
fn what_a_workflow_could_not_run_is_found() {
    let script = "make a B=1 && C=2 cargo xtask image --flag\n.ci/no; cargo build | make --no\ngrep make";
    let workflow = format!("jobs: {{one: {{steps: [{{uses: a}}, {{run: {script:?}}}]}}}}");
    let found = commands(&workflow);
    let judged: Vec<Result<bool, String>> = found
        .iter()
        .filter(|command| !command.is_empty())
        .map(|command| is_of_this_repository(command, "a:\n\tb\n"))
        .collect();
    assert_eq!(judged.len(), 6, "{found:?}");
    assert_eq!(judged[0], Ok(true));
    assert!(judged[1..5].iter().all(Result::is_err), "{judged:?}");
    assert_eq!(judged[5], Ok(false));
}
