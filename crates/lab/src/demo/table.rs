//! Before and after, for each group of streams, from where it is used.

use std::fmt::Write as _;
use std::time::Duration;

use super::scene::{AWAY, DemoTotals, GROUPS, HOME, LeaderTable, StreamGroup};
use crate::load::{Latency, LoadPhase, PATIENCE};

/// What is known of each group comes in the order of [`GROUPS`].
pub(super) struct DemoOutcome {
    pub(super) leaders_before: Vec<LeaderTable>,
    pub(super) leaders_after: Vec<LeaderTable>,
    pub(super) before: Vec<LoadPhase>,
    pub(super) moving: Vec<LoadPhase>,
    pub(super) after: Vec<LoadPhase>,
    pub(super) totals: DemoTotals,
    pub(super) metrics: String,
    pub(super) converged: Duration,
}

pub(super) fn print(outcome: &DemoOutcome) -> anyhow::Result<()> {
    let mut text = heading();
    let before = outcome.leaders_before.iter().zip(&outcome.before);
    let after = outcome.leaders_after.iter().zip(&outcome.after);
    for (group, (before, after)) in GROUPS.iter().zip(before.zip(after)) {
        let StreamGroup {
            used_from,
            led_from: _,
            streams: _,
        } = group;
        text += &row(&group.name(), "before", before);
        text += &row(&format!("  used from {used_from}"), "after", after);
    }
    let DemoTotals {
        published,
        acknowledged,
        delivered,
        redelivered,
        lost,
    } = outcome.totals;
    writeln!(text)?;
    writeln!(
        text,
        "messages: {published} published, {acknowledged} acknowledged, {delivered} delivered, {redelivered} redelivered, {lost} lost"
    )?;
    let stalls = outcome
        .moving
        .iter()
        .map(|phase| phase.publish.quantiles().max_micros);
    let sum = |count: fn(&LoadPhase) -> u64| outcome.moving.iter().map(count).sum::<u64>();
    writeln!(
        text,
        "while leaders moved: worst publish ack {} ms; {} attempts to publish were refused at once, {} were not answered \
         and sent again after {} s",
        milliseconds(stalls.max().unwrap_or_default()),
        sum(|phase| phase.counts.publishes_refused),
        sum(|phase| phase.counts.publishes_unanswered),
        PATIENCE.as_secs()
    )?;
    let step_downs = actions(&outcome.metrics, "StepDown");
    let moves = actions(&outcome.metrics, "StreamPlacement");
    writeln!(
        text,
        "{step_downs} step-downs, {moves} stream moves; converged in {:.1} s",
        outcome.converged.as_secs_f64()
    )?;
    crate::print_line(text);
    Ok(())
}

fn heading() -> String {
    let places = format!("{HOME:>8}{AWAY:>8}  ");
    format!(
        "{:44}{:>16}  {:>16}  {:>16}{:>16}\n{:44}{places}{places}{:>8}{:>8}{:>8}{:>8}\n",
        "",
        "stream leaders",
        "consumer leaders",
        "publish ack, ms",
        "fetch, ms",
        "",
        "p50",
        "p99",
        "p50",
        "p99"
    )
}

/// Latencies are those that the group's users saw.
fn row(name: &str, when: &str, (leaders, phase): (&LeaderTable, &LoadPhase)) -> String {
    let mut text = format!("{name:37}{when:7}");
    for counts in [&leaders.streams, &leaders.consumers] {
        for location in [HOME, AWAY] {
            let _ = write!(text, "{:8}", counts.get(location).copied().unwrap_or(0));
        }
        text += "  ";
    }
    text += &latency(&phase.publish);
    text += &latency(&phase.fetch);
    text + "\n"
}

fn latency(latency: &Latency) -> String {
    let quantiles = latency.quantiles();
    match quantiles.count {
        0 => format!("{:>8}{:>8}", "-", "-"),
        _ => format!(
            "{:>8}{:>8}",
            milliseconds(quantiles.p50_micros),
            milliseconds(quantiles.p99_micros)
        ),
    }
}

fn milliseconds(micros: u64) -> String {
    format!("{:.1}", Duration::from_micros(micros).as_secs_f64() * 1000.0)
}

/// Requests that ended, of the kinds with this suffix, from the operator's own page.
fn actions(page: &str, kind: &str) -> u64 {
    page.lines()
        .filter(|line| line.starts_with("leeward_actions_total{"))
        .filter(|line| line.contains(&format!("{kind}\"")) && !line.contains("result=\"Abandoned\""))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}
