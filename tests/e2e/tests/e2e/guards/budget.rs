//! A budget, whole: in the servers' audit, in the status, and over a kill.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use leeward_e2e::{CONVERGED, Stage, assets};
use leeward_lab::audit::Audit;
use leeward_lab::nats::eventually;
use serde_json::{Value, json};

use super::{at, findings, says, time};
use crate::kills::{await_writes, requests};
use crate::wrong_side::{AWAY, HOME, assert_led_from, by_region, misplaced, three_servers};

const MOST: usize = 3;
const PER: Duration = Duration::from_secs(20);

#[tokio::test]
async fn p3_a_budget_holds_in_every_span_over_a_kill_too_and_everything_comes_home() {
    let mut stage = Stage::new(three_servers()).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    for stream in ["ORDERS", "PAYMENTS", "RETURNS"] {
        misplaced(&client, stream, &["billing", "mail", "search"]).await;
    }
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    stage.apply_system(json!({})).await.unwrap();
    let budgets = json!([{"name": "gentle", "max": MOST, "per": "20s"}]);
    stage
        .apply_policy("orders", by_region(json!({"disruption": {"budgets": budgets}})))
        .await
        .unwrap();
    stage.start_operator().await.unwrap();

    stage
        .await_policy("orders", "the budget is used up", used_up)
        .await
        .unwrap();
    shows_the_budget(&stage).await;

    // In the second span, with an action under way or just done.
    await_writes(&audit, MOST + 1).await;
    stage.operator().unwrap().kill().await.unwrap();
    stage.restart_operator().await.unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    let leaders = assert_led_from(&stage, HOME).await;
    assert_eq!(leaders.len(), 12);

    let mut times: Vec<_> = audit.leeward_writes().iter().map(at).collect();
    times.sort();
    assert!(times.len() >= leaders.len(), "{times:?}");
    for span in times.windows(MOST + 1) {
        let took = span[MOST].duration_since(span[0]);
        assert!(
            took.unsigned_abs() >= PER,
            "more than {MOST} in {took}: {span:?}, all: {times:?}"
        );
    }
    let asked: BTreeMap<String, usize> = requests(&audit);
    assert!(
        asked.keys().eq(leaders.keys()) && asked.values().all(|count| *count <= 2),
        "{asked:?}"
    );
}

/// The condition names the budget and the time, the status counts, and findings say what is held.
fn used_up(policy: &Value) -> anyhow::Result<()> {
    let message = says(policy, "Progressing", "BudgetExhausted")?;
    let status = &policy["status"];
    let budget = &status["budgets"][0];
    let free = time(&budget["resetTime"])?;
    for words in [
        "budget gentle: 3 of 3 used".to_owned(),
        "the next is free at".to_owned(),
    ] {
        ensure!(message.contains(&words), "{message}");
    }
    ensure!(free > time(&status["lastEvaluationTime"])?, "{status:#}");
    ensure!(
        (
            &budget["name"],
            &budget["active"],
            &budget["allowed"],
            &budget["used"]
        ) == (&json!("gentle"), &json!(true), &json!(MOST), &json!(MOST)),
        "{budget}"
    );
    ensure!(status["budget"] == "3/3", "{}", status["budget"]);
    let held = findings(policy);
    ensure!(
        !held.is_empty()
            && held
                .values()
                .all(|finding| finding["reason"] == "BudgetExhausted"),
        "{held:#?}"
    );
    says(policy, "InPlace", "Held")?;
    Ok(())
}

async fn shows_the_budget(stage: &Stage) {
    eventually(CONVERGED, "the wide columns show the budget", || async {
        let table = stage
            .kubectl(&["get", "plp", "orders", "--output", "wide"])
            .await?;
        let (head, row) = table.split_once('\n').unwrap_or_default();
        let column = head.find("BUDGET").and_then(|column| row.get(column..));
        ensure!(column.is_some_and(|shown| shown.starts_with("3/3 ")), "{table}");
        Ok(())
    })
    .await
    .unwrap();
}
