//! Panics as log lines like all others: the text that Rust prints by itself would stand between lines of JSON.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{PanicHookInfo, set_hook};

use tracing::error;

/// From now on panics are log lines.
pub(super) fn are_lines() {
    set_hook(Box::new(line));
}

fn line(panic: &PanicHookInfo<'_>) {
    let message = one_line(panic.payload_as_str().unwrap_or("a panic without words"));
    let place = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    // Only where RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| one_line(&backtrace.to_string()));
    error!(
        panic = message,
        place,
        thread = thread.name(),
        backtrace,
        "a defect of Leeward, please report it"
    );
}

fn one_line(text: &str) -> String {
    text.replace(|letter: char| letter.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_several_lines_is_one() {
        assert_eq!(one_line("left: 1\nright: 2\u{1b}[0m"), "left: 1 right: 2 [0m");
    }
}
