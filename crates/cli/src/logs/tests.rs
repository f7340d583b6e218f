use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use super::*;

/// Set where the test runs as a process of its own, whose log lines go to a pipe.
const INNER: &str = "LEEWARD_TEST_LOGS";

/// This test, once more, as a process of its own.
fn logging(test: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let test = format!("logs::tests::{test}");
    command.args(["--exact", &test, "--nocapture"]).env(INNER, "1");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Whether this is that process; it logs as soon as its input ends.
fn has_logged() -> bool {
    if std::env::var_os(INNER).is_none() {
        return false;
    }
    let filter = start(LogFormat::Plain, "info", None).unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    tracing::info!("told");
    filter.set("off").unwrap();
    tracing::error!("silenced");
    tracing::info!(target: audit::TARGET, asset = "orders", "act");
    filter.set("debug").unwrap();
    tracing::debug!("aloud");
    let _ = std::thread::spawn(|| panic!("first\nsecond")).join();
    true
}

#[test]
fn a_reader_who_goes_away_ends_nothing() {
    if has_logged() {
        return;
    }
    let mut child = logging("a_reader_who_goes_away_ends_nothing");
    drop(child.stderr.take());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn off_a_terminal_there_is_no_colour() {
    if has_logged() {
        return;
    }
    let output = logging("off_a_terminal_there_is_no_colour")
        .wait_with_output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("told") && !told.contains('\u{1b}'), "{told:?}");
    let panicked = |line: &str| line.contains("ERROR") && line.contains("first second");
    assert!(told.lines().any(panicked), "a panic is one line: {told}");
}

#[test]
fn the_level_changes_at_run_time_and_the_audit_trail_is_written_whatever_it_is() {
    if has_logged() {
        return;
    }
    let output = logging("the_level_changes_at_run_time_and_the_audit_trail_is_written_whatever_it_is")
        .wait_with_output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!told.contains("silenced") && told.contains("aloud"), "{told}");
    let trail: Vec<serde_json::Value> = told
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let [line] = trail.as_slice() else {
        panic!("{told}")
    };
    assert_eq!(line["target"], "leeward::audit");
    assert_eq!(line["asset"], "orders");
}
