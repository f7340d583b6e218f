//! Elections that the servers announced to the system account, where no client of another account can announce any
//! (nats-facts N48): whoever awaits a leader's step-down learns from them who took over, as soon as it did and for certain.
//!
//! An announcement may be lost, which costs its readers time only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leeward_core::names::{AccountId, AssetName, ServerName};
use tokio::sync::watch;
use tokio::time::Instant;

/// Announcements are remembered for as long as somebody may await one.
const REMEMBERED: Duration = Duration::from_mins(1);
/// Assets whose last election is remembered, at most.
const MOST_REMEMBERED: usize = 16_384;

/// The last election of each asset. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Elections {
    last: Arc<Mutex<BTreeMap<(AccountId, AssetName), Elected>>>,
    news: watch::Sender<()>,
}

/// Who was elected, and when that was heard.
#[derive(Clone, Debug)]
struct Elected {
    leader: ServerName,
    heard: Instant,
}

impl Elections {
    /// Takes in an announcement.
    pub(crate) fn record(&self, account: AccountId, asset: AssetName, leader: ServerName) {
        let heard = Instant::now();
        {
            let mut last = self.lock();
            if last.len() >= MOST_REMEMBERED {
                last.retain(|_, elected| elected.heard.elapsed() < REMEMBERED);
            }
            if last.len() >= MOST_REMEMBERED {
                last.clear();
            }
            last.insert((account, asset), Elected { leader, heard });
        }
        self.news.send_replace(());
    }

    /// Waits until an election of an asset is heard of that was announced since then.
    pub(crate) async fn next(&self, account: AccountId, asset: AssetName, since: Instant) -> ServerName {
        let key = (account, asset);
        let mut news = self.news.subscribe();
        loop {
            let elected = self.lock().get(&key).filter(|last| last.heard >= since).cloned();
            if let Some(elected) = elected {
                return elected.leader;
            }
            if news.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(AccountId, AssetName), Elected>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn asset(stream: &str) -> AssetName {
        AssetName::stream(stream.into())
    }

    fn next(elections: &Elections, stream: &str, since: Instant) -> Option<ServerName> {
        let account = AccountId::from("A");
        elections.next(account, asset(stream), since).now_or_never()
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_election_of_the_asset_since_then_counts() {
        let elections = Elections::default();
        elections.record(AccountId::from("A"), asset("S"), "n-0".into());
        elections.record(AccountId::from("B"), asset("T"), "n-1".into());
        let before = Instant::now();
        tokio::time::advance(Duration::from_millis(1)).await;
        let after = Instant::now();
        assert_eq!(next(&elections, "S", before), Some("n-0".into()));
        assert_eq!(next(&elections, "S", after), None);
        assert_eq!(next(&elections, "T", before), None, "another account's");
        let waiting = elections.next(AccountId::from("A"), asset("S"), after);
        let announced = async { elections.record(AccountId::from("A"), asset("S"), "n-2".into()) };
        assert_eq!(tokio::join!(waiting, announced).0, ServerName::from("n-2"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let elections = Elections::default();
        let begun = Instant::now();
        let record = |number: usize| {
            elections.record(AccountId::from("A"), asset(&number.to_string()), "n-0".into());
        };
        (0..MOST_REMEMBERED).for_each(record);
        tokio::time::advance(REMEMBERED).await;
        record(MOST_REMEMBERED);
        assert_eq!(elections.lock().len(), 1, "the others are out of date");
        (0..MOST_REMEMBERED).for_each(record);
        assert!(elections.lock().len() <= MOST_REMEMBERED);
        let newest = (MOST_REMEMBERED - 1).to_string();
        assert_eq!(next(&elections, &newest, begun), Some("n-0".into()));
    }
}
