//! What was sampled of an account's streams lately: a few samplings of each stream, combined.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Sampled, UseKind, UseSample};
use crate::names::{ConsumerName, StreamName};
use crate::snapshot::{AccountView, Stream};
use crate::time::elapsed;

/// Samplings of a stream that are combined: one is of a few messages only.
const MOST_KEPT: usize = 4;
/// Looks of which a stream's rate is kept.
const MOST_RATES: usize = 64;
/// A stream is sampled again twice in a window, and after between these.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(30);
const LONGEST_INTERVAL: Duration = Duration::from_mins(10);

/// What was sampled of one stream at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSampling {
    /// When.
    pub at: Timestamp,
    /// The samples.
    pub samples: Vec<UseSample>,
    /// Why there are no more.
    pub problem: Option<String>,
    /// The user may listen to nothing.
    pub is_blind: bool,
    /// Messages that were received besides those of the samples.
    pub skipped: u32,
    /// No message was measured, and none seen.
    pub is_idle: bool,
}

impl StreamSampling {
    /// What was sampled now; `is_idle` where no message was measured.
    pub fn new(at: Timestamp, sampled: Sampled, is_idle: bool) -> Self {
        let seen = sampled.samples.iter().any(|sample| sample.messages > 0);
        Self {
            at,
            problem: sampled.problem(),
            is_blind: !sampled.denied.is_empty() && sampled.samples.iter().all(|sample| sample.is_denied),
            skipped: sampled.skipped,
            is_idle: is_idle && !seen,
            samples: sampled.samples,
        }
    }

    /// How many messages were received for it.
    pub fn messages(&self) -> u32 {
        let messages = self.samples.iter().map(|sample| sample.messages);
        messages.fold(self.skipped, u32::saturating_add)
    }
}

/// What was sampled of an account's streams lately.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AccountUse {
    /// The newest last.
    streams: BTreeMap<StreamName, Vec<StreamSampling>>,
    /// How many messages a second each of these stored at the looks of the same time.
    stored: BTreeMap<StreamName, Vec<(Timestamp, f32)>>,
}

/// How often a stream is sampled, by the stabilization window.
pub fn sampling_interval(window: Duration) -> Duration {
    (window / 2).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL)
}

/// For how long samples count. Two of them no further apart are an unbroken observation.
pub fn kept_for(window: Duration) -> Duration {
    sampling_interval(window) * 4
}

impl AccountUse {
    /// Adds what was sampled of a stream now.
    pub fn add(&mut self, stream: StreamName, sampling: StreamSampling) {
        let kept = self.streams.entry(stream).or_default();
        kept.push(sampling);
        let excess = kept.len().saturating_sub(MOST_KEPT);
        kept.drain(..excess);
    }

    /// Takes in the rates of a look; forgets what is too old, and streams that the view does not show.
    pub fn observe(&mut self, window: Duration, view: &AccountView, now: Timestamp) {
        let keep = kept_for(window);
        for stream in self.streams.keys() {
            let stored = self.stored.entry(stream.clone()).or_default();
            stored.retain(|(at, _)| elapsed(*at, now) <= keep);
            let is_new = stored.last().is_none_or(|(at, _)| *at < view.observed_at);
            if let Some(rate) = view
                .stream(stream)
                .and_then(|stream| stream.message_rate)
                .filter(|_| is_new)
            {
                stored.push((view.observed_at, rate));
            }
            let excess = stored.len().saturating_sub(MOST_RATES);
            stored.drain(..excess);
        }
        self.streams.retain(|stream, kept| {
            kept.retain(|sampling| elapsed(sampling.at, now) <= keep);
            !kept.is_empty() && (view.stream(stream).is_some() || !view.gaps.is_empty())
        });
        self.stored.retain(|stream, _| self.streams.contains_key(stream));
    }

    /// Messages a second that a stream stores now, or stored on average while it was sampled where that was more: between batches
    /// it seems to store less than its clients send.
    pub fn stored(&self, stream: &Stream) -> Option<f32> {
        let now = stream.message_rate?;
        let looks = self.stored.get(&stream.name).map_or(&[][..], Vec::as_slice);
        let rates = looks.iter().map(|(_, rate)| *rate);
        #[expect(clippy::cast_precision_loss, reason = "they are a few dozen")]
        let mean = rates.sum::<f32>() / looks.len().max(1) as f32;
        Some(now.max(mean))
    }

    /// The last time that a stream was sampled.
    pub fn last(&self, stream: &StreamName) -> Option<&StreamSampling> {
        self.streams.get(stream)?.last()
    }

    /// Whether nothing was sampled.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Whether more samplings of a stream would add to what is known, because it is used and few are kept.
    pub fn is_short_of(&self, stream: &StreamName) -> bool {
        let kept = self.streams.get(stream).map_or(&[][..], Vec::as_slice);
        kept.len() < MOST_KEPT
            && kept
                .iter()
                .all(|sampling| !sampling.is_idle && !sampling.is_blind)
    }

    /// Whether a stream was idle at each of as many samplings as are kept: one moment without a message is no sign.
    pub fn is_unused(&self, stream: &StreamName) -> bool {
        let kept = self.streams.get(stream).map_or(&[][..], Vec::as_slice);
        kept.len() >= MOST_KEPT && kept.iter().all(|sampling| sampling.is_idle)
    }

    /// Streams that were sampled, by name.
    pub fn streams(&self) -> impl Iterator<Item = &StreamName> {
        self.streams.keys()
    }

    /// What was sampled of a stream, one sample of each kind and consumer.
    pub fn samples(&self, stream: &StreamName) -> Vec<UseSample> {
        let mut combined: BTreeMap<(UseKind, Option<&ConsumerName>), UseSample> = BTreeMap::new();
        let kept = self.streams.get(stream).into_iter().flatten();
        for sample in kept.flat_map(|sampling| &sampling.samples) {
            let key = (sample.kind, sample.consumer.as_ref());
            match combined.get_mut(&key) {
                Some(sum) => sum.add(sample),
                None => drop(combined.insert(key, sample.clone())),
            }
        }
        combined.into_values().collect()
    }

    /// Streams of which not everything could be sampled, and why.
    pub fn problems(&self) -> impl Iterator<Item = (&StreamName, &str)> {
        let lasts = self.streams.iter();
        lasts.filter_map(|(stream, kept)| Some((stream, kept.last()?.problem.as_deref()?)))
    }
}

impl UseSample {
    /// Takes in another sample of the same kind and consumer.
    fn add(&mut self, other: &Self) {
        self.span += other.span;
        self.messages = self.messages.saturating_add(other.messages);
        self.independent = self.independent.saturating_add(other.independent);
        self.is_denied |= other.is_denied;
        for (client, messages) in &other.clients {
            let sum = self.clients.entry(client.clone()).or_default();
            *sum = sum.saturating_add(*messages);
        }
    }
}

#[cfg(test)]
mod tests;
