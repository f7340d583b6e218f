use std::{collections::BTreeSet, fs};

use super::*;
use crate::{docs::anchor, generated::repository};

fn root() -> Command {
    let mut root = Args::command();
    root.build();
    root
}

/// The part below the heading of a command.
fn part<'a>(text: &'a str, heading: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("\n{heading}\n")).expect(heading);
    rest.split("\n## ").next().unwrap_or_default()
}

fn shown(command: &Command) -> impl Iterator<Item = &Arg> {
    let arguments = command.get_arguments();
    arguments.filter(|argument| !argument.is_hide_set() && argument.get_id() != "help")
}

#[test]
fn the_committed_reference_is_what_the_arguments_generate() {
    crate::generated::check(&generate().unwrap(), "docs").unwrap();
}

#[test]
fn every_command_option_and_value_is_explained() {
    let root = root();
    for command in commands(&root) {
        let name = command.get_name();
        assert!(command.get_about().is_some(), "{name}");
        for argument in shown(command) {
            let id = argument.get_id();
            assert!(argument.get_help().is_some(), "{name} {id}");
            // The names of shells need no words.
            let values = argument.get_possible_values();
            for value in values.iter().filter(|_| id != "shell") {
                assert!(value.get_help().is_some(), "{name} {id} {}", value.get_name());
            }
        }
    }
}

#[test]
fn every_option_is_found_from_its_command_with_all_that_sets_it() {
    let (root, text) = (root(), reference(&root()).unwrap());
    let common = part(&text, "## Options in common");
    for command in commands(&root) {
        let name = command.get_name();
        let own = part(&text, &format!("## leeward {name}"));
        for argument in shown(command) {
            let item = item(argument);
            let linked = argument.get_help_heading().is_some_and(|heading| {
                own.contains(&format!("[{heading}](#"))
                    && part(&text, &format!("### {heading} options")).contains(&item)
            });
            assert!(
                own.contains(&item) || (linked && common.contains(&item)),
                "{name}: {item}"
            );
            for source in argument
                .get_env()
                .into_iter()
                .chain(argument.get_long().map(AsRef::as_ref))
            {
                assert!(item.contains(&*source.to_string_lossy()), "{item}");
            }
        }
    }
}

#[test]
fn the_options_under_a_heading_are_the_same_for_every_command() {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let root = root();
    for command in commands(&root) {
        for (heading, options) in sections(command) {
            if [ARGUMENTS, OPTIONS].contains(&heading.as_str()) {
                continue;
            }
            let before = known.entry(heading.clone()).or_insert_with(|| options.clone());
            assert_eq!(
                *before,
                options,
                "{heading} of {}: in the arguments, own options go before those in common",
                command.get_name()
            );
        }
    }
    assert!(
        known.contains_key("Connection") && known.contains_key("Policy"),
        "{known:?}"
    );
}

#[test]
fn every_link_leads_to_exactly_one_heading() {
    let text = reference(&root()).unwrap();
    let mut anchors = BTreeSet::new();
    for heading in text
        .lines()
        .filter(|line| line.starts_with('#') && line.contains("# "))
    {
        let heading = heading.trim_start_matches('#').trim();
        assert!(anchors.insert(anchor(heading)), "two headings {heading:?}");
    }
    for link in text
        .split("](#")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
    {
        assert!(anchors.contains(link), "no heading for #{link}");
    }
}

#[test]
fn nothing_in_it_depends_on_when_and_where_it_was_generated() {
    let text = reference(&root()).unwrap();
    let folder = repository().canonicalize().unwrap();
    assert!(!text.contains(&*folder.to_string_lossy()) && !text.contains(env!("CARGO_PKG_VERSION")));
}

/// The lines in shell blocks, or anywhere in a pipeline, that run `leeward`.
fn lines_that_run_it(text: &str, is_markdown: bool) -> Vec<String> {
    let mut in_shell = !is_markdown;
    let mut found = Vec::new();
    for line in text.replace("\\\n", " ").lines() {
        let line = line.trim();
        if is_markdown && line.starts_with("```") {
            in_shell = ["```sh", "```console"].contains(&line);
            continue;
        }
        let line = ["$ ", "- ", "run: ", "kubectl "]
            .iter()
            .fold(line, |line, prefix| line.strip_prefix(prefix).unwrap_or(line));
        if in_shell && line.starts_with("leeward ") {
            found.push(line.to_owned());
        }
    }
    found
}

/// The words of the first program of a line; enough of a shell for documentation.
fn words(line: &str) -> Vec<&str> {
    let end = |word: &&str| !["|", "||", "&&", ">", ">>", "#", ";"].contains(word);
    let words = line.split_whitespace().take_while(end);
    words.map(|word| word.trim_matches(['"', '\''])).collect()
}

#[test]
fn every_command_that_documentation_shows_is_understood() {
    let files = [
        ("README.md", true),
        ("docs/cli.md", true),
        ("examples/ci/github-actions.yaml", false),
        ("examples/ci/gitlab-ci.yaml", false),
    ];
    for (file, is_markdown) in files {
        let text = fs::read_to_string(repository().join(file)).expect(file);
        let lines = lines_that_run_it(&text, is_markdown);
        assert!(lines.len() >= 3, "{file}: {lines:?}");
        for line in lines {
            let parsed = root().try_get_matches_from(words(&line));
            assert!(parsed.is_ok(), "{file}: {line}: {}", parsed.unwrap_err());
        }
    }
}

#[test]
fn lines_are_read_as_a_shell_would() {
    let text = "`leeward no`\n```console\n$ leeward report \\\n  -o json | jq .\nNAME\n```\nleeward no\n```sh\nkubectl leeward watch -A\n```\n";
    let lines = lines_that_run_it(text, true);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(words(&lines[0]), ["leeward", "report", "-o", "json"]);
    assert_eq!(words(&lines[1]), ["leeward", "watch", "-A"]);
}
