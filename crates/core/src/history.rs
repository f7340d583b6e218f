//! What is remembered between rounds: home, attempts and cooldowns of assets, what budgets have spent, failures.
//! Bounded; `memory` keeps it in a status over a restart (P10, P12).

mod memory;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::{ActionResult, ActionType, FindingReason};
use serde::{Deserialize, Serialize};

use crate::breaker::{Breaker, BreakerRules};
use crate::budget::Ledger;
use crate::demand::{AssetHomes, HomeHistory};
use crate::names::{AssetName, Location};
use crate::policy::Disruption;
use crate::snapshot::AccountView;
use crate::time::{elapsed, later};

/// Everything that one policy remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Home and its challenger.
    pub home: HomeHistory,
    /// The same of assets whose own clients decide. A status does not keep it: after a restart their windows begin
    /// anew.
    pub asset_homes: AssetHomes,
    /// Assets that were acted on; those whose memory no longer matters are dropped.
    pub assets: BTreeMap<AssetName, AssetHistory>,
    /// When the last asset that did not fit into a status was acted on: all that are not in `assets` cool down from
    /// then on, since it may be any of them.
    pub others_acted_on: Option<Timestamp>,
    /// What counts against budgets.
    pub ledger: Ledger,
    /// Failures, and whether they stop everything.
    pub breaker: Breaker,
    /// What the last move of a stream worth measuring copied, in bytes a second.
    pub move_bytes_per_second: Option<u64>,
    /// The value of `resetToken` when attempts were last cleared.
    pub reset_token: Option<String>,
}

/// What was done to one asset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AssetHistory {
    /// Requests sent without success since the last success, home change or reset.
    pub attempts: u32,
    /// When the last operation ended.
    pub last: Timestamp,
    /// How often somebody else reverted an edit.
    pub undone: u32,
    /// The location that the stream was moved to; if it is elsewhere later, somebody reverted the move.
    pub moved_to: Option<Location>,
}

/// An edit that somebody else reverted this often is not repeated.
pub const MAX_REVERTS: u32 = 2;
/// Moves of fewer bytes measure elections rather than copying.
const WORTH_MEASURING: u64 = 16 << 20;

/// How an operation ended, as far as it is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndedOperation {
    /// The asset.
    pub asset: AssetName,
    /// How.
    pub result: ActionResult,
    /// What blocked it.
    pub reason: Option<FindingReason>,
    /// Requests that were sent; an aimed step-down, which names one peer after the other, is one attempt.
    pub attempts: u32,
    /// When.
    pub at: Timestamp,
    /// For a move: where to, how many bytes, and how long it took.
    pub moved: Option<MoveRecord>,
}

/// A move that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MoveRecord {
    /// Where to.
    pub to: Location,
    /// Bytes of one replica.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// What the end of an operation changed for all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerTransition {
    /// Nothing.
    None,
    /// The breaker opened.
    Opened,
    /// The breaker closed.
    Closed,
}

impl History {
    /// Remembers that an operation begins.
    pub fn begin(&mut self, asset: &AssetName, action: ActionType) {
        self.ledger.begin(asset, action);
    }

    /// Remembers the end of an operation. One that sent no request leaves no trace, except an attempt where somebody
    /// else answered for the servers: that does not pass by itself.
    pub fn record(&mut self, ended: &EndedOperation, rules: &Disruption) -> BreakerTransition {
        self.ledger.end(&ended.asset, ended.attempts > 0, ended.at);
        if ended.attempts == 0 && ended.reason != Some(FindingReason::AnswersDiffer) {
            return BreakerTransition::None;
        }
        let entry = self.assets.entry(ended.asset.clone());
        let entry = entry.or_insert_with(|| AssetHistory::new(ended.at));
        entry.last = ended.at;
        entry.attempts = match ended.result {
            // Its leader is home: there is nothing to try again.
            ActionResult::Succeeded | ActionResult::Stalled => 0,
            ActionResult::Abandoned => entry.attempts,
            ActionResult::Missed | ActionResult::Failed | ActionResult::TimedOut => {
                entry.attempts.saturating_add(ended.attempts.max(1))
            }
        };
        if ended.attempts == 0 {
            return BreakerTransition::None;
        }
        if ended.reason == Some(FindingReason::Contested) {
            entry.undone = entry.undone.saturating_add(1);
        }
        if let Some(moved) = ended.moved.as_ref().filter(|_| entry.attempts == 0) {
            entry.moved_to = Some(moved.to.clone());
            if moved.bytes >= WORTH_MEASURING {
                let milliseconds = u64::try_from(moved.took.as_millis()).unwrap_or(u64::MAX).max(1);
                self.move_bytes_per_second = Some(moved.bytes.saturating_mul(1000) / milliseconds);
            }
        }
        self.record_in_breaker(ended, &rules.circuit_breaker)
    }

    fn record_in_breaker(&mut self, ended: &EndedOperation, rules: &BreakerRules) -> BreakerTransition {
        match ended.result {
            ActionResult::Succeeded if self.breaker.succeeded(rules, ended.at) => BreakerTransition::Closed,
            ActionResult::Failed | ActionResult::TimedOut | ActionResult::Stalled
                if self.breaker.failed(rules, ended.at) =>
            {
                BreakerTransition::Opened
            }
            // A transfer to a peer outside home does no harm; attempts limit those.
            ActionResult::Missed
            | ActionResult::Abandoned
            | ActionResult::Succeeded
            | ActionResult::Failed
            | ActionResult::TimedOut
            | ActionResult::Stalled => BreakerTransition::None,
        }
    }

    /// Notices that streams which were moved home are elsewhere again: somebody reverted the move. `reverted` are those
    /// that are elsewhere, each with its home. Returns those that reach the limit. Only a complete view that began
    /// after the move counts.
    pub fn notice_reverted(
        &mut self,
        reverted: &BTreeMap<AssetName, Location>,
        seen: Timestamp,
    ) -> Vec<AssetName> {
        let mut contested = Vec::new();
        for (asset, past) in &mut self.assets {
            let home = reverted.get(asset);
            if home.is_none() || past.moved_to.as_ref() != home || past.last >= seen {
                continue;
            }
            past.moved_to = None;
            past.undone = past.undone.saturating_add(1);
            if past.undone == MAX_REVERTS {
                contested.push(asset.clone());
            }
        }
        contested
    }

    /// Adopts what a round decided about homes. An asset's new home forgets its attempts and moves, which had another
    /// destination; cooldowns continue, so that clients that swing back and forth do not take their streams along (P5).
    pub fn settle(&mut self, home: HomeHistory, asset_homes: AssetHomes) {
        let before = (
            std::mem::replace(&mut self.home, home),
            std::mem::replace(&mut self.asset_homes, asset_homes),
        );
        for (asset, past) in &mut self.assets {
            let was = settled(&before.0, &before.1, asset);
            let is = settled(&self.home, &self.asset_homes, asset);
            // After a restart an own home that settles again is no new one.
            let changed = |((own, was), (is_own, is))| own == is_own && was != is;
            if was.zip(is).is_some_and(changed) {
                past.attempts = 0;
                past.moved_to = None;
            }
        }
    }

    /// Clears exhausted attempts, contested streams and the breaker when a person changed `resetToken`.
    pub fn reset(&mut self, token: Option<&str>) {
        if self.reset_token.as_deref() != token {
            self.assets.retain(|_, asset| asset.attempts == 0);
            for asset in self.assets.values_mut() {
                asset.undone = 0;
            }
            self.breaker.reset();
            self.reset_token = token.map(str::to_owned);
        }
    }

    /// Drops what no longer blocks anything: succeeded, the cooldown is over, and nobody reverted it.
    pub fn prune(&mut self, rules: &Disruption, now: Timestamp) {
        let cooling = |last: Timestamp| elapsed(last, now) < rules.cooldown;
        self.assets.retain(|_, asset| {
            asset.attempts > 0 || asset.undone > 0 || asset.moved_to.is_some() || cooling(asset.last)
        });
        self.others_acted_on = self.others_acted_on.filter(|last| cooling(*last));
        let longest = rules.budgets.iter().filter_map(|budget| budget.per).max();
        self.ledger.prune(longest.unwrap_or_default(), now);
    }

    /// Drops assets that a complete view does not show any more; from an incomplete one nothing follows (P6).
    pub fn forget_deleted(&mut self, view: &AccountView) {
        if view.gaps.is_empty() {
            self.assets.retain(|asset, _| view.group(asset).is_some());
            self.asset_homes.retain(|asset, _| view.group(asset).is_some());
        }
    }

    /// Whether nothing is remembered that could block an action.
    pub fn is_blank(&self) -> bool {
        self.assets.is_empty() && self.others_acted_on.is_none()
    }

    /// What was done before that blocks another action on an asset.
    pub fn blocked_by(&self, asset: &AssetName, rules: &Disruption, now: Timestamp) -> Option<FindingReason> {
        if let Some(past) = self.assets.get(asset) {
            if past.undone >= MAX_REVERTS {
                return Some(FindingReason::Contested);
            }
            if past.exhausted(rules) {
                return Some(FindingReason::AttemptsExhausted);
            }
        }
        self.cooling_until(asset, rules, now)
            .map(|_| FindingReason::CoolingDown)
    }

    /// When an asset may be acted on again, if that is later than now.
    pub fn cooling_until(&self, asset: &AssetName, rules: &Disruption, now: Timestamp) -> Option<Timestamp> {
        let last = match self.assets.get(asset) {
            Some(past) => past.last,
            None => self.others_acted_on?,
        };
        let until = later(last, rules.cooldown);
        (until > now).then_some(until)
    }

    /// When the next asset has cooled down.
    pub fn next_cooled(&self, rules: &Disruption, now: Timestamp) -> Option<Timestamp> {
        let lasts = self.assets.values().map(|past| past.last);
        lasts
            .chain(self.others_acted_on)
            .map(|last| later(last, rules.cooldown))
            .filter(|until| *until > now)
            .min()
    }
}

/// The home of an asset that was settled last, and whether its own clients, or its stream's, decided it.
fn settled<'a>(
    account: &'a HomeHistory,
    assets: &'a AssetHomes,
    asset: &AssetName,
) -> Option<(bool, &'a Location)> {
    let own = |asset: &AssetName| assets.get(asset)?.settled.as_ref();
    let of_stream = || own(&AssetName::stream(asset.stream.clone()));
    let own = own(asset).or_else(of_stream).map(|home| (true, &home.location));
    own.or_else(|| Some((false, &account.settled.as_ref()?.location)))
}

impl AssetHistory {
    /// Of an asset that is acted on for the first time.
    fn new(last: Timestamp) -> Self {
        Self {
            attempts: 0,
            last,
            undone: 0,
            moved_to: None,
        }
    }

    /// Whether all attempts are used up.
    pub fn exhausted(&self, rules: &Disruption) -> bool {
        self.attempts >= rules.max_attempts
    }
}

#[cfg(test)]
mod tests;
