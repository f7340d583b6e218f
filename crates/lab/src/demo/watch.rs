//! The policy's columns as they change, until every leader is home.
//!
//! That the policy says so does not suffice: a stream that is used from both locations counts as in place wherever it is led
//! until enough samples show a majority.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::Value;

use super::scene::{DemoScene, next_to_their_users};
use crate::kube::{Kind, Kube};
use crate::print_line;

/// The columns to show, and their widths. Ages change by themselves and are left out.
const COLUMNS: [(&str, usize); 8] = [
    ("ACCOUNT", 7),
    ("MODE", 7),
    ("HOME", 14),
    ("SHARE", 5),
    ("IN-PLACE", 8),
    ("REASON", 14),
    ("OBSERVED", 12),
    ("PROGRESSING", 13),
];
const LOOK: Duration = Duration::from_millis(250);
const LIMIT: Duration = Duration::from_mins(5);

/// Prints the columns of the policy `orders` whenever they change; returns when all leaders are home.
pub(super) async fn until_in_place(
    kube: &Kube,
    namespace: &str,
    scene: &DemoScene,
    began: Instant,
) -> anyhow::Result<()> {
    let objects = kube.objects().await?;
    let mut shown = Vec::new();
    loop {
        let row = row(&columns(kube, namespace).await?);
        if row != shown {
            if shown.is_empty() {
                print_line(format!(
                    "   time  {}",
                    aligned(&COLUMNS.map(|(name, _)| name.to_owned()))
                ));
            }
            print_line(format!(
                "{:6.1}s  {}",
                began.elapsed().as_secs_f64(),
                aligned(&row)
            ));
            shown = row;
        }
        let is_in_place = in_place(&objects.get(namespace, Kind::PlacementPolicy, "orders").await?);
        if is_in_place && next_to_their_users(&scene.leaders().await?).is_ok() {
            print_line("");
            return Ok(());
        }
        if began.elapsed() > LIMIT {
            bail!(
                "not in place after {} s; the last columns: {}",
                LIMIT.as_secs(),
                aligned(&shown)
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What `kubectl` prints: a header and a row.
async fn columns(kube: &Kube, namespace: &str) -> anyhow::Result<String> {
    let args = "get placementpolicy orders --output wide --namespace";
    let args: Vec<&str> = args.split(' ').chain([namespace]).collect();
    kube.kubectl(&args).await
}

/// The cells of [`COLUMNS`]; a cell begins where its column's name does.
fn row(table: &str) -> Vec<String> {
    let (header, row) = table.split_once('\n').unwrap_or((table, ""));
    let cell = |name: &str| {
        let start = header.find(name)?;
        let rest = row.get(start..)?;
        let width = header
            .get(start + name.len()..)?
            .find(|letter: char| letter != ' ');
        let cell = width.map_or(Some(rest), |width| rest.get(..name.len() + width))?;
        Some(cell.trim().to_owned())
    };
    COLUMNS
        .iter()
        .map(|(name, _)| cell(name).unwrap_or_default())
        .collect()
}

fn aligned(cells: &[String]) -> String {
    let widths = COLUMNS.iter().map(|(_, width)| *width);
    let padded: Vec<String> = cells
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell:<width$}"))
        .collect();
    padded.join("  ").trim_end().to_owned()
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
