//! Reads a stream back and compares it with the ledger.
//!
//! Messages are read one by one by sequence (`STREAM.MSG.GET`): that goes to the stream's leader, needs no consumer,
//! and so works with every retention, version and setting. It is made for streams of a test, up to some hundred
//! thousand messages.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context;
use async_nats::Client;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use serde_json::Value;

use super::ids::{MessageIdentity, NumberSet};
use super::ledger::MessageLedger;
use crate::nats::jetstream;

const CONCURRENCY: usize = 128;
const EXAMPLES: usize = 10;

/// A stream's contents against what the server had acknowledged when the check began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[must_use]
pub struct StreamCheck {
    pub acknowledged: u64,
    /// Distinct messages of the load that are in the stream, acknowledged or not.
    pub stored: u64,
    /// Messages in the stream that the load did not publish.
    pub foreign: u64,
    /// Acknowledged but not in the stream. With limits retention this should be zero; other retentions remove what was
    /// consumed.
    pub missing: u64,
    /// Missing, and not delivered by every tracked consumer of the stream: these the servers lost.
    pub lost: u64,
    /// In the stream more than once.
    pub doubled: u64,
    /// Ids of the first few that are lost.
    pub examples: Vec<String>,
}

impl StreamCheck {
    /// Every acknowledged message is in the stream exactly once.
    pub fn is_exact(&self) -> bool {
        self.missing == 0 && self.lost == 0 && self.doubled == 0
    }
}

impl fmt::Display for StreamCheck {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            acknowledged,
            stored,
            foreign,
            missing,
            lost,
            doubled,
            examples,
        } = self;
        write!(
            formatter,
            "acknowledged {acknowledged}, stored {stored}, foreign {foreign}, missing {missing}, lost {lost}, doubled {doubled}"
        )?;
        if !examples.is_empty() {
            write!(formatter, "; lost are {}", examples.join(", "))?;
        }
        Ok(())
    }
}

pub(super) async fn verify_stream(
    ledger: &MessageLedger,
    client: &Client,
    stream: &str,
    from: u64,
) -> anyhow::Result<StreamCheck> {
    // First: messages acknowledged during the read may be missing from it.
    let acknowledged = ledger.acknowledged_of(stream);
    let contents = Contents::read(ledger, client, stream, from).await?;
    Ok(judge(ledger, stream, &acknowledged, &contents))
}

fn judge(
    ledger: &MessageLedger,
    stream: &str,
    acknowledged: &BTreeMap<usize, NumberSet>,
    contents: &Contents,
) -> StreamCheck {
    let mut check = StreamCheck {
        acknowledged: acknowledged.values().map(NumberSet::len).sum(),
        stored: contents.ours.values().map(NumberSet::len).sum(),
        foreign: contents.foreign,
        doubled: contents.doubled,
        ..StreamCheck::default()
    };
    for (&publisher, numbers) in acknowledged {
        let stored = contents.ours.get(&publisher);
        for number in numbers
            .iter()
            .filter(|number| !stored.is_some_and(|stored| stored.contains(*number)))
        {
            check.missing += 1;
            if !ledger.delivered_by_all(stream, publisher, number) {
                check.lost += 1;
                if check.examples.len() < EXAMPLES {
                    check.examples.push(ledger.message_id(publisher, number));
                }
            }
        }
    }
    check
}

#[derive(Default)]
struct Contents {
    ours: BTreeMap<usize, NumberSet>,
    foreign: u64,
    doubled: u64,
}

impl Contents {
    async fn read(ledger: &MessageLedger, client: &Client, stream: &str, from: u64) -> anyhow::Result<Self> {
        let state = jetstream::stream_info(client, stream).await?["state"].take();
        let sequence = |name: &str| {
            state[name]
                .as_u64()
                .with_context(|| format!("{stream} has no {name}"))
        };
        let sequences = sequence("first_seq")?.max(from)..=sequence("last_seq")?;
        let mut messages = futures::stream::iter(sequences)
            .map(|sequence| async move {
                let message = jetstream::stored_message(client, stream, sequence).await?;
                anyhow::Ok((sequence, message))
            })
            .buffer_unordered(CONCURRENCY);
        let mut contents = Self::default();
        while let Some((sequence, message)) = messages.try_next().await? {
            if let Some(message) = message {
                contents.add(ledger.identify(message_id(&message)?.as_deref(), sequence));
            }
        }
        Ok(contents)
    }

    fn add(&mut self, message: MessageIdentity) {
        match message {
            MessageIdentity::Ours { publisher, number } => {
                let new = self.ours.entry(publisher).or_default().insert(number);
                self.doubled += u64::from(!new);
            }
            MessageIdentity::Foreign { .. } => self.foreign += 1,
        }
    }
}

/// Headers come as base64 of their wire form.
fn message_id(message: &Value) -> anyhow::Result<Option<String>> {
    let headers = STANDARD.decode(message["hdrs"].as_str().unwrap_or_default())?;
    let headers = String::from_utf8(headers)?;
    let id = headers.lines().find_map(|line| line.strip_prefix("Nats-Msg-Id:"));
    Ok(id.map(|id| id.trim().to_owned()))
}
