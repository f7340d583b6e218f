//! Who uses the busiest streams, from where.

use std::cmp::Reverse;

use leeward_core::names::StreamName;
use leeward_core::snapshot::{AccountView, Stream};
use leeward_core::topology::LocationMap;
use leeward_core::usage::{LocationUse, StreamUse, UseKind};

use crate::commands::plan::table::most_rows;
use crate::document::{LocationUsePart, StreamUsePart};
use crate::judge::Assessment;
use crate::loaded_policy::LoadedPolicy;
use crate::look::StreamSamples;

/// The busiest streams that a policy selects, by messages stored and delivered.
pub fn busiest(policies: &[LoadedPolicy], view: &AccountView, limit: usize) -> Vec<StreamName> {
    let selected = |stream: &&Stream| {
        let mut policies = policies.iter();
        policies.any(|loaded| loaded.policy.streams.selects(stream))
    };
    let mut streams: Vec<&Stream> = view.streams.iter().filter(selected).collect();
    streams.sort_by(|one, other| rate(other).total_cmp(&rate(one)));
    let names = streams.into_iter().map(|stream| stream.name.clone());
    names.take(most_rows(limit)).collect()
}

fn rate(stream: &Stream) -> f32 {
    let consumers = stream.consumers.iter().map(|consumer| consumer.message_rate);
    consumers.chain([stream.message_rate]).flatten().sum()
}

/// The use of the streams that were sampled and that the policy selects, the busiest first.
pub fn parts(judged: &Assessment<'_>) -> Vec<StreamUsePart> {
    let (view, policy) = (&judged.seen.view, &judged.policy);
    let locations = LocationMap::new(&view.topology, &policy.topology);
    let sampled = judged.seen.samples.iter().filter_map(|(name, samples)| {
        let stream = view
            .stream(name)
            .filter(|stream| policy.streams.selects(stream))?;
        Some((stream, samples))
    });
    let mut sampled: Vec<_> = sampled.collect();
    sampled.sort_by(|(one, _), (other, _)| rate(other).total_cmp(&rate(one)));
    let part = |(stream, sampled): (&Stream, &StreamSamples)| {
        let used = StreamUse::new(view, stream, &locations, &policy.clients, &sampled.samples);
        let mut rows: Vec<LocationUsePart> = used
            .locations
            .iter()
            .map(|(location, row)| location_part(location.as_str(), row))
            .collect();
        rows.sort_by_key(|row| Reverse(row.percent));
        let led_from = stream.group.leader.and_then(|leader| locations.of(leader));
        StreamUsePart {
            stream: stream.name.to_string(),
            led_from: led_from.map(ToString::to_string),
            locations: rows,
            unplaced: (used.unplaced.connections > 0).then(|| location_part("", &used.unplaced)),
            coverage_percent: used.coverage_percent,
            problem: sampled.problem.clone(),
        }
    };
    sampled.into_iter().map(part).collect()
}

fn location_part(name: &str, row: &LocationUse) -> LocationUsePart {
    let rate = |kind| {
        let rate = row.rates.get(&kind).copied().unwrap_or_default();
        (rate * 100.0).round() / 100.0
    };
    LocationUsePart {
        name: name.to_owned(),
        percent: row.percent,
        connections: row.connections,
        publish: rate(UseKind::Publish),
        pull: rate(UseKind::Pull),
        push: rate(UseKind::Push),
        direct_get: rate(UseKind::DirectGet),
    }
}
