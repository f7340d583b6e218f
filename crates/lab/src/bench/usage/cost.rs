//! What it costs to find out who uses streams: as the kernel counts it, as the servers do, and as the operator does.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

use super::scene::UseScene;
use crate::audit::is_leeward;
use crate::bench::rest::processor_seconds;
use crate::leeward::Operator;

/// More connections than a server of the bench has, ended ones included.
const CONNECTIONS: u32 = 1024;
/// Both states of a connection, open and closed.
const ALL: u32 = 2;

/// Totals until a moment, or what came between two.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SamplingCost {
    pub(super) seconds: f64,
    /// Stored and delivered in the account.
    pub(super) messages: f64,
    pub(super) samplings: f64,
    /// As the operator counts them.
    pub(super) sampled: f64,
    /// What the servers sent to the operator's connections, and received from them.
    pub(super) received: f64,
    pub(super) received_bytes: f64,
    pub(super) sent: f64,
    pub(super) sent_bytes: f64,
    /// Processor time in seconds.
    pub(super) servers: f64,
    pub(super) leeward: f64,
}

/// What a span of time costs.
pub(super) async fn over(
    time: Duration,
    scene: &UseScene,
    operator: &Operator,
) -> anyhow::Result<SamplingCost> {
    let (before, began) = (now(scene, operator).await?, Instant::now());
    tokio::time::sleep(time).await;
    let seconds = began.elapsed().as_secs_f64();
    let after = now(scene, operator).await?;
    Ok(SamplingCost {
        seconds,
        messages: after.messages - before.messages,
        samplings: after.samplings - before.samplings,
        sampled: after.sampled - before.sampled,
        received: after.received - before.received,
        received_bytes: after.received_bytes - before.received_bytes,
        sent: after.sent - before.sent,
        sent_bytes: after.sent_bytes - before.sent_bytes,
        servers: after.servers - before.servers,
        leeward: after.leeward - before.leeward,
    })
}

async fn now(scene: &UseScene, operator: &Operator) -> anyhow::Result<SamplingCost> {
    let page = operator.get("/metrics").await?.1;
    let mut cost = SamplingCost {
        messages: number(scene.messages()),
        samplings: metric(&page, "leeward_use_samplings_total"),
        sampled: metric(&page, "leeward_use_sampled_messages_total"),
        leeward: processor_seconds(operator.id())?,
        ..SamplingCost::default()
    };
    let system = scene.system();
    for server in system.server_names() {
        cost.servers += processor_seconds(system.process_id(&server).await?)?;
    }
    let listed = system
        .ping("CONNZ", &json!({"state": ALL, "limit": CONNECTIONS}))
        .await?;
    for connz in listed.values() {
        let connections = connz["connections"].as_array().context("no connections")?;
        let is_own = |name: Option<&str>| name.is_some_and(is_leeward);
        for one in connections.iter().filter(|one| is_own(one["name"].as_str())) {
            let count = |field: &str| one[field].as_f64().unwrap_or(0.0);
            cost.received += count("out_msgs");
            cost.received_bytes += count("out_bytes");
            cost.sent += count("in_msgs");
            cost.sent_bytes += count("in_bytes");
        }
    }
    Ok(cost)
}

/// The sum of a counter over its labels.
pub(super) fn metric(page: &str, name: &str) -> f64 {
    page.lines()
        .filter(|line| line.starts_with(&format!("{name}{{")))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
