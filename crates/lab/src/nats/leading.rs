//! Puts leaders where a test, the demo or a bench wants them.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use async_nats::Client;
use serde_json::{Value, json};

use super::jetstream;
use super::system::System;

/// How long it may take until the wanted server leads.
const LIMIT: Duration = Duration::from_mins(3);
/// A leader transfer without a new leader by now has failed: an election takes 4 to 9 s (nats-facts N14).
const TRANSFERRED: Duration = Duration::from_secs(12);
const LOOK: Duration = Duration::from_millis(10);
/// How often a stream is created until its peers are as wanted.
const TRIES: usize = 60;

/// How step-downs are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreferredLeader {
    /// To a peer in the wanted place, which servers support from 2.11 on.
    Aimed,
    /// Without a target, repeated until the wanted place leads by chance.
    Blind,
}

/// Creates a stream that has peers in each of these places, and returns its info. The servers choose the emptiest
/// peers, so a stream that does not fit is created again.
pub async fn create_spread(
    client: &Client,
    name: &str,
    config: Value,
    places: &[&str],
) -> anyhow::Result<Value> {
    for _ in 0..TRIES {
        let info = jetstream::create_stream(client, name, config.clone()).await?;
        let peers = jetstream::peers_in(&info);
        let has_peer = |place: &&str| peers.iter().any(|peer| is_in(peer, place));
        if places.iter().all(has_peer) {
            return Ok(info);
        }
        jetstream::delete_stream(client, name).await?;
    }
    bail!("{name} never got peers in each of {places:?}")
}

/// Transfers the meta leadership until a server of `cluster` has it and all servers report so. A leader that just
/// stepped down still leads for some: a retry at once would start an election that disturbs the caller.
pub async fn lead_meta_group(system: &System, cluster: &str) -> anyhow::Result<()> {
    let client = system.system_client().await?;
    let body = json!({ "placement": { "cluster": cluster } });
    let begin = Instant::now();
    let mut asked: Option<Instant> = None;
    while begin.elapsed() < LIMIT {
        match meta_leader(system).await {
            Ok(leader) if is_in(&leader, cluster) => return Ok(()),
            Ok(_) if asked.is_none_or(|asked| asked.elapsed() > TRANSFERRED) => {
                asked = Some(Instant::now());
                // A request that an election swallows is sent again.
                let _ = jetstream::request(&client, "$JS.API.META.LEADER.STEPDOWN", &body).await;
            }
            Ok(_) | Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
    let leader = meta_leader(system).await;
    bail!("after {LIMIT:?} the meta group is not led from {cluster}: {leader:?}")
}

/// The meta group's leader, if all servers that answer agree.
async fn meta_leader(system: &System) -> anyhow::Result<String> {
    let jsz = system.ping("JSZ", &json!({})).await?;
    let mut leaders = jsz
        .values()
        .map(|data| data["meta_cluster"]["leader"].as_str().unwrap_or_default());
    let leader = leaders.next().context("no server answers")?;
    ensure!(!leader.is_empty(), "a server knows no leader");
    ensure!(leaders.all(|other| other == leader), "servers disagree");
    Ok(leader.to_owned())
}

/// Steps a stream's or consumer's leader down until a server of `place` leads, a location or a server's own name; it
/// needs a peer there. Returns the number of step-downs that were sent.
pub async fn lead(
    client: &Client,
    stream: &str,
    consumer: Option<&str>,
    place: &str,
    aim: PreferredLeader,
) -> anyhow::Result<u64> {
    let begin = Instant::now();
    let mut sent = 0;
    loop {
        let info = info(client, stream, consumer).await?;
        let leader = jetstream::leader_in(&info);
        match &leader {
            Some(leader) if is_in(leader, place) => return Ok(sent),
            Some(leader) => {
                step_down(client, (stream, consumer), &info, place, aim).await?;
                sent += 1;
                until_changed(client, stream, consumer, leader).await?;
            }
            None => tokio::time::sleep(LOOK).await,
        }
        ensure!(
            begin.elapsed() < LIMIT,
            "{stream} {consumer:?} does not come to {place} in {LIMIT:?}: {leader:?} leads"
        );
    }
}

/// Whether a server, named `LOCATION-NUMBER`, is in a location, or has that name.
pub fn is_in(server: &str, place: &str) -> bool {
    server == place
        || server
            .rsplit_once('-')
            .is_some_and(|(location, _)| location == place)
}

async fn step_down(
    client: &Client,
    (stream, consumer): (&str, Option<&str>),
    info: &Value,
    place: &str,
    aim: PreferredLeader,
) -> anyhow::Result<()> {
    let peers = jetstream::peers_in(info);
    let target = peers.iter().find(|peer| is_in(peer, place));
    let target =
        target.with_context(|| format!("{stream} {consumer:?} has no peer in {place}: {peers:?}"))?;
    let preferred = Some(target.as_str()).filter(|_| aim == PreferredLeader::Aimed);
    let asked = match consumer {
        None => jetstream::step_down(client, stream, preferred).await,
        Some(consumer) => jetstream::step_down_consumer(client, stream, consumer, preferred).await,
    };
    // Only the leader that is read back counts: an answer may be late, and another may lead by now.
    if let Err(error) = asked {
        tracing::debug!(%error, "a step-down is not granted");
    }
    Ok(())
}

async fn until_changed(
    client: &Client,
    stream: &str,
    consumer: Option<&str>,
    from: &str,
) -> anyhow::Result<()> {
    let asked = Instant::now();
    while asked.elapsed() < TRANSFERRED {
        let info = info(client, stream, consumer).await?;
        if jetstream::leader_in(&info).is_some_and(|leader| leader != from) {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn info(client: &Client, stream: &str, consumer: Option<&str>) -> anyhow::Result<Value> {
    match consumer {
        None => jetstream::stream_info(client, stream).await,
        Some(consumer) => jetstream::consumer_info(client, stream, consumer).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_location_or_a_server() {
        assert!(is_in("us-east-0", "us-east") && is_in("lab-2", "lab-2"));
        assert!(!is_in("us-east-0", "us") && !is_in("us-east-0", "us-east-1"));
    }
}
