//! How a command ends: its exit code, and its errors in words for the person who started it.

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

/// What was asked about was not seen, and not everything was: it may be there.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct NotSeen {
    /// What was not seen, and why.
    pub message: String,
}

/// Errors may hold what strangers wrote, and any amount of it; their lines stay.
fn harmless(words: &str) -> String {
    let line = |line| {
        output::shortened(line)
            .chars()
            .map(output::harmless)
            .collect::<String>()
    };
    words.lines().map(line).join("\n")
}

/// Prints a message to whoever started the command, apart from its result.
pub fn print_error(message: &str) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(std::io::stderr(), "leeward: {}", harmless(message));
}

/// An error with its causes, each said once.
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

/// Readers of YAML quote the lines around an error, and with them tokens of a kubeconfig.
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
        assert_eq!(harmless("a\u{1b}[31m\nb\u{200e}"), "a\u{fffd}[31m\nb\u{fffd}");
    }

    #[test]
    fn lines_of_a_file_that_cannot_be_read_are_not_quoted() {
        let error = kube::config::Kubeconfig::from_yaml("users:\n- name: a\n  user: TOKEN\n").unwrap_err();
        let told = words(anyhow::Chain::new(&error));
        assert!(!told.contains("TOKEN") && told.contains("line 3"), "{told}");
    }
}
