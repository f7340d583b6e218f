//! Who uses streams, from where, as samples show it: for `report --use` and `explain --use`.

mod table;

use std::cmp::Reverse;

use leeward_core::names::StreamName;
use leeward_core::snapshot::{AccountView, Consumer, Stream};
use leeward_core::topology::LocationMap;
use leeward_core::usage::{LocationUse, StreamUse, UseKind, UseSample};

pub use self::table::lines;
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
    let view = &judged.seen.view;
    let locations = LocationMap::new(&view.topology, &judged.policy.topology);
    let sampled = judged.seen.samples.iter().filter_map(|(name, sampled)| {
        let stream = view.stream(name)?;
        judged.policy.streams.selects(stream).then_some((stream, sampled))
    });
    let mut sampled: Vec<(&Stream, &StreamSamples)> = sampled.collect();
    sampled.sort_by(|(one, _), (other, _)| rate(other).total_cmp(&rate(one)));
    let parts = sampled.into_iter();
    parts
        .map(|(stream, sampled)| part(judged, &locations, stream, sampled))
        .collect()
}

/// The use of a stream, or of one of its consumers alone; `None` where it was not sampled.
pub fn of_asset(
    judged: &Assessment<'_>,
    stream: &Stream,
    consumer: Option<&Consumer>,
) -> Option<StreamUsePart> {
    let sampled = judged.seen.samples.get(&stream.name)?;
    let locations = LocationMap::new(&judged.seen.view.topology, &judged.policy.topology);
    let Some(consumer) = consumer else {
        return Some(part(judged, &locations, stream, sampled));
    };
    let of_it = |sample: &&UseSample| sample.consumer.as_ref() == Some(&consumer.name);
    let alone = Stream {
        group: consumer.group.clone(),
        message_rate: None,
        consumers: vec![consumer.clone()],
        ..stream.clone()
    };
    let sampled = StreamSamples {
        samples: sampled.samples.iter().filter(of_it).cloned().collect(),
        problem: sampled.problem.clone(),
    };
    Some(part(judged, &locations, &alone, &sampled))
}

fn part(
    judged: &Assessment<'_>,
    locations: &LocationMap,
    stream: &Stream,
    sampled: &StreamSamples,
) -> StreamUsePart {
    let (view, policy) = (&judged.seen.view, &judged.policy);
    let used = StreamUse::new(view, stream, locations, &policy.clients, &sampled.samples);
    let rows = used.locations.iter();
    let mut rows: Vec<LocationUsePart> = rows
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
