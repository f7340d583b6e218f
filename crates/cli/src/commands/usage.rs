//! Who uses streams, from where, as samples show it: for `report --use` and `explain --use`.

mod table;

use std::cmp::Reverse;

use anyhow::bail;
use leeward_core::explain::UNMEASURED;
use leeward_core::policy::Policy;
use leeward_core::snapshot::{AccountView, Consumer, Stream};
use leeward_core::topology::LocationMap;
use leeward_core::usage::{LocationUse, Sampling, StreamUse, UseKind};

pub use self::table::lines;
use crate::args::ConnectionArgs;
use crate::commands::plan::table::most_rows;
use crate::document::{LocationUsePart, StreamUsePart};
use crate::judge::Assessment;
use crate::loaded_policy::LoadedPolicy;

/// Use cannot be shown without samples.
pub fn refuse_unsampled(shown: bool, connection: &ConnectionArgs) -> anyhow::Result<()> {
    if shown && connection.sample.as_std().is_zero() {
        bail!("--use shows what samples tell, and --sample 0s turns them off: leave one of them out");
    }
    Ok(())
}

/// The busiest streams that a policy selects, by messages stored and delivered.
pub fn busiest(policies: &[LoadedPolicy], view: &AccountView, limit: usize) -> Vec<Sampling> {
    let selected = |stream: &&Stream| {
        let mut policies = policies.iter();
        policies.any(|loaded| loaded.policy.streams.selects(stream))
    };
    let mut streams: Vec<&Stream> = view.streams.iter().filter(selected).collect();
    streams.sort_by(|one, other| other.message_rates().total_cmp(&one.message_rates()));
    let busiest = streams.into_iter().take(most_rows(limit));
    let policies = with_locations(policies, view);
    let samplings = busiest.filter_map(|stream| sampling_by(&policies, view, stream));
    samplings.collect()
}

/// A sampling of a stream, in the locations of the policy that selects it; `None` without any policy.
pub fn sampling(policies: &[LoadedPolicy], view: &AccountView, stream: &Stream) -> Option<Sampling> {
    sampling_by(&with_locations(policies, view), view, stream)
}

fn with_locations<'a>(policies: &'a [LoadedPolicy], view: &AccountView) -> Vec<(&'a Policy, LocationMap)> {
    let policies = policies.iter().map(|loaded| &loaded.policy);
    policies
        .map(|policy| (policy, LocationMap::new(&view.topology, &policy.topology)))
        .collect()
}

fn sampling_by(policies: &[(&Policy, LocationMap)], view: &AccountView, stream: &Stream) -> Option<Sampling> {
    let mut selecting = policies
        .iter()
        .filter(|(policy, _)| policy.streams.selects(stream));
    let (_, locations) = selecting.next().or(policies.first())?;
    Some(Sampling::new(view, locations, stream))
}

/// The use of the streams that were sampled and that the policy selects, the busiest first.
pub fn parts(judged: &Assessment<'_>) -> Vec<StreamUsePart> {
    let view = &judged.seen.view;
    let locations = LocationMap::new(&view.topology, &judged.policy.topology);
    let usage = &judged.seen.usage;
    let sampled = usage.streams().filter_map(|name| view.stream(name));
    let mut sampled: Vec<&Stream> = sampled
        .filter(|stream| judged.policy.streams.selects(stream))
        .collect();
    sampled.sort_by(|one, other| other.message_rates().total_cmp(&one.message_rates()));
    let part = |stream| of_asset_in(judged, &locations, stream, None);
    sampled.into_iter().filter_map(part).collect()
}

/// The use of a stream, or of one of its consumers alone; `None` where it was not sampled.
pub fn of_asset(
    judged: &Assessment<'_>,
    stream: &Stream,
    consumer: Option<&Consumer>,
) -> Option<StreamUsePart> {
    let locations = LocationMap::new(&judged.seen.view.topology, &judged.policy.topology);
    of_asset_in(judged, &locations, stream, consumer)
}

fn of_asset_in(
    judged: &Assessment<'_>,
    locations: &LocationMap,
    stream: &Stream,
    consumer: Option<&Consumer>,
) -> Option<StreamUsePart> {
    let (view, clients) = (&judged.seen.view, &judged.policy.clients);
    let problem = judged.seen.usage.last(&stream.name)?.problem.clone();
    let samples = judged.seen.usage.samples(&stream.name);
    let (used, group) = match consumer {
        None => {
            let stored = judged.seen.usage.stored(stream);
            let used = StreamUse::new(view, stream, locations, clients, &samples, stored);
            (used, &stream.group)
        }
        Some(consumer) => {
            let used = StreamUse::of_consumer(view, stream, consumer, locations, clients, &samples);
            (used, &consumer.group)
        }
    };
    let unmeasured = used.is_partly_unmeasured.then(|| UNMEASURED.to_owned());
    let problem = unmeasured
        .into_iter()
        .chain(problem)
        .reduce(|one, other| format!("{one}; {other}"));
    let rows = used.locations.iter();
    let mut rows: Vec<LocationUsePart> = rows
        .map(|(location, row)| location_part(location.as_str(), row))
        .collect();
    rows.sort_by_key(|row| Reverse(row.percent));
    let led_from = group.leader.and_then(|leader| locations.of(leader));
    Some(StreamUsePart {
        stream: stream.name.to_string(),
        led_from: led_from.map(ToString::to_string),
        locations: rows,
        unplaced: (used.unplaced.connections > 0).then(|| location_part("", &used.unplaced)),
        coverage_percent: used.coverage_percent,
        problem,
    })
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
        get: rate(UseKind::Get),
    }
}
