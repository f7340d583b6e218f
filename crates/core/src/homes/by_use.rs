//! The homes of one look: the account's by all of its clients, a stream's by those that use it.
//!
//! The clock of a stream's home is the time of its samples: a window passes only while samples go on showing the same.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{AssetHome, Homes};
use crate::asset::{AssetIx, asset_name};
use crate::context::DecisionContext;
use crate::demand::{AssetHomes, Home, HomeHistory, NoMajority, SettledHome, Tally, decide_home};
use crate::names::Location;
use crate::policy::HomeRules;
use crate::snapshot::{AccountView, ClientKind, Consumer, RaftGroup, Stream};
use crate::topology::LocationMap;
use crate::usage::{AccountUse, StreamUse, UseSample, kept_for};

/// Fewer messages of known clients decide nothing; what one client sends at once is one of them.
const FEWEST_MESSAGES: u32 = 4;

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
    let Some(usage) = context.usage else {
        let homes = Homes::decided(account, BTreeMap::new());
        return (homes, account_history, history.asset_homes.clone());
    };
    let mut deciding = Deciding {
        context,
        usage,
        locations,
        account: account.reference().cloned(),
        is_spread: is_spread(context.view, tally),
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

/// Whether an account's clients are in several locations, or may be, behind leaf nodes; else they use every stream from the one
/// where they are.
pub(crate) fn is_spread(view: &AccountView, tally: &Tally) -> bool {
    if view
        .clients
        .iter()
        .any(|group| group.kind == ClientKind::Leafnode)
    {
        return true;
    }
    let rows = tally.rows.values().chain(tally.without_jetstream.values());
    let used = rows.chain([&tally.unplaced]).filter(|row| row.connections > 0);
    used.count() > 1
}

/// The least share, in percent, that so many messages show to be more than half: what 95 of 100 such samples would.
fn least_majority(messages: u32) -> u8 {
    let percent = 50.0 + 98.0 / f64::from(messages).sqrt();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 50 and 100"
    )]
    let percent = percent.ceil().clamp(50.0, 100.0) as u8;
    percent
}

struct Deciding<'a> {
    context: &'a DecisionContext<'a>,
    usage: &'a AccountUse,
    locations: &'a LocationMap,
    /// The location that the account's clients make home.
    account: Option<Location>,
    is_spread: bool,
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
                self.unsampled(asset);
                continue;
            };
            let samples = self.usage.samples(&stream.name);
            let stored = self.usage.stored(stream);
            let used = StreamUse::new(view, stream, self.locations, &policy.clients, &samples, stored);
            if self.is_enough(&used) {
                self.decide(asset, used, sampled.at);
            } else if let Some(settled) = self.settled(asset) {
                self.keep(asset, settled, Some(used));
            } else {
                let is_awaited = stream.consumers.iter().any(|consumer| consumer.waiting > 0);
                let is_unused = self.usage.is_unused(&stream.name) && !is_awaited;
                let may_follow = sampled.is_blind || is_unused;
                let home = self.without_enough(used, may_follow);
                self.homes.insert(asset, home);
            }
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
        } else if let Some(settled) = self.settled(asset) {
            self.keep(asset, settled, Some(used));
        }
    }

    fn is_covered(&self, used: &StreamUse) -> bool {
        let covered = used.coverage_percent;
        !used.is_partly_unmeasured && covered.is_some_and(|percent| percent >= self.coverage_percent)
    }

    fn is_enough(&self, used: &StreamUse) -> bool {
        used.is_seen() && self.is_covered(used) && used.independent >= FEWEST_MESSAGES
    }

    fn decide(&mut self, asset: AssetIx, used: StreamUse, at: Timestamp) {
        let DecisionContext { view, history, .. } = *self.context;
        let Some(name) = asset_name(view, asset) else {
            return;
        };
        let tally = Tally::of_use(view, self.locations, &self.rules, &used);
        let nothing = HomeHistory::default();
        let past = history.asset_homes.get(&name).unwrap_or(&nothing);
        let unbroken = kept_for(self.rules.stabilization_window);
        let rules = HomeRules {
            majority_percent: self.rules.majority_percent.max(least_majority(used.independent)),
            ..self.rules.clone()
        };
        let (home, next) = decide_home(&tally, &rules, past, at, unbroken);
        self.histories.insert(name, next);
        // That so few messages do not show a majority does not mean that there is none.
        let is_too_few = matches!(
            &home,
            Home::NoMajority { why: NoMajority::ShareTooSmall { percent, .. }, settled: None }
                if *percent >= self.rules.majority_percent
        );
        match asset {
            AssetIx::Stream(_) if is_too_few => {
                let home = self.without_enough(used, false);
                self.homes.insert(asset, home);
            }
            AssetIx::Consumer(_, _) if is_too_few => {}
            AssetIx::Stream(_) | AssetIx::Consumer(_, _) => {
                self.homes.insert(asset, AssetHome::Own { home, used });
            }
        }
    }

    /// The home that an asset's own clients had.
    fn settled(&self, asset: AssetIx) -> Option<SettledHome> {
        let DecisionContext { view, history, .. } = *self.context;
        history
            .asset_homes
            .get(&asset_name(view, asset)?)?
            .settled
            .clone()
    }

    /// Keeps that home while its clients are not known.
    fn keep(&mut self, asset: AssetIx, settled: SettledHome, used: Option<StreamUse>) {
        let home = AssetHome::Unknown {
            settled: Some(settled.location.clone()),
            used,
        };
        self.homes.insert(asset, home);
        if let Some(name) = asset_name(self.context.view, asset) {
            let history = HomeHistory {
                settled: Some(settled),
                challenger: None,
            };
            self.histories.insert(name, history);
        }
    }

    fn unsampled(&mut self, asset: AssetIx) {
        if let Some(settled) = self.settled(asset) {
            self.keep(asset, settled, None);
        } else if self.is_spread {
            let (settled, used) = (None, None);
            self.homes.insert(asset, AssetHome::Unknown { settled, used });
        }
    }

    /// The home of a stream whose own clients cannot decide. The account's do where nobody uses it, where those who do
    /// are not to be counted, and where nothing may be sampled. That messages flow whose clients are not known is no
    /// use from the account's home.
    fn without_enough(&self, used: StreamUse, may_follow: bool) -> AssetHome {
        let majority = used.majority();
        let is_elsewhere = majority.is_some() && majority != self.account.as_ref();
        let is_uncounted = !used.is_seen() && self.is_covered(&used);
        let is_tied = used.is_seen() && majority.is_none();
        if !is_tied && (is_elsewhere || is_uncounted || may_follow) {
            return AssetHome::Account {
                contradicts: is_elsewhere,
                used,
            };
        }
        AssetHome::Unknown {
            settled: None,
            used: Some(used),
        }
    }
}
