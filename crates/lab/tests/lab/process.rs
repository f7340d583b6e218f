//! Guards the promise of `process`: no server outlives the test that started it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use leeward_lab::process::{Process, ServerCommand};
use tempfile::TempDir;

/// Set in the copy of this test binary that plays the parent to be killed; the folder for its log.
const PARENT_FOLDER: &str = "LEEWARD_TEST_PARENT_FOLDER";

fn shell(folder: &Path, script: &str) -> ServerCommand {
    ServerCommand {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        log: folder.join("logs/server.log"),
        envs: vec![("GREETING".to_owned(), "hello".to_owned())],
    }
}

/// A process that was killed but not reaped by its new parent is gone all the same.
fn is_alive(id: u32) -> bool {
    let output = std::process::Command::new("ps")
        .args(["-o", "stat=", "-p", &id.to_string()])
        .output()
        .unwrap();
    let state = String::from_utf8_lossy(&output.stdout);
    !state.trim().is_empty() && !state.starts_with('Z')
}

fn await_condition(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "still not so: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn a_server_that_ends_by_itself_tells_its_code() {
    let folder = TempDir::new().unwrap();
    let mut process = Process::start(shell(folder.path(), "echo $GREETING; echo bye >&2; exit 7"))
        .await
        .unwrap();
    assert_eq!(process.wait().await.unwrap(), Some(7));
    assert!(!process.running());
    assert_eq!(process.log_tail(5), "hello\nbye");
    assert_eq!(process.log_tail(1), "bye");
    process.kill().await.unwrap();
    assert!(process.pause().is_err(), "an ended server cannot be paused");
}

#[tokio::test]
async fn a_killed_server_is_gone_when_kill_returns() {
    let folder = TempDir::new().unwrap();
    let mut process = Process::start(shell(folder.path(), "exec sleep 1000"))
        .await
        .unwrap();
    assert!(process.running() && is_alive(process.id()));
    process.kill().await.unwrap();
    assert!(!process.running() && !is_alive(process.id()));
    assert_eq!(process.wait().await.unwrap(), None);
}

#[tokio::test]
async fn stop_lets_the_server_say_goodbye() {
    let folder = TempDir::new().unwrap();
    let script = "trap 'echo goodbye; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    let mut process = Process::start(shell(folder.path(), script)).await.unwrap();
    await_condition("ready", || process.log_tail(1) == "ready");
    process.pause().unwrap();
    assert!(process.running(), "a paused server is running");
    process.stop().await.unwrap();
    assert_eq!(process.wait().await.unwrap(), Some(0));
    assert_eq!(process.log_tail(1), "goodbye");
}

#[tokio::test]
async fn a_paused_server_goes_on_where_it_was() {
    let folder = TempDir::new().unwrap();
    let process = Process::start(shell(folder.path(), "while :; do echo tick; sleep 0.01; done"))
        .await
        .unwrap();
    let ticks = || process.log_tail(usize::MAX).lines().count();
    await_condition("ticking", || ticks() > 2);
    process.pause().unwrap();
    process.resume().unwrap();
    let before = ticks();
    await_condition("ticking again", || ticks() > before + 2);
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let folder = TempDir::new().unwrap();
    let process = Process::start(shell(folder.path(), "exec sleep 1000"))
        .await
        .unwrap();
    let id = process.id();
    drop(process);
    assert!(!is_alive(id));
}

#[tokio::test]
async fn a_program_that_is_missing_is_named() {
    let folder = TempDir::new().unwrap();
    let command = ServerCommand {
        program: "/nowhere/server".into(),
        ..shell(folder.path(), "")
    };
    let error = Process::start(command).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/server"), "{error:#}");
}

/// Not a test of its own: it waits to be killed when the test below starts it, and does nothing otherwise.
#[tokio::test]
async fn parent_that_is_killed() {
    let Some(folder) = std::env::var_os(PARENT_FOLDER) else {
        return;
    };
    let process = Process::start(shell(Path::new(&folder), "exec sleep 1000"))
        .await
        .unwrap();
    println!("\nserver {}", process.id());
    std::future::pending::<()>().await;
}

#[test]
fn a_server_ends_with_its_parent_even_if_that_is_killed() {
    let folder = TempDir::new().unwrap();
    let mut parent = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process::parent_that_is_killed", "--nocapture"])
        .env(PARENT_FOLDER, folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let server: u32 = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("server ").and_then(|id| id.parse().ok()))
        .expect("the parent tells the id of its server");
    assert!(is_alive(server));
    parent.kill().unwrap();
    parent.wait().unwrap();
    await_condition("the server is gone", || !is_alive(server));
}
