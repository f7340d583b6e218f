//! Commands of `leeward` that the documents show are taken by its own parser.
//!
//! Commands in `code`, and those that begin a line of a shell block. What a reader has to fill in may be missing.

use std::fs;

use clap::{Parser as _, error::ErrorKind};
use leeward::args::Args;

use crate::{
    generated::repository,
    links::{documents, pieces, prose},
};

/// The lines of a document's shell blocks.
fn shell(text: &str) -> Vec<&str> {
    let mut is_shell = false;
    let mut found = Vec::new();
    for line in text.lines() {
        match line.trim() {
            "```sh" | "```console" => is_shell = true,
            "```" => is_shell = false,
            command if is_shell => found.push(command.trim_start_matches("$ ")),
            _ => {}
        }
    }
    found
}

/// The commands of a document.
fn commands(text: &str) -> Vec<String> {
    let inline = prose(text).flat_map(|line| pieces(line).1);
    let all = shell(text).into_iter().chain(inline);
    all.filter_map(command).collect()
}

/// A command without what comes after it in a shell; `kubectl leeward` is the same program. Placeholders such as `[…]` are
/// for readers.
fn command(text: &str) -> Option<String> {
    let text = text.strip_prefix("kubectl ").unwrap_or(text);
    let text = text
        .split(" #")
        .next()?
        .split(" | ")
        .next()?
        .split(" > ")
        .next()?;
    let is_whole = text.starts_with("leeward ") && !text.contains(['[', '…', '<', '$']);
    is_whole.then(|| text.trim().to_owned())
}

/// Why a command is not taken.
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
