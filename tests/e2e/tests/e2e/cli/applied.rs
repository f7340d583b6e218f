//! `plan`, then `apply`, then `plan`: what was planned is done, once, and nothing else is.

use std::collections::BTreeMap;

use futures::FutureExt;
use leeward_e2e::assets;
use leeward_e2e::cli::{CommandLine, Ended};
use leeward_lab::audit::Audit;
use leeward_lab::load::{Load, Publisher, PullWorker};
use leeward_lab::nats::{Layout, System};
use serde_json::{Value, json};

use super::{AWAY, HOME, PATIENT, actions, assets_of, configs, edits, policy, word};
use crate::wrong_side::{by_region, lead_from, misplaced, three_servers};

/// The first is moved by one command alone, the others by two at once.
const STREAMS: [&str; 4] = ["alone", "both-a", "both-b", "both-c"];

/// A command that decides by a policy file.
async fn with_policy(system: &System, spec: Value) -> CommandLine {
    let leeward = CommandLine::new(system, HOME).await.unwrap();
    let file = leeward.file("policy.yaml", &policy("orders", spec)).unwrap();
    leeward
        .arguments(&PATIENT)
        .arguments(&["--filename", &file, "--sample", "0s"])
}

/// The plan, and every action in it.
async fn planned(leeward: &CommandLine, code: i32) -> (Value, Vec<String>) {
    let ended = leeward.run(&["plan", "-o", "json"]).await.unwrap();
    let plan = ended.with_code(code).unwrap().document("plan").unwrap();
    let actions = actions(&plan);
    (plan, actions)
}

async fn check(leeward: &CommandLine, code: i32) -> Value {
    let ended = leeward.run(&["check", "-o", "json"]).await.unwrap();
    ended.with_code(code).unwrap().document("check").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_plan_apply_plan_moves_each_stream_once_and_two_at_once_do_no_harm() {
    let layout = Layout::supercluster(&[(HOME, 3), (AWAY, 3)]);
    let system = System::builder(layout).start().await.unwrap();
    let _apps = assets::clients(&system, HOME, 8).await.unwrap();
    let admin = assets::client(&system, AWAY).await.unwrap();
    let mut load = Load::new();
    for stream in STREAMS {
        let away = json!({"placement": {"cluster": AWAY}, "metadata": {"team": stream}});
        assets::stream(&admin, stream, 3, away).await.unwrap();
        assets::consumer(&admin, stream, "work", json!({})).await.unwrap();
        let client = assets::client(&system, HOME).await.unwrap();
        load.publish(Publisher::new(
            client.clone(),
            HOME,
            stream,
            &format!("{stream}.new"),
        ));
        load.pull(PullWorker::new(client, HOME, stream, "work"));
    }
    let before = configs(&admin, &STREAMS).await;
    let mut edits = edits(&system).await;

    let alone = with_policy(&system, json!({"streams": {"include": ["alone"]}})).await;
    check(&alone, 2).await;
    let (plan, wanted) = planned(&alone, 2).await;
    assert_eq!(wanted, ["StreamPlacement alone"]);
    assert_eq!(
        assets_of(&plan["plans"][0]["held"]),
        [""; 0],
        "its consumer comes along"
    );
    let ended = alone.run(&["apply", "--yes", "-o", "json"]).await.unwrap();
    let applied = ended.with_code(0).unwrap().document("apply").unwrap();
    let done = &applied["applied"][0]["done"];
    assert_eq!(assets_of(done), ["alone"]);
    assert_eq!(word(&done[0]["result"]), "Succeeded");
    assert_eq!(planned(&alone, 0).await.1, [""; 0]);
    check(&alone, 0).await;

    let all = with_policy(&system, json!({})).await;
    assert_eq!(planned(&all, 2).await.1.len(), 3);
    let (one, other) = tokio::join!(
        all.run(&["apply", "--yes", "-o", "json"]),
        all.run(&["apply", "--yes", "-o", "json"]),
    );
    let ended: Vec<Ended> = vec![one.unwrap(), other.unwrap()];
    for ended in &ended {
        assert!(matches!(ended.code, Some(0 | 2)), "{ended:?}");
        ended.document("apply").unwrap();
    }
    // Whichever was the second may have ended while the first one's moves went on.
    let last = all.run(&["apply", "--yes"]).await.unwrap();
    last.with_code(0).unwrap();
    assert_eq!(planned(&all, 0).await.1, [""; 0]);
    check(&all, 0).await;

    let led = assets::leaders(&system, AWAY).await.unwrap();
    assert_eq!((led.len(), assets::elsewhere(&led, HOME)), (8, BTreeMap::new()));
    assert_eq!(configs(&admin, &STREAMS).await, before);
    let mut edited: BTreeMap<String, usize> = BTreeMap::new();
    while let Some(Some(edit)) = futures::StreamExt::next(&mut edits).now_or_never() {
        let stream = edit.subject.rsplit('.').next().unwrap().to_owned();
        *edited.entry(stream).or_default() += 1;
    }
    assert_eq!(edited["alone"], 1, "{edited:?}");
    assert!(
        edited.values().all(|count| *count <= 2),
        "each command asks once: {edited:?}"
    );

    let totals = load.stop().await;
    assert_eq!(totals.summary.outstanding(), 0, "{}", totals.summary);
    for stream in STREAMS {
        let found = load.verify_stream(&admin, stream).await.unwrap();
        assert!(
            found.acknowledged > 0 && found.lost == 0 && found.doubled == 0,
            "{stream}: {found}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stretched_account_comes_home_by_the_step_downs_of_the_plan_and_no_others() {
    let system = three_servers().start().await.unwrap();
    let _apps = assets::clients(&system, HOME, 7).await.unwrap();
    let client = assets::client(&system, AWAY).await.unwrap();
    let audit = Audit::start(&system, &client).await.unwrap();
    let consumers = ["c0", "c1", "c2"];
    misplaced(&client, "ORDERS", &consumers).await;
    let leeward = with_policy(&system, by_region(json!({}))).await;

    let (_, mut wanted) = planned(&leeward, 2).await;
    wanted.sort();
    let expected = [
        "ConsumerStepDown ORDERS/c0",
        "ConsumerStepDown ORDERS/c1",
        "ConsumerStepDown ORDERS/c2",
        "StreamStepDown ORDERS",
    ];
    assert_eq!(wanted, expected);
    let refused = leeward.run(&["apply"]).await.unwrap().with_code(1).unwrap();
    assert!(
        refused.err.contains("--yes"),
        "nobody can answer: {}",
        refused.err
    );
    assert_eq!(audit.leeward_writes().len(), 0, "it asks before it does anything");

    let ended = leeward.run(&["apply", "--yes", "-o", "json"]).await.unwrap();
    let applied = ended.with_code(0).unwrap().document("apply").unwrap();
    let mut done: Vec<String> = applied["applied"][0]["done"]
        .as_array()
        .unwrap()
        .iter()
        .map(|done| format!("{} {}", word(&done["type"]), super::asset(done)))
        .collect();
    done.sort();
    assert_eq!(done, expected, "what was planned was done");
    assert_eq!(planned(&leeward, 0).await.1, [""; 0]);
    check(&leeward, 0).await;
    let asked = crate::kills::requests(&audit);
    assert!(
        asked.len() == 4 && asked.values().all(|count| *count == 1),
        "{asked:?}"
    );
    let led = assets::leaders(&system, HOME).await.unwrap();
    assert_eq!((led.len(), assets::elsewhere(&led, HOME)), (4, BTreeMap::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_plan_is_carried_out_once_and_what_changed_since_is_left_out() {
    let system = three_servers().start().await.unwrap();
    let _apps = assets::clients(&system, HOME, 7).await.unwrap();
    let client = assets::client(&system, AWAY).await.unwrap();
    let audit = Audit::start(&system, &client).await.unwrap();
    misplaced(&client, "ORDERS", &["c0", "c1", "c2"]).await;
    let leeward = with_policy(&system, by_region(json!({}))).await;
    let (plan, _) = planned(&leeward, 2).await;
    let id = word(&plan["plans"][0]["id"]).to_owned();
    assert_eq!(
        word(&planned(&leeward, 2).await.0["plans"][0]["id"]),
        id,
        "looked at twice"
    );
    let file = leeward.file("plan.json", &plan.to_string()).unwrap();

    // One is gone, one is home by itself, and one has come that nobody approved.
    assets::consumer(&client, "ORDERS", "unasked", json!({}))
        .await
        .unwrap();
    lead_from(&client, AWAY, "ORDERS", &["unasked"]).await;
    assets::lead(&client, "ORDERS", Some("c2"), HOME, true)
        .await
        .unwrap();
    let deleted = client
        .request("$JS.API.CONSUMER.DELETE.ORDERS.c1", "".into())
        .await
        .unwrap();
    assert!(!String::from_utf8_lossy(&deleted.payload).contains("error"));
    assert_ne!(
        word(&planned(&leeward, 2).await.0["plans"][0]["id"]),
        id,
        "another proposal"
    );

    let arguments = ["apply", "--plan", &file, "-o", "json"];
    let ended = leeward.run(&arguments).await.unwrap().with_code(2).unwrap();
    let applied = ended.document("apply").unwrap()["applied"][0].clone();
    assert_eq!(word(&applied["plan"]), id);
    let mut done = assets_of(&applied["done"]);
    done.sort();
    assert_eq!(done, ["ORDERS", "ORDERS/c0"]);
    let left_out: Vec<(String, &str)> = applied["leftOut"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| (super::asset(part), word(&part["state"])))
        .collect();
    let expected = [
        ("ORDERS/c1".to_owned(), "Changed"),
        ("ORDERS/c2".to_owned(), "Done"),
    ];
    assert_eq!(left_out, expected);
    assert_eq!(assets_of(&applied["findings"]), ["ORDERS/unasked"]);
    let led = assets::leaders(&system, HOME).await.unwrap();
    assert_eq!(assets::elsewhere(&led, HOME).len(), 1, "{led:?}");

    // The same again does nothing.
    let asked = crate::kills::requests(&audit);
    let ended = leeward.run(&arguments).await.unwrap().with_code(2).unwrap();
    let applied = ended.document("apply").unwrap()["applied"][0].clone();
    assert_eq!(
        (assets_of(&applied["done"]), assets_of(&applied["leftOut"]).len()),
        (vec![], 4)
    );
    assert_eq!(crate::kills::requests(&audit), asked);

    let edited = plan.to_string().replace("c2", "unasked");
    let edited = leeward.file("edited.json", &edited).unwrap();
    let refused = leeward.run(&["apply", "--plan", &edited]).await.unwrap();
    let refused = refused.with_code(1).unwrap();
    assert!(
        refused.err.contains("was changed after it was made"),
        "{}",
        refused.err
    );
}
