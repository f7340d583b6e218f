//! `leeward-lab bench`: what Leeward costs and gains, compared in one run with the practice without it.

mod converge;
mod field;
mod moved;
mod quiet;
mod report;
mod rest;
mod runs;
mod step_down;
mod usage;

use std::time::Duration;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use serde_json::Value;

use crate::kube::Kube;
use crate::leeward::{Operator, manifests};
use crate::nats::{System, eventually};

const NAMESPACE: &str = "leeward-bench";
const LIMIT: Duration = Duration::from_mins(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Section {
    /// How fast leaders come home, against a loop over the `nats` command and against a floor.
    Converge,
    /// What clients feel of step-downs.
    StepDown,
    /// How soon quiet streams are home, by a bare placement edit and led by Leeward.
    Quiet,
    /// Stalls while a stream moves, by a bare placement edit and by Leeward.
    Move,
    /// What `leeward report` takes for 1,000 streams, against `nats stream report` and `nats consumer report`.
    Report,
    /// What it costs to sample who uses each of 1,000 streams, and how many homes are right.
    Use,
}

/// Runs one section, or all of them, and prints them. What varies is measured that many times.
pub async fn run(only: Option<Section>, runs: usize) -> anyhow::Result<()> {
    for section in Section::value_variants() {
        if only.is_some_and(|only| only != *section) {
            continue;
        }
        match section {
            Section::Converge => Box::pin(converge::run(runs)).await?,
            Section::StepDown => Box::pin(step_down::run()).await?,
            Section::Quiet => Box::pin(quiet::run(runs)).await?,
            Section::Move => Box::pin(moved::run(runs)).await?,
            Section::Report => Box::pin(report::run()).await?,
            Section::Use => Box::pin(usage::run()).await?,
        }
    }
    Ok(())
}

/// Applies the Secrets and the `NatsSystem` of a system to the namespace of the bench.
async fn apply_system(kube: &Kube, system: &System, spec: Value) -> anyhow::Result<()> {
    for object in manifests::system_objects(NAMESPACE, system, spec)? {
        kube.apply(&object.to_string()).await?;
    }
    Ok(())
}

/// Waits until the operator counts this many assets with this label as misplaced.
async fn until_misplaced(operator: &Operator, label: &str, count: usize) -> anyhow::Result<()> {
    let waiting = eventually(LIMIT, "the policy is evaluated", || async {
        let page = operator.get("/metrics").await?.1;
        let seen = page.lines().any(|line| {
            line.starts_with("leeward_assets{")
                && line.contains(label)
                && line.contains("misplaced")
                && line.ends_with(&format!(" {count}"))
        });
        ensure!(seen, "not seen yet");
        Ok(())
    });
    waiting.await.with_context(|| operator.log_tail(15))
}
