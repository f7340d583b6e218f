//! Which location is home to which asset: the only source of an asset's home.

use crate::asset::AssetIx;
use crate::demand::{Home, HomeHistory};
use crate::names::Location;

/// The homes of one evaluation. Every asset's home is the account's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Homes {
    account: Option<Home>,
    last_settled: Option<Location>,
}

impl Homes {
    /// Homes decided from a complete view.
    pub fn decided(account: Home) -> Self {
        Self {
            account: Some(account),
            last_settled: None,
        }
    }

    /// No home is known, because the view is incomplete: assets are counted against the last settled one, and nothing
    /// is decided from that (P6).
    pub fn unknown(history: &HomeHistory) -> Self {
        let settled = history.settled.as_ref();
        Self {
            account: None,
            last_settled: settled.map(|home| home.location.clone()),
        }
    }

    /// The account's home; `None` when it is not known.
    pub fn account(&self) -> Option<&Home> {
        self.account.as_ref()
    }

    /// The location that the account's leaders are judged against; `None` when its home is not known.
    pub fn account_location(&self) -> Option<&Location> {
        self.account().and_then(Home::reference)
    }

    /// The home of an asset; `None` when it is not known.
    pub fn of(&self, _asset: AssetIx) -> Option<&Home> {
        self.account()
    }

    /// The location that an asset is judged against.
    pub fn reference(&self, asset: AssetIx) -> Option<&Location> {
        match self.of(asset) {
            Some(home) => home.reference(),
            None => self.last_settled.as_ref(),
        }
    }

    /// Whether the leader of an asset may go home already.
    pub fn is_settled(&self, asset: AssetIx) -> bool {
        self.of(asset).and_then(Home::settled).is_some()
    }

    /// Every location that assets are judged against, and whether leaders may go there already.
    pub(crate) fn destinations(&self) -> impl Iterator<Item = (&Location, bool)> {
        let account = match &self.account {
            Some(home) => home
                .reference()
                .map(|location| (location, home.settled().is_some())),
            None => self.last_settled.as_ref().map(|location| (location, false)),
        };
        account.into_iter()
    }
}
