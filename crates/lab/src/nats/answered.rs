//! Requests that are repeated until the servers answer them.
//!
//! For reads, and for idempotent requests. Servers that have just started, elect a leader or are short of processor
//! time answer late, not at all, or with a temporary refusal; every other refusal is final.

use std::time::{Duration, Instant};

use anyhow::Context;
use async_nats::{Client, Request};
use serde_json::Value;

/// How long the servers may take to answer.
const LIMIT: Duration = Duration::from_mins(1);
/// A swallowed request (nats-facts N14) costs this long; the next ones get more time, for servers that are slow.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);
const LONGEST_PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

/// Refusals of servers that do not know or reach each other yet: incomplete results, no suitable peers, temporarily
/// unavailable, not leader, insufficient resources.
const PASSING: [u64; 5] = [10004, 10005, 10008, 10009, 10023];

/// A server's refusal of a JetStream request.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{subject}: {description} ({code}/{err_code})")]
pub struct RefusedRequest {
    pub subject: String,
    pub code: u64,
    pub err_code: u64,
    pub description: String,
}

impl RefusedRequest {
    /// The refusal in an answer, if it is one.
    pub fn in_answer(subject: &str, answer: &Value) -> Option<Self> {
        let error = answer.get("error")?;
        Some(Self {
            subject: subject.to_owned(),
            code: error["code"].as_u64().unwrap_or_default(),
            err_code: error["err_code"].as_u64().unwrap_or_default(),
            description: error["description"].as_str().unwrap_or_default().to_owned(),
        })
    }

    /// Whether the same request may be granted a moment later.
    pub fn passes(&self) -> bool {
        PASSING.contains(&self.err_code)
    }
}

/// Sends `payload`, empty if it is `Value::Null`, until it is granted or refused for good.
pub(super) async fn request(client: &Client, subject: &str, payload: &Value) -> anyhow::Result<Value> {
    let deadline = Instant::now() + LIMIT;
    let mut patience = FIRST_PATIENCE;
    loop {
        let failed = match once(client, subject, payload, patience).await {
            Ok(answer) => match RefusedRequest::in_answer(subject, &answer) {
                None => return Ok(answer),
                Some(refused) if refused.passes() => refused.into(),
                Some(refused) => return Err(refused.into()),
            },
            Err(error) => error,
        };
        if Instant::now() >= deadline {
            return Err(failed.context(format!("{subject} was not granted in {LIMIT:?}")));
        }
        patience = (patience * 2).min(LONGEST_PATIENCE);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Sends a request and gives the answer as it is; no answer, or only a status, is an error.
pub(super) async fn once(
    client: &Client,
    subject: &str,
    payload: &Value,
    patience: Duration,
) -> anyhow::Result<Value> {
    let body = if payload.is_null() {
        Vec::new()
    } else {
        serde_json::to_vec(payload)?
    };
    let request = Request::new().payload(body.into()).timeout(Some(patience));
    let answer = client
        .send_request(subject.to_owned(), request)
        .await
        .with_context(|| format!("request {subject} was not answered"))?;
    if let Some(status) = answer.status.filter(|status| status.as_u16() >= 400) {
        anyhow::bail!("request {subject} was answered with status {status}");
    }
    serde_json::from_slice(&answer.payload).with_context(|| format!("the answer to {subject} is not JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_refusals_of_servers_that_are_not_ready_pass() {
        let refused = |err_code: u64| {
            let answer = json!({"error": {"code": 400, "err_code": err_code, "description": "no"}});
            RefusedRequest::in_answer("$JS.API.STREAM.CREATE.S", &answer).unwrap()
        };
        assert!(refused(10005).passes() && refused(10008).passes() && refused(10023).passes());
        assert!(!refused(10058).passes() && !refused(10025).passes());
        assert_eq!(
            refused(10058).to_string(),
            "$JS.API.STREAM.CREATE.S: no (400/10058)"
        );
        assert!(RefusedRequest::in_answer("s", &json!({"config": {}})).is_none());
    }
}
