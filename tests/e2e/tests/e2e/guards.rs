//! Limits on real servers: judged by the servers' own audit and times, and by what the status says of them.

mod breaker;
mod budget;
mod contested;
mod gates;
mod moves;
mod windows;

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use async_nats::Client;
use jiff::Timestamp;
use leeward_e2e::{CONVERGED, Stage, condition};
use leeward_lab::audit::AuditedRequest;
use leeward_lab::kube::Kind;
use leeward_lab::nats::{eventually, jetstream};
use serde_json::{Value, json};

/// When a server carried a request out.
fn at(request: &AuditedRequest) -> Timestamp {
    request.at.parse().unwrap()
}

/// A time of a status.
fn time(value: &Value) -> anyhow::Result<Timestamp> {
    let text = value.as_str().context("no time")?;
    text.parse().with_context(|| format!("no time: {text}"))
}

/// What is held, by asset (`STREAM` or `STREAM/CONSUMER`), with the finding; what is not held has the reason null.
fn findings(policy: &Value) -> BTreeMap<String, Value> {
    let listed = policy["status"]["findings"].as_array().into_iter().flatten();
    let of_assets = listed.filter_map(|finding| {
        let stream = finding["stream"].as_str()?;
        let consumer = finding["consumer"].as_str();
        let asset = consumer.map_or_else(|| stream.to_owned(), |consumer| format!("{stream}/{consumer}"));
        Some((asset, finding.clone()))
    });
    of_assets.collect()
}

/// Exactly these assets have findings, all for one reason; gives their messages.
fn held_for(policy: &Value, assets: &[&str], reason: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let found = findings(policy);
    ensure!(
        found.keys().eq(assets) && found.values().all(|finding| finding["reason"] == reason),
        "{found:#?}"
    );
    let message = |finding: &Value| finding["message"].as_str().unwrap_or("").to_owned();
    Ok(found
        .iter()
        .map(|(asset, finding)| (asset.clone(), message(finding)))
        .collect())
}

/// The condition has this reason; gives its message.
fn says(policy: &Value, kind: &str, reason: &str) -> anyhow::Result<String> {
    let (found, message) = condition(policy, kind).with_context(|| format!("no {kind}"))?;
    ensure!(found == reason, "{kind} is {found}: {message}");
    Ok(message)
}

/// The notes of the events with a reason.
async fn notes(stage: &Stage, reason: &str) -> anyhow::Result<Vec<String>> {
    let events = stage.list(Kind::Event).await?;
    let wanted = events.iter().filter(|event| event["reason"] == reason);
    Ok(wanted
        .filter_map(|event| event["note"].as_str().map(str::to_owned))
        .collect())
}

/// Waits for an event whose note has some words in it, and gives the note.
async fn await_event(stage: &Stage, reason: &str, words: &str) -> String {
    eventually(CONVERGED, &format!("event {reason}"), || async {
        let notes = notes(stage, reason).await?;
        let found = notes.iter().find(|note| note.contains(words)).cloned();
        found.with_context(|| format!("{notes:?}"))
    })
    .await
    .unwrap()
}

/// A person or another tool changes a stream's configuration.
async fn change(client: &Client, stream: &str, over: Value) {
    // A server may have to end a move before.
    eventually(CONVERGED, &format!("{stream} is changed"), || async {
        let info = jetstream::stream_info(client, stream).await?;
        let config = leeward_lab::leeward::manifests::merged(info["config"].clone(), over.clone());
        jetstream::request(client, &format!("$JS.API.STREAM.UPDATE.{stream}"), &config).await
    })
    .await
    .unwrap();
}

/// Successful moves that a status tells of.
fn moved(policy: &Value) -> usize {
    let actions = policy["status"]["recentActions"].as_array().into_iter().flatten();
    let moves =
        actions.filter(|action| action["type"] == "StreamPlacement" && action["result"] == "Succeeded");
    moves.count()
}

/// A stream of one replica that lies in a cluster.
async fn lies_in(client: &Client, cluster: &str, stream: &str, extra: Value) {
    let placed = json!({"placement": {"cluster": cluster}});
    let config = leeward_lab::leeward::manifests::merged(placed, extra);
    leeward_e2e::assets::stream(client, stream, 1, config)
        .await
        .unwrap();
}
