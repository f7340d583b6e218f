//! Which streams to sample next: only where their own clients may decide, the misplaced and the busiest first.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::asset::AssetIx;
use crate::context::DecisionContext;
use crate::demand::Home;
use crate::evaluate::Evaluation;
use crate::homes::{AssetHome, is_spread};
use crate::policy::UseRules;
use crate::snapshot::Stream;
use crate::time::{elapsed, later};
use crate::topology::LocationMap;
use crate::usage::{AccountUse, Sampling, sampling_interval};

/// A stream whose use contradicts the account's home, or is not known, is sampled again this soon.
const SOON: Duration = Duration::from_mins(1);
/// No stream is sampled more often.
const SHORTEST_REST: Duration = Duration::from_secs(5);
/// A stream whose samples take up the pace, because it has many consumers, leaves so much of it to others.
const OTHERS: u32 = 2;
/// More are named later.
const MOST_NAMED: usize = 64;

/// What should be sampled again before a single look decides, which cannot wait for a window: streams that are misplaced by the
/// little that is known, since it may all be from between two batches.
pub fn unconfirmed(context: &DecisionContext<'_>, evaluation: &Evaluation) -> Vec<Sampling> {
    let DecisionContext { view, policy, .. } = *context;
    let Some(usage) = context.usage.filter(|_| evaluation.conclusive()) else {
        return Vec::new();
    };
    let misplaced = misplaced(evaluation);
    let locations = LocationMap::new(&view.topology, &policy.topology);
    let streams = view.streams.iter().zip(0u32..);
    streams
        .filter(|(stream, at)| {
            let is_sampled = usage.last(&stream.name).is_some();
            misplaced.contains(at) && is_sampled && usage.is_short_of(&stream.name)
        })
        .filter(|(stream, _)| stream.group.leader.is_some())
        .map(|(stream, _)| sampling(context, usage, &locations, stream))
        .collect()
}

/// What should be sampled now, the most urgent first. Never a stream without a leader.
pub fn next_samplings(context: &DecisionContext<'_>, evaluation: &Evaluation) -> Vec<Sampling> {
    let DecisionContext { view, policy, .. } = *context;
    let (Some(usage), Some(by_use)) = (context.usage, policy.home.by_use) else {
        return Vec::new();
    };
    if !evaluation.conclusive() {
        return Vec::new();
    }
    let is_spread = is_spread(view, &evaluation.tally);
    let misplaced = misplaced(evaluation);
    let usual = sampling_interval(policy.home.stream_stabilization_window);
    let mut due: Vec<(Urgency, f32, &Stream)> = Vec::new();
    for (stream, at) in view.streams.iter().zip(0u32..) {
        if !policy.streams.selects(stream) || stream.group.leader.is_none() {
            continue;
        }
        let home = evaluation.homes.own(AssetIx::Stream(at));
        // While all clients are in one place, only what their use brought elsewhere may change.
        if !is_spread && home.is_none() {
            continue;
        }
        let sampling = usage.last(&stream.name);
        let last = sampling.map(|sampling| sampling.at);
        let misplaced = misplaced.contains(&at);
        let rest = if misplaced && usage.is_short_of(&stream.name) {
            let took = sampling.map_or(Duration::ZERO, |sampling| at_pace(sampling.messages(), by_use));
            // While its last samples still count.
            SHORTEST_REST.max((took * OTHERS).min(usual * 2))
        } else {
            rest(context, home, misplaced, last)
        };
        if last.is_none_or(|last| later(last, rest) <= context.now) {
            let urgency = Urgency {
                decides: decides(home, context.now),
                misplaced,
                new: last.is_none(),
            };
            due.push((urgency, stream.message_rates(), stream));
        }
    }
    if due.is_empty() {
        return Vec::new();
    }
    due.sort_by(|(one, rate, _), (other, other_rate, _)| other.cmp(one).then(other_rate.total_cmp(rate)));
    let locations = LocationMap::new(&view.topology, &policy.topology);
    let due = due.into_iter().take(MOST_NAMED);
    due.map(|(_, _, stream)| sampling(context, usage, &locations, stream))
        .collect()
}

/// Streams that have a finding, or have a consumer that does.
fn misplaced(evaluation: &Evaluation) -> BTreeSet<u32> {
    let findings = evaluation.findings.iter();
    findings.map(|finding| finding.asset.stream()).collect()
}

fn sampling(
    context: &DecisionContext<'_>,
    usage: &AccountUse,
    locations: &LocationMap,
    stream: &Stream,
) -> Sampling {
    let (samples, stored) = (usage.samples(&stream.name), usage.stored(stream));
    Sampling::after(context.view, locations, stream, &samples, stored)
}

/// How long so many messages take at the pace of all samples.
fn at_pace(messages: u32, rules: UseRules) -> Duration {
    let minutes = f64::from(messages) / f64::from(rules.messages_per_minute.max(1));
    Duration::from_secs_f64(minutes * 60.0)
}

/// What goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Urgency {
    /// The window of its home is over: one more sampling decides, and later ones would begin anew.
    decides: bool,
    misplaced: bool,
    new: bool,
}

fn decides(home: Option<&AssetHome>, now: Timestamp) -> bool {
    matches!(home, Some(AssetHome::Own { home: Home::Stabilizing { until, .. }, used: _ }) if *until <= now)
}

/// For how long a stream is not sampled again.
fn rest(
    context: &DecisionContext<'_>,
    home: Option<&AssetHome>,
    misplaced: bool,
    last: Option<Timestamp>,
) -> Duration {
    let window = context.policy.home.stream_stabilization_window;
    let usual = sampling_interval(window);
    match home {
        // A sampling at the end of the window decides.
        Some(AssetHome::Own {
            home: Home::Stabilizing { until, .. },
            used: _,
        }) => {
            let left = last.map(|last| elapsed(last, *until)).unwrap_or_default();
            left.clamp(SHORTEST_REST, usual)
        }
        Some(
            AssetHome::Account {
                contradicts: true, ..
            }
            | AssetHome::Unknown { .. },
        ) if misplaced => SOON.min(usual),
        Some(AssetHome::Own { .. } | AssetHome::Account { .. } | AssetHome::Unknown { .. }) | None => usual,
    }
}

#[cfg(test)]
mod tests;
