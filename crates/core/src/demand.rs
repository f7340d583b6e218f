//! Where an account's clients are, and which location is therefore home: window, majority, hysteresis.
//!
//! Home is judged over a window, not over one look (P5). Missing data never gets here: callers pass complete views only
//! (P6).

mod no_majority;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::no_majority::NoMajority;
use crate::names::{AssetName, Location};
use crate::policy::{ClientSelector, HomeRules, OnNoMajority, Strategy, WeightBy};
use crate::snapshot::{AccountView, ClientGroup};
use crate::time::{elapsed, later};
use crate::topology::LocationMap;
use crate::usage::StreamUse;

/// Client weight per location.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Every location that has JetStream servers and may be home, with or without clients.
    pub rows: BTreeMap<Location, TallyRow>,
    /// Locations on whose servers JetStream does not run: no leader can be there, so they are never home. Their clients
    /// count against any majority.
    pub without_jetstream: BTreeMap<Location, TallyRow>,
    /// The JetStream domain that was observed.
    pub domain: Option<String>,
    /// Locations that are never home; their clients do not count for the majority.
    pub excluded: BTreeMap<Location, TallyRow>,
    /// Selected connections on servers that carry no location; they count against any majority.
    pub unplaced: TallyRow,
    /// All selected clients but those in excluded locations.
    pub total: TallyRow,
    /// Those of them whose weight is not known: seen for the first time, or not reported by the servers.
    pub unweighed: u32,
}

/// Clients of one location.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TallyRow {
    /// Connections.
    pub connections: u32,
    /// Weight in the unit that the policy weighs by.
    pub weight: u64,
}

impl TallyRow {
    fn add(&mut self, connections: u32, weight: u64) {
        self.connections = self.connections.saturating_add(connections);
        self.weight = self.weight.saturating_add(weight);
    }
}

impl Tally {
    /// Counts the clients that the policy selects.
    pub fn new(
        view: &AccountView,
        locations: &LocationMap,
        clients: &ClientSelector,
        rules: &HomeRules,
    ) -> Self {
        let mut tally = Self::empty(view, locations, rules);
        for group in view.clients.iter().filter(|group| clients.selects(group)) {
            let weight = weight_of(group, rules.weight_by);
            let counts = tally.add(locations.of(group.server), group.connections, weight.unwrap_or(0));
            if counts && weight.is_none() {
                tally.unweighed = tally.unweighed.saturating_add(group.connections);
            }
        }
        tally
    }

    /// Counts the clients that use a stream, by messages.
    pub fn of_use(view: &AccountView, locations: &LocationMap, rules: &HomeRules, used: &StreamUse) -> Self {
        let mut tally = Self::empty(view, locations, rules);
        for (location, row) in &used.locations {
            tally.add(Some(location), row.connections, row.weight());
        }
        tally.add(None, used.unplaced.connections, used.unplaced.weight());
        tally
    }

    fn empty(view: &AccountView, locations: &LocationMap, rules: &HomeRules) -> Self {
        let mut tally = Self {
            domain: view.topology.domain.clone(),
            ..Self::default()
        };
        let with_jetstream = locations.with_jetstream(&view.topology);
        for location in locations.locations() {
            let rows = if rules.excludes(location) {
                &mut tally.excluded
            } else if with_jetstream.contains(location) {
                &mut tally.rows
            } else {
                &mut tally.without_jetstream
            };
            rows.insert(location.clone(), TallyRow::default());
        }
        tally
    }

    /// Adds clients; returns whether they count for the majority.
    fn add(&mut self, location: Option<&Location>, connections: u32, weight: u64) -> bool {
        if let Some(row) = location.and_then(|location| self.excluded.get_mut(location)) {
            row.add(connections, weight);
            return false;
        }
        let row = location.and_then(|location| {
            let without = self.without_jetstream.get_mut(location);
            without.or_else(|| self.rows.get_mut(location))
        });
        row.unwrap_or(&mut self.unplaced).add(connections, weight);
        self.total.add(connections, weight);
        true
    }

    /// A location's share of all weight that counts, in percent, rounded down; 0 for an excluded one.
    pub fn percent(&self, location: &Location) -> u8 {
        let row = self.rows.get(location);
        let row = row.or_else(|| self.without_jetstream.get(location));
        percent_of(row.map_or(0, |row| row.weight), self.total.weight)
    }

    /// The share of clients on servers that carry no location.
    pub fn unplaced_percent(&self) -> u8 {
        percent_of(self.unplaced.weight, self.total.weight)
    }

    /// Connections of a location.
    pub fn connections(&self, location: &Location) -> u32 {
        self.rows
            .get(location)
            .or_else(|| self.without_jetstream.get(location))
            .or_else(|| self.excluded.get(location))
            .map_or(0, |row| row.connections)
    }
}

fn weight_of(group: &ClientGroup, by: WeightBy) -> Option<u64> {
    match by {
        WeightBy::Connections => Some(u64::from(group.connections)),
        WeightBy::Messages => group.messages,
        WeightBy::Bytes => group.bytes,
    }
}

fn percent_of(part: u64, whole: u64) -> u8 {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    u8::try_from(percent).unwrap_or(100)
}

/// Which location is home, or why none is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Home {
    /// Leaders belong here.
    Settled {
        /// The location.
        location: Location,
        /// Since when it is home.
        since: Timestamp,
    },
    /// Another location qualifies as home, but not for long enough; nothing moves meanwhile.
    Stabilizing {
        /// The location that would become home.
        challenger: Location,
        /// Since when it leads.
        since: Timestamp,
        /// When it becomes home if it keeps leading.
        until: Timestamp,
        /// The home until then.
        settled: Option<Location>,
    },
    /// No location qualifies as home; nothing moves.
    NoMajority {
        /// Why.
        why: NoMajority,
        /// The home before.
        settled: Option<Location>,
    },
}

impl Home {
    /// The location, if leaders may go there already.
    pub fn settled(&self) -> Option<&Location> {
        match self {
            Self::Settled { location, since: _ } => Some(location),
            Self::Stabilizing { .. } | Self::NoMajority { .. } => None,
        }
    }

    /// The location that assets are judged against: the settled one, or the challenger where none is settled.
    pub fn reference(&self) -> Option<&Location> {
        match self {
            Self::Settled { location, since: _ } => Some(location),
            Self::Stabilizing {
                challenger,
                settled,
                since: _,
                until: _,
            } => Some(settled.as_ref().unwrap_or(challenger)),
            Self::NoMajority { why: _, settled: _ } => None,
        }
    }
}

/// What is remembered of home between rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeHistory {
    /// The home and since when.
    pub settled: Option<SettledHome>,
    /// The location that would become home.
    pub challenger: Option<Challenger>,
}

/// What is remembered of the homes of assets whose own clients decide.
pub type AssetHomes = BTreeMap<AssetName, HomeHistory>;

/// A home that was settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledHome {
    /// Where.
    pub location: Location,
    /// Since when.
    pub since: Timestamp,
}

/// A location on its way to become home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenger {
    /// Where.
    pub location: Location,
    /// Since when it leads without a break.
    pub since: Timestamp,
    /// When it was last seen leading.
    pub confirmed: Timestamp,
}

/// Decides home from one complete look and what is remembered; returns what to remember next.
///
/// `stale_after` is how far apart two looks may be and still count as an unbroken observation.
pub fn decide_home(
    tally: &Tally,
    rules: &HomeRules,
    history: &HomeHistory,
    now: Timestamp,
    stale_after: Duration,
) -> (Home, HomeHistory) {
    let settled = history.settled.as_ref();
    match candidate(tally, rules, settled.map(|home| &home.location)) {
        Ok(candidate) => settle(&candidate, rules.stabilization_window, history, now, stale_after),
        Err(why) => (
            Home::NoMajority {
                why,
                settled: settled.map(|home| home.location.clone()),
            },
            HomeHistory {
                settled: history.settled.clone(),
                challenger: None,
            },
        ),
    }
}

fn candidate(tally: &Tally, rules: &HomeRules, settled: Option<&Location>) -> Result<Location, NoMajority> {
    match rules.strategy {
        Strategy::Preferred => preferred(tally, rules),
        Strategy::ClientMajority => match majority(tally, rules, settled) {
            Err(why) if rules.on_no_majority == OnNoMajority::UsePreferences => {
                preferred(tally, rules).map_err(|_| why)
            }
            decided => decided,
        },
    }
}

fn preferred(tally: &Tally, rules: &HomeRules) -> Result<Location, NoMajority> {
    let up = |location: &&Location| tally.rows.contains_key(*location);
    rules
        .preferences
        .iter()
        .find(up)
        .cloned()
        .ok_or(NoMajority::NoPreferenceUp)
}

fn majority(tally: &Tally, rules: &HomeRules, settled: Option<&Location>) -> Result<Location, NoMajority> {
    if tally.total.connections < rules.min_connections {
        return Err(NoMajority::TooFewConnections {
            connections: tally.total.connections,
            needed: rules.min_connections,
        });
    }
    let largest = tally.rows.values().map(|row| row.weight).max().unwrap_or(0);
    if let Some(why) = elsewhere(tally, largest) {
        return Err(why);
    }
    if largest == 0 {
        return Err(NoMajority::NoTraffic);
    }
    let leading: Vec<&Location> = tally
        .rows
        .iter()
        .filter(|(_, row)| row.weight == largest)
        .map(|(location, _)| location)
        .collect();
    let [first] = leading[..] else {
        return Err(NoMajority::Tie {
            locations: leading.into_iter().cloned().collect(),
        });
    };
    let percent = percent_of(largest, tally.total.weight);
    if percent < rules.majority_percent {
        return Err(NoMajority::ShareTooSmall {
            location: first.clone(),
            percent,
            needed: rules.majority_percent,
        });
    }
    Ok(with_hysteresis(tally, rules, first, settled))
}

/// Clients on servers without JetStream, where they are what prevents any home.
fn elsewhere(tally: &Tally, largest: u64) -> Option<NoMajority> {
    let used = || {
        let rows = tally.without_jetstream.iter();
        rows.filter(|(_, row)| row.connections > 0)
    };
    let weight = used().fold(0u64, |sum, (_, row)| sum.saturating_add(row.weight));
    (weight > largest).then(|| NoMajority::WithoutJetStream {
        connections: used().fold(0, |sum, (_, row)| sum.saturating_add(row.connections)),
        locations: used().map(|(location, _)| location.clone()).collect(),
        domain: tally.domain.clone(),
    })
}

fn with_hysteresis(
    tally: &Tally,
    rules: &HomeRules,
    first: &Location,
    settled: Option<&Location>,
) -> Location {
    let Some(home) = settled.filter(|home| tally.rows.contains_key(*home)) else {
        return first.clone();
    };
    let weight = |location| tally.rows.get(location).map_or(0, |row| u128::from(row.weight));
    let lead = weight(first).saturating_sub(weight(home));
    // In exact terms: the difference of two rounded shares may be a point off.
    let enough = lead * 100 >= u128::from(rules.hysteresis_percent) * u128::from(tally.total.weight);
    if home == first || enough {
        first.clone()
    } else {
        home.clone()
    }
}

fn settle(
    candidate: &Location,
    window: Duration,
    history: &HomeHistory,
    now: Timestamp,
    stale_after: Duration,
) -> (Home, HomeHistory) {
    if let Some(settled) = history
        .settled
        .as_ref()
        .filter(|settled| settled.location == *candidate)
    {
        let home = Home::Settled {
            location: candidate.clone(),
            since: settled.since,
        };
        return (
            home,
            HomeHistory {
                settled: Some(settled.clone()),
                challenger: None,
            },
        );
    }
    let unbroken = |challenger: &&Challenger| {
        challenger.location == *candidate && elapsed(challenger.confirmed, now) <= stale_after
    };
    let since = history
        .challenger
        .as_ref()
        .filter(unbroken)
        .map_or(now, |challenger| challenger.since);
    if elapsed(since, now) >= window {
        let settled = SettledHome {
            location: candidate.clone(),
            since: now,
        };
        let home = Home::Settled {
            location: candidate.clone(),
            since: now,
        };
        return (
            home,
            HomeHistory {
                settled: Some(settled),
                challenger: None,
            },
        );
    }
    let challenger = Challenger {
        location: candidate.clone(),
        since,
        confirmed: now,
    };
    let home = Home::Stabilizing {
        challenger: candidate.clone(),
        since,
        until: later(since, window),
        settled: history.settled.as_ref().map(|settled| settled.location.clone()),
    };
    (
        home,
        HomeHistory {
            settled: history.settled.clone(),
            challenger: Some(challenger),
        },
    )
}

#[cfg(test)]
mod tests;
