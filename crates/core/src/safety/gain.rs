//! What bringing an asset home gains: the round trips that its clients save, less those that others pay.

use std::time::Duration;

use super::SafetyContext;
use crate::asset::{AssetIx, asset_index};
use crate::names::{AssetName, Location};
use crate::score::{UNMEASURED_ROUND_TRIP, saved_milliseconds};
use crate::snapshot::Stream;
use crate::target::Destination;
use crate::topology::ServerIx;
use crate::usage::{LocationUse, StreamUse, UseKind};

/// How a stream itself is used, and how its consumers are.
const OF_STREAMS: &[UseKind] = &[UseKind::Publish, UseKind::DirectGet, UseKind::Get];
const OF_CONSUMERS: &[UseKind] = &[UseKind::Pull, UseKind::Push];

impl SafetyContext<'_> {
    /// Milliseconds of waiting that are saved a second: messages a second × round trips saved. Where it is known who uses
    /// the asset, each location counts for itself, and those that are farther from home than from the leader count
    /// against it; else all clients are taken to be in home. An unknown rate gains nothing: it only goes last.
    pub fn gain(
        &self,
        asset: AssetIx,
        leader: Option<ServerIx>,
        rate: Option<f32>,
        home: &Destination<'_>,
    ) -> f32 {
        let rate = rate.unwrap_or(0.0);
        let kinds = match asset {
            AssetIx::Stream(_) => OF_STREAMS,
            AssetIx::Consumer(_, _) => OF_CONSUMERS,
        };
        let used = self.homes.own(asset).and_then(|own| own.used());
        let shares = used.map(|used| shares(used, kinds)).unwrap_or_default();
        if shares.is_empty() {
            let now = self.between(leader, home.server());
            return rate * saved_milliseconds(now, Duration::ZERO);
        }
        let all: f64 = shares.iter().map(|(_, rate)| rate).sum();
        // Direct gets are no messages that the servers count.
        let rate = match asset {
            AssetIx::Stream(_) => f64::from(rate).max(all),
            AssetIx::Consumer(_, _) => rate.into(),
        };
        let gain = shares.iter().map(|(location, part)| {
            let from = self.locations.servers_of(location).next();
            let saved = saved_milliseconds(self.between(from, leader), self.between(from, home.server()));
            rate * part / all * f64::from(saved)
        });
        #[expect(
            clippy::cast_possible_truncation,
            reason = "an order of magnitude is enough to rank by"
        )]
        let gain = gain.sum::<f64>() as f32;
        gain
    }

    /// The round trip between two servers: none within a location.
    fn between(&self, one: Option<ServerIx>, other: Option<ServerIx>) -> Duration {
        let location = |server: Option<ServerIx>| self.locations.of(server?);
        if location(one).is_some() && location(one) == location(other) {
            return Duration::ZERO;
        }
        let topology = &self.context.view.topology;
        let measured = one
            .zip(other)
            .and_then(|(one, other)| topology.round_trip(one, other));
        measured.unwrap_or(UNMEASURED_ROUND_TRIP)
    }

    /// After how long the move of a stream has saved as much waiting as it causes, with what its consumers save that come
    /// along; `None` where it never does, or where it is not known how much the stream is used. What is empty moves for
    /// nothing.
    pub fn payback(&self, home: &Destination<'_>, stream: &Stream) -> Option<Duration> {
        if stream.bytes == 0 {
            return Some(Duration::ZERO);
        }
        let own = stream.message_rate?;
        let at = asset_index(self.context.view, &AssetName::stream(stream.name.clone()))?;
        let mut gain = self.gain(at, stream.group.leader, Some(own), home);
        for (consumer, nth) in stream.consumers.iter().zip(0u32..) {
            let leader = consumer.group.leader;
            if !leader.is_some_and(|leader| home.contains(leader)) {
                let asset = AssetIx::Consumer(at.stream(), nth);
                gain += self.gain(asset, leader, consumer.message_rate, home);
            }
        }
        let seconds = self.move_cost(stream).waiting_milliseconds(own) / gain;
        (gain > 0.0).then(|| Duration::try_from_secs_f32(seconds).unwrap_or(Duration::MAX))
    }
}

/// Messages a second of these kinds by location; empty where none are known.
fn shares<'u>(used: &'u StreamUse, kinds: &[UseKind]) -> Vec<(&'u Location, f64)> {
    let rate = |row: &LocationUse| kinds.iter().filter_map(|kind| row.rates.get(kind)).sum::<f64>();
    let rows = used.locations.iter().map(|(location, row)| (location, rate(row)));
    rows.filter(|(_, rate)| *rate > 0.0).collect()
}
