//! What is remembered between rounds: home, attempts and cooldowns of assets. Bounded, and safe to lose: a restart
//! only forgets reasons to wait, never what was done, since that is read back from the servers (P10).

use std::collections::BTreeMap;

use jiff::Timestamp;
use leeward_api::policy_status::PlacementPolicyStatus;
use leeward_api::vocabulary::ActionResult;
use serde::{Deserialize, Serialize};

use crate::demand::{HomeHistory, SettledHome, elapsed, later};
use crate::names::{AssetName, ConsumerName, Location, StreamName};
use crate::policy::Disruption;
use crate::snapshot::AccountView;

/// Everything that one policy remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Home and its challenger.
    pub home: HomeHistory,
    /// Assets that were acted on; those whose memory no longer matters are dropped.
    pub assets: BTreeMap<AssetName, AssetHistory>,
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
}

/// How an operation ended, as far as it is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// The asset.
    pub asset: AssetName,
    /// How.
    pub result: ActionResult,
    /// Requests that were sent.
    pub requests: u32,
    /// When.
    pub at: Timestamp,
}

impl History {
    /// Remembers the end of an operation. One that sent no request leaves no trace.
    pub fn record(&mut self, ended: &Ended) {
        if ended.requests == 0 {
            return;
        }
        let entry = self.assets.entry(ended.asset.clone()).or_insert(AssetHistory {
            attempts: 0,
            last: ended.at,
        });
        entry.last = ended.at;
        entry.attempts = match ended.result {
            ActionResult::Succeeded => 0,
            ActionResult::Abandoned => entry.attempts,
            ActionResult::Missed | ActionResult::Failed | ActionResult::TimedOut => {
                entry.attempts.saturating_add(ended.requests)
            }
        };
    }

    /// Takes over what a round decided about home. A new home forgets attempts, which spoke of another destination;
    /// cooldowns go on, so that clients that swing to and fro do not take their streams along (P5).
    pub fn settle(&mut self, home: HomeHistory) {
        let location = |history: &HomeHistory| -> Option<Location> {
            history.settled.as_ref().map(|settled| settled.location.clone())
        };
        if location(&self.home).is_some() && location(&self.home) != location(&home) {
            for asset in self.assets.values_mut() {
                asset.attempts = 0;
            }
        }
        self.home = home;
    }

    /// Clears exhausted attempts when a person changed `resetToken`.
    pub fn reset(&mut self, token: Option<&str>) {
        if self.reset_token.as_deref() != token {
            self.assets.retain(|_, asset| asset.attempts == 0);
            self.reset_token = token.map(str::to_owned);
        }
    }

    /// Drops what no longer stands against anything: succeeded, and the cooldown is over.
    pub fn prune(&mut self, rules: &Disruption, now: Timestamp) {
        self.assets
            .retain(|_, asset| asset.attempts > 0 || elapsed(asset.last, now) < rules.cooldown);
    }

    /// Drops assets that a complete view does not show any more; from an incomplete one nothing follows (P6).
    pub fn forget_deleted(&mut self, view: &AccountView) {
        if view.gaps.is_empty() {
            self.assets.retain(|asset, _| view.group(asset).is_some());
        }
    }
}

impl History {
    /// What a status tells of the past, after a restart.
    ///
    /// The challenger of home is forgotten: nobody looked meanwhile, so its window starts anew.
    pub fn restore(status: &PlacementPolicyStatus, reset_token: Option<&str>) -> Self {
        let mut history = Self {
            reset_token: reset_token.map(str::to_owned),
            ..Self::default()
        };
        let stable = status.home.as_ref().filter(|home| home.stable);
        history.home.settled = stable.and_then(|home| {
            let since = home.since.as_ref()?.0;
            Some(SettledHome {
                location: Location::from(home.location.as_str()),
                since,
            })
        });
        for action in &status.recent_actions {
            let asset = asset_of(Some(&action.stream), action.consumer.as_ref());
            let ended = action.time.0;
            let Some(asset) = asset else { continue };
            let entry = history.assets.entry(asset).or_insert(AssetHistory {
                attempts: 0,
                last: ended,
            });
            entry.last = entry.last.max(ended);
        }
        for finding in status.findings.iter().filter(|finding| finding.attempts > 0) {
            let asset = asset_of(finding.stream.as_ref(), finding.consumer.as_ref());
            let Some(asset) = asset else { continue };
            // The actions themselves may have left the status: then the wait that was announced, or none, is known.
            let waits = finding.next_attempt_time.as_ref().or(finding.since.as_ref());
            let last = waits.map_or(Timestamp::MIN, |time| time.0);
            let entry = history
                .assets
                .entry(asset)
                .or_insert(AssetHistory { attempts: 0, last });
            entry.attempts = u32::try_from(finding.attempts).unwrap_or(0);
        }
        history
    }
}

fn asset_of(stream: Option<&String>, consumer: Option<&String>) -> Option<AssetName> {
    Some(AssetName {
        stream: StreamName::from(stream?.as_str()),
        consumer: consumer.map(|name| ConsumerName::from(name.as_str())),
    })
}

impl AssetHistory {
    /// Whether all attempts are used up.
    pub fn exhausted(&self, rules: &Disruption) -> bool {
        self.attempts >= rules.max_attempts
    }

    /// When the asset may be acted on again, if that is later than now.
    pub fn cooling_until(&self, rules: &Disruption, now: Timestamp) -> Option<Timestamp> {
        let until = later(self.last, rules.cooldown);
        (until > now).then_some(until)
    }
}

#[cfg(test)]
mod tests;
