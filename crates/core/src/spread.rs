//! Which peer in home: the one that leads least, planned leaders included.

use std::collections::BTreeMap;

use crate::asset::AssetIx;
use crate::snapshot::{AccountView, RaftGroup};
use crate::topology::ServerIx;

/// Leaders per server, of one account, as they will be once the plan is carried out.
#[derive(Clone, Debug)]
pub struct Spread {
    led: Vec<u32>,
    /// Of those, streams, which take the writes.
    streams: Vec<u32>,
}

impl Spread {
    /// Counts the present leaders of all assets of a view.
    pub fn new(view: &AccountView) -> Self {
        let servers = view.topology.servers().len();
        let mut spread = Self {
            led: vec![0; servers],
            streams: vec![0; servers],
        };
        for stream in &view.streams {
            spread.add_stream(stream.group.leader);
            for consumer in &stream.consumers {
                spread.add(consumer.group.leader);
            }
        }
        spread
    }

    fn add(&mut self, server: Option<ServerIx>) {
        if let Some(led) = server.and_then(|server| self.led.get_mut(usize::from(server.0))) {
            *led += 1;
        }
    }

    fn add_stream(&mut self, server: Option<ServerIx>) {
        self.add(server);
        if let Some(led) = server.and_then(|server| self.streams.get_mut(usize::from(server.0))) {
            *led += 1;
        }
    }

    fn led_streams(&self, server: ServerIx) -> u32 {
        self.streams.get(usize::from(server.0)).copied().unwrap_or(0)
    }

    /// How many a server leads, planned leaders included.
    pub fn led(&self, server: ServerIx) -> u32 {
        self.led.get(usize::from(server.0)).copied().unwrap_or(0)
    }

    /// The candidates for the leaders of a stream and so many consumers of it, in turns: the stream's first, and for that one the
    /// candidate that leads least, of several the one that leads the fewest streams.
    pub fn share(&mut self, mut candidates: Vec<ServerIx>, consumers: usize) -> Vec<ServerIx> {
        candidates.sort_by_key(|server| (self.led(*server), self.led_streams(*server), *server));
        self.add_stream(candidates.first().copied());
        for server in candidates.iter().cycle().skip(1).take(consumers) {
            self.add(Some(*server));
        }
        candidates
    }

    /// Chooses a new leader for each group among its candidates.
    ///
    /// Groups with one candidate are counted first, since they have no choice to give; the others take the server
    /// that leads least, by name when several do (servers are numbered by name).
    pub fn assign(&mut self, wanting: &[(AssetIx, Vec<ServerIx>)]) -> BTreeMap<AssetIx, ServerIx> {
        let mut chosen = BTreeMap::new();
        for (asset, candidates) in wanting {
            if let [only] = candidates[..] {
                self.add(Some(only));
                chosen.insert(*asset, only);
            }
        }
        for (asset, candidates) in wanting.iter().filter(|(_, candidates)| candidates.len() > 1) {
            if let Some(least) = candidates
                .iter()
                .copied()
                .min_by_key(|server| (self.led(*server), *server))
            {
                self.add(Some(least));
                chosen.insert(*asset, least);
            }
        }
        chosen
    }
}

/// The group of an asset of a view.
pub fn group_of(view: &AccountView, asset: AssetIx) -> Option<&RaftGroup> {
    let stream = view.streams.get(asset.stream() as usize)?;
    match asset {
        AssetIx::Stream(_) => Some(&stream.group),
        AssetIx::Consumer(_, nth) => stream.consumers.get(nth as usize).map(|consumer| &consumer.group),
    }
}

#[cfg(test)]
mod tests;
