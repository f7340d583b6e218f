//! The engine at the command line: the built binary as people, pipelines and `kubectl` start it.

mod applied;
mod by_nats;
mod definitions;
mod incomplete;
mod interrupted;
mod plugin;
mod reported;
mod running;
mod typed;
mod used;

use leeward_lab::leeward::manifests::{self, merged};
use leeward_lab::nats::System;
use serde_json::{Value, json};

const HOME: &str = "us-east";
const AWAY: &str = "eu-west";
/// For commands that find everybody there; on a busy machine an answer may take a while.
const PATIENT: [&str; 2] = ["--wait", "1m"];

/// A policy as a file has it: without references, which mean nothing there, and without limits.
pub fn policy(name: &str, spec: Value) -> String {
    let no_references = json!({"spec": {"systemRef": null, "credentialsRef": null}});
    let policy = merged(manifests::placement_policy("files", name, spec), no_references);
    format!("{policy}\n")
}

/// Every action that a plan has, as `ACTION STREAM[/CONSUMER]`.
fn actions(plan: &Value) -> Vec<String> {
    let plans = plan["plans"].as_array().into_iter().flatten();
    let waves = plans.flat_map(|plan| plan["waves"].as_array().into_iter().flatten());
    let all = waves.flat_map(|wave| wave["actions"].as_array().into_iter().flatten());
    all.map(|action| format!("{} {}", word(&action["action"]), asset(action)))
        .collect()
}

/// `STREAM` or `STREAM/CONSUMER` of an action, a finding, or anything that has both fields.
fn asset(part: &Value) -> String {
    match part["consumer"].as_str() {
        Some(consumer) => format!("{}/{consumer}", word(&part["stream"])),
        None => word(&part["stream"]).to_owned(),
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Names of lists that documents have, as assets.
fn assets_of(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(asset).collect()
}

/// Filters for what differs from run to run: which server of a location, moments, how long something took, and how wide
/// columns are for it.
fn masked(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots");
    settings.add_filter(r"\b((?:us-east|eu-west)-)\d\b", "${1}N");
    settings.add_filter(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?", "TIME");
    settings.add_filter(
        r"\b\d+(?:\.\d+)? ?(?:ns|µs|ms|s|min|m)\b(?: \d+ ?(?:ms|s)\b)*",
        "DURATION",
    );
    settings.add_filter(r"(\S) {2,}", "$1  ");
    settings.bind(check);
}

/// The stream configurations of the default account.
async fn configs(client: &async_nats::Client, streams: &[&str]) -> Vec<Value> {
    let mut configs = Vec::new();
    for stream in streams {
        let info = leeward_lab::nats::jetstream::stream_info(client, stream).await;
        let mut config = info.unwrap()["config"].clone();
        config.as_object_mut().unwrap().remove("placement");
        configs.push(config);
    }
    configs
}

/// Watches the edits of streams as they arrive at the servers.
async fn edits(system: &System) -> async_nats::Subscriber {
    let watcher = system.system_client().await.unwrap();
    let edits = watcher.subscribe("$JS.API.STREAM.UPDATE.*").await.unwrap();
    watcher.flush().await.unwrap();
    edits
}
