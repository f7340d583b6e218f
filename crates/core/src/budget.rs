//! Budgets: how much may be done at once, and in a rolling span.
//!
//! A ledger remembers what was done and is being done; an allowance is what is left of every budget. All budgets that
//! apply hold, so the tightest wins. Bounded memory makes entries count longer, never shorter (P3). Which operations
//! are counted, and when they begin and end, is up to the caller.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use leeward_api::vocabulary::ActionType;
use serde::{Deserialize, Serialize};

use crate::action_set::ActionSet;
use crate::names::AssetName;
use crate::schedule::Schedule;
use crate::time::later;

/// The most entries that a status holds.
pub const MAX_SPENT: usize = 100;

/// The most entries that a ledger keeps.
const MAX_KEPT: usize = 2000;

/// How much a budget allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetLimit {
    /// This many.
    Count(u32),
    /// This percentage of the selected assets, rounded up.
    Percent(u8),
}

/// One budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Its name, unique within the policy.
    pub name: String,
    /// Which actions it limits.
    pub actions: ActionSet,
    /// How many of them.
    pub max: BudgetLimit,
    /// Within which span; without one, it limits what is in flight at once.
    pub per: Option<Duration>,
    /// When it applies; always without one.
    pub schedule: Option<Schedule>,
}

/// How many assets a policy selects: the base of percentages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selected {
    /// Streams.
    pub streams: u32,
    /// Consumers.
    pub consumers: u32,
}

/// What was done and is being done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    flying: BTreeSet<FlightEntry>,
    /// Oldest first; one entry per time and action.
    spent: Vec<SpentEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct FlightEntry {
    asset: AssetName,
    action: ActionType,
}

/// Actions that ended and count for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SpentEntry {
    /// When they ended.
    pub at: Timestamp,
    /// What they were.
    pub action: ActionType,
    /// How many.
    pub count: u32,
}

impl Ledger {
    /// An operation is in flight from now on. Repeating it changes nothing.
    pub fn begin(&mut self, asset: &AssetName, action: ActionType) {
        let asset = asset.clone();
        self.flying.insert(FlightEntry { asset, action });
    }

    /// The operation of an asset is no longer in flight. If a request was sent it is `counted`: it counts until `at`
    /// plus the budget's span. An asset that has none in flight counts nothing.
    pub fn end(&mut self, asset: &AssetName, counted: bool, at: Timestamp) {
        let ended: Vec<ActionType> = self.of(asset).collect();
        self.flying.retain(|flight| flight.asset != *asset);
        if counted {
            let entries = ended
                .into_iter()
                .map(|action| SpentEntry { at, action, count: 1 });
            self.spent = merged(self.spent.iter().copied().chain(entries), MAX_KEPT);
        }
    }

    /// Drops what is older than any budget's span.
    pub fn prune(&mut self, longest: Duration, now: Timestamp) {
        self.spent.retain(|entry| later(entry.at, longest) > now);
    }

    /// What was done, for a status: at most [`MAX_SPENT`] entries of whole seconds, none earlier than it was.
    pub fn spent(&self) -> Vec<SpentEntry> {
        let seconds = self.spent.iter().map(|entry| SpentEntry {
            at: whole_second(entry.at),
            ..*entry
        });
        merged(seconds, MAX_SPENT)
    }

    /// The ledger that a status recorded, after a restart. Nothing is in flight.
    pub fn restore(spent: &[SpentEntry]) -> Self {
        Self {
            flying: BTreeSet::new(),
            spent: merged(spent.iter().copied(), MAX_KEPT),
        }
    }

    /// How many operations are in flight.
    pub fn in_flight(&self) -> usize {
        self.flying.len()
    }

    fn of(&self, asset: &AssetName) -> impl Iterator<Item = ActionType> {
        let flights = self.flying.iter().filter(move |flight| flight.asset == *asset);
        flights.map(|flight| flight.action)
    }
}

/// Entries in order, equal times and actions as one; when there are too many, the oldest is counted together with the
/// next younger one of its action.
fn merged(entries: impl Iterator<Item = SpentEntry>, most: usize) -> Vec<SpentEntry> {
    let mut sorted: Vec<SpentEntry> = entries.filter(|entry| entry.count > 0).collect();
    sorted.sort_unstable();
    sorted.dedup_by(|next, kept| {
        let same = (next.at, next.action) == (kept.at, kept.action);
        if same {
            kept.count = kept.count.saturating_add(next.count);
        }
        same
    });
    let mut place = 0;
    while sorted.len() > most && place < sorted.len() {
        if fold_into_younger(&mut sorted, place) {
            sorted.remove(place);
        } else {
            place += 1;
        }
    }
    sorted
}

fn fold_into_younger(entries: &mut [SpentEntry], place: usize) -> bool {
    let Some((oldest, younger)) = entries.get_mut(place..).and_then(<[SpentEntry]>::split_first_mut) else {
        return false;
    };
    let next = younger.iter_mut().find(|entry| entry.action == oldest.action);
    next.map(|next| next.count = next.count.saturating_add(oldest.count))
        .is_some()
}

fn whole_second(at: Timestamp) -> Timestamp {
    let up = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Ceil);
    at.round(up).unwrap_or(Timestamp::MAX)
}

/// One budget at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetState {
    /// Its name.
    pub name: String,
    /// Whether it applies now.
    pub active: bool,
    /// How many actions it allows.
    pub allowed: u32,
    /// How many count, in flight or within the span. May be more than allowed, when what it is a percentage of
    /// became less or its schedule opened.
    pub used: u32,
    /// When the next unit is free again or the schedule opens or closes, whichever is first. The end of an operation in
    /// flight cannot be predicted.
    pub resets: Option<Timestamp>,
}

/// The state of every budget, in the given order.
pub fn states(budgets: &[Budget], ledger: &Ledger, selected: Selected, now: Timestamp) -> Vec<BudgetState> {
    let state = |budget: &Budget| budget.state(ledger, selected, now);
    budgets.iter().map(state).collect()
}

impl Budget {
    fn state(&self, ledger: &Ledger, selected: Selected, now: Timestamp) -> BudgetState {
        let phase = self.schedule.as_ref().map(|schedule| schedule.at(now));
        let frees = self.counting(ledger, now).map(|(until, _)| until).min();
        let changes = phase.and_then(|phase| phase.changes);
        BudgetState {
            name: self.name.clone(),
            active: phase.is_none_or(|phase| phase.open),
            allowed: self.allowed(selected),
            used: self.used(ledger, now),
            resets: frees.into_iter().chain(changes).min(),
        }
    }

    fn applies(&self, now: Timestamp) -> bool {
        let mut schedules = self.schedule.iter();
        schedules.all(|schedule| schedule.is_open(now))
    }

    fn allowed(&self, selected: Selected) -> u32 {
        let percent = match self.max {
            BudgetLimit::Count(count) => return count,
            BudgetLimit::Percent(percent) => u64::from(percent.min(100)),
        };
        let consumers = self.actions.iter().any(ActionType::is_on_consumers);
        let streams = self.actions.iter().any(|action| !action.is_on_consumers());
        let base = u64::from(selected.streams) * u64::from(streams)
            + u64::from(selected.consumers) * u64::from(consumers);
        u32::try_from((base * percent).div_ceil(100)).unwrap_or(u32::MAX)
    }

    fn used(&self, ledger: &Ledger, now: Timestamp) -> u32 {
        let covered = ledger
            .flying
            .iter()
            .filter(|flight| self.actions.contains(flight.action));
        let flying = u32::try_from(covered.count()).unwrap_or(u32::MAX);
        self.counting(ledger, now)
            .fold(flying, |used, (_, count)| used.saturating_add(count))
    }

    /// What was done and still counts: until when, and how many.
    fn counting(&self, ledger: &Ledger, now: Timestamp) -> impl Iterator<Item = (Timestamp, u32)> {
        let covered = ledger
            .spent
            .iter()
            .filter(|entry| self.actions.contains(entry.action));
        let until = covered.filter_map(|entry| Some((later(entry.at, self.per?), entry.count)));
        until.filter(move |(until, _)| now < *until)
    }
}

/// What is left of every active budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    rooms: Vec<Remaining>,
}

/// Ordered by tightness.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Remaining {
    left: i64,
    allowed: u32,
    name: String,
    actions: Vec<ActionType>,
}

impl Allowance {
    /// What is left now.
    pub fn new(budgets: &[Budget], ledger: &Ledger, selected: Selected, now: Timestamp) -> Self {
        let rooms = budgets.iter().filter(|budget| budget.applies(now)).map(|budget| {
            let allowed = budget.allowed(selected);
            Remaining {
                left: i64::from(allowed) - i64::from(budget.used(ledger, now)),
                allowed,
                name: budget.name.clone(),
                actions: budget.actions.iter().collect(),
            }
        });
        Self {
            rooms: rooms.collect(),
        }
    }

    /// Takes one from all budgets that apply, or from none and names the tightest of those that are used up.
    pub fn take(&mut self, action: ActionType) -> Result<(), String> {
        let applies = |room: &&mut Remaining| room.actions.contains(&action);
        let tightest = self.rooms.iter_mut().filter(applies).min();
        if let Some(room) = tightest.filter(|room| room.left <= 0) {
            return Err(room.name.clone());
        }
        for room in self.rooms.iter_mut().filter(applies) {
            room.left -= 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
