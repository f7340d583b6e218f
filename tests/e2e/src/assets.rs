//! Streams and consumers for tests, and where they are led, as the `nats` command sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::{Client, ConnectOptions};
use futures::future::try_join_all;
use leeward_lab::nats::{DEFAULT_ACCOUNT, DEFAULT_USER, System, eventually, jetstream};
use serde_json::{Value, json};

const READY: Duration = Duration::from_secs(30);

/// A client of the default account at a location.
pub async fn client(system: &System, location: &str) -> anyhow::Result<Client> {
    system
        .connect(location, system.credentials(DEFAULT_ACCOUNT, DEFAULT_USER)?)
        .await
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

/// Waits until a stream has a leader and all its peers are current; gives its INFO.
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

/// Creates a pull consumer with explicit acknowledgement; `extra` is laid over its configuration.
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

/// The leader of every stream (`STREAM`) and consumer (`STREAM/CONSUMER`) of the default account.
///
/// Seen with the `nats` command from a location, not with Leeward's code.
pub async fn leaders(system: &System, location: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let context = system.nats_context(DEFAULT_ACCOUNT, DEFAULT_USER, location)?;
    let read = |args: Vec<String>| {
        let context = context.clone();
        async move {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let text = system.nats_cli_text(&context, &args).await?;
            serde_json::from_str::<Value>(&text).with_context(|| format!("nats {args:?} prints JSON"))
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

fn leader(info: &Value) -> String {
    info.pointer("/cluster/leader")
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_owned()
}
