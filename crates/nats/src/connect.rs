//! A connection that maintains itself: made in the background, remade when lost, with a state to watch.
//!
//! Promises: starting never fails and never waits; a system that is down and one that refuses the credentials are
//! different states; nothing is sent late, because requests are refused while there is no connection instead of being
//! queued for the next one (P8).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, ClientError, ConnectOptions, Event, ServerAddr};
use leeward_core::names::ServerName;
use leeward_engine::supervise::{self, Panicked, SupervisedTask};
use secrecy::ExposeSecret;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::backoff;
use crate::client_runtime::ClientRuntime;
use crate::connect_config::ConnectConfig;
use crate::connection_name::ConnectionName;
use crate::credentials::Credentials;
use crate::denials::{Denials, note, server_error_text};
use crate::moments::ahead;
use crate::servers::{addresses, needs_tls, places};
use crate::state::{ConnectError, is_about_credentials};
use crate::tls::client_config;
use crate::watchdog::{growth, too_large, too_much_at_once};
use crate::wire::text::{MAX_DISPLAY, MOST_NAME, cut};

pub use crate::state::{CertificateProblem, ConnectProblem, ConnectionState, split_userinfo};

/// TCP, TLS and the NATS handshake with one server.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// A connection that ends sooner counts as failed: the next one counts only once it has lasted this long.
const LASTED: Duration = Duration::from_secs(5);
/// A dead connection is noticed after about two of these.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// Messages that a subscription may lag behind; more are dropped by the client (nats-facts N76).
const SUBSCRIPTION_CAPACITY: usize = 8192;
/// Bytes per read. A queued message keeps the whole buffer that it was read into; in a flood, where few messages are
/// queued, each may keep this much.
const READ_AT_A_TIME: u16 = 4096;
const EVENTS: usize = 64;
/// The interval of checks whether something that permissions forbade is allowed now.
pub(crate) const RECHECK_INTERVAL: Duration = Duration::from_secs(30);
const DEFAULT_INBOX: &str = "_INBOX";

/// A connection that maintains itself; it ends with this value.
#[derive(Debug)]
pub(crate) struct Link {
    shared: Arc<LinkState>,
    _driver: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct LinkState {
    state: watch::Sender<ConnectionState>,
    client: watch::Sender<Option<Client>>,
    denials: Denials,
    inbox_prefix: String,
    name: ConnectionName,
    /// How often async-nats was started.
    started: AtomicU64,
    /// Changes when messages were dropped.
    dropped: watch::Sender<()>,
    /// Why there will be no connection any more.
    given_up: watch::Sender<Option<String>>,
}

/// One of the connections that a link has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionEpoch {
    started: u64,
    connects: u64,
}

impl Link {
    pub(crate) fn open(config: ConnectConfig) -> Self {
        let inbox_prefix = config
            .inbox_prefix
            .clone()
            .unwrap_or_else(|| DEFAULT_INBOX.to_owned());
        let shared = Arc::new(LinkState {
            state: watch::Sender::new(ConnectionState::Connecting),
            client: watch::Sender::new(None),
            denials: Denials::new(),
            inbox_prefix,
            name: ConnectionName::random(),
            started: AtomicU64::new(0),
            dropped: watch::Sender::new(()),
            given_up: watch::Sender::new(None),
        });
        let (kept, driven) = (Arc::clone(&shared), Arc::clone(&shared));
        let driver = tokio::spawn(async move {
            let on_panic = |panicked: &Panicked| driven.on_panic(panicked);
            let begin = || drive_until_given_up(config.clone(), Arc::clone(&kept));
            Box::pin(supervise::keep(SupervisedTask::Connection, on_panic, begin)).await;
        });
        Self {
            shared,
            _driver: AbortOnDropHandle::new(driver),
        }
    }

    /// The name that its connections send to the server.
    pub(crate) fn name(&self) -> &ConnectionName {
        &self.shared.name
    }

    pub(crate) fn state(&self) -> watch::Receiver<ConnectionState> {
        self.shared.state.subscribe()
    }

    /// The client while there is one; it changes with every new connection, and subscriptions made on an earlier one end.
    pub(crate) fn client(&self) -> watch::Receiver<Option<Client>> {
        self.shared.client.subscribe()
    }

    /// Changes after messages found no place in a subscription's queue.
    pub(crate) fn dropped(&self) -> watch::Receiver<()> {
        self.shared.dropped.subscribe()
    }

    /// The client, if requests can be sent now.
    pub(crate) fn connected(&self) -> Option<Client> {
        if !self.shared.state.borrow().is_connected() || self.shared.given_up.borrow().is_some() {
            return None;
        }
        let client = self.shared.client.borrow().clone()?;
        (client.connection_state() == async_nats::connection::State::Connected).then_some(client)
    }

    /// The present connection, if requests can be sent now. async-nats counts it before anything is sent on it.
    pub(crate) fn epoch(&self) -> Option<ConnectionEpoch> {
        let client = self.connected()?;
        Some(ConnectionEpoch {
            started: self.shared.started.load(Ordering::Acquire),
            connects: client.statistics().connects.load(Ordering::Acquire),
        })
    }

    /// Ends the connection for good: nothing is sent from now on, and the state has the reason.
    pub(crate) fn give_up(&self, message: &str) {
        self.shared.given_up.send_replace(Some(message.to_owned()));
    }

    pub(crate) fn denials(&self) -> &Denials {
        &self.shared.denials
    }

    pub(crate) fn inbox_prefix(&self) -> &str {
        &self.shared.inbox_prefix
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.client.send_replace(None);
    }
}

async fn drive_until_given_up(config: ConnectConfig, shared: Arc<LinkState>) {
    let mut given_up = shared.given_up.subscribe();
    let reason = async {
        let reason = given_up.wait_for(Option::is_some).await;
        reason.ok().and_then(|reason| reason.clone()).unwrap_or_default()
    };
    let message = tokio::select! {
        message = reason => message,
        () = drive(config, Arc::clone(&shared)) => return,
    };
    shared.client.send_replace(None);
    shared.enter(ConnectionState::Refused {
        problem: ConnectProblem::InvalidCredentials,
        message,
    });
}

/// Connects, follows the connection until it ends, and restarts.
async fn drive(config: ConnectConfig, shared: Arc<LinkState>) {
    let (mut failures, mut ended_at_once) = (0_usize, false);
    loop {
        let (events_in, events) = mpsc::channel(EVENTS);
        match Box::pin(connect(&config, &shared, events_in)).await {
            Ok((client, _runtime)) => {
                let began = Instant::now();
                shared.started.fetch_add(1, Ordering::AcqRel);
                let has_to_last = ended_at_once;
                let watched = async {
                    tokio::select! {
                        at_once = follow(&client, events, &shared, has_to_last) => at_once,
                        () = too_much_at_once(&client) => {
                            shared.lost(&too_large());
                            true
                        }
                    }
                };
                ended_at_once = watched.await || began.elapsed() < LASTED;
                shared.client.send_replace(None);
                if !ended_at_once {
                    failures = 0;
                }
            }
            Err(error) => shared.enter(error.into()),
        }
        failures = failures.saturating_add(1);
        tokio::time::sleep(backoff::delay(failures)).await;
    }
}

async fn connect(
    config: &ConnectConfig,
    shared: &LinkState,
    events: mpsc::Sender<Event>,
) -> Result<(Client, ClientRuntime), ConnectError> {
    let servers = addresses(config)?;
    let options = options(config, shared, events, &servers)?;
    let at = places(&servers);
    shared.denials.reset();
    let runtime = ClientRuntime::start().map_err(ConnectError::NoThread)?;
    // async-nats panics over some of what servers may send before a connection is made.
    let connecting = runtime.spawn(supervise::catch(
        SupervisedTask::NatsClient,
        options.connect(servers),
    ));
    tokio::select! {
        connected = connecting => match connected.map_err(io::Error::from).map_err(ConnectError::NoThread)? {
            Ok(Ok(client)) => Ok((client, runtime)),
            Ok(Err(error)) => Err(ConnectError::Nats { at, error }),
            Err(panicked) => Err(ConnectError::BrokeOff(panicked)),
        },
        () = growth() => Err(ConnectError::Endless),
    }
}

fn options(
    config: &ConnectConfig,
    shared: &LinkState,
    events: mpsc::Sender<Event>,
    servers: &[ServerAddr],
) -> Result<ConnectOptions, ConnectError> {
    let tls = config.tls.clone().unwrap_or_default();
    let client_certificate = config.credentials.as_ref().and_then(Credentials::certificate);
    let rustls = client_config(&tls, client_certificate).map_err(ConnectError::Tls)?;
    let denials = shared.denials.clone();
    let mut options = ConnectOptions::new()
        .name(shared.name.as_str())
        .custom_inbox_prefix(&shared.inbox_prefix)
        .connection_timeout(HANDSHAKE_LIMIT)
        .ping_interval(PING_INTERVAL)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .read_buffer_capacity(READ_AT_A_TIME)
        .tls_client_config(rustls)
        .require_tls(needs_tls(config, servers))
        // A server's list of others is read before TLS, and names any host and scheme: only the configured servers may
        // receive the credentials.
        .ignore_discovered_servers()
        // async-nats reconnects a few times by itself, which keeps subscriptions; then this loop takes over, because
        // only a first attempt reports the whole error, and because async-nats would never stop.
        .max_reconnects(servers.len().saturating_mul(2).saturating_add(4))
        .reconnect_delay_callback(|attempts| backoff::delay(attempts.saturating_sub(1)))
        .event_callback(move |event| {
            note(&denials, &event);
            let events = events.clone();
            async move {
                // The receiver is gone when the link is.
                let _ = events.send(event).await;
            }
        });
    if tls.handshake_first {
        options = options.tls_first();
    }
    authenticate(options, config.credentials.as_ref())
}

fn authenticate(
    options: ConnectOptions,
    credentials: Option<&Credentials>,
) -> Result<ConnectOptions, ConnectError> {
    Ok(match credentials {
        None | Some(Credentials::TlsClientCertificate { .. }) => options,
        Some(Credentials::WithCertificate {
            certificate: _,
            key: _,
            user,
        }) => authenticate(options, Some(user))?,
        // async-nats wants a line end after the last line, which servers and the nats command do not.
        Some(Credentials::CredsFile(content)) => options
            .credentials(&format!("{}\n", content.expose_secret()))
            .map_err(|error| ConnectError::Credentials(error.to_string()))?,
        Some(Credentials::Nkey(seed)) => options.nkey(seed.expose_secret().to_owned()),
        Some(Credentials::Token(token)) => options.token(token.expose_secret().to_owned()),
        Some(Credentials::UserPassword { username, password }) => {
            options.user_and_password(username.clone(), password.expose_secret().to_owned())
        }
    })
}

/// Follows one connection until async-nats has given it up, or until it was lost at once: async-nats would then
/// reconnect without a pause. With `has_to_last`, it counts as made once it has lasted.
async fn follow(
    client: &Client,
    mut events: mpsc::Receiver<Event>,
    shared: &LinkState,
    has_to_last: bool,
) -> bool {
    let mut connected = Instant::now();
    if has_to_last {
        let ended = lost(&mut events, shared);
        if tokio::time::timeout(LASTED, ended).await.is_ok() {
            shared.lost("connections end right after they are made");
            return true;
        }
    }
    shared.connected(client);
    // Not at once: a connection that was just made would be made again when its first request is refused.
    let mut look = tokio::time::interval_at(ahead(RECHECK_INTERVAL), RECHECK_INTERVAL);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            _ = look.tick() => {
                shared.retry_inbox_subscription(client).await;
                continue;
            }
        };
        let Some(event) = event else { return false };
        match event {
            // Flushed first, so that the server's own error has arrived.
            Event::Connected => {
                connected = Instant::now();
                if let Ok(Ok(())) = tokio::time::timeout(HANDSHAKE_LIMIT, client.flush()).await {
                    shared.connected(client);
                }
            }
            Event::Disconnected => {
                shared.lost("the connection was lost");
                if connected.elapsed() < LASTED {
                    return true;
                }
            }
            Event::ServerError(error) => shared.server_error(&server_error_text(&error)),
            Event::ClientError(ClientError::MaxReconnects) | Event::Closed => return false,
            Event::ClientError(error) => shared.attempt_failed(&error),
            Event::SlowConsumer(_) => shared.dropped.send_replace(()),
            Event::LameDuckMode => tracing::info!("the server is about to shut down"),
            Event::Draining => {}
        }
    }
}

/// Waits until a connection is lost.
async fn lost(events: &mut mpsc::Receiver<Event>, shared: &LinkState) {
    loop {
        match events.recv().await {
            None | Some(Event::Disconnected | Event::Closed) => return,
            Some(Event::ServerError(error)) => shared.server_error(&server_error_text(&error)),
            Some(_) => {}
        }
    }
}

impl LinkState {
    fn enter(&self, state: ConnectionState) {
        self.state.send_if_modified(|old| {
            let changed = *old != state;
            if changed {
                tracing::info!(state = %state, "NATS connection");
                *old = state;
            }
            changed
        });
    }

    fn connected(&self, client: &Client) {
        let info = client.server_info();
        self.client.send_replace(Some(client.clone()));
        self.enter(ConnectionState::Connected {
            server: ServerName::from(cut(&info.server_name, MOST_NAME)),
            version: cut(&info.version, MAX_DISPLAY),
        });
    }

    /// Servers refuse a subscription once, and do not report when it is allowed: only a new connection shows it.
    async fn retry_inbox_subscription(&self, client: &Client) {
        if self.denials.refused_inbox(&self.inbox_prefix).is_some() {
            tracing::info!("connecting anew, since answers may not be received on this connection");
            if let Err(error) = client.force_reconnect().await {
                tracing::warn!(%error, "async-nats does not connect anew");
            }
        }
    }

    /// A loss does not hide a refusal that was reported right before it.
    fn lost(&self, message: &str) {
        if !matches!(*self.state.borrow(), ConnectionState::Refused { .. }) {
            self.enter(ConnectionState::Disconnected {
                message: message.to_owned(),
            });
        }
    }

    /// There is no connection now; the next attempt follows.
    fn on_panic(&self, panicked: &Panicked) {
        self.client.send_replace(None);
        self.enter(ConnectionState::Disconnected {
            message: format!("the connection broke off and is tried again ({panicked})"),
        });
    }

    fn server_error(&self, words: &str) {
        if is_about_credentials(words) {
            let problem = ConnectProblem::InvalidCredentials;
            self.enter(ConnectionState::Refused {
                problem,
                message: words.to_owned(),
            });
        }
    }

    /// An attempt of async-nats to reconnect; it reports only the kind of the error.
    fn attempt_failed(&self, error: &ClientError) {
        if self.state.borrow().is_connected() {
            return;
        }
        let message = error.to_string();
        if is_about_credentials(&message) {
            self.server_error(&message);
        } else {
            self.enter(ConnectionState::Disconnected {
                message: format!("the connection was lost: {message}"),
            });
        }
    }
}

#[cfg(test)]
mod tests;
