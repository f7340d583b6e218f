//! JetStream by raw JSON, so that tests can set and see any field, whatever the client library knows.
//!
//! Every function but [`publish`] asks once. An answer with an error is an error that shows the server's codes; wait with [`eventually`].

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use async_nats::{Client, RequestErrorKind};
use serde_json::{Value, json};

/// Every server has heard of a new stream by then.
const HEARD_OF: Duration = Duration::from_secs(10);

/// Sends a request and gives the answer as it is, `error` included. A `payload` of `Value::Null` is sent empty.
pub async fn request_raw(client: &Client, subject: &str, payload: &Value) -> anyhow::Result<Value> {
    let body = if payload.is_null() {
        Vec::new()
    } else {
        serde_json::to_vec(payload)?
    };
    let answer = client
        .request(subject.to_owned(), body.into())
        .await
        .with_context(|| format!("request {subject} was not answered"))?;
    if let Some(status) = answer.status.filter(|status| status.as_u16() >= 400) {
        bail!("request {subject} was answered with status {status}");
    }
    serde_json::from_slice(&answer.payload).with_context(|| format!("the answer to {subject} is not JSON"))
}

/// As [`request_raw`], but an answer with `error` is an error.
pub async fn request(client: &Client, subject: &str, payload: &Value) -> anyhow::Result<Value> {
    let answer = request_raw(client, subject, payload).await?;
    if let Some(error) = answer.get("error") {
        bail!("{subject}: {error}");
    }
    Ok(answer)
}

/// Creates the stream `name`; `config` is the whole stream config, its name is set here.
pub async fn create_stream(client: &Client, name: &str, mut config: Value) -> anyhow::Result<Value> {
    config["name"] = json!(name);
    request(client, &format!("$JS.API.STREAM.CREATE.{name}"), &config).await
}

/// Replaces the config of the stream `name` by `config`.
pub async fn update_stream(client: &Client, name: &str, mut config: Value) -> anyhow::Result<Value> {
    config["name"] = json!(name);
    request(client, &format!("$JS.API.STREAM.UPDATE.{name}"), &config).await
}

/// Creates the consumer `name`; durable unless `config` sets `inactive_threshold`.
pub async fn create_consumer(
    client: &Client,
    stream: &str,
    name: &str,
    mut config: Value,
) -> anyhow::Result<Value> {
    config["name"] = json!(name);
    if config.get("inactive_threshold").is_none() {
        config["durable_name"] = json!(name);
    }
    let payload = json!({ "stream_name": stream, "config": config });
    request(
        client,
        &format!("$JS.API.CONSUMER.CREATE.{stream}.{name}"),
        &payload,
    )
    .await
}

pub async fn stream_info(client: &Client, stream: &str) -> anyhow::Result<Value> {
    request(client, &format!("$JS.API.STREAM.INFO.{stream}"), &Value::Null).await
}

pub async fn consumer_info(client: &Client, stream: &str, consumer: &str) -> anyhow::Result<Value> {
    request(
        client,
        &format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}"),
        &Value::Null,
    )
    .await
}

/// The server that leads the stream, or `None` while there is no leader.
pub async fn leader_of(client: &Client, stream: &str) -> anyhow::Result<Option<String>> {
    Ok(leader_in(&stream_info(client, stream).await?))
}

/// The server that leads the consumer, or `None` while there is no leader.
pub async fn leader_of_consumer(
    client: &Client,
    stream: &str,
    consumer: &str,
) -> anyhow::Result<Option<String>> {
    Ok(leader_in(&consumer_info(client, stream, consumer).await?))
}

/// The names of all peers in a stream's or consumer's info, leader first.
pub fn peers_in(info: &Value) -> Vec<String> {
    let replicas = info["cluster"]["replicas"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let others = replicas
        .iter()
        .filter_map(|replica| replica["name"].as_str())
        .map(str::to_owned);
    leader_in(info).into_iter().chain(others).collect()
}

fn leader_in(info: &Value) -> Option<String> {
    info["cluster"]["leader"]
        .as_str()
        .filter(|leader| !leader.is_empty())
        .map(str::to_owned)
}

/// Asks the stream's leader to step down, for the server `preferred` if one is named (from 2.11 on).
pub async fn step_down(client: &Client, stream: &str, preferred: Option<&str>) -> anyhow::Result<Value> {
    let subject = format!("$JS.API.STREAM.LEADER.STEPDOWN.{stream}");
    request(client, &subject, &step_down_body(preferred)).await
}

/// Asks the consumer's leader to step down, for the server `preferred` if one is named (from 2.11 on).
pub async fn step_down_consumer(
    client: &Client,
    stream: &str,
    consumer: &str,
    preferred: Option<&str>,
) -> anyhow::Result<Value> {
    let subject = format!("$JS.API.CONSUMER.LEADER.STEPDOWN.{stream}.{consumer}");
    request(client, &subject, &step_down_body(preferred)).await
}

fn step_down_body(preferred: Option<&str>) -> Value {
    preferred.map_or(
        Value::Null,
        |server| json!({ "placement": { "preferred": server } }),
    )
}

/// Publishes and waits for the stream's acknowledgement, whose sequence it gives.
/// While nobody listens, nothing is stored, and it is tried again: servers hear of a new stream a moment after it is made.
pub async fn publish(
    client: &Client,
    subject: &str,
    payload: impl Into<bytes::Bytes>,
) -> anyhow::Result<u64> {
    let payload = payload.into();
    let begin = Instant::now();
    let answer = loop {
        match client.request(subject.to_owned(), payload.clone()).await {
            Err(error) if error.kind() == RequestErrorKind::NoResponders && begin.elapsed() < HEARD_OF => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            answer => break answer.with_context(|| format!("{subject} was not acknowledged"))?,
        }
    };
    let answer: Value = serde_json::from_slice(&answer.payload)
        .with_context(|| format!("the answer to a message on {subject} is not from a stream"))?;
    if let Some(error) = answer.get("error") {
        bail!("{subject}: {error}");
    }
    answer["seq"]
        .as_u64()
        .with_context(|| format!("acknowledgement without sequence: {answer}"))
}

/// Tries `probe` again and again until it succeeds. The error after `limit` names `what` and the last failure.
pub async fn eventually<T, F, Fut>(limit: Duration, what: &str, mut probe: F) -> anyhow::Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<T>>,
{
    let deadline = Instant::now() + limit;
    let mut last = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = Some(error),
            Err(_) if last.is_none() => last = Some(anyhow::anyhow!("the first try did not end")),
            Err(_) => {}
        }
        if Instant::now() >= deadline {
            let last = last.unwrap_or_else(|| anyhow::anyhow!("no try"));
            return Err(last.context(format!("after {limit:?} still not: {what}")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn eventually_tells_what_was_awaited_and_the_last_failure() {
        let mut tries = 0;
        let failed = eventually(Duration::from_millis(120), "the moon is full", || {
            tries += 1;
            async { bail!("a crescent") }
        })
        .await
        .map(|()| "full");
        let text = format!("{:#}", failed.unwrap_err());
        assert!(
            text.contains("the moon is full") && text.contains("a crescent"),
            "{text}"
        );
        assert!(tries > 1);
    }

    #[test]
    fn peers_are_the_leader_and_the_replicas() {
        let info = json!({ "cluster": { "leader": "a", "replicas": [{ "name": "b" }, { "name": "c" }] } });
        assert_eq!(peers_in(&info), ["a", "b", "c"]);
        assert!(peers_in(&json!({})).is_empty());
    }
}
