//! What the fake system's servers say where nobody else can answer in their place.

use std::collections::BTreeMap;
use std::time::Duration;

use leeward_core::names::{AssetName, ServerName};
use tokio::time::Instant;

/// What the servers say of an asset where nobody else can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirms {
    /// What is read.
    All,
    /// That every peer lags behind.
    Lagging,
    /// What is read, but only of this leader.
    LedBy(&'static str),
    /// What is read; earlier reports name another leader.
    LaterThan(Instant),
}

/// The elections that were announced; none where the servers are silent.
#[derive(Debug, Default)]
pub struct Announced(Option<BTreeMap<AssetName, (ServerName, Instant)>>);

impl Announced {
    /// Announces elections from now on.
    pub fn begin(&mut self) {
        self.0.get_or_insert_default();
    }

    pub fn record(&mut self, asset: &AssetName, leader: ServerName) {
        if let Some(last) = &mut self.0 {
            last.insert(asset.clone(), (leader, Instant::now()));
        }
    }

    /// Who was elected since then; `Err` with when to ask again, where that is worth it.
    pub fn since(&self, asset: &AssetName, since: Instant) -> Result<ServerName, Option<Duration>> {
        let last = self.0.as_ref().ok_or(None)?;
        let elected = last.get(asset).filter(|(_, at)| *at >= since);
        elected
            .map(|(leader, _)| leader.clone())
            .ok_or(Some(Duration::from_millis(1)))
    }
}
