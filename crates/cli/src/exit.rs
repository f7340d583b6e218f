//! How a command ends: with a code, and with words for the person who started it.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use crate::args::{self, Command};
use crate::logs::panics;
use crate::{commands, crds, operator, output};

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
    fn code(self) -> u8 {
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
    /// What, and why.
    pub message: String,
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    panics::of_the_client_are_silent();
    let args = match args::parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and the version are no errors; everything else is 1, since clap's own 2 means findings here.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    match dispatch(args.command) {
        Ok(found) => ExitCode::from(found.code()),
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = writeln!(std::io::stderr(), "leeward: {}", harmless(&words(error.chain())));
            match error.downcast_ref::<NotSeen>() {
                Some(NotSeen { .. }) => ExitCode::from(LookOutcome::Incomplete.code()),
                None => ExitCode::FAILURE,
            }
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<LookOutcome> {
    let done = |()| LookOutcome::InPlace;
    match command {
        Command::Report(args) => commands::report::run(args),
        Command::Plan(args) => commands::plan::run(args),
        Command::Apply(args) => commands::apply::run(args),
        Command::Run(args) => commands::run::run(args).map(done),
        Command::Explain(args) => commands::explain::run(args),
        Command::Check(args) => commands::check::run(args),
        Command::Watch(args) => commands::watch::run(&args).map(done),
        Command::Suspend(args) => commands::switch::suspend(&args).map(done),
        Command::Resume(args) => commands::switch::resume(&args).map(done),
        Command::Operator(args) => operator::run(args.resolve()).map(done),
        Command::LogLevel(args) => commands::loglevel::run(&args).map(done),
        Command::Crds => crds::print().map(done),
        Command::Completion { shell } => commands::shell::completion(shell).map(done),
        Command::Man { folder } => commands::shell::man(&folder).map(done),
        Command::Version => crds::print_version().map(done),
    }
}

/// Errors may hold what strangers wrote, and any amount of it; their lines stay.
pub fn harmless(words: &str) -> String {
    let line = |line: &str| output::shortened(line).chars().map(output::harmless).collect();
    let lines: Vec<String> = words.lines().map(line).collect();
    lines.join("\n")
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
    let said: Vec<&str> = words
        .lines()
        .take_while(|line| !line.trim_start().starts_with("--> "))
        .collect();
    said.join("\n")
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
