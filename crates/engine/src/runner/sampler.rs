//! Samples who uses streams, at the pace of the policy: a few streams at a time, as many messages a minute.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use leeward_core::names::StreamName;
use leeward_core::usage::{AccountUse, Sampled, Sampling, StreamSampling};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::debug;

use crate::ports::{Act, ActError, Clock};

/// Streams that are sampled at once.
const AT_ONCE: usize = 4;
/// A stream that could not be sampled is tried again after this long.
const AGAIN: Duration = Duration::from_mins(1);
/// One during whose sampling the connection is lost when nothing else is sampled: others wait for it meanwhile.
const AGAIN_ALONE: Duration = Duration::from_mins(10);

/// What was sampled, and what is being sampled.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    usage: AccountUse,
    /// The most urgent first.
    due: Vec<Sampling>,
    in_flight: BTreeSet<StreamName>,
    tasks: JoinSet<(Sampling, Result<Sampled, ActError>)>,
    /// Streams during whose sampling the connection was lost: each is sampled alone, until it is not any more.
    suspects: BTreeSet<StreamName>,
    /// When the pace allows the next one; at once where none is set.
    not_before: Option<Instant>,
    failed: BTreeMap<StreamName, Instant>,
}

impl Sampler {
    pub(super) fn new(usage: AccountUse) -> Self {
        Self {
            usage,
            ..Self::default()
        }
    }

    pub(super) fn usage(&self) -> &AccountUse {
        &self.usage
    }

    pub(super) fn usage_mut(&mut self) -> &mut AccountUse {
        &mut self.usage
    }

    /// Replaces what is due.
    pub(super) fn set_due(&mut self, due: Vec<Sampling>) {
        let now = Instant::now();
        self.failed.retain(|_, again| *again > now);
        self.due = due;
        self.due.retain(|sampling| {
            !self.in_flight.contains(&sampling.stream) && !self.failed.contains_key(&sampling.stream)
        });
    }

    /// When the next sampling may start; `None` while nothing is due, or as many as may be are under way.
    pub(super) fn wakes(&self) -> Option<Instant> {
        let is_suspect = |stream| self.suspects.contains(stream);
        let first = self.due.first()?;
        let may = if is_suspect(&first.stream) {
            self.in_flight.is_empty()
        } else {
            self.in_flight.len() < AT_ONCE && !self.in_flight.iter().any(is_suspect)
        };
        may.then(|| self.not_before.unwrap_or_else(Instant::now))
    }

    /// Starts what is due and may start.
    pub(super) fn start<A: Act>(&mut self, act: &Arc<A>) {
        while self.wakes().is_some_and(|at| at <= Instant::now()) {
            let sampling = self.due.remove(0);
            self.in_flight.insert(sampling.stream.clone());
            let act = Arc::clone(act);
            self.tasks.spawn(async move {
                let sampled = act.sample_use(&sampling).await;
                (sampling, sampled)
            });
        }
    }

    /// Waits for a sampling to end, and takes its result in; never returns while none is under way. Returns how many
    /// messages it received.
    pub(super) async fn next<C: Clock>(&mut self, clock: &C, messages_per_minute: u32) -> u32 {
        let (sampling, sampled) = loop {
            match self.tasks.join_next().await {
                Some(Ok(sampled)) => break sampled,
                // It broke down; whatever is due is found again by the next round.
                Some(Err(_)) if self.tasks.is_empty() => self.in_flight.clear(),
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        };
        let Sampling { stream, is_idle, .. } = sampling;
        self.in_flight.remove(&stream);
        let was_alone = self.suspects.remove(&stream);
        let sampled = match sampled {
            Ok(sampled) => sampled,
            // Who may not look at all sees nothing of it: the account's clients decide.
            Err(ActError::Denied { subject }) => Sampled {
                denied: BTreeSet::from([subject]),
                ..Sampled::default()
            },
            Err(error) => {
                debug!(%stream, %error, "who uses a stream could not be sampled");
                let mut again = AGAIN;
                if error == ActError::Disconnected {
                    self.suspects.insert(stream.clone());
                    if was_alone {
                        again = AGAIN_ALONE;
                    }
                }
                self.failed.insert(stream, Instant::now() + again);
                return 0;
            }
        };
        let sampling = StreamSampling::new(clock.now(), sampled, is_idle);
        let messages = sampling.messages();
        let pause = Duration::from_mins(1).saturating_mul(messages.max(1)) / messages_per_minute.max(1);
        let now = Instant::now();
        self.not_before = Some(self.not_before.unwrap_or(now).max(now) + pause);
        self.usage.add(stream, sampling);
        messages
    }
}
