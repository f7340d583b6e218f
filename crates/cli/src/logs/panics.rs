//! Panics as log lines: the text that Rust prints by default would be mixed into lines of JSON.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{PanicHookInfo, set_hook, take_hook};

use leeward_engine::supervise::{DEFECT, UNREADABLE};
use tracing::error;

/// In the path of its sources, wherever it was built.
const CLIENT: &str = "async-nats";

/// From now on panics are log lines.
pub(super) fn log_panics() {
    set_hook(Box::new(line));
}

/// From now on nothing is printed where the NATS client panics over what a server sends: the command reports an error.
pub fn silence_client_panics() {
    let usual = take_hook();
    set_hook(Box::new(move |panic| {
        if !is_of_the_client(panic) {
            usual(panic);
        }
    }));
}

fn is_of_the_client(panic: &PanicHookInfo<'_>) -> bool {
    panic
        .location()
        .is_some_and(|place| place.file().contains(CLIENT))
}

fn line(panic: &PanicHookInfo<'_>) {
    let message = one_line(panic.payload_as_str().unwrap_or("a panic without words"));
    let place = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    // Only where RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| one_line(&backtrace.to_string()));
    let cause = if is_of_the_client(panic) {
        UNREADABLE
    } else {
        DEFECT
    };
    error!(
        panic = message,
        place,
        thread = thread.name(),
        backtrace,
        "{cause}"
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
