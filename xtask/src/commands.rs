//! Commands of `leeward` in the documents are accepted by its own parser.
//!
//! They are in `code`, or begin a line of a shell block. Placeholders for the reader may stay unset, but not in what is
//! to be typed as shown.

use std::fs;

use clap::{Parser as _, error::ErrorKind};
use leeward::args::Args;

use crate::{
    generated::repository,
    links::{documents, pieces, prose},
};

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

/// The name and arguments of the first program of a line; enough of a shell for documentation.
fn words(line: &str) -> Vec<&str> {
    let end = |word: &&str| !["|", "||", "&&", ">", ">>", "#", ";"].contains(word);
    let words = line.split_whitespace().take_while(end);
    words.map(|word| word.trim_matches(['"', '\''])).collect()
}

fn commands(text: &str) -> Vec<String> {
    let inline = prose(text).flat_map(|line| pieces(line).1).map(str::to_owned);
    let all = lines_that_run_it(text, true).into_iter().chain(inline);
    all.filter_map(|line| command(&line)).collect()
}

/// A command without what follows it in a shell; `kubectl leeward` is the same program. Placeholders such as `[…]` are
/// for readers.
fn command(text: &str) -> Option<String> {
    let text = text.strip_prefix("kubectl ").unwrap_or(text);
    let command = words(text).join(" ");
    let is_whole = command.starts_with("leeward ") && !command.contains(['[', '…', '<', '$']);
    is_whole.then_some(command)
}

/// Why a command is not accepted.
fn why_refused(command: &str) -> Option<String> {
    let error = Args::try_parse_from(command.split_whitespace()).err()?;
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::MissingRequiredArgument
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => None,
        _ => Some(error.to_string()),
    }
}

#[test]
fn every_command_in_the_documents_is_one() {
    let mut count = 0;
    let mut wrong = Vec::new();
    for document in documents().unwrap() {
        let text = fs::read_to_string(repository().join(&document)).unwrap();
        for command in commands(&text) {
            count += 1;
            let why = why_refused(&command);
            wrong.extend(why.map(|why| format!("{}: {command}: {why}", document.display())));
        }
    }
    assert!(count >= 30, "{count} commands");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_are_found_where_they_are_shown() {
    let text = "Run `leeward plan -f a.yaml`, not `leeward`.\n```sh\nkubectl leeward watch -A   # look\nmake test\n```\n";
    assert_eq!(commands(text), ["leeward watch -A", "leeward plan -f a.yaml"]);
    assert!(why_refused("leeward plan --nothing").is_some());
    assert!(why_refused("leeward nothing").is_some());
    assert!(why_refused("leeward explain").is_none());
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
            let parsed = Args::try_parse_from(words(&line));
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
