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
    streams: BTreeMap<StreamName, KnownUse>,
}

/// What is known of one stream; the newest last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct KnownUse {
    samplings: Vec<StreamSampling>,
    /// Of samplings that are kept no more: who created consumers, which is seldom.
    creates: Vec<(Timestamp, UseSample)>,
    /// How many messages a second it stored at the looks of the same time.
    stored: Vec<(Timestamp, f32)>,
}

/// How often a stream is sampled, by the stabilization window.
pub fn sampling_interval(window: Duration) -> Duration {
    (window / 2).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL)
}

/// For how long samples count. Two of them no further apart are an unbroken observation.
pub fn kept_for(window: Duration) -> Duration {
    sampling_interval(window) * 4
}

impl KnownUse {
    fn add(&mut self, sampling: StreamSampling) {
        self.samplings.push(sampling);
        for forgotten in keep_newest(&mut self.samplings, MOST_KEPT) {
            let (at, samples) = (forgotten.at, forgotten.samples.into_iter());
            let creates = samples.filter(|sample| sample.kind == UseKind::Create && sample.messages > 0);
            self.creates.extend(creates.map(|sample| (at, sample)));
        }
        keep_newest(&mut self.creates, MOST_RATES);
    }

    fn observe(&mut self, view: &AccountView, rate: Option<f32>) {
        let is_new = self.stored.last().is_none_or(|(at, _)| *at < view.observed_at);
        if let Some(rate) = rate.filter(|_| is_new) {
            self.stored.push((view.observed_at, rate));
        }
        keep_newest(&mut self.stored, MOST_RATES);
    }

    fn forget(&mut self, keep: Duration, now: Timestamp) {
        let is_kept = |at: Timestamp| elapsed(at, now) <= keep;
        self.samplings.retain(|sampling| is_kept(sampling.at));
        self.creates.retain(|(at, _)| is_kept(*at));
        self.stored.retain(|(at, _)| is_kept(*at));
    }
}

/// Leaves so many of the newest; returns the others.
fn keep_newest<T>(all: &mut Vec<T>, most: usize) -> Vec<T> {
    let excess = all.len().saturating_sub(most);
    all.drain(..excess).collect()
}

impl AccountUse {
    /// Adds what was sampled of a stream now.
    pub fn add(&mut self, stream: StreamName, sampling: StreamSampling) {
        self.streams.entry(stream).or_default().add(sampling);
    }

    /// Takes in the rates of a look; forgets what is too old, and streams that the view does not show.
    pub fn observe(&mut self, window: Duration, view: &AccountView, now: Timestamp) {
        self.streams.retain(|name, known| {
            let stream = view.stream(name);
            known.observe(view, stream.and_then(|stream| stream.message_rate));
            known.forget(kept_for(window), now);
            !known.samplings.is_empty() && (stream.is_some() || !view.gaps.is_empty())
        });
    }

    fn samplings(&self, stream: &StreamName) -> &[StreamSampling] {
        self.streams.get(stream).map_or(&[], |known| &known.samplings)
    }

    /// Messages a second that a stream stores now, or stored on average while it was sampled where that was more: between batches
    /// it seems to store less than its clients send.
    pub fn stored(&self, stream: &Stream) -> Option<f32> {
        let now = stream.message_rate?;
        let looks = self
            .streams
            .get(&stream.name)
            .map_or(&[][..], |known| &known.stored);
        let rates = looks.iter().map(|(_, rate)| *rate);
        #[expect(clippy::cast_precision_loss, reason = "they are a few dozen")]
        let mean = rates.sum::<f32>() / looks.len().max(1) as f32;
        Some(now.max(mean))
    }

    /// The last time that a stream was sampled.
    pub fn last(&self, stream: &StreamName) -> Option<&StreamSampling> {
        self.samplings(stream).last()
    }

    /// Whether nothing was sampled.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Whether more samplings of a stream would add to what is known, because it is used and few are kept.
    pub fn is_short_of(&self, stream: &StreamName) -> bool {
        let kept = self.samplings(stream);
        kept.len() < MOST_KEPT
            && kept
                .iter()
                .all(|sampling| !sampling.is_idle && !sampling.is_blind)
    }

    /// Whether a stream was idle at each of as many samplings as are kept: one moment without a message is no sign.
    pub fn is_unused(&self, stream: &StreamName) -> bool {
        let kept = self.samplings(stream);
        kept.len() >= MOST_KEPT && kept.iter().all(|sampling| sampling.is_idle)
    }

    /// Streams that were sampled, by name.
    pub fn streams(&self) -> impl Iterator<Item = &StreamName> {
        self.streams.keys()
    }

    /// What was sampled of a stream, one sample of each kind and consumer.
    pub fn samples(&self, stream: &StreamName) -> Vec<UseSample> {
        let mut combined: BTreeMap<(UseKind, Option<&ConsumerName>), UseSample> = BTreeMap::new();
        let samplings = self.samplings(stream).iter();
        let creates = self
            .streams
            .get(stream)
            .into_iter()
            .flat_map(|known| &known.creates);
        let samples = samplings.flat_map(|sampling| &sampling.samples);
        for sample in samples.chain(creates.map(|(_, sample)| sample)) {
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
        lasts.filter_map(|(stream, known)| Some((stream, known.samplings.last()?.problem.as_deref()?)))
    }
}

impl UseSample {
    /// Takes in another sample of the same kind and consumer.
    fn add(&mut self, other: &Self) {
        self.span += other.span;
        self.messages = self.messages.saturating_add(other.messages);
        self.independent = self.independent.saturating_add(other.independent);
        self.is_denied |= other.is_denied;
        self.is_uncounted |= other.is_uncounted || self.is_cut != other.is_cut;
        self.asked_by_all = self.asked_by_all.saturating_add(other.asked_by_all);
        for (client, asked) in &other.asked {
            let sum = self.asked.entry(client.clone()).or_default();
            *sum = sum.saturating_add(*asked);
        }
        for (client, messages) in &other.clients {
            let sum = self.clients.entry(client.clone()).or_default();
            *sum = sum.saturating_add(*messages);
        }
    }
}

#[cfg(test)]
mod tests;
