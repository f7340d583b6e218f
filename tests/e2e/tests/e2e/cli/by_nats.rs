//! What the `nats` command reports, counted by location.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use leeward_e2e::assets;
use leeward_lab::nats::{SYSTEM_ACCOUNT, SYSTEM_USER, System};
use serde_json::Value;

/// Counts by location.
pub type Counts = BTreeMap<String, i64>;

/// What is known of an account from three reports of the `nats` command.
#[derive(Debug, PartialEq, Eq)]
pub struct Reported {
    pub connections: Counts,
    pub stream_leaders: Counts,
    pub consumer_leaders: Counts,
}

impl Reported {
    /// Asks the `nats` command, as the account's user at a location.
    pub async fn read(system: &System, account: &str, user: &str, location: &str) -> anyhow::Result<Self> {
        let context = system.nats_context(account, user, location)?;
        let text = system.nats_cli_text(&context, &["stream", "report"]).await?;
        let (streams, stream_leaders) = led(&text)?;
        let mut consumer_leaders = Counts::new();
        for stream in streams {
            let args = ["consumer", "report", &stream];
            for (location, count) in led(&system.nats_cli_text(&context, &args).await?)?.1 {
                *consumer_leaders.entry(location).or_default() += count;
            }
        }
        Ok(Self {
            connections: connections(system, account, location).await?,
            stream_leaders,
            consumer_leaders,
        })
    }

    /// The same as a report of Leeward has it; a location without any is left out, as the `nats` command does.
    pub fn of_leeward(report: &Value) -> Self {
        let locations = report["locations"].as_array().cloned().unwrap_or_default();
        let count = |field: &str| {
            let counted = locations.iter().filter_map(|location| {
                let name = location["name"].as_str()?.to_owned();
                Some((name, location[field].as_i64()?))
            });
            counted.filter(|(_, count)| *count > 0).collect()
        };
        Self {
            connections: count("connections"),
            stream_leaders: count("streamLeaders"),
            consumer_leaders: count("consumerLeaders"),
        }
    }
}

async fn connections(system: &System, account: &str, location: &str) -> anyhow::Result<Counts> {
    let context = system.nats_context(SYSTEM_ACCOUNT, SYSTEM_USER, location)?;
    let args = ["server", "report", "connections", "--json", "--account", account];
    let text = system.nats_cli_text(&context, &args).await?;
    let list: Vec<Value> = serde_json::from_str(&text).context("connections are JSON")?;
    let mut counts = Counts::new();
    for connection in list {
        let server = connection.pointer("/server/name").and_then(Value::as_str);
        let location = assets::location(server.context("a connection has a server")?);
        *counts.entry(location.to_owned()).or_default() += 1;
    }
    Ok(counts)
}

/// The first cell of each row of a report, and how many of them are led from each location. Replicas are in the last
/// cell, the leader's name with a star.
fn led(report: &str) -> anyhow::Result<(Vec<String>, Counts)> {
    let mut names = Vec::new();
    let mut counts = Counts::new();
    for row in report.lines().filter(|line| line.contains('*')) {
        let mut cells = row.split('│').map(str::trim).filter(|cell| !cell.is_empty());
        let name = cells.next().with_context(|| format!("no cells: {row}"))?;
        let replicas = cells.next_back().with_context(|| format!("one cell: {row}"))?;
        let leader = replicas.split(", ").find_map(|replica| replica.strip_suffix('*'));
        let leader = leader.with_context(|| format!("no leader: {row}"))?;
        ensure!(!leader.is_empty(), "no leader: {row}");
        *counts.entry(assets::location(leader).to_owned()).or_default() += 1;
        names.push(name.to_owned());
    }
    Ok((names, counts))
}
