//! The homes of one look: the account's by all of its clients, a stream's by those that use it.
//!
//! The clock of a stream's home is the time of its samples: a window passes only while samples go on showing the same.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{AssetHome, Homes};
use crate::asset::{AssetIx, asset_name};
use crate::context::DecisionContext;
use crate::demand::{AssetHomes, HomeHistory, Tally, decide_home};
use crate::names::Location;
use crate::policy::HomeRules;
use crate::snapshot::{Consumer, RaftGroup, Stream};
use crate::topology::LocationMap;
use crate::usage::{AccountUse, StreamUse, UseSample, kept_for};

/// Decides all homes from one complete look; returns what to remember next of the account's and of the assets'.
pub fn decide_homes(
    context: &DecisionContext<'_>,
    locations: &LocationMap,
    tally: &Tally,
) -> (Homes, HomeHistory, AssetHomes) {
    let DecisionContext { policy, history, .. } = *context;
    let (account, account_history) = decide_home(
        tally,
        &policy.home,
        &history.home,
        context.now,
        context.stale_after,
    );
    let Some(rules) = policy.home.by_use else {
        let homes = Homes::decided(account, BTreeMap::new());
        return (homes, account_history, AssetHomes::new());
    };
    let Some(usage) = decisive_use(context, tally) else {
        // While all clients are in one place, what was settled before is remembered.
        let homes = Homes::decided(account, BTreeMap::new());
        return (homes, account_history, history.asset_homes.clone());
    };
    let mut deciding = Deciding {
        context,
        usage,
        locations,
        account: account.reference().cloned(),
        coverage_percent: rules.coverage_percent,
        rules: HomeRules {
            min_connections: 1,
            stabilization_window: policy.home.stream_stabilization_window,
            ..policy.home.clone()
        },
        homes: BTreeMap::new(),
        histories: BTreeMap::new(),
    };
    deciding.decide_all();
    (
        Homes::decided(account, deciding.homes),
        account_history,
        deciding.histories,
    )
}

/// What was sampled, where it can decide anything: clients that are all in one location use every stream from there.
pub(crate) fn decisive_use<'a>(context: &DecisionContext<'a>, tally: &Tally) -> Option<&'a AccountUse> {
    let usage = context.usage.filter(|_| context.policy.home.by_use.is_some())?;
    let rows = tally.rows.values().chain(tally.without_jetstream.values());
    let used = rows.chain([&tally.unplaced]).filter(|row| row.connections > 0);
    (used.count() > 1).then_some(usage)
}

struct Deciding<'a> {
    context: &'a DecisionContext<'a>,
    usage: &'a AccountUse,
    locations: &'a LocationMap,
    /// The location that the account's clients make home.
    account: Option<Location>,
    coverage_percent: u8,
    /// Those of the policy, as they are for a stream's own clients.
    rules: HomeRules,
    homes: BTreeMap<AssetIx, AssetHome>,
    histories: AssetHomes,
}

impl Deciding<'_> {
    fn decide_all(&mut self) {
        let DecisionContext { view, policy, .. } = *self.context;
        for (stream, at) in view.streams.iter().zip(0u32..) {
            if !policy.streams.selects(stream) {
                continue;
            }
            let asset = AssetIx::Stream(at);
            let Some(sampled) = self.usage.last(&stream.name) else {
                self.keep(asset, None);
                continue;
            };
            let samples = self.usage.samples(&stream.name);
            let used = StreamUse::new(view, stream, self.locations, &policy.clients, &samples);
            self.decide(asset, used, sampled.at);
            for (consumer, nth) in stream.consumers.iter().zip(0u32..) {
                if self.may_be_led_elsewhere(&consumer.group) && policy.selects_consumer(consumer) {
                    let asset = AssetIx::Consumer(at, nth);
                    self.decide_consumer(asset, stream, consumer, &samples, sampled.at);
                }
            }
        }
    }

    /// Whether a consumer can be led from several locations without a move of its stream.
    fn may_be_led_elsewhere(&self, group: &RaftGroup) -> bool {
        let peers = group.peers.iter();
        let locations: BTreeSet<_> = peers.filter_map(|peer| self.locations.of(peer.server)).collect();
        locations.len() > 1
    }

    /// Where its own clients are not known, it belongs where its stream does.
    fn decide_consumer(
        &mut self,
        asset: AssetIx,
        stream: &Stream,
        consumer: &Consumer,
        samples: &[UseSample],
        at: Timestamp,
    ) {
        let DecisionContext { view, policy, .. } = *self.context;
        let used = StreamUse::of_consumer(view, stream, consumer, self.locations, &policy.clients, samples);
        if self.is_enough(&used) {
            self.decide(asset, used, at);
        }
    }

    fn is_enough(&self, used: &StreamUse) -> bool {
        let covered = used.coverage_percent;
        used.is_seen() && covered.is_some_and(|percent| percent >= self.coverage_percent)
    }

    fn decide(&mut self, asset: AssetIx, used: StreamUse, at: Timestamp) {
        let DecisionContext { view, history, .. } = *self.context;
        if !self.is_enough(&used) {
            self.keep(asset, Some(used));
            return;
        }
        let Some(name) = asset_name(view, asset) else {
            return;
        };
        let tally = Tally::of_use(view, self.locations, &self.rules, &used);
        let nothing = HomeHistory::default();
        let past = history.asset_homes.get(&name).unwrap_or(&nothing);
        let unbroken = kept_for(self.rules.stabilization_window);
        let (home, next) = decide_home(&tally, &self.rules, past, at, unbroken);
        self.homes.insert(asset, AssetHome::Own { home, used });
        self.histories.insert(name, next);
    }

    /// Keeps the home that an asset's own clients had; without one the account's clients decide, once it was sampled.
    fn keep(&mut self, asset: AssetIx, used: Option<StreamUse>) {
        let DecisionContext { view, history, .. } = *self.context;
        let name = asset_name(view, asset);
        let past = name.as_ref().and_then(|name| history.asset_homes.get(name));
        let settled = past.and_then(|past| past.settled.clone());
        let home = match (&settled, used) {
            (None, Some(used)) => AssetHome::Account {
                contradicts: used.is_seen() && used.majority() != self.account.as_ref(),
                used,
            },
            (_, used) => AssetHome::Unknown {
                settled: settled.as_ref().map(|home| home.location.clone()),
                used,
            },
        };
        if let (Some(name), Some(_)) = (name, &settled) {
            let challenger = None;
            self.histories.insert(name, HomeHistory { settled, challenger });
        }
        self.homes.insert(asset, home);
    }
}
