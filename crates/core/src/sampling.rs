//! Which streams to sample next: only where their own clients may decide, the misplaced and the busiest first.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::asset::AssetIx;
use crate::context::DecisionContext;
use crate::demand::Home;
use crate::evaluate::Evaluation;
use crate::homes::{AssetHome, decisive_use};
use crate::snapshot::Stream;
use crate::time::{elapsed, later};
use crate::usage::{Sampling, sampling_interval};

/// A stream whose use contradicts the account's home, or is not known, is sampled again this soon.
const SOON: Duration = Duration::from_mins(1);
/// No stream is sampled more often.
const SHORTEST_REST: Duration = Duration::from_secs(5);
/// More are named later.
const MOST_NAMED: usize = 64;

/// What should be sampled now, the most urgent first. Never a stream without a leader.
pub fn next_samplings(context: &DecisionContext<'_>, evaluation: &Evaluation) -> Vec<Sampling> {
    let DecisionContext { view, policy, .. } = *context;
    if !evaluation.conclusive() || decisive_use(context, &evaluation.tally).is_none() {
        return Vec::new();
    }
    let misplaced: BTreeSet<u32> = evaluation
        .findings
        .iter()
        .map(|finding| finding.asset.stream())
        .collect();
    let mut due: Vec<(bool, bool, f32, &Stream)> = Vec::new();
    for (stream, at) in view.streams.iter().zip(0u32..) {
        if !policy.streams.selects(stream) || stream.group.leader.is_none() {
            continue;
        }
        let misplaced = misplaced.contains(&at);
        let last = last_sampled(context, stream);
        let rest = rest(
            context,
            evaluation.homes.own(AssetIx::Stream(at)),
            misplaced,
            last,
        );
        if last.is_none_or(|last| later(last, rest) <= context.now) {
            due.push((misplaced, last.is_none(), stream.message_rates(), stream));
        }
    }
    due.sort_by(
        |(misplaced, new, rate, _), (other_misplaced, other_new, other, _)| {
            let order = Reverse((misplaced, new)).cmp(&Reverse((other_misplaced, other_new)));
            order.then(other.total_cmp(rate))
        },
    );
    let due = due.into_iter().take(MOST_NAMED);
    due.map(|(_, _, _, stream)| Sampling::new(view, stream)).collect()
}

fn last_sampled(context: &DecisionContext<'_>, stream: &Stream) -> Option<Timestamp> {
    context.usage?.last(&stream.name).map(|sampling| sampling.at)
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
