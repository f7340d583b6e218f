//! How a command ends: with a code, and with words for the person who started it.

use std::io::Write as _;
use std::process::ExitCode;

/// 0 for success; else 1, and on standard error what went wrong.
pub fn code(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = writeln!(std::io::stderr(), "leeward: {}", words(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error with its causes, each said once.
fn words(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| {
        let words = cause.to_string();
        if text.is_empty() {
            words
        } else if text.contains(&words) {
            text
        } else {
            format!("{text}: {words}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_said_once() {
        let error = anyhow::anyhow!("no such file")
            .context("cannot read it: no such file")
            .context("it failed");
        assert_eq!(words(&error), "it failed: cannot read it: no such file");
    }
}
