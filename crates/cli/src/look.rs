//! One look at a system from the command line: connects, waits until everything answered, ends the connections.
//!
//! Promises: nothing is changed; whatever could not be seen within the timeouts is a gap of the view; an error says
//! what to change so that anything can be seen. [`Session`] is the same for long-running commands.

mod accounts;
mod session;
mod views;
mod wording;

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use leeward_core::snapshot::AccountView;
use leeward_core::usage::{AccountUse, Sampling};
use leeward_engine::ports::Observe;
use leeward_nats::{AccountInfo, ConnectConfig, SystemObserver, SystemStatus};
use tokio::time::Instant;

pub use self::session::Session;
use self::views::WatchedLook;
use crate::args::ConnectionArgs;
use crate::connection::ConnectionOptions;

/// How long to look.
#[derive(Clone, Copy, Debug)]
pub struct LookTimeouts {
    /// For a connection and for every server's answer.
    pub wait: Duration,
    /// Between two looks, from which rates are known; none for a single look.
    pub sample: Duration,
}

/// What was seen of one account.
#[derive(Clone, Debug)]
pub struct Looked {
    /// The account.
    pub account: AccountInfo,
    /// Its newest view; its `gaps` say what is missing after all the waiting.
    pub view: Arc<AccountView>,
    /// The system, where a user of the system account looked.
    pub system: Option<SystemStatus>,
    /// Who uses streams, for those that were sampled.
    pub usage: AccountUse,
}

/// Which accounts to look at.
#[derive(Clone, Debug)]
pub enum AccountSelector {
    /// The account of the connection's own user.
    Own,
    /// One by id or name; needs the system account.
    Named(String),
    /// All that have streams or connections; needs the system account.
    All,
}

/// With a single look no sweep follows the first: incomplete views are refreshed explicitly.
const NO_SWEEP: Duration = Duration::from_mins(1);

/// Looks; an error says why nothing at all could be seen. One account that could not be seen completely is no error.
pub async fn look(
    connections: &ConnectionOptions,
    selector: &AccountSelector,
    timeouts: LookTimeouts,
) -> anyhow::Result<Vec<Looked>> {
    match selector {
        AccountSelector::Own => look_at_own(connections, timeouts).await.map(|seen| vec![seen]),
        AccountSelector::Named(_) | AccountSelector::All => {
            let Some(system) = &connections.system else {
                bail!(wording::no_system(selector));
            };
            look_as_system(system, selector, timeouts).await
        }
    }
}

/// Looks at the account of the connection's own user.
pub async fn look_at_own(connections: &ConnectionOptions, timeouts: LookTimeouts) -> anyhow::Result<Looked> {
    look_and_sample(connections, timeouts, |_| Vec::new()).await
}

/// The same, with samples of who uses the streams that are chosen: a few times, or until none is.
pub async fn look_and_sample(
    connections: &ConnectionOptions,
    timeouts: LookTimeouts,
    choose: impl Fn(&Looked) -> Vec<Sampling>,
) -> anyhow::Result<Looked> {
    let session = Session::open(connections, timeouts.interval(), timeouts.wait).await?;
    let mut seen = session.look(timeouts).await;
    if !timeouts.sample.is_zero() {
        session.sample(&mut seen, choose).await;
    }
    session.close().await;
    Ok(seen)
}

async fn look_as_system(
    config: &ConnectConfig,
    selector: &AccountSelector,
    timeouts: LookTimeouts,
) -> anyhow::Result<Vec<Looked>> {
    let deadline = Instant::now() + timeouts.wait;
    let observer = SystemObserver::start(config.clone(), timeouts.interval());
    session::system_answers(&observer, config, deadline).await?;
    let all = accounts::list(&observer, deadline).await?;
    let chosen = accounts::choose(all, selector)?;
    let watched: Vec<WatchedLook> = chosen
        .iter()
        .map(|account| WatchedLook::new(Arc::clone(&observer) as Arc<dyn Observe>, &account.id))
        .collect();
    let looks = watched.iter().map(|watched| watched.look(deadline, timeouts));
    let views = futures::future::join_all(looks).await;
    let system = observer.status().borrow().clone();
    observer.shutdown().await;
    let seen = chosen.into_iter().zip(views).map(|(account, view)| Looked {
        account,
        view,
        system: Some(system.clone()),
        usage: AccountUse::default(),
    });
    Ok(match selector {
        AccountSelector::All => seen.filter(is_used).collect(),
        AccountSelector::Own | AccountSelector::Named(_) => seen.collect(),
    })
}

/// Servers list accounts that could have streams; one that was seen to have neither streams nor clients is left out.
fn is_used(seen: &Looked) -> bool {
    let view = &seen.view;
    !(view.gaps.is_empty() && view.streams.is_empty() && view.clients.is_empty())
}

impl LookTimeouts {
    /// From the arguments.
    pub fn of(args: &ConnectionArgs) -> Self {
        Self {
            wait: args.wait.as_std(),
            sample: args.sample.as_std(),
        }
    }

    /// Rates are over an interval of the observer.
    fn interval(self) -> Duration {
        if self.sample.is_zero() {
            NO_SWEEP
        } else {
            self.sample
        }
    }
}
