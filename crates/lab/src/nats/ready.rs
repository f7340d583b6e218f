//! When a system counts as ready, by its servers' reports in the system account: every route and gateway is up, and the
//! JetStream meta group has one leader with all its peers current.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::Client;
use futures::StreamExt;
use jiff::SignedDuration;
use serde_json::Value;

use super::config::ServerNode;

/// How long the servers of a round may take to answer; all run on this machine.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Asks all servers (`$SYS.REQ.SERVER.PING.<kind>`) and returns `data` by server name; ends early once `expected`
/// servers have answered. Servers that do not answer are missing.
pub async fn ping(
    client: &Client,
    kind: &str,
    payload: &Value,
    expected: usize,
) -> anyhow::Result<BTreeMap<String, Value>> {
    let subject = format!("$SYS.REQ.SERVER.PING.{kind}");
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await?;
    let body = if payload.is_null() {
        Vec::new()
    } else {
        serde_json::to_vec(payload)?
    };
    client.publish_with_reply(subject, inbox, body.into()).await?;
    client.flush().await?;

    let mut seen = BTreeMap::new();
    let deadline = tokio::time::Instant::now() + ANSWER_LIMIT;
    while seen.len() < expected {
        let Ok(Some(answer)) = tokio::time::timeout_at(deadline, answers.next()).await else {
            break;
        };
        let Ok(mut envelope) = serde_json::from_slice::<Value>(&answer.payload) else {
            continue;
        };
        if let Some(name) = envelope["server"]["name"].as_str() {
            seen.insert(name.to_owned(), envelope["data"].take());
        }
    }
    Ok(seen)
}

/// Fails with what is still missing.
pub(crate) async fn check(client: &Client, nodes: &[ServerNode]) -> anyhow::Result<()> {
    let count = nodes.len();
    let answers = |kind: &'static str| ping(client, kind, &Value::Null, count);
    let routes = answers("ROUTEZ").await?;
    let gateways = answers("GATEWAYZ").await?;
    let jetstream = answers("JSZ").await?;
    for node in nodes {
        let name = &node.member.name;
        ensure!(
            routes.contains_key(name) && gateways.contains_key(name) && jetstream.contains_key(name),
            "{name} does not answer the system account"
        );
    }
    check_routes(nodes, &routes)?;
    check_gateways(nodes, &gateways)?;
    check_meta_group(nodes, &jetstream)
}

fn check_routes(nodes: &[ServerNode], routez: &BTreeMap<String, Value>) -> anyhow::Result<()> {
    for node in nodes {
        let connected: BTreeSet<&str> = array(&routez[&node.member.name]["routes"])
            .iter()
            .filter_map(|it| it["remote_name"].as_str())
            .collect();
        let same_cluster = nodes
            .iter()
            .filter(|other| other.member.cluster == node.member.cluster);
        for other in same_cluster.map(|other| &other.member.name) {
            ensure!(
                *other == node.member.name || connected.contains(other.as_str()),
                "{} has no route to {other}",
                node.member.name
            );
        }
        check_relayed(nodes, node, array(&routez[&node.member.name]["routes"]))?;
    }
    Ok(())
}

/// Routes to another location must not use the direct port: no delay would apply to them.
fn check_relayed(nodes: &[ServerNode], node: &ServerNode, routes: &[Value]) -> anyhow::Result<()> {
    for other in nodes
        .iter()
        .filter(|other| other.member.location != node.member.location)
    {
        let direct = u64::from(other.ports.cluster.number());
        ensure!(
            !routes.iter().any(|route| route["port"] == direct),
            "a route from {} to {} bypasses the relays",
            node.member.name,
            other.member.name
        );
    }
    Ok(())
}

fn check_gateways(nodes: &[ServerNode], gatewayz: &BTreeMap<String, Value>) -> anyhow::Result<()> {
    let clusters: BTreeSet<&str> = nodes.iter().map(|node| node.member.cluster.as_str()).collect();
    for node in nodes {
        let outbound = &gatewayz[&node.member.name]["outbound_gateways"];
        for cluster in &clusters {
            ensure!(
                *cluster == node.member.cluster || outbound.get(cluster).is_some(),
                "{} has no gateway to cluster {cluster}",
                node.member.name
            );
        }
    }
    Ok(())
}

fn check_meta_group(nodes: &[ServerNode], jsz: &BTreeMap<String, Value>) -> anyhow::Result<()> {
    if nodes.len() == 1 {
        return Ok(());
    }
    let leaders: BTreeSet<&str> = jsz
        .values()
        .map(|data| data["meta_cluster"]["leader"].as_str().unwrap_or_default())
        .collect();
    let leader = leaders.first().copied().unwrap_or_default();
    ensure!(
        leaders.len() == 1 && !leader.is_empty(),
        "the servers name as JetStream meta leader: {leaders:?}"
    );
    let meta = &jsz
        .get(leader)
        .with_context(|| format!("the meta leader {leader} is unknown"))?["meta_cluster"];
    let size = meta["cluster_size"].as_u64().unwrap_or_default();
    ensure!(
        usize::try_from(size)? == nodes.len(),
        "the JetStream meta group has {size} members"
    );
    let replicas = array(&meta["replicas"]);
    ensure!(
        replicas.len() + 1 == nodes.len(),
        "the meta leader {leader} sees {} peers",
        replicas.len()
    );
    for replica in replicas {
        let current = replica["current"].as_bool().unwrap_or_default();
        let offline = replica["offline"].as_bool().unwrap_or_default();
        ensure!(
            current && !offline,
            "meta peer {} is not current",
            replica["name"]
        );
    }
    Ok(())
}

pub(crate) fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The measured round trip of a connection, if any.
pub(crate) fn round_trip(connection: &Value) -> Option<Duration> {
    let measured = go_duration(connection["rtt"].as_str()?).ok();
    measured.filter(|measured| !measured.is_zero())
}

/// Reads a duration as Go writes it: `1m2.5s`, `41.7ms`, `263µs`.
pub fn go_duration(text: &str) -> anyhow::Result<Duration> {
    let duration: SignedDuration = text.parse().with_context(|| format!("no duration: {text:?}"))?;
    Ok(duration.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_are_read() {
        assert_eq!(go_duration("263µs").unwrap(), Duration::from_micros(263));
        assert_eq!(go_duration("41.5ms").unwrap(), Duration::from_micros(41_500));
        assert_eq!(go_duration("1m2.5s").unwrap(), Duration::from_millis(62_500));
        assert_eq!(go_duration("0s").unwrap(), Duration::ZERO);
        assert!(go_duration("fast").is_err());
        assert!(go_duration("12").is_err());
    }
}
