//! Long-lived connections to one account: a client that may act, and an observer beside it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use futures::StreamExt as _;
use jiff::Timestamp;
use leeward_core::names::StreamName;
use leeward_core::snapshot::AccountView;
use leeward_core::usage::{AccountUse, Sampled, Sampling, StreamSampling};
use leeward_engine::ports::{Act as _, ActError, Observe};
use leeward_nats::{
    AccountClient, AccountInfo, ConnectConfig, ConnectionState, ObserverRights, SystemObserver, SystemStatus,
    TenantObserver,
};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::views::WatchedLook;
use super::{LookTimeouts, Looked, wording};
use crate::connection::ConnectionOptions;

const STREAMS_AT_ONCE: usize = 16;
/// Times that the streams of one look are sampled: once all, and again those whose leaders would move.
const MOST_ROUNDS: usize = 3;
/// A single look waits for no window.
const NO_WINDOW: Duration = Duration::ZERO;
/// After so many streams that lost the connection when sampled alone, no more are tried.
const MOST_LOST: usize = 2;
/// A connected server reports the account at once, if at all.
const ACCOUNT_LIMIT: Duration = Duration::from_secs(10);

/// An account that is observed, and changed where permitted.
pub struct Session {
    /// The account.
    pub account: AccountInfo,
    /// Reads and changes its assets.
    pub client: Arc<AccountClient>,
    /// Observes it.
    pub observe: Arc<dyn Observe>,
    /// Observes the whole system, with a user of the system account.
    system: Option<Arc<SystemObserver>>,
    tenant: Option<Arc<TenantObserver>>,
    watched: WatchedLook,
}

impl Session {
    /// Connects, learns the account and begins to look at it every `interval`; fails after `wait`, and at once where
    /// waiting changes nothing.
    pub async fn open(
        connections: &ConnectionOptions,
        interval: Duration,
        wait: Duration,
    ) -> anyhow::Result<Self> {
        let Some(own) = &connections.account else {
            bail!(wording::no_account());
        };
        let deadline = Instant::now() + wait;
        let system = connections.system.as_ref();
        let system = system.map(|config| (SystemObserver::start(config.clone(), interval), config));
        let (config, domain) = (own.config.clone(), own.domain.as_deref());
        let client = match &system {
            Some((system, _)) => AccountClient::connect_witnessed(config, domain, system.witness()),
            None => AccountClient::connect(config, domain),
        };
        connected(client.state(), &own.config, "the account", deadline).await?;
        // First, since the account is confirmed there.
        if let Some((system, config)) = &system {
            system_answers(system, config, deadline).await?;
        }
        let account = learn(&client, deadline).await?;
        let system = system.map(|(system, _)| system);
        let (observe, tenant): (Arc<dyn Observe>, _) = if let Some(system) = &system {
            (Arc::clone(system) as _, None)
        } else {
            let tenant = TenantObserver::start(Arc::clone(&client), interval);
            (Arc::clone(&tenant) as _, Some(tenant))
        };
        let watched = WatchedLook::new(Arc::clone(&observe), &account.id);
        Ok(Self {
            account,
            client,
            observe,
            system,
            tenant,
            watched,
        })
    }

    /// Looks once, with these timeouts.
    pub async fn look(&self, timeouts: LookTimeouts) -> Looked {
        let view = self.watched.look(Instant::now() + timeouts.wait, timeouts);
        self.looked(view.await)
    }

    /// Samples who uses the streams that are chosen, a few times while it goes on looking: what is used in batches shows in the
    /// rates of the other looks.
    pub async fn sample(&self, seen: &mut Looked, choose: impl Fn(&Looked) -> Vec<Sampling>) {
        let mut views = self.observe.watch(&self.account.id);
        for _ in 0..MOST_ROUNDS {
            let chosen = choose(seen);
            if chosen.is_empty() {
                return;
            }
            let round = self.sample_once(chosen);
            tokio::pin!(round);
            let sampled = loop {
                tokio::select! {
                    sampled = &mut round => break sampled,
                    Ok(()) = views.changed() => {
                        let view = views.borrow_and_update();
                        seen.usage.observe(NO_WINDOW, &view, Timestamp::now());
                    }
                }
            };
            for (stream, sampling) in sampled {
                seen.usage.add(stream, sampling);
            }
            seen.view = self.watched.newest(&seen.view);
        }
    }

    /// Samples these streams, some at a time. What clients send to one of them may end the connection that all share: those whose
    /// sampling that broke off are sampled again, each alone.
    async fn sample_once(&self, samplings: Vec<Sampling>) -> Vec<(StreamName, StreamSampling)> {
        let one = |sampling: Sampling| async move {
            let sampled = self.client.sample_use(&sampling).await;
            (sampling, sampled)
        };
        let mut all = futures::stream::iter(samplings)
            .map(one)
            .buffer_unordered(STREAMS_AT_ONCE);
        let mut ended = Vec::new();
        let mut broken_off = Vec::new();
        while let Some((sampling, sampled)) = all.next().await {
            if sampled == Err(ActError::Disconnected) {
                broken_off.push(sampling);
            } else {
                ended.push((sampling.stream, stream_sampling(sampled, sampling.is_idle)));
            }
        }
        let mut lost = 0;
        for sampling in broken_off {
            let mut sampled = Err(ActError::Disconnected);
            if lost < MOST_LOST {
                sampled = self.client.sample_use(&sampling).await;
            }
            lost += usize::from(sampled == Err(ActError::Disconnected));
            ended.push((sampling.stream, stream_sampling(sampled, sampling.is_idle)));
        }
        ended
    }

    /// What was seen last.
    pub fn newest(&self) -> Looked {
        self.looked(self.observe.watch(&self.account.id).borrow().clone())
    }

    fn looked(&self, view: Arc<AccountView>) -> Looked {
        let system = self.system.as_ref();
        Looked {
            account: self.account.clone(),
            view,
            system: system.map(|system| system.status().borrow().clone()),
            usage: AccountUse::default(),
        }
    }

    /// Ends the observation, and with it the connections that nothing else holds.
    pub async fn close(self) {
        if let Some(system) = &self.system {
            system.shutdown().await;
        }
        if let Some(tenant) = &self.tenant {
            tenant.shutdown().await;
        }
    }
}

fn stream_sampling(sampled: Result<Sampled, ActError>, is_idle: bool) -> StreamSampling {
    let at = Timestamp::now();
    match sampled {
        Ok(sampled) => StreamSampling::new(at, sampled, is_idle),
        Err(error) => StreamSampling {
            at,
            samples: Vec::new(),
            problem: Some(error.to_string()),
            is_blind: matches!(error, ActError::Denied { .. }),
            skipped: 0,
            is_idle: false,
        },
    }
}

/// Waits until the servers report which account the user belongs to.
async fn learn(client: &AccountClient, deadline: Instant) -> anyhow::Result<AccountInfo> {
    let mut account = client.account();
    let limit = deadline.min(Instant::now() + ACCOUNT_LIMIT);
    // At the limit, or without a connection, it is not known.
    let _ = timeout_at(limit, account.wait_for(Option::is_some)).await;
    let known = account.borrow().clone();
    let problem = client.account_problem().borrow().clone();
    known.ok_or_else(|| anyhow!(wording::unknown_account(problem)))
}

/// Waits for a connection; one that is refused is not waited for.
async fn connected(
    mut state: watch::Receiver<ConnectionState>,
    config: &ConnectConfig,
    whose: &str,
    deadline: Instant,
) -> anyhow::Result<()> {
    let settled = |state: &ConnectionState| match state {
        ConnectionState::Connected { .. } | ConnectionState::Refused { .. } => true,
        ConnectionState::Connecting | ConnectionState::Disconnected { .. } => false,
    };
    // At the deadline the last state decides.
    let _ = timeout_at(deadline, state.wait_for(settled)).await;
    let state = state.borrow();
    match wording::not_connected(&state, &config.servers, whose) {
        None => Ok(()),
        Some(message) => bail!(message),
    }
}

/// Waits until the servers answer a user of the system account.
pub(super) async fn system_answers(
    observer: &SystemObserver,
    config: &ConnectConfig,
    deadline: Instant,
) -> anyhow::Result<()> {
    let mut status = observer.status();
    let settled = |status: &SystemStatus| {
        status.rights != ObserverRights::Unknown
            || matches!(status.connection, ConnectionState::Refused { .. })
    };
    let _ = timeout_at(deadline, status.wait_for(settled)).await;
    let status = status.borrow();
    let refused = wording::not_system(&status.rights);
    let message = match (&status.rights, refused) {
        (ObserverRights::System, _) => return Ok(()),
        (_, Some(message)) => message,
        (_, None) => wording::not_connected(&status.connection, &config.servers, "the system account")
            .unwrap_or_else(|| wording::no_system_answer(&status.gaps)),
    };
    bail!(message)
}
