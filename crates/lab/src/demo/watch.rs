//! The policy's columns as they change, until every leader is home.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::kube::Kube;

const LOOK: Duration = Duration::from_millis(250);
const LIMIT: Duration = Duration::from_mins(5);

/// Prints the columns of the policy `orders` whenever they change; returns when all leaders are home.
pub(super) async fn until_in_place(kube: &Kube, namespace: &str, began: Instant) -> anyhow::Result<()> {
    let mut shown = String::new();
    loop {
        let columns = columns(kube, namespace).await?;
        let (header, row) = columns
            .split_once('\n')
            .context("kubectl prints a header and a row")?;
        let row = row.trim_end();
        if row != shown {
            if shown.is_empty() {
                super::say(&format!("   time  {header}"));
            }
            super::say(&format!("{:6.1}s  {row}", began.elapsed().as_secs_f64()));
            row.clone_into(&mut shown);
        }
        if in_place(&policy(kube, namespace).await?) {
            super::say("");
            return Ok(());
        }
        if began.elapsed() > LIMIT {
            bail!(
                "not in place after {} s; the last columns:\n{shown}",
                LIMIT.as_secs()
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// All columns but the ages, which change by themselves.
async fn columns(kube: &Kube, namespace: &str) -> anyhow::Result<String> {
    let table = kube
        .kubectl(&[
            "--namespace",
            namespace,
            "get",
            "placementpolicy",
            "orders",
            "--output",
            "wide",
        ])
        .await?;
    let header = table.lines().next().unwrap_or("").to_owned();
    let start = |name: &str| header.find(name);
    let cut = |line: &str, from: Option<usize>, to: Option<usize>| {
        from.map(|from| {
            line.get(from..to.unwrap_or(line.len()).min(line.len()))
                .unwrap_or("")
                .to_owned()
        })
    };
    let mut kept = String::new();
    for line in table.lines() {
        let left = cut(line, Some(0), start("AGE")).unwrap_or_default();
        let right = cut(line, start("SHARE"), start("EVALUATED")).unwrap_or_default();
        kept.push_str(&left);
        kept.push_str(right.trim_end());
        kept.push('\n');
    }
    Ok(kept)
}

async fn policy(kube: &Kube, namespace: &str) -> anyhow::Result<Value> {
    let json = kube
        .kubectl(&[
            "--namespace",
            namespace,
            "get",
            "placementpolicy",
            "orders",
            "--output",
            "json",
        ])
        .await?;
    serde_json::from_str(&json).context("kubectl prints JSON")
}

fn in_place(policy: &Value) -> bool {
    let conditions = policy.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "InPlace");
    found.is_some_and(|condition| condition["reason"] == "AllInPlace")
        && policy.pointer("/status/operations").is_none()
}
