//! The workflows, which nothing here runs: what they run exists, what they use is pinned, and what builds cannot write.

use std::fs;

use clap::Parser as _;
use serde_json::{Value, json};

use crate::generated::repository;

/// Replacements in a workflow for what is known only at run time.
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

/// The workflows, by file name.
fn workflows() -> Vec<(String, Value)> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let workflow = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap());
        (path.display().to_string(), workflow.unwrap())
    };
    let entries = fs::read_dir(repository().join(".github/workflows")).unwrap();
    entries.map(read).collect()
}

fn jobs(workflow: &Value) -> impl Iterator<Item = &Value> {
    workflow["jobs"].as_object().unwrap().values()
}

fn steps(job: &Value) -> &[Value] {
    job["steps"].as_array().unwrap()
}

/// All that the steps of a job run, each command with its arguments.
fn commands(job: &Value) -> Vec<Vec<String>> {
    let scripts = steps(job).iter().filter_map(|step| step["run"].as_str());
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
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    let mut seen = Vec::new();
    for (file, workflow) in workflows() {
        for command in jobs(&workflow).flat_map(commands) {
            match is_of_this_repository(&command, &makefile) {
                Ok(true) => seen.push(command[..command.len().min(3)].join(" ")),
                Ok(false) => {}
                Err(reason) => panic!("{file}: {}: {reason}", command.join(" ")),
            }
        }
    }
    seen.sort();
    assert_eq!(seen, [".ci/run", "cargo xtask image", "make deny", "make image"]);
}

#[test]
fn what_a_workflow_could_not_run_is_found() {
    let script = "make a B=1 && C=2 cargo xtask image --flag\n.ci/no; cargo build | make --no\ngrep make";
    let found = commands(&json!({"steps": [{"uses": "a"}, {"run": script}]}));
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

/// Why an action may not be used this way.
fn why_not_pinned(step: &Value) -> Option<String> {
    let action = step["uses"].as_str()?;
    let pinned = action.split_once('@').is_some_and(|(_, revision)| {
        revision.len() == 40
            && revision
                .chars()
                .all(|digit| matches!(digit, '0'..='9' | 'a'..='f'))
    });
    if !pinned {
        return Some(format!("{action} is pinned by no commit"));
    }
    let leaves_its_token =
        action.starts_with("actions/checkout@") && step["with"]["persist-credentials"] != false;
    leaves_its_token.then(|| format!("{action} leaves its token in the checkout"))
}

/// Why a job with this write permission, or these secrets, may not run such a command.
fn why_not_run(command: &[String], writes: bool) -> Option<String> {
    let builds = matches!(
        command.first().map(String::as_str),
        Some("make" | "cargo" | ".ci/run")
    );
    let tells = |word: &String| {
        ["PASSWORD", "TOKEN", "secrets."]
            .iter()
            .any(|secret| word.contains(secret))
    };
    // `echo` is a shell builtin: no process with arguments that others see.
    let shows = command.first().is_some_and(|program| program != "echo") && command.iter().any(tells);
    match (builds && writes, shows) {
        (true, _) => Some("runs build scripts with a right to write".to_owned()),
        (_, true) => Some("shows a secret in the list of processes".to_owned()),
        (false, false) => None,
    }
}

/// The faults of a job, whose permissions are its own or its workflow's.
fn faults(job: &Value, workflow: &Value) -> Vec<String> {
    let rights = job.get("permissions").unwrap_or(&workflow["permissions"]);
    let writes = rights
        .as_object()
        .is_none_or(|rights| rights.values().any(|right| right == "write"));
    let run = commands(job);
    let run = run.iter().filter_map(|command| why_not_run(command, writes));
    steps(job).iter().filter_map(why_not_pinned).chain(run).collect()
}

#[test]
fn actions_are_pinned_by_commit_and_no_job_builds_with_a_right_to_write_or_shows_a_secret() {
    for (file, workflow) in workflows() {
        for job in jobs(&workflow) {
            assert_eq!(faults(job, &workflow), [""; 0], "{file}");
        }
    }
}

/// What another workflow left behind could be in what is attested.
#[test]
fn a_release_takes_nothing_from_a_cache() {
    let (_, release) = workflows()
        .into_iter()
        .find(|(file, _)| file.ends_with("release.yml"))
        .unwrap();
    for step in jobs(&release).flat_map(steps) {
        let action = step["uses"].as_str().unwrap_or_default();
        assert!(!action.contains("cache"), "{action}");
    }
}

#[test]
fn a_job_that_could_leak_is_found() {
    let of = |job: Value| faults(&job, &json!({"permissions": {"contents": "read"}})).join("; ");
    let commit = "actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8";
    let step = |step: Value| json!({"steps": [step]});
    assert_eq!(
        of(step(json!({"uses": "a/b@v1"}))),
        "a/b@v1 is pinned by no commit"
    );
    assert!(of(step(json!({"uses": commit}))).contains("leaves its token"));
    assert_eq!(
        of(step(
            json!({"uses": commit, "with": {"persist-credentials": false}})
        )),
        ""
    );
    let mut building = step(json!({"run": "A=1 make b"}));
    assert_eq!(of(building.clone()), "");
    building["permissions"] = json!({"contents": "write"});
    assert!(of(building.clone()).contains("right to write"));
    building["permissions"] = json!("write-all");
    assert!(of(building).contains("right to write"));
    let login = |run: &str| of(step(json!({"run": run})));
    assert_eq!(login("echo \"$PASSWORD\" | a login --password-stdin"), "");
    assert!(login("a copy --dest-creds \"u:$PASSWORD\"").contains("shows a secret"));
}
