//! Streams and consumers for tests, and their leaders, as the `nats` command shows them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::{Client, ConnectOptions};
use futures::StreamExt;
use futures::future::try_join_all;
use leeward_lab::load::{Load, Publisher, PullWorker, Worker};
use leeward_lab::nats::jetstream::PreferredLeader;
use leeward_lab::nats::{DEFAULT_ACCOUNT, DEFAULT_USER, System, eventually, jetstream};
use serde_json::{Value, json};

use crate::stage::{CONVERGED, Stage};

const READY: Duration = Duration::from_mins(2);

/// More than the command's own 5 s, for a busy machine.
const PATIENT: [&str; 2] = ["--timeout", "20s"];

/// A client of the default account at a location.
pub async fn client(system: &System, location: &str) -> anyhow::Result<Client> {
    system.connect_default(location).await
}

/// A number of named clients at a location; they count there for as long as they are kept.
pub async fn clients(system: &System, location: &str, count: usize) -> anyhow::Result<Vec<Client>> {
    let urls = system.urls(location)?;
    let credentials = system.credentials(DEFAULT_ACCOUNT, DEFAULT_USER)?;
    let connect = |number: usize| {
        let urls = urls.clone();
        async move {
            let options: ConnectOptions = system.connect_options(credentials)?.name(format!("app-{number}"));
            system.connect_with(&urls, options).await
        }
    };
    try_join_all((0..count).map(connect)).await
}

/// Creates a stream on subjects of its own (`NAME.>`), and waits until it has a leader.
pub async fn stream(client: &Client, name: &str, replicas: u8, extra: Value) -> anyhow::Result<Value> {
    let base = json!({"subjects": [format!("{name}.>")], "num_replicas": replicas, "duplicate_window": 120_000_000_000u64});
    let config = leeward_lab::leeward::manifests::merged(base, extra);
    jetstream::create_stream(client, name, config)
        .await
        .with_context(|| format!("stream {name}"))?;
    settled(client, name, replicas).await
}

/// Waits until a stream has a leader and all its peers are current; returns its INFO.
pub async fn settled(client: &Client, name: &str, replicas: u8) -> anyhow::Result<Value> {
    eventually(READY, &format!("stream {name} settles"), || async {
        let info = jetstream::stream_info(client, name).await?;
        ensure!(info["cluster"]["leader"].is_string(), "no leader");
        let followers = info["cluster"]["replicas"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        ensure!(
            followers.len() + 1 == usize::from(replicas),
            "peers: {followers:?}"
        );
        ensure!(
            followers.iter().all(|peer| peer["current"] == true),
            "not current: {followers:?}"
        );
        Ok(info)
    })
    .await
}

/// Creates a pull consumer with explicit acknowledgement; `extra` is merged over its configuration.
pub async fn consumer(client: &Client, stream: &str, name: &str, extra: Value) -> anyhow::Result<()> {
    let base = json!({"ack_policy": "explicit", "ack_wait": 20_000_000_000u64});
    let config = leeward_lab::leeward::manifests::merged(base, extra);
    jetstream::create_consumer(client, stream, name, config)
        .await
        .with_context(|| format!("consumer {stream}/{name}"))?;
    eventually(
        READY,
        &format!("consumer {stream}/{name} has a leader"),
        || async {
            let leader = jetstream::leader_of_consumer(client, stream, name).await?;
            leader.context("no leader")
        },
    )
    .await?;
    Ok(())
}

/// A stream of three replicas in one location, with a consumer `work`.
pub async fn placed_in(system: &System, name: &str, location: &str) -> anyhow::Result<()> {
    let client = client(system, location).await?;
    stream(&client, name, 3, json!({"placement": {"cluster": location}})).await?;
    consumer(&client, name, "work", json!({})).await
}

/// Uses a stream from a location: publishes to it, and fetches from its consumer `work`, until the workers are stopped.
pub async fn use_from(
    system: &System,
    load: &mut Load,
    name: &str,
    location: &str,
) -> anyhow::Result<[Worker; 2]> {
    let subject = format!("{name}.new");
    let publishes = Publisher::new(client(system, location).await?, location, name, &subject);
    let pulls = PullWorker::new(client(system, location).await?, location, name, "work");
    Ok([load.publish(publishes), load.pull(pulls)])
}

/// The leader of every stream (`STREAM`) and consumer (`STREAM/CONSUMER`) of the default account.
///
/// Read with the `nats` command from a location, not with Leeward's code.
pub async fn leaders(system: &System, location: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let context = system.nats_context(DEFAULT_ACCOUNT, DEFAULT_USER, location)?;
    let read = |args: Vec<String>| {
        let context = context.clone();
        async move {
            let args: Vec<&str> = args.iter().map(String::as_str).chain(PATIENT).collect();
            eventually(READY, "the nats command is answered", || async {
                let text = system.nats_cli_text(&context, &args).await?;
                serde_json::from_str::<Value>(&text).with_context(|| format!("nats {args:?} prints JSON"))
            })
            .await
        }
    };
    let list = |value: &Value| -> Vec<String> {
        value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut found = BTreeMap::new();
    for stream in list(&read(words(&["stream", "ls", "--names", "--json", "--all"])).await?) {
        let info = read(words(&["stream", "info", &stream, "--json"])).await?;
        found.insert(stream.clone(), leader(&info));
        for consumer in list(&read(words(&["consumer", "ls", &stream, "--names", "--json"])).await?) {
            let info = read(words(&["consumer", "info", &stream, &consumer, "--json"])).await?;
            found.insert(format!("{stream}/{consumer}"), leader(&info));
        }
    }
    Ok(found)
}

/// The location in a server's name, which is `LOCATION-NUMBER`.
pub fn location(server: &str) -> &str {
    server.rsplit_once('-').map_or(server, |(location, _)| location)
}

/// Which leaders are not in a location, by asset.
pub fn elsewhere(leaders: &BTreeMap<String, String>, wanted: &str) -> BTreeMap<String, String> {
    let away = leaders.iter().filter(|(_, leader)| location(leader) != wanted);
    away.map(|(asset, leader)| (asset.clone(), leader.clone()))
        .collect()
}

/// Steps a stream's or a consumer's leader down until a server of a location leads; it needs a peer there.
///
/// Servers without preferred leaders are asked repeatedly.
pub async fn lead(
    client: &Client,
    stream: &str,
    consumer: Option<&str>,
    wanted: &str,
    aimed: bool,
) -> anyhow::Result<()> {
    let aim = if aimed {
        PreferredLeader::Aimed
    } else {
        PreferredLeader::Blind
    };
    jetstream::lead(client, stream, consumer, wanted, aim).await?;
    Ok(())
}

/// Evacuates the servers of a consumer with one replica until one of a location leads it.
pub async fn evacuate(client: &Client, stream: &str, consumer: &str, wanted: &str) -> anyhow::Result<()> {
    let info = format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}");
    let evacuation = format!("$JS.API.CONSUMER.PEER.EVACUATE.{stream}.{consumer}");
    let mut left = None;
    loop {
        let leader = eventually(READY, "the consumer is on one other server", || async {
            let cluster = jetstream::request(client, &info, &json!({})).await?["cluster"].clone();
            let others = cluster["replicas"].as_array().map_or(0, Vec::len);
            let leader = cluster["leader"].as_str().unwrap_or_default();
            ensure!(
                others == 0 && !leader.is_empty() && left.as_deref() != Some(leader),
                "{cluster}"
            );
            Ok(leader.to_owned())
        })
        .await?;
        if location(&leader) == wanted {
            return Ok(());
        }
        jetstream::request(client, &evacuation, &json!({"peer": leader})).await?;
        left = Some(leader);
    }
}

/// Waits until Leeward has looked at everything, from begin to end, this many times from now on, and judged a policy by
/// each of these looks.
///
/// Observed at the servers: Leeward asks for gateways once in every full look, and nobody else does.
pub async fn looks(stage: &Stage, policy: &str, count: usize) -> anyhow::Result<()> {
    // A replica that waits for a killed one's lease looks, but judges nothing.
    eventually(CONVERGED, "the policy is judged", || rounds(stage, policy)).await?;
    let client = stage.system.system_client().await?;
    let mut asked = client.subscribe("$SYS.REQ.SERVER.PING.GATEWAYZ").await?;
    client.flush().await?;
    // The first that is seen begins the first look; the one after the last ends it.
    let waiting = async {
        for _ in 0..=count {
            asked.next().await.context("the subscription has ended")?;
        }
        let before = rounds(stage, policy).await?;
        eventually(READY, "a round after the last look", || async {
            let now = rounds(stage, policy).await?;
            ensure!(now > before, "{now} rounds of {policy}");
            Ok(())
        })
        .await
    };
    tokio::time::timeout(CONVERGED, waiting)
        .await
        .with_context(|| format!("{count} looks did not end"))?
}

/// How often a policy was judged since its operator started.
pub async fn rounds(stage: &Stage, policy: &str) -> anyhow::Result<u64> {
    let operator = stage.operator.as_ref().context("no operator")?;
    let (_, page) = operator.get("/metrics").await?;
    let label = format!("policy=\"{policy}\"");
    let line = page
        .lines()
        .find(|line| line.starts_with("leeward_round_duration_seconds_count") && line.contains(&label))
        .with_context(|| format!("no rounds of {policy}"))?;
    let number = line.rsplit(' ').next().context("an empty line")?;
    number.parse().with_context(|| format!("no number: {line}"))
}

/// Pulls messages and keeps them unacknowledged: stream sequence and how often each was delivered.
pub async fn pull_and_keep(
    client: &Client,
    stream: &str,
    consumer: &str,
    batch: usize,
) -> anyhow::Result<BTreeMap<u64, u64>> {
    let inbox = client.new_inbox();
    let mut replies = client.subscribe(inbox.clone()).await?;
    let request = json!({"batch": batch, "expires": 2_000_000_000u64}).to_string();
    let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
    client.publish_with_reply(subject, inbox, request.into()).await?;
    let mut pulled = BTreeMap::new();
    while pulled.len() < batch {
        let next = tokio::time::timeout(Duration::from_secs(4), replies.next()).await;
        let Ok(Some(message)) = next else { break };
        if message.status.is_some() {
            break;
        }
        let reply = message.reply.context("a message of a consumer has a reply")?;
        // $JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.…, or with domain and account after ACK.
        let tokens: Vec<&str> = reply.split('.').collect();
        let at = if tokens.len() >= 11 { 6 } else { 4 };
        let number = |index: usize| tokens.get(index).and_then(|token| token.parse::<u64>().ok());
        let (deliveries, sequence) = number(at)
            .zip(number(at + 1))
            .with_context(|| format!("{reply}"))?;
        pulled.insert(sequence, deliveries);
    }
    Ok(pulled)
}

fn leader(info: &Value) -> String {
    info.pointer("/cluster/leader")
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_owned()
}
