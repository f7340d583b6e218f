use std::io::Write as _;
use std::os::unix::fs::symlink;

use leeward_api::vocabulary::{ActionResult, ActionType};
use serde_json::json;

use super::*;

fn key(name: &str) -> PolicyName {
    PolicyName {
        namespace: String::new(),
        name: name.to_owned(),
    }
}

/// With words that YAML could take for something else.
fn status(account: &str) -> PlacementPolicyStatus {
    serde_json::from_value(json!({
        "observedGeneration": 3,
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "Evaluated", "observedGeneration": 3,
            "message": "in place: 3/4, \"quoted\" # and more\nthan a line",
            "lastTransitionTime": "2026-01-01T12:00:00Z",
        }],
        "account": {"id": account, "name": "no"},
        "home": {"location": "on", "percent": 70, "connections": 9, "since": "2026-01-01T12:00:00Z", "stable": true},
        "inPlace": "3/4",
        "operations": [{"type": "StreamPlacement", "stream": "1e3", "from": "n-0", "to": "null",
            "startTime": "2026-01-01T12:00:00Z"}],
        "recentActions": [{"time": "2026-01-01T12:00:00Z", "type": "ConsumerStepDown", "stream": "0x10", "consumer": "~",
            "result": "Succeeded", "durationMilliseconds": 12}],
        "memory": {
            "assets": [{"stream": "2026-01-01", "time": "2026-01-01T12:00:00Z", "attempts": 2}],
            "spent": [{"time": "2026-01-01T12:00:00Z", "type": "StreamStepDown", "count": 2}],
            "resetToken": "017",
        },
    }))
    .unwrap()
}

fn open_with(text: &str) -> (tempfile::TempDir, anyhow::Error) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("status.yaml");
    fs::write(&path, text).unwrap();
    let error = StatusFile::open(&path).unwrap_err();
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "it was left as it is");
    (folder, error)
}

#[test]
fn p10_what_was_written_is_read_again_word_for_word() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("status.yaml");
    let mut record = StatusFile::open(&path).unwrap();
    let (orders, mail) = (key("yes"), key("mail"));
    record
        .write([(orders.clone(), status("A")), (mail.clone(), status("A"))].into())
        .unwrap();
    record
        .write([(mail.clone(), PlacementPolicyStatus::default())].into())
        .unwrap();
    drop(record);
    let record = StatusFile::open(&path).unwrap();
    assert_eq!(record.past(&orders), Some(&status("A")));
    assert_eq!(record.past(&mail), Some(&PlacementPolicyStatus::default()));
    assert_eq!(record.past(&key("other")), None);
    let past = record.past(&orders).unwrap();
    assert_eq!(past.operations[0].action, ActionType::StreamPlacement);
    assert_eq!(past.recent_actions[0].result, ActionResult::Succeeded);
}

#[test]
fn the_file_reads_like_objects_of_kubernetes() {
    let statuses = [(
        key("orders"),
        PlacementPolicyStatus {
            in_place: Some("3/4".into()),
            ..PlacementPolicyStatus::default()
        },
    )];
    insta::assert_snapshot!(render(&statuses.into()).unwrap());
}

#[test]
fn a_new_file_is_there_before_it_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("status.yaml");
    let _record = StatusFile::open(&path).unwrap();
    assert!(parse(&fs::read_to_string(&path).unwrap()).unwrap().is_empty());
}

#[test]
fn a_second_process_is_refused_and_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("status.yaml");
    let first = StatusFile::open(&path).unwrap();
    let link = folder.path().join("link.yaml");
    symlink(&path, &link).unwrap();
    for other in [&path, &link] {
        let error = StatusFile::open(other).unwrap_err().to_string();
        assert!(error.contains("another leeward run uses status file"), "{error}");
    }
    drop(first);
    StatusFile::open(&link).unwrap();
    assert!(
        link.is_symlink(),
        "the file behind the link is the one that is replaced"
    );
}

#[test]
fn what_is_not_understood_is_said_and_left_as_it_is() {
    for (text, expected) in [
        ("", "it is empty"),
        ("apiVersion: v1\nkind: List\nitems: [", "cannot be read"),
        (
            "apiVersion: v1\nkind: ConfigMap\nitems: []\n",
            "it is a v1 ConfigMap",
        ),
        (
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}, status: {}}\n",
            "a is a v1 Pod",
        ),
        ("apiVersion: v1\nkind: List\nitems: []\nmore: 1\n", "more"),
    ] {
        let (_folder, error) = open_with(text);
        let words = format!("{error:#}");
        assert!(
            words.contains(expected) && words.contains("was left as it is"),
            "{words}"
        );
    }
}

#[test]
fn a_policy_that_is_there_twice_is_said() {
    let item =
        "- {apiVersion: leeward.dev/v1alpha1, kind: PlacementPolicy, metadata: {name: a}, status: {}}\n";
    let (_folder, error) = open_with(&format!("apiVersion: v1\nkind: List\nitems:\n{item}{item}"));
    assert!(format!("{error:#}").contains("policy a is in it twice"));
}

#[test]
fn a_folder_that_is_not_there_is_said_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let error = StatusFile::open(&folder.path().join("missing/status.yaml")).unwrap_err();
    assert!(
        format!("{error:#}").contains("its folder must be there"),
        "{error:#}"
    );
}

#[test]
fn a_file_of_other_policies_or_of_another_account_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let mut record = StatusFile::open(&folder.path().join("status.yaml")).unwrap();
    record.must_be_about(&[key("orders")], "A").unwrap();
    record.write([(key("orders"), status("A"))].into()).unwrap();
    record.must_be_about(&[key("mail"), key("orders")], "A").unwrap();
    let others = record.must_be_about(&[key("mail")], "A").unwrap_err().to_string();
    assert!(others.contains("is of other policies (orders)"), "{others}");
    let account = record
        .must_be_about(&[key("orders")], "B")
        .unwrap_err()
        .to_string();
    assert!(
        account.contains("in account A, and the user belongs to B"),
        "{account}"
    );
}

#[test]
fn a_write_that_fails_keeps_the_file_and_what_is_known_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("status.yaml");
    let mut record = StatusFile::open(&path).unwrap();
    record.write([(key("orders"), status("A"))].into()).unwrap();
    let before = fs::read_to_string(&path).unwrap();
    // A folder where the new file would be written.
    fs::create_dir(beside(&path, ".new")).unwrap();
    let error = record.write([(key("orders"), status("B"))].into()).unwrap_err();
    assert!(
        error.to_string().contains("nothing begins that is not in it"),
        "{error:#}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    assert_eq!(record.past(&key("orders")), Some(&status("A")));
}

#[test]
fn what_a_kill_left_beside_the_file_is_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("status.yaml");
    let mut half = File::create(beside(&path, ".new")).unwrap();
    half.write_all(b"apiVersion: v1\nkind: Li").unwrap();
    let mut record = StatusFile::open(&path).unwrap();
    record.write([(key("orders"), status("A"))].into()).unwrap();
    drop(record);
    assert_eq!(
        StatusFile::open(&path).unwrap().past(&key("orders")),
        Some(&status("A"))
    );
}
