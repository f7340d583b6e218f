//! An `apply` that is stopped, by a person, by missing rights or by the loss of NATS: it says what was done and what is
//! left, and ends.

use async_nats::{Client, Subscriber};
use futures::StreamExt;
use leeward_e2e::cli::{CommandLine, Ended, Started};
use leeward_e2e::{CONVERGED, assets};
use leeward_lab::nats::{
    AccountSpec, DEFAULT_ACCOUNT, DEFAULT_USER, Layout, Permissions, SYSTEM_ACCOUNT, SYSTEM_USER, Subjects,
    System, UserSpec,
};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{AWAY, HOME, PATIENT, assets_of, edits, policy, word};

const GUEST: &str = "guest";

#[tokio::test(flavor = "multi_thread")]
async fn apply_ends_with_a_clear_word_after_ctrl_c_without_rights_and_without_nats() {
    let system = system().await;
    let _apps = assets::clients(&system, HOME, 8).await.unwrap();
    let admin = assets::client(&system, AWAY).await.unwrap();
    for stream in ["one", "two", "three"] {
        away(&admin, stream).await;
    }
    let file = CommandLine::offline(system.folder())
        .await
        .unwrap()
        .file(
            "policy.yaml",
            &policy("orders", json!({"disruption": {"maxConcurrent": 1}})),
        )
        .unwrap();

    without_rights(&system, &file).await;
    let leeward =
        CommandLine::new(&system, HOME)
            .await
            .unwrap()
            .arguments(&["--filename", &file, "--sample", "0s"]);
    let patient = leeward.clone().arguments(&PATIENT);
    let left = after_ctrl_c(&system, &patient).await;
    assert_eq!(left.len(), 2, "{left:?}");
    after_two(&system, &patient).await;
    let hasty = leeward.arguments(&["--wait", "15s"]);
    without_nats(&system, &hasty, &admin).await;
}

/// A user who may see everything, step leaders down, and edit nothing.
async fn system() -> System {
    let no_edits = Permissions {
        publish: Subjects {
            allow: Vec::new(),
            deny: vec!["$JS.API.STREAM.UPDATE.>".to_owned()],
        },
        subscribe: Subjects::default(),
    };
    let account = AccountSpec::new(DEFAULT_ACCOUNT)
        .user(UserSpec::new(DEFAULT_USER))
        .user(UserSpec::limited(GUEST, no_edits));
    System::builder(Layout::supercluster(&[(HOME, 3), (AWAY, 3)]))
        .account(account)
        .start()
        .await
        .unwrap()
}

async fn away(admin: &Client, stream: &str) {
    let extra = json!({"placement": {"cluster": AWAY}});
    assets::stream(admin, stream, 3, extra).await.unwrap();
    assets::consumer(admin, stream, "work", json!({})).await.unwrap();
}

/// Starts `apply` and returns when the servers have got its first edit.
async fn in_the_middle(leeward: &CommandLine, edits: &mut Subscriber, args: &[&str]) -> Started {
    let all: Vec<&str> = ["apply", "--yes"].iter().chain(args).copied().collect();
    let apply = leeward.start(&all).unwrap();
    let edit = tokio::time::timeout(CONVERGED, edits.next()).await;
    assert!(edit.is_ok(), "no edit; it said: {}", apply.said());
    apply
}

async fn without_rights(system: &System, file: &str) {
    let context = system.nats_context(SYSTEM_ACCOUNT, SYSTEM_USER, HOME).unwrap();
    let guest = CommandLine::tenant(system, DEFAULT_ACCOUNT, GUEST, HOME)
        .await
        .unwrap()
        .arguments(&["--system-context", &context, "--wait", "20s"])
        .arguments(&["--filename", file, "--sample", "0s"]);
    let ended = guest.run(&["apply", "--yes"]).await.unwrap();
    let said = said(&ended);
    assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
    assert!(said.contains("$JS.API.STREAM.UPDATE."), "{said}");
    let led = assets::leaders(system, HOME).await.unwrap();
    assert!(assets::elsewhere(&led, AWAY).is_empty(), "{led:?}");
}

/// Returns what is left.
async fn after_ctrl_c(system: &System, leeward: &CommandLine) -> Vec<String> {
    let mut edits = edits(system).await;
    let apply = in_the_middle(leeward, &mut edits, &["-o", "json"]).await;
    apply.signal(Signal::INT).unwrap();
    let ended = apply.wait().await.unwrap().with_code(2).unwrap();
    let applied = &ended.document("apply").unwrap()["applied"][0];
    let done = assets_of(&applied["done"]);
    assert_eq!(
        done.len(),
        1,
        "the one in flight is watched to its end: {applied:#}"
    );
    assert_eq!(word(&applied["done"][0]["result"]), "Succeeded");
    let left = assets_of(&applied["left"]);
    let led = assets::leaders(system, HOME).await.unwrap();
    for (asset, leader) in &led {
        let stream = asset.split('/').next().unwrap();
        let wanted = if done[0] == stream { HOME } else { AWAY };
        assert_eq!(assets::location(leader), wanted, "{asset}: {led:?}");
        assert!(
            done[0] == stream || left.iter().any(|left| left == stream),
            "{left:?}"
        );
    }
    left
}

/// The same in words, and a second Ctrl-C does not wait for the servers.
async fn after_two(system: &System, leeward: &CommandLine) {
    let mut edits = edits(system).await;
    let mut apply = in_the_middle(leeward, &mut edits, &[]).await;
    let before = apply.said();
    apply.signal(Signal::INT).unwrap();
    apply.says("Ctrl-C again").await.unwrap();
    assert!(!before.contains("Ctrl-C again"), "{before}");
    apply.signal(Signal::INT).unwrap();
    let ended = apply.wait().await.unwrap();
    assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");

    // Whatever it left, the next one finishes.
    let ended = leeward.run(&["apply", "--yes"]).await.unwrap();
    assert!(matches!(ended.code, Some(0 | 2)), "{ended:?}");
    let last = leeward.run(&["apply", "--yes"]).await.unwrap();
    last.with_code(0).unwrap();
    let led = assets::leaders(system, HOME).await.unwrap();
    assert!(assets::elsewhere(&led, HOME).is_empty(), "{led:?}");
}

async fn without_nats(system: &System, hasty: &CommandLine, admin: &Client) {
    for stream in ["four", "five"] {
        away(admin, stream).await;
    }
    let mut edits = edits(system).await;
    let apply = in_the_middle(hasty, &mut edits, &[]).await;
    for server in system.server_names() {
        system.kill(&server).await.unwrap();
    }
    let ended = apply.wait().await.unwrap();
    let said = said(&ended);
    assert!(matches!(ended.code, Some(1 | 3)), "{ended:?}");
    assert!(
        said.contains("four") && said.contains("five"),
        "it says what was begun and what is left: {said}"
    );
    assert!(!ended.err.contains("panicked"), "{said}");

    let ended = hasty.run(&["report"]).await.unwrap().with_code(1).unwrap();
    let url: Value = json!(system.url(&system.servers_in(HOME)[0]).unwrap());
    let address = word(&url).trim_start_matches("nats://");
    assert!(ended.err.contains(address), "{}", ended.err);
}

fn said(ended: &Ended) -> String {
    format!("{}{}", ended.out, ended.err)
}
