//! Where an account's clients are, and which location is therefore home: window, majority, hysteresis.
//!
//! Home is judged over a window, not over one look (P5). Missing data never gets here: the caller asks only for a
//! complete view (P6).

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::Location;
use crate::policy::{ClientSelector, HomeRules, OnNoMajority, Strategy, WeightBy};
use crate::snapshot::{AccountView, ClientGroup};
use crate::topology::LocationMap;

/// Client weight per location.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Every location that has servers and may be home, with or without clients.
    pub rows: BTreeMap<Location, TallyRow>,
    /// Locations that are never home; their clients do not count for the majority.
    pub excluded: BTreeMap<Location, TallyRow>,
    /// Selected connections on servers that carry no location; they count against any majority.
    pub unplaced: TallyRow,
    /// All selected clients but those in excluded locations.
    pub total: TallyRow,
    /// Those of them whose weight is not known: seen for the first time, or not told by the servers.
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
        let mut tally = Self::default();
        for location in locations.locations() {
            let excluded = rules.exclude.contains(location);
            let rows = if excluded {
                &mut tally.excluded
            } else {
                &mut tally.rows
            };
            rows.insert(location.clone(), TallyRow::default());
        }
        for group in view.clients.iter().filter(|group| clients.selects(group)) {
            let weight = weight_of(group, rules.weight_by);
            let location = locations.of(group.server);
            if let Some(row) = location.and_then(|location| tally.excluded.get_mut(location)) {
                row.add(group.connections, weight.unwrap_or(0));
                continue;
            }
            let row = location.and_then(|location| tally.rows.get_mut(location));
            row.unwrap_or(&mut tally.unplaced)
                .add(group.connections, weight.unwrap_or(0));
            tally.total.add(group.connections, weight.unwrap_or(0));
            if weight.is_none() {
                tally.unweighed = tally.unweighed.saturating_add(group.connections);
            }
        }
        tally
    }

    /// A location's share of all weight that counts, in percent, rounded down; 0 for an excluded one.
    pub fn percent(&self, location: &Location) -> u8 {
        let weight = self.rows.get(location).map_or(0, |row| row.weight);
        percent_of(weight, self.total.weight)
    }

    /// Connections of a location.
    pub fn connections(&self, location: &Location) -> u32 {
        self.rows
            .get(location)
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
    /// Another location has what makes a home, but not for long enough; nothing moves meanwhile.
    Stabilizing {
        /// The location that would become home.
        challenger: Location,
        /// Since when it leads.
        since: Timestamp,
        /// When it becomes home if it goes on leading.
        until: Timestamp,
        /// The home until then.
        settled: Option<Location>,
    },
    /// No location has what makes a home; nothing moves.
    NoMajority {
        /// Why.
        why: NoMajority,
        /// The home before.
        settled: Option<Location>,
    },
}

impl Home {
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

/// Why no location is home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoMajority {
    /// Fewer selected connections than `home.minConnections`.
    TooFewConnections {
        /// How many there are.
        connections: u32,
        /// How many are needed.
        needed: u32,
    },
    /// Locations lead with the same weight.
    Tie {
        /// The locations.
        locations: Vec<Location>,
    },
    /// The largest share is below `home.majorityPercent`.
    ShareTooSmall {
        /// The location with the largest share.
        location: Location,
        /// Its share.
        percent: u8,
        /// The share that is needed.
        needed: u8,
    },
    /// Some clients' weight is not known, and unknown is not zero.
    WeightUnknown {
        /// How many connections that are.
        connections: u32,
    },
    /// Clients are connected, but none has sent or received anything since the last observation.
    NoTraffic,
    /// None of `home.preferences` has a server that answers.
    NoPreferenceUp,
}

impl std::fmt::Display for NoMajority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooFewConnections { connections, needed } => {
                write!(
                    formatter,
                    "{connections} connections, {needed} are needed (home.minConnections)"
                )
            }
            Self::Tie { locations } => {
                let names: Vec<&str> = locations.iter().map(Location::as_str).collect();
                write!(formatter, "a tie between {}", names.join(" and "))
            }
            Self::ShareTooSmall {
                location,
                percent,
                needed,
            } => write!(
                formatter,
                "{location} has the largest share with {percent} %, {needed} % are needed (home.majorityPercent)"
            ),
            Self::WeightUnknown { connections } => write!(
                formatter,
                "the traffic of {connections} connections is not known (yet): home.weightBy needs all of it"
            ),
            Self::NoTraffic => {
                formatter.write_str("no traffic of clients was seen since the last observation")
            }
            Self::NoPreferenceUp => formatter.write_str("none of home.preferences has a server that answers"),
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
/// `stale_after` is how far two looks may lie apart and still count as an unbroken observation.
pub fn decide(
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
    let eligible = || {
        tally
            .rows
            .iter()
            .filter(|(location, _)| !rules.exclude.contains(location))
    };
    let largest = eligible().map(|(_, row)| row.weight).max().unwrap_or(0);
    if largest == 0 {
        return Err(NoMajority::NoTraffic);
    }
    let leading: Vec<&Location> = eligible()
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

/// Time from one moment to a later one; zero when the clock went backwards.
pub fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// A moment after another; the end of time when it would lie beyond.
pub fn later(from: Timestamp, span: Duration) -> Timestamp {
    from.checked_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
