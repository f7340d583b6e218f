//! When to look: a full sweep every interval and after each connect, single accounts when they are due.

use std::sync::Arc;
use std::time::Duration;

use leeward_core::names::AccountId;
use leeward_core::snapshot::Gap;
use leeward_engine::policy_event::SPANS;
use tokio::time::{Instant, sleep_until};
use tracing::{Instrument as _, info_span};

use super::watched_accounts::{AccountFilter, WatchedAccounts};
use crate::connect::{ConnectionState, Link};
use crate::moments::ahead;

/// Looks at accounts and publishes the result.
pub(crate) trait Look: Send {
    /// Looks at these accounts; with [`AccountFilter::All`] they are all, and the system itself is due too.
    fn look(&mut self, accounts: Vec<AccountId>, which: AccountFilter) -> impl Future<Output = ()> + Send;

    /// Receives a new state of the connection.
    fn connection(&mut self, state: &ConnectionState);
}

/// Never ends by itself.
pub(crate) async fn run(
    link: Arc<Link>,
    board: Arc<WatchedAccounts>,
    interval: Duration,
    mut look: impl Look,
) {
    let mut state = link.state();
    let mut next_sweep = Instant::now();
    loop {
        let now = state.borrow_and_update().clone();
        look.connection(&now);
        if !now.is_connected() {
            report_disconnected(&board, &now);
            next_sweep = Instant::now();
            tokio::select! {
                changed = state.changed() => if changed.is_err() { return },
                () = board.changed() => {}
            }
            continue;
        }
        let wake = board.next_due().map_or(next_sweep, |due| due.min(next_sweep));
        tokio::select! {
            biased;
            changed = state.changed() => {
                if changed.is_err() {
                    return;
                }
                continue;
            }
            () = sleep_until(wake) => {}
            () = board.changed() => continue,
        }
        let which = if Instant::now() >= next_sweep {
            AccountFilter::All
        } else {
            AccountFilter::Due
        };
        if which == AccountFilter::All {
            next_sweep = ahead(interval);
        }
        let accounts = board.take(which);
        let span = info_span!(target: SPANS, "observation", accounts = accounts.len(), full = which == AccountFilter::All);
        look.look(accounts.clone(), which).instrument(span).await;
        board.looked(&accounts, which);
    }
}

/// Before the first attempt has ended, nothing is known: accounts are warming up.
fn report_disconnected(board: &WatchedAccounts, state: &ConnectionState) {
    if *state == ConnectionState::Connecting {
        return;
    }
    for account in board.accounts() {
        board.publish_gap(
            &account,
            Gap::Disconnected {
                message: state.to_string(),
            },
        );
    }
}
