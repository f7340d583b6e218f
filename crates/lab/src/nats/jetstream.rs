//! JetStream by raw JSON, so that tests can set and see any field, whatever the client library supports.
//!
//! Reads, creations and updates are retried until the servers answer, for a minute: they are idempotent. A step-down
//! and a plain [`request`] are sent once. An answer with an error is an error that shows the server's codes
//! ([`RefusedRequest`]); wait with [`eventually`].

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Context;
use async_nats::{Client, HeaderMap, Request, RequestErrorKind, header};
use serde_json::{Value, json};

use super::answered;

pub use super::answered::RefusedRequest;
pub use super::leading::{PreferredLeader, create_spread, is_in, lead, lead_meta_group};

/// By then every server knows a new stream.
const CONSUMER_KNOWN: Duration = Duration::from_mins(1);
/// A message that is not acknowledged by then is published again.
const ACKNOWLEDGED: Duration = Duration::from_secs(5);
/// How long a request that is sent once may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Quick results are seen quickly, and a long wait does not keep the servers busy.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
const NO_SUCH_STREAM: u64 = 10059;
const NO_SUCH_MESSAGE: u64 = 10037;

/// Sends a request once and returns the answer as it is, `error` included. A `payload` of `Value::Null` is sent empty.
pub async fn request_raw(client: &Client, subject: &str, payload: &Value) -> anyhow::Result<Value> {
    answered::once(client, subject, payload, PATIENCE).await
}

/// As [`request_raw`], but an answer with `error` is an error.
pub async fn request(client: &Client, subject: &str, payload: &Value) -> anyhow::Result<Value> {
    let answer = request_raw(client, subject, payload).await?;
    match RefusedRequest::in_answer(subject, &answer) {
        Some(refused) => Err(refused.into()),
        None => Ok(answer),
    }
}

/// Creates the stream `name`; `config` is the whole stream config, its name is set here.
pub async fn create_stream(client: &Client, name: &str, mut config: Value) -> anyhow::Result<Value> {
    config["name"] = json!(name);
    answered::request(client, &format!("$JS.API.STREAM.CREATE.{name}"), &config).await
}

/// Replaces the config of the stream `name` by `config`.
pub async fn update_stream(client: &Client, name: &str, mut config: Value) -> anyhow::Result<Value> {
    config["name"] = json!(name);
    answered::request(client, &format!("$JS.API.STREAM.UPDATE.{name}"), &config).await
}

/// Deletes the stream `name`; one that does not exist is fine.
pub async fn delete_stream(client: &Client, name: &str) -> anyhow::Result<()> {
    let subject = format!("$JS.API.STREAM.DELETE.{name}");
    let deleted = answered::request(client, &subject, &Value::Null).await;
    unless_refused(deleted, NO_SUCH_STREAM).map(drop)
}

/// The message of a stream with this sequence, from the stream's leader; `None` where it was deleted.
pub async fn stored_message(client: &Client, stream: &str, sequence: u64) -> anyhow::Result<Option<Value>> {
    let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
    let answer = answered::request(client, &subject, &json!({ "seq": sequence })).await;
    let answer = unless_refused(answer, NO_SUCH_MESSAGE)?;
    Ok(answer.map(|mut answer| answer["message"].take()))
}

/// `None` where the request was refused with this code.
fn unless_refused(answer: anyhow::Result<Value>, code: u64) -> anyhow::Result<Option<Value>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) => match error.downcast_ref::<RefusedRequest>() {
            Some(refused) if refused.err_code == code => Ok(None),
            Some(_) | None => Err(error),
        },
    }
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
    let subject = format!("$JS.API.CONSUMER.CREATE.{stream}.{name}");
    answered::request(client, &subject, &payload).await
}

pub async fn stream_info(client: &Client, stream: &str) -> anyhow::Result<Value> {
    answered::request(client, &format!("$JS.API.STREAM.INFO.{stream}"), &Value::Null).await
}

pub async fn consumer_info(client: &Client, stream: &str, consumer: &str) -> anyhow::Result<Value> {
    let subject = format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}");
    answered::request(client, &subject, &Value::Null).await
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

/// The leader in a stream's or consumer's info.
pub fn leader_in(info: &Value) -> Option<String> {
    info["cluster"]["leader"]
        .as_str()
        .filter(|leader| !leader.is_empty())
        .map(str::to_owned)
}

/// Asks the stream's leader to step down, in favour of the server `preferred` if given (from 2.11 on).
pub async fn step_down(client: &Client, stream: &str, preferred: Option<&str>) -> anyhow::Result<Value> {
    let subject = format!("$JS.API.STREAM.LEADER.STEPDOWN.{stream}");
    request(client, &subject, &step_down_body(preferred)).await
}

/// Asks the consumer's leader to step down, in favour of the server `preferred` if given (from 2.11 on).
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

/// Publishes and waits for the stream's acknowledgement, whose sequence it returns. Without one it is retried under the
/// same id: servers learn of a new stream shortly after it is created, and a leader change may swallow a message
/// (nats-facts N16).
pub async fn publish(
    client: &Client,
    subject: &str,
    payload: impl Into<bytes::Bytes>,
) -> anyhow::Result<u64> {
    let mut headers = HeaderMap::new();
    headers.insert(header::NATS_MESSAGE_ID, client.new_inbox());
    let payload = payload.into();
    let begin = Instant::now();
    let answer = loop {
        let request = Request::new()
            .headers(headers.clone())
            .payload(payload.clone())
            .timeout(Some(ACKNOWLEDGED));
        match client.send_request(subject.to_owned(), request).await {
            Err(error) if passes(error.kind()) && begin.elapsed() < CONSUMER_KNOWN => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            answer => break answer.with_context(|| format!("{subject} was not acknowledged"))?,
        }
    };
    let answer: Value = serde_json::from_slice(&answer.payload)
        .with_context(|| format!("the answer to a message on {subject} is not from a stream"))?;
    if let Some(refused) = RefusedRequest::in_answer(subject, &answer) {
        return Err(refused.into());
    }
    answer["seq"]
        .as_u64()
        .with_context(|| format!("acknowledgement without sequence: {answer}"))
}

fn passes(kind: RequestErrorKind) -> bool {
    matches!(kind, RequestErrorKind::NoResponders | RequestErrorKind::TimedOut)
}

/// Runs `probe` again and again until it succeeds. The error after `limit` names `what` and the last failure.
pub async fn eventually<T, F, Fut>(limit: Duration, what: &str, mut probe: F) -> anyhow::Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<T>>,
{
    let deadline = Instant::now() + limit;
    let mut last = None;
    let mut pause = FIRST_PAUSE;
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
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

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
