//! Which location is home to which asset: the only source of an asset's home.

mod by_use;

use std::collections::{BTreeMap, BTreeSet};

use leeward_api::vocabulary::FindingReason;

pub use self::by_use::decide_homes;
pub(crate) use self::by_use::is_spread;
use crate::asset::{AssetIx, asset_index};
use crate::demand::Home;
use crate::history::History;
use crate::names::Location;
use crate::policy::HomeRules;
use crate::snapshot::AccountView;
use crate::usage::StreamUse;

/// The homes of one evaluation: the account's, and those of assets whose own clients count.
#[derive(Clone, Debug, PartialEq)]
pub struct Homes {
    account: Option<Home>,
    last_settled: Option<Location>,
    assets: BTreeMap<AssetIx, AssetHome>,
    destinations: BTreeSet<(Location, Option<FindingReason>)>,
}

/// The home of an asset for which its own clients count.
#[derive(Clone, Debug, PartialEq)]
pub enum AssetHome {
    /// Its own clients decide.
    Own {
        /// By their majority.
        home: Home,
        /// From where they use it.
        used: StreamUse,
    },
    /// The account's clients decide: nobody uses it, or nothing may be sampled. Where what is known contradicts them, it is
    /// judged by that, and does not move.
    Account {
        /// What is known.
        used: StreamUse,
        /// Whether it is not used most from the account's home.
        contradicts: bool,
    },
    /// It was not sampled yet, or not lately, or too little of its use is known: it is judged by the home that it had,
    /// else by the account's, and does not move.
    Unknown {
        /// The home that its own clients had.
        settled: Option<Location>,
        /// What is known.
        used: Option<StreamUse>,
    },
}

impl AssetHome {
    /// What is known of its use.
    pub fn used(&self) -> Option<&StreamUse> {
        match self {
            Self::Own { used, home: _ } | Self::Account { used, contradicts: _ } => Some(used),
            Self::Unknown { used, settled: _ } => used.as_ref(),
        }
    }

    /// The location that its own clients make it judged against; `None` where the account's decide.
    fn own_reference(&self) -> Option<&Location> {
        match self {
            Self::Own { home, used: _ } => match home {
                Home::NoMajority { settled, why: _ } => settled.as_ref(),
                Home::Settled { .. } | Home::Stabilizing { .. } => home.reference(),
            },
            Self::Account {
                contradicts: true,
                used,
            } => used.majority(),
            Self::Account {
                contradicts: false,
                used: _,
            } => None,
            Self::Unknown { settled, used: _ } => settled.as_ref(),
        }
    }
}

impl Homes {
    /// Homes decided from a complete view.
    fn decided(account: Home, assets: BTreeMap<AssetIx, AssetHome>) -> Self {
        Self::new(Some(account), None, assets)
    }

    /// No home is known, because the view is incomplete: assets are counted against the last settled one, and nothing
    /// is decided from that (P6).
    pub fn unknown(history: &History, rules: &HomeRules, view: &AccountView) -> Self {
        let settled = history.home.settled.as_ref();
        let own = history.asset_homes.iter().filter(|_| rules.by_use.is_some());
        let assets = own.filter_map(|(asset, history)| {
            let home = AssetHome::Unknown {
                settled: Some(history.settled.as_ref()?.location.clone()),
                used: None,
            };
            Some((asset_index(view, asset)?, home))
        });
        Self::new(None, settled.map(|home| home.location.clone()), assets.collect())
    }

    fn new(
        account: Option<Home>,
        last_settled: Option<Location>,
        assets: BTreeMap<AssetIx, AssetHome>,
    ) -> Self {
        let mut homes = Self {
            account,
            last_settled,
            assets,
            destinations: BTreeSet::new(),
        };
        let all = homes.assets.keys().map(|asset| {
            let location = homes.reference(*asset)?;
            Some((location.clone(), homes.hold(*asset)))
        });
        let account = homes.account_reference().cloned();
        let account = account.map(|location| (location, homes.account_hold()));
        homes.destinations = all.flatten().chain(account).collect();
        homes
    }

    /// The account's home; `None` when it is not known.
    pub fn account(&self) -> Option<&Home> {
        self.account.as_ref()
    }

    /// The location that the account's leaders are judged against; `None` when its home is not known.
    pub fn account_location(&self) -> Option<&Location> {
        self.account().and_then(Home::reference)
    }

    fn account_reference(&self) -> Option<&Location> {
        match &self.account {
            Some(home) => home.reference(),
            None => self.last_settled.as_ref(),
        }
    }

    fn account_hold(&self) -> Option<FindingReason> {
        let settled = self.account.as_ref().and_then(Home::settled);
        settled.is_none().then_some(FindingReason::Stabilizing)
    }

    /// The home of an asset for which its own clients count; a consumer without a home of its own has its stream's.
    pub fn own(&self, asset: AssetIx) -> Option<&AssetHome> {
        let of_stream = || self.assets.get(&AssetIx::Stream(asset.stream()));
        self.assets.get(&asset).or_else(of_stream)
    }

    /// The home of an asset; `None` when it is not known.
    pub fn of(&self, asset: AssetIx) -> Option<&Home> {
        match self.own(asset) {
            Some(AssetHome::Own { home, used: _ }) => Some(home),
            Some(AssetHome::Account { .. }) | None => self.account(),
            Some(AssetHome::Unknown { .. }) => None,
        }
    }

    /// Whether an asset is in place wherever it is led: it is used, and no location ever had the majority of that.
    pub fn is_anywhere(&self, asset: AssetIx) -> bool {
        let Some(AssetHome::Own { home, used: _ }) = self.own(asset) else {
            return false;
        };
        matches!(
            home,
            Home::NoMajority {
                settled: None,
                why: _
            }
        )
    }

    /// The location that an asset is judged against; `None` where that is not known, or any would do.
    pub fn reference(&self, asset: AssetIx) -> Option<&Location> {
        let own = self.own(asset);
        let is_own = matches!(own, Some(AssetHome::Own { .. }));
        let reference = own.and_then(AssetHome::own_reference);
        reference.or_else(|| (!is_own).then(|| self.account_reference()).flatten())
    }

    /// The location that an asset is judged against, if it is another one than the account's.
    pub fn differing(&self, asset: AssetIx) -> Option<&Location> {
        let own = self.own(asset).and(self.reference(asset))?;
        (Some(own) != self.account_location()).then_some(own)
    }

    /// Why the leader of an asset may not go home yet.
    pub fn hold(&self, asset: AssetIx) -> Option<FindingReason> {
        match self.own(asset) {
            Some(AssetHome::Own { home, used: _ }) => match home {
                Home::Settled { .. } => None,
                Home::Stabilizing { .. } => Some(FindingReason::Stabilizing),
                Home::NoMajority { .. } => Some(FindingReason::NoMajorityOfUse),
            },
            Some(AssetHome::Account {
                contradicts: true,
                used: _,
            }) => Some(FindingReason::UsedElsewhere),
            Some(AssetHome::Account {
                contradicts: false,
                used: _,
            })
            | None => self.account_hold(),
            Some(AssetHome::Unknown { .. }) => Some(FindingReason::UseUnknown),
        }
    }

    /// Every location that assets are judged against, and why leaders may not go there yet.
    pub(crate) fn destinations(&self) -> impl Iterator<Item = (&Location, Option<FindingReason>)> {
        self.destinations.iter().map(|(location, hold)| (location, *hold))
    }
}
