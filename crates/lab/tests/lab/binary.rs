//! Guards the promises of `leeward-lab up`: it says how to connect, and nothing outlives it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::ensure;
use leeward_lab::nats::eventually;

const LIMIT: Duration = Duration::from_mins(1);

struct Up {
    child: Child,
    server_ids: Vec<u32>,
    lines: Vec<String>,
}

/// Starts the binary and reads what it says until it is ready.
fn up(args: &[&str]) -> Up {
    let mut child = Command::new(env!("CARGO_BIN_EXE_leeward-lab"))
        .args(["up", "--clusters", "a", "--servers", "1"])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        lines.push(line.unwrap());
        if lines
            .last()
            .is_some_and(|line| line.starts_with("Everything is in "))
        {
            break;
        }
    }
    let ids = lines
        .iter()
        .filter_map(|line| line.split_once("  pid "))
        .map(|(_, id)| id.parse().unwrap());
    Up {
        server_ids: ids.collect(),
        child,
        lines,
    }
}

fn is_there(id: u32) -> bool {
    let id = id.to_string();
    Command::new("ps")
        .args(["-o", "pid=", "-p", &id])
        .stdout(Stdio::null())
        .status()
        .unwrap()
        .success()
}

fn terminate(id: u32) {
    assert!(
        Command::new("kill")
            .arg(id.to_string())
            .status()
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn servers_end_with_a_killed_parent() {
    let folder = tempfile::tempdir().unwrap();
    let mut up = up(&["--dir", folder.path().to_str().unwrap()]);
    assert!(!up.server_ids.is_empty(), "{:?}", up.lines);
    assert!(up.server_ids.iter().all(|id| is_there(*id)));
    up.child.kill().unwrap();
    up.child.wait().unwrap();
    eventually(LIMIT, "all servers are gone", || async {
        ensure!(
            !up.server_ids.iter().any(|id| is_there(*id)),
            "{:?}",
            up.server_ids
        );
        Ok(())
    })
    .await
    .unwrap();
}

#[test]
fn a_terminated_lab_leaves_no_servers_and_no_folder() {
    let mut up = up(&["--topology", "stretched", "--jwt", "--tls", "--delay", "1ms"]);
    let exported = |name: &str| {
        let found = up
            .lines
            .iter()
            .find_map(|line| line.strip_prefix(&format!("export {name}=")));
        PathBuf::from(found.unwrap_or_else(|| panic!("no {name} in {:?}", up.lines)))
    };
    let folder: &Path = &exported("XDG_CONFIG_HOME");
    assert!(folder.join("nats/context/APP-app-a.json").exists());
    assert!(exported("LEEWARD_LAB_CA").exists());
    terminate(up.child.id());
    assert!(up.child.wait().unwrap().success());
    assert!(
        !up.server_ids.iter().any(|id| is_there(*id)),
        "{:?}",
        up.server_ids
    );
    assert!(!folder.parent().unwrap().parent().unwrap().exists());
}
