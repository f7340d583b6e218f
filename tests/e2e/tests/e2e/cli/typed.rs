//! What a person may get wrong before anything is looked at: every error names the cure, and none ends with the codes
//! of findings.

use std::net::TcpListener;

use leeward_e2e::cli::CommandLine;
use leeward_lab::folder::Folder;

async fn leeward(folder: &Folder) -> CommandLine {
    CommandLine::offline(folder.path()).await.unwrap()
}

#[tokio::test]
async fn arguments_that_mean_nothing_end_with_1_and_help_with_0() {
    let folder = Folder::temporary().unwrap();
    let leeward = leeward(&folder).await;
    for (args, word) in [
        (&["report", "--colour"][..], "--colour"),
        (&["report", "--wait", "soon"], "--wait"),
        (
            &["report", "-A", "--account", "SHOP", "--system-context", "sys"],
            "--account",
        ),
        (&["plan", "-o", "junit"], "junit"),
        (&["explain"], "STREAM"),
        (&["run"], "--filename"),
        (&["reprot"], "report"),
        (&[], "Usage"),
    ] {
        let ended = leeward.run(args).await.unwrap().with_code(1).unwrap();
        assert!(ended.err.contains(word) && ended.out.is_empty(), "{ended:?}");
    }
    for args in [
        &["--help"][..],
        &["apply", "--help"],
        &["version"],
        &["--version"],
    ] {
        let ended = leeward.run(args).await.unwrap().with_code(0).unwrap();
        assert!(!ended.out.is_empty() && ended.err.is_empty(), "{ended:?}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named_with_line_and_column() {
    let folder = Folder::temporary().unwrap();
    let leeward = leeward(&folder).await;
    let head = "apiVersion: leeward.dev/v1alpha1\nkind: PlacementPolicy\nmetadata: {name: orders}\n";
    for (name, text, place, word) in [
        (
            "syntax.yaml",
            "spec:\n  home: {minConnections: 5\n".to_owned(),
            "syntax.yaml:",
            "",
        ),
        (
            "type.yaml",
            format!("{head}spec:\n  home:\n    majorityPercent: most\n"),
            "type.yaml:6:5",
            "majorityPercent",
        ),
        (
            "field.yaml",
            format!("{head}spec:\n  mood: Enforce\n"),
            "field.yaml:5:",
            "mood",
        ),
        (
            "second.yaml",
            format!("{head}spec: {{}}\n---\n{head}spec:\n  topology: {{key: ServerTag}}\n"),
            "second.yaml:",
            "tagPrefix",
        ),
    ] {
        leeward.file(name, &text).unwrap();
        for command in ["plan", "check"] {
            let args = [command, "-f", name, "--server", "nats://127.0.0.1:1"];
            let ended = leeward.run(&args).await.unwrap().with_code(1).unwrap();
            let (_, after) = ended.err.split_once(place).unwrap_or_else(|| panic!("{ended:?}"));
            let digit = |text: &str| text.starts_with(|char: char| char.is_ascii_digit());
            assert!(!place.ends_with(':') || digit(after), "{ended:?}");
            assert!(ended.err.contains(word), "{ended:?}");
        }
    }
    let missing = leeward
        .run(&["plan", "-f", "nowhere.yaml"])
        .await
        .unwrap()
        .with_code(1)
        .unwrap();
    assert!(missing.err.contains("nowhere.yaml"), "{}", missing.err);
}

#[tokio::test]
async fn servers_that_are_not_there_or_say_nothing_end_a_command_within_its_wait() {
    let folder = Folder::temporary().unwrap();
    let leeward = leeward(&folder).await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = |listener: &TcpListener| listener.local_addr().unwrap().to_string();
    let (silent_address, gone_address) = (address(&silent), address(&gone));
    drop(gone);
    for address in [silent_address, gone_address] {
        let url = format!("nats://{address}");
        for command in [&["report"][..], &["plan"], &["apply", "--yes"], &["check"]] {
            let args: Vec<&str> = command
                .iter()
                .copied()
                .chain(["--server", &url, "--wait", "2s"])
                .collect();
            let ended = leeward.run(&args).await.unwrap().with_code(1).unwrap();
            assert!(ended.err.contains(&address), "{ended:?}");
        }
    }
    drop(silent);
}

#[tokio::test]
async fn a_context_that_is_not_there_is_answered_with_those_that_are() {
    let folder = Folder::temporary().unwrap();
    let leeward = leeward(&folder).await;
    let contexts = folder.inside("config/nats/context").unwrap();
    std::fs::write(contexts.join("orders.json"), r#"{"url": "nats://127.0.0.1:1"}"#).unwrap();
    let config = folder.path().join("config").display().to_string();
    let leeward = leeward.environment("XDG_CONFIG_HOME", &config);
    let ended = leeward.run(&["report", "--context", "order"]).await.unwrap();
    let ended = ended.with_code(1).unwrap();
    assert!(ended.err.contains("orders"), "{}", ended.err);
}
