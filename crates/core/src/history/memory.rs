//! The history as a status keeps it, so that a restart or a new leader forgets no limit.
//!
//! Bounded (P12): what does not fit makes assets wait longer, never less.

use std::cmp::Reverse;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use leeward_api::policy_status::{
    BreakerState, MAX_REMEMBERED, Memory, PlacementPolicyStatus, RememberedAsset, SpentBudget,
};

use super::{AssetHistory, History, MAX_REVERTS};
use crate::breaker::Breaker;
use crate::budget::{Ledger, SpentEntry};
use crate::demand::SettledHome;
use crate::names::{AssetName, Location};
use crate::policy::Disruption;
use crate::time::{elapsed, later};

/// Times are stored in whole seconds, rounded down: one more, so that nothing ends too early.
const STORED_IN: Duration = Duration::from_secs(1);

impl History {
    /// What a status must hold so that [`History::restore`] forgets nothing that limits.
    pub fn memory(&self, rules: &Disruption, now: Timestamp) -> Memory {
        let stored = |time: Timestamp| Time(later(time, STORED_IN));
        let mut ranked: Vec<(&AssetName, &AssetHistory)> = self.assets.iter().collect();
        let cooling = |past: &AssetHistory| elapsed(past.last, now) < rules.cooldown;
        // What only records a move is dropped first; what no time ends, last.
        ranked.sort_by_key(|(asset, past)| {
            let blocked = past.undone >= MAX_REVERTS || past.exhausted(rules);
            let limits = past.attempts > 0 || past.undone > 0;
            let order = (blocked, limits, cooling(past), past.last);
            (Reverse(order), *asset)
        });
        let left_out = ranked.iter().skip(MAX_REMEMBERED);
        let others = left_out
            .filter(|(_, past)| cooling(past))
            .map(|(_, past)| past.last)
            .chain(self.others_acted_on)
            .max();
        let mut assets: Vec<RememberedAsset> = ranked
            .into_iter()
            .take(MAX_REMEMBERED)
            .map(|(asset, past)| remembered(asset, past))
            .collect();
        assets.sort_by(|a, b| (&a.stream, &a.consumer).cmp(&(&b.stream, &b.consumer)));
        let spent = self.ledger.spent().into_iter().map(|spent| SpentBudget {
            time: Time(spent.at),
            action: spent.action,
            count: spent.count.into(),
        });
        Memory {
            assets,
            others_acted_on: others.map(stored),
            spent: spent.collect(),
            move_bytes_per_second: self
                .move_bytes_per_second
                .map(|rate| i64::try_from(rate).unwrap_or(i64::MAX)),
            reset_token: self.reset_token.clone().unwrap_or_default(),
        }
    }

    /// The history that a status keeps. What was under way when it was written counts as done now: its end is unknown.
    ///
    /// The challenger of home is forgotten: nothing was observed meanwhile, so its window restarts. A time in the
    /// future, by a clock that was wrong once, counts as now: else its limit would never end.
    pub fn restore(status: &PlacementPolicyStatus, reset_token: Option<&str>, now: Timestamp) -> Self {
        let memory = status.memory.clone().unwrap_or_default();
        let spent: Vec<SpentEntry> = memory.spent.iter().map(|one| spent(one, now)).collect();
        let mut history = Self {
            ledger: Ledger::restore(&spent),
            breaker: breaker(status, now),
            others_acted_on: memory.others_acted_on.as_ref().map(|time| time.0.min(now)),
            move_bytes_per_second: memory
                .move_bytes_per_second
                .and_then(|rate| u64::try_from(rate).ok()),
            // A status without memory is from before there was one.
            reset_token: match &status.memory {
                Some(memory) => Some(memory.reset_token.clone()).filter(|token| !token.is_empty()),
                None => reset_token.map(str::to_owned),
            },
            ..Self::default()
        };
        let stable = status.home.as_ref().filter(|home| home.stable);
        history.home.settled = stable.and_then(|home| {
            Some(SettledHome {
                location: Location::from(home.location.as_str()),
                since: home.since.as_ref()?.0.min(now),
            })
        });
        for asset in &memory.assets {
            let name = AssetName::of(&asset.stream, asset.consumer.as_deref());
            history.assets.insert(name, past(asset, now));
        }
        for operation in &status.operations {
            let name = AssetName::of(&operation.stream, operation.consumer.as_deref());
            history.ledger.begin(&name, operation.action);
            history.ledger.end(&name, true, now);
            let entry = history.assets.entry(name);
            entry.or_insert_with(|| AssetHistory::new(now)).last = now;
        }
        history
    }
}

fn remembered(asset: &AssetName, past: &AssetHistory) -> RememberedAsset {
    let AssetHistory {
        attempts,
        last,
        undone,
        moved_to,
    } = past;
    let count = |number: &u32| i32::try_from(*number).unwrap_or(i32::MAX);
    RememberedAsset {
        stream: asset.stream.to_string(),
        consumer: asset.consumer.as_ref().map(ToString::to_string),
        time: Time(later(*last, STORED_IN)),
        attempts: count(attempts),
        undone: count(undone),
        moved_to: moved_to.as_ref().map(ToString::to_string),
    }
}

fn past(asset: &RememberedAsset, now: Timestamp) -> AssetHistory {
    let count = |number: i32| u32::try_from(number).unwrap_or(0);
    AssetHistory {
        attempts: count(asset.attempts),
        last: asset.time.0.min(now),
        undone: count(asset.undone),
        moved_to: asset.moved_to.as_deref().map(Location::from),
    }
}

fn spent(spent: &SpentBudget, now: Timestamp) -> SpentEntry {
    SpentEntry {
        at: spent.time.0.min(now),
        action: spent.action,
        count: u32::try_from(spent.count).unwrap_or(u32::MAX),
    }
}

fn breaker(status: &PlacementPolicyStatus, now: Timestamp) -> Breaker {
    let Some(breaker) = &status.breaker else {
        return Breaker::default();
    };
    let stored = breaker.failures.iter();
    let failures: Vec<Timestamp> = stored.map(|time| later(time.0, STORED_IN).min(now)).collect();
    let opened = match breaker.state {
        BreakerState::Closed => None,
        BreakerState::Open | BreakerState::HalfOpen => Some(failures.iter().max().copied().unwrap_or(now)),
    };
    Breaker { failures, opened }
}
