//! How a command ends: its exit code, and its errors as the user reads them.

use std::error::Error;
use std::io::Write as _;

use itertools::Itertools as _;

use crate::output;

/// What a command that looks at something found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LookOutcome {
    /// Everything is in place.
    InPlace,
    /// Something is not.
    Findings,
    /// Not everything could be seen, so nothing is certain.
    Incomplete,
    /// Something could not be read, and the result says what.
    Failed,
}

impl LookOutcome {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::InPlace => 0,
            Self::Findings => 2,
            Self::Incomplete => 3,
            Self::Failed => 1,
        }
    }
}

/// What was asked for was not seen, but the look has gaps: it may exist.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct NotSeen {
    /// What was not seen, and why.
    pub message: String,
}

/// Errors may quote untrusted text of any length; their lines stay.
fn sanitized(words: &str) -> String {
    let line = |line| {
        output::shortened(line)
            .chars()
            .map(output::sanitized)
            .collect::<String>()
    };
    words.lines().map(line).join("\n")
}

/// Prints a message to standard error, apart from the result.
pub fn print_error(message: &str) {
    // There is nowhere to report a failure.
    let _ = writeln!(std::io::stderr(), "leeward: {}", sanitized(message));
}

/// An error with its causes, each once.
pub fn words<'a>(causes: impl IntoIterator<Item = &'a (dyn Error + 'static)>) -> String {
    causes.into_iter().fold(String::new(), |text, cause| {
        let words = without_source(&cause.to_string());
        if text.is_empty() {
            words
        } else if text.contains(&words) {
            text
        } else {
            format!("{text}: {words}")
        }
    })
}

/// YAML parsers quote the lines around an error, and so tokens of a kubeconfig.
fn without_source(words: &str) -> String {
    let is_own = |line: &&str| !line.trim_start().starts_with("--> ");
    words.lines().take_while(is_own).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_said_once() {
        let error = anyhow::anyhow!("no such file")
            .context("cannot read it: no such file")
            .context("it failed");
        assert_eq!(words(error.chain()), "it failed: cannot read it: no such file");
    }

    #[test]
    fn what_steers_a_terminal_is_not_passed_on_and_lines_stay() {
        assert_eq!(sanitized("a\u{1b}[31m\nb\u{200e}"), "a\u{fffd}[31m\nb\u{fffd}");
    }

    #[test]
    fn lines_of_a_file_that_cannot_be_read_are_not_quoted() {
        let error = kube::config::Kubeconfig::from_yaml("users:\n- name: a\n  user: TOKEN\n").unwrap_err();
        let text = words(anyhow::Chain::new(&error));
        assert!(!text.contains("TOKEN") && text.contains("line 3"), "{text}");
    }
}
