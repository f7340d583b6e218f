//! Which accounts of a system are meant.

use anyhow::{Context as _, bail};
use leeward_nats::{AccountInfo, SystemObserver};
use tokio::time::{Instant, sleep};

use super::{AccountSelector, wording};

/// Pause before a request without answer is retried.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// The accounts that servers know, once they answer.
pub(super) async fn list(observer: &SystemObserver, deadline: Instant) -> anyhow::Result<Vec<AccountInfo>> {
    loop {
        match observer.accounts().await {
            Ok(accounts) => return Ok(accounts),
            Err(error) if error.is_final() || Instant::now() + AGAIN >= deadline => {
                return Err(error).context("the accounts of the system are not known");
            }
            Err(_) => sleep(AGAIN).await,
        }
    }
}

/// The accounts that are meant, by name.
pub(super) fn choose(
    mut all: Vec<AccountInfo>,
    selector: &AccountSelector,
) -> anyhow::Result<Vec<AccountInfo>> {
    all.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
    let AccountSelector::Named(wanted) = selector else {
        return Ok(all);
    };
    if let Some(by_id) = all.iter().find(|account| account.id.as_str() == wanted) {
        return Ok(vec![by_id.clone()]);
    }
    let named: Vec<AccountInfo> = all
        .iter()
        .filter(|account| account.name == *wanted)
        .cloned()
        .collect();
    match named.as_slice() {
        [] => bail!(wording::no_such_account(wanted, &all)),
        [_] => Ok(named),
        [_, ..] => bail!(wording::several_accounts(wanted, &named)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(id: &str, name: &str) -> AccountInfo {
        AccountInfo {
            id: id.into(),
            name: name.to_owned(),
        }
    }

    fn all() -> Vec<AccountInfo> {
        vec![
            account("AC", "orders"),
            account("AB", "billing"),
            account("AA", "orders"),
        ]
    }

    fn ids(selector: &AccountSelector) -> Vec<String> {
        let chosen = choose(all(), selector).unwrap();
        chosen.into_iter().map(|account| account.id.to_string()).collect()
    }

    #[test]
    fn an_account_is_named_by_id_or_name() {
        assert_eq!(ids(&AccountSelector::Named("AC".into())), ["AC"]);
        assert_eq!(ids(&AccountSelector::Named("billing".into())), ["AB"]);
        assert_eq!(ids(&AccountSelector::All), ["AB", "AA", "AC"]);
    }

    #[test]
    fn an_account_that_is_not_there_or_not_the_only_one_is_an_error_that_says_what_there_is() {
        let error = choose(all(), &AccountSelector::Named("order".into())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no account order has streams or clients; there are billing and orders"
        );
        let error = choose(all(), &AccountSelector::Named("orders".into())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "2 accounts are named orders: give the id of one, AA or AC"
        );
        let error = choose(Vec::new(), &AccountSelector::Named("x".into())).unwrap_err();
        assert!(error.to_string().ends_with("no account has any"), "{error}");
    }
}
