//! What a running operator shows of itself: metrics, the audit trail, and its log at a level that changes while it runs.

mod collector;
mod files;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use leeward_e2e::cli::CommandLine;
use leeward_e2e::{CONVERGED, Stage, assets};
use leeward_lab::load::Load;
use leeward_lab::nats::{Layout, System, eventually, jetstream};
use leeward_lab::ports::Port;
use serde_json::{Value, json};

use self::collector::Collector;
use crate::wrong_side::{AWAY, HOME};

/// Only a fault brings these up: the tests of those faults have them.
const FAULTS: [&str; 2] = ["leeward_policy_degraded", "leeward_lease_errors_total"];

#[tokio::test(flavor = "multi_thread")]
async fn what_alerts_and_dashboards_ask_for_is_there_and_acts_are_on_record_at_every_log_level() {
    let layout = Layout::supercluster(&[(HOME, 3), (AWAY, 3)]);
    let mut stage = Stage::new(System::builder(layout)).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    away(&stage).await;
    stage.apply_system(json!({})).await.unwrap();
    let admin = Port::reserve().unwrap();
    let address = admin.address().to_string();
    let collector = Collector::start().await.unwrap();
    let arguments = ["--admin-listen", &address, "--otlp-endpoint", collector.address()];
    stage.start_operator_with(&arguments).await.unwrap();
    silence(&stage, &address).await;
    let quiet_from = lines(&stage).len();

    let budgets = json!([{"name": "gentle", "max": 10, "per": "20s"}]);
    let own = |stream: &str| {
        json!({
            "streams": {"include": [stream]},
            "home": {"stabilizationWindow": "0s"},
            "disruption": {"budgets": budgets},
        })
    };
    stage.apply_policy("orders", own("orders")).await.unwrap();
    let mut looks = own("ledger");
    looks["actions"] = json!({"streamPlacement": {"enabled": false}});
    // Its use is sampled, since clients are in both locations.
    looks["home"]["scope"] = json!("Stream");
    let _few = assets::clients(&stage.system, AWAY, 2).await.unwrap();
    let mut load = Load::new();
    assets::use_from(&stage.system, &mut load, "ledger", HOME)
        .await
        .unwrap();
    stage.apply_policy("looks", looks).await.unwrap();
    // A plan that waits for a person.
    let mut asks = own("asked");
    asks["mode"] = json!("Propose");
    stage.apply_policy("asks", asks).await.unwrap();

    let asked = files::metrics();
    let names = shown(&stage, &asked).await;
    let missing: Vec<&String> = asked.difference(&names).collect();
    assert!(
        missing.iter().all(|name| FAULTS.contains(&name.as_str())),
        "{missing:?}"
    );
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();

    let (_, page) = stage.operator().unwrap().get("/metrics").await.unwrap();
    files::promtool_reads(&page).await;
    assert_on_record(&stage, quiet_from).await;
    traced(&collector).await;
    gone(&stage).await;
}

/// Looks, rounds and the move have arrived as spans.
async fn traced(collector: &Collector) {
    eventually(CONVERGED, "the spans of the move have arrived", || async {
        let taken = collector.taken();
        for word in [
            "POST /v1/traces",
            "observation",
            "round",
            "operation",
            "StreamPlacement",
            "Succeeded",
        ] {
            ensure!(taken.contains(word), "{word} is not in {} bytes", taken.len());
        }
        Ok(())
    })
    .await
    .unwrap();
}

/// Streams that lie away from the clients, the first with enough in it that its move takes a while.
async fn away(stage: &Stage) {
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    let placed = json!({"placement": {"cluster": AWAY}});
    for stream in ["orders", "ledger"] {
        assets::stream(&client, stream, 3, placed.clone()).await.unwrap();
        assets::consumer(&client, stream, "work", json!({}))
            .await
            .unwrap();
    }
    assets::stream(&client, "asked", 1, placed).await.unwrap();
    let payload = "x".repeat(512 * 1024);
    for number in 0..40 {
        jetstream::publish(&client, &format!("orders.{number}"), payload.clone())
            .await
            .unwrap();
    }
}

/// Nothing but errors is logged from here on.
async fn silence(stage: &Stage, admin: &str) {
    let leeward = CommandLine::offline(stage.system.folder()).await.unwrap();
    let now = leeward.run(&["log-level", "--admin", admin]).await.unwrap();
    assert_eq!(now.with_code(0).unwrap().out, "info\n");
    let loud = leeward
        .run(&["log-level", "loud", "--admin", admin])
        .await
        .unwrap();
    let loud = loud.with_code(1).unwrap();
    assert!(
        loud.err
            .contains("loud is no level and no filter: write off, error"),
        "{}",
        loud.err
    );
    let set = leeward
        .run(&["log-level", "error", "--admin", admin])
        .await
        .unwrap();
    assert_eq!(set.with_code(0).unwrap().out, "error\n");
    let now = leeward.run(&["log-level", "--admin", admin]).await.unwrap();
    assert_eq!(now.with_code(0).unwrap().out, "error\n");
}

/// The names of all samples that were ever on the page until everything that is asked for was, and the move was done.
async fn shown(stage: &Stage, asked: &BTreeSet<String>) -> BTreeSet<String> {
    let operator = stage.operator.as_ref().unwrap();
    let mut names = BTreeSet::new();
    let everything = async {
        loop {
            let (_, page) = operator.get("/metrics").await.unwrap();
            let samples = page.lines().filter(|line| !line.starts_with('#'));
            names.extend(samples.filter_map(|line| Some(line.split(['{', ' ']).next()?.to_owned())));
            let missing = asked.difference(&names);
            if missing.filter(|name| !FAULTS.contains(&name.as_str())).count() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    // What is missing then is said by the caller.
    let _ = tokio::time::timeout(CONVERGED, everything).await;
    names
}

fn lines(stage: &Stage) -> Vec<Value> {
    stage.operator.as_ref().unwrap().log().unwrap()
}

/// One line for each act that the status has, one for each leader that a move asked to hand over, and nothing else that is no
/// error.
async fn assert_on_record(stage: &Stage, from: usize) {
    let trail = eventually(CONVERGED, "the move is on record", || async {
        let trail = stage.operator.as_ref().unwrap().audit_trail()?;
        let (asked, trail): (Vec<_>, Vec<_>) =
            trail.into_iter().partition(|line| line["result"] == "Requested");
        for line in &asked {
            let action = match line["consumer"].as_str() {
                Some(_) => "ConsumerStepDown",
                None => "StreamStepDown",
            };
            let (from, wanted) = (line["from"].as_str(), line["wanted"].as_str());
            let homewards = from
                .zip(wanted)
                .is_some_and(|(from, to)| from.starts_with(AWAY) && to.starts_with(HOME));
            assert!(homewards && line["action"] == action, "{line}");
        }
        let status = stage.policy("orders").await?["status"].clone();
        let acts = status["recentActions"].as_array().context("no acts")?.len();
        ensure!(
            acts == trail.len() && acts > 0,
            "{acts} acts, on record are {trail:?}"
        );
        Ok(trail)
    })
    .await
    .unwrap();
    let act = &trail[0];
    let expected = [
        ("namespace", stage.namespace.as_str()),
        ("policy", "orders"),
        ("asset", "orders"),
        ("stream", "orders"),
        ("action", "StreamPlacement"),
        ("wanted", HOME),
        ("result", "Succeeded"),
    ];
    for (field, value) in expected {
        assert_eq!(act[field], value, "{field} of {act}");
    }
    assert!(act["from"].as_str().unwrap().starts_with(AWAY), "{act}");
    assert!(act["to"].as_str().unwrap().starts_with(HOME), "{act}");
    assert!(act["account"].as_str().unwrap().starts_with('A'), "{act}");
    assert!(act["operation"].as_str().unwrap().starts_with("orders@"), "{act}");
    assert!(act["milliseconds"].is_u64() && act["requests"].is_u64(), "{act}");
    for field in ["timestamp", "started", "detail"] {
        assert!(act[field].is_string(), "{field} of {act}");
    }
    for line in &lines(stage)[from..] {
        let may = line["target"] == "leeward::audit" || line["level"] == "ERROR";
        assert!(may || line["message"] == "what is logged was changed", "{line}");
    }
}

/// A policy that is deleted leaves the page.
async fn gone(stage: &Stage) {
    stage
        .kubectl(&["delete", "placementpolicy", "orders"])
        .await
        .unwrap();
    eventually(CONVERGED, "the policy has left the page", || async {
        let (_, page) = stage
            .operator
            .as_ref()
            .context("no operator")?
            .get("/metrics")
            .await?;
        ensure!(!page.contains("policy=\"orders\""), "{page}");
        ensure!(page.contains("policy=\"looks\""), "{page}");
        Ok(())
    })
    .await
    .unwrap();
}
