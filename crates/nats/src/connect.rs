//! A connection that keeps itself: made in the background, remade when lost, its state to be watched.
//!
//! Promises: starting never fails and never waits; a system that is down, and one that refuses the credentials, are two
//! different states; nothing is sent later than it was asked for, because requests are refused while there is no
//! connection instead of being queued for the next one (P8).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ClientError, ConnectErrorKind, ConnectOptions, Event, ServerAddr, ServerError};
use leeward_core::names::ServerName;
use secrecy::ExposeSecret;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::credentials::Credentials;
use crate::denials::Denials;
use crate::tls::{TlsConfig, TlsError, client_config};
use crate::{CONNECTION_NAME, backoff};

/// TCP, TLS and the NATS handshake with one server.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// A dead connection is noticed after about two of these.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// Messages that a subscription may lag behind; more are dropped by the client (NATS.md, async-nats).
const SUBSCRIPTION_CAPACITY: usize = 16_384;
const EVENTS: usize = 64;
const DEFAULT_INBOX: &str = "_INBOX";

/// How to connect.
#[derive(Clone, Debug, Default)]
pub struct ConnectConfig {
    /// URLs with the schemes nats, tls, ws or wss.
    pub servers: Vec<String>,
    /// TLS; without it a server that asks for TLS is trusted by the machine's roots.
    pub tls: Option<TlsConfig>,
    /// What the user proves itself with.
    pub credentials: Option<Credentials>,
    /// The first part of inbox subjects, for users whose permissions name it; `_INBOX` otherwise.
    pub inbox_prefix: Option<String>,
}

/// The state of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// The first attempt is under way.
    Connecting,
    /// Requests can be sent.
    Connected {
        /// The server at the other end.
        server: ServerName,
        /// Its version, as it says it.
        version: String,
    },
    /// No connection; attempts go on.
    Disconnected {
        /// The last error.
        message: String,
    },
    /// No connection, and without a change of configuration there will be none; attempts go on all the same.
    Refused {
        /// What has to change.
        problem: ConnectProblem,
        /// The last error.
        message: String,
    },
}

/// What has to change before a connection can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectProblem {
    /// The servers do not know the user, or it has expired or is revoked.
    InvalidCredentials,
    /// The certificates are not usable.
    InvalidTls,
    /// The server URLs are not usable.
    InvalidServers,
}

impl ConnectionState {
    /// Whether requests can be sent.
    pub fn is_connected(&self) -> bool {
        matches!(
            self,
            Self::Connected {
                server: _,
                version: _
            }
        )
    }
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => formatter.write_str("connecting"),
            Self::Connected { server, version } => write!(formatter, "connected to {server} ({version})"),
            Self::Disconnected { message } | Self::Refused { problem: _, message } => {
                formatter.write_str(message)
            }
        }
    }
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("the list of servers is empty")]
    NoServers,
    #[error("{url} is not a NATS URL: {message}")]
    Url { url: String, message: String },
    #[error("{0}")]
    Tls(TlsError),
    #[error("the credentials cannot be used: {0}")]
    Credentials(String),
    #[error("{}", Chain(.0))]
    Nats(#[source] async_nats::ConnectError),
}

/// An error with its causes, each said once.
struct Chain<'a>(&'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = error.source();
        }
        formatter.write_str(&text)
    }
}

impl From<ConnectError> for ConnectionState {
    fn from(error: ConnectError) -> Self {
        let message = error.to_string();
        let problem = match &error {
            ConnectError::NoServers | ConnectError::Url { url: _, message: _ } => {
                ConnectProblem::InvalidServers
            }
            ConnectError::Tls(_) => ConnectProblem::InvalidTls,
            ConnectError::Credentials(_) => ConnectProblem::InvalidCredentials,
            ConnectError::Nats(error) => match error.kind() {
                ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                    ConnectProblem::InvalidCredentials
                }
                _ if speaks_of_credentials(&message) => ConnectProblem::InvalidCredentials,
                _ => return Self::Disconnected { message },
            },
        };
        Self::Refused { problem, message }
    }
}

/// The servers' other words for the same: `User Authentication Expired`, `Account Authentication Expired`,
/// `User Authentication Revoked`.
fn speaks_of_credentials(message: &str) -> bool {
    let message = message.to_lowercase();
    [
        "authorization violation",
        "authentication expired",
        "authentication revoked",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// A connection that keeps itself; it ends with this value.
#[derive(Debug)]
pub(crate) struct Link {
    shared: Arc<Shared>,
    _driver: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    state: watch::Sender<ConnectionState>,
    client: watch::Sender<Option<Client>>,
    denials: Denials,
    inbox_prefix: String,
}

impl Link {
    /// Starts to connect.
    pub(crate) fn open(config: ConnectConfig) -> Self {
        let inbox_prefix = config
            .inbox_prefix
            .clone()
            .unwrap_or_else(|| DEFAULT_INBOX.to_owned());
        let shared = Arc::new(Shared {
            state: watch::Sender::new(ConnectionState::Connecting),
            client: watch::Sender::new(None),
            denials: Denials::new(),
            inbox_prefix,
        });
        let driver = tokio::spawn(drive(config, Arc::clone(&shared)));
        Self {
            shared,
            _driver: AbortOnDropHandle::new(driver),
        }
    }

    pub(crate) fn state(&self) -> watch::Receiver<ConnectionState> {
        self.shared.state.subscribe()
    }

    /// The client while there is one; it changes with every new connection, and subscriptions made on an earlier one end.
    pub(crate) fn client(&self) -> watch::Receiver<Option<Client>> {
        self.shared.client.subscribe()
    }

    /// The client, if requests can be sent now.
    pub(crate) fn connected(&self) -> Option<Client> {
        if !self.shared.state.borrow().is_connected() {
            return None;
        }
        let client = self.shared.client.borrow().clone()?;
        (client.connection_state() == async_nats::connection::State::Connected).then_some(client)
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

/// Connects, follows the connection to its end, and begins again.
async fn drive(config: ConnectConfig, shared: Arc<Shared>) {
    let mut failures = 0;
    loop {
        let (events_in, events) = mpsc::channel(EVENTS);
        match connect(&config, &shared, events_in).await {
            Ok(client) => {
                failures = 0;
                follow(&client, events, &shared).await;
                shared.client.send_replace(None);
            }
            Err(error) => shared.enter(error.into()),
        }
        failures += 1;
        tokio::time::sleep(backoff::delay(failures)).await;
    }
}

async fn connect(
    config: &ConnectConfig,
    shared: &Shared,
    events: mpsc::Sender<Event>,
) -> Result<Client, ConnectError> {
    let servers = addresses(&config.servers)?;
    let options = options(config, shared, events, servers.len())?;
    shared.denials.reset();
    options.connect(servers).await.map_err(ConnectError::Nats)
}

fn addresses(urls: &[String]) -> Result<Vec<ServerAddr>, ConnectError> {
    if urls.is_empty() {
        return Err(ConnectError::NoServers);
    }
    let parse = |url: &String| {
        url.parse::<ServerAddr>().map_err(|error| ConnectError::Url {
            url: url.clone(),
            message: error.to_string(),
        })
    };
    urls.iter().map(parse).collect()
}

fn options(
    config: &ConnectConfig,
    shared: &Shared,
    events: mpsc::Sender<Event>,
    servers: usize,
) -> Result<ConnectOptions, ConnectError> {
    let tls = config.tls.clone().unwrap_or_default();
    let client_certificate = match &config.credentials {
        Some(Credentials::TlsClientCertificate { certificate, key }) => Some((certificate.as_str(), key)),
        _ => None,
    };
    let rustls = client_config(&tls, client_certificate).map_err(ConnectError::Tls)?;
    let denials = shared.denials.clone();
    let mut options = ConnectOptions::new()
        .name(CONNECTION_NAME)
        .custom_inbox_prefix(&shared.inbox_prefix)
        .connection_timeout(HANDSHAKE_LIMIT)
        .ping_interval(PING_INTERVAL)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .tls_client_config(rustls)
        .require_tls(config.tls.is_some())
        // async-nats reconnects a few times by itself, which keeps subscriptions; after that the driver takes over,
        // because only a first attempt tells the whole error, and because async-nats would never stop.
        .max_reconnects(2 * servers + 4)
        .reconnect_delay_callback(|attempts| backoff::delay(attempts.saturating_sub(1)))
        .event_callback(move |event| {
            if let Event::ServerError(error) = &event {
                denials.record(&server_words(error));
            }
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
        None
        | Some(Credentials::TlsClientCertificate {
            certificate: _,
            key: _,
        }) => options,
        Some(Credentials::CredsFile(content)) => options
            .credentials(content.expose_secret())
            .map_err(|error| ConnectError::Credentials(error.to_string()))?,
        Some(Credentials::Nkey(seed)) => options.nkey(seed.expose_secret().to_owned()),
        Some(Credentials::Token(token)) => options.token(token.expose_secret().to_owned()),
        Some(Credentials::UserPassword { username, password }) => {
            options.user_and_password(username.clone(), password.expose_secret().to_owned())
        }
    })
}

fn server_words(error: &ServerError) -> String {
    match error {
        ServerError::AuthorizationViolation => "Authorization Violation".to_owned(),
        ServerError::Other(text) => text.clone(),
        ServerError::SlowConsumer(subscription) => format!("Slow Consumer {subscription}"),
    }
}

/// Follows one connection until async-nats has given it up.
async fn follow(client: &Client, mut events: mpsc::Receiver<Event>, shared: &Shared) {
    shared.connected(client);
    while let Some(event) = events.recv().await {
        match event {
            // Through the queue, so that the server's own words have arrived.
            Event::Connected => {
                if let Ok(Ok(())) = tokio::time::timeout(HANDSHAKE_LIMIT, client.flush()).await {
                    shared.connected(client);
                }
            }
            Event::Disconnected => shared.lost("the connection was lost"),
            Event::ServerError(error) => shared.server_said(&server_words(&error)),
            Event::ClientError(ClientError::MaxReconnects) | Event::Closed => return,
            Event::ClientError(error) => shared.attempt_failed(&error),
            Event::SlowConsumer(_) => tracing::warn!("replies were dropped: a subscription's queue is full"),
            Event::LameDuckMode => tracing::info!("the server is about to shut down"),
            Event::Draining => {}
        }
    }
}

impl Shared {
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
            server: ServerName::from(info.server_name),
            version: info.version,
        });
    }

    /// A loss hides no refusal that was told right before it.
    fn lost(&self, message: &str) {
        if !matches!(*self.state.borrow(), ConnectionState::Refused { .. }) {
            self.enter(ConnectionState::Disconnected {
                message: message.to_owned(),
            });
        }
    }

    fn server_said(&self, words: &str) {
        if speaks_of_credentials(words) {
            let problem = ConnectProblem::InvalidCredentials;
            self.enter(ConnectionState::Refused {
                problem,
                message: words.to_owned(),
            });
        }
    }

    /// An attempt of async-nats to reconnect; it tells the kind of the error only.
    fn attempt_failed(&self, error: &ClientError) {
        if self.state.borrow().is_connected() {
            return;
        }
        let message = error.to_string();
        if speaks_of_credentials(&message) {
            self.server_said(&message);
        } else {
            self.enter(ConnectionState::Disconnected {
                message: format!("the connection was lost: {message}"),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn settled(config: ConnectConfig) -> ConnectionState {
        let link = Link::open(config);
        let mut state = link.state();
        state
            .wait_for(|state| *state != ConnectionState::Connecting)
            .await
            .unwrap()
            .clone()
    }

    #[tokio::test]
    async fn a_system_that_is_down_is_a_state() {
        let config = ConnectConfig {
            servers: vec!["nats://127.0.0.1:1".into()],
            ..ConnectConfig::default()
        };
        let ConnectionState::Disconnected { message } = settled(config).await else {
            panic!("not disconnected")
        };
        assert!(message.contains("refused"), "{message}");
    }

    #[tokio::test]
    async fn configurations_that_cannot_work_are_refused() {
        let refused = |problem| move |state: &ConnectionState| matches!(state, ConnectionState::Refused { problem: found, message: _ } if *found == problem);
        let none = settled(ConnectConfig::default()).await;
        assert!(refused(ConnectProblem::InvalidServers)(&none), "{none:?}");
        let tls = TlsConfig {
            ca_pem: Some("nothing".into()),
            ..TlsConfig::default()
        };
        let servers = vec!["tls://127.0.0.1:1".to_owned()];
        let config = ConnectConfig {
            servers,
            tls: Some(tls),
            ..ConnectConfig::default()
        };
        let tls = settled(config).await;
        assert!(refused(ConnectProblem::InvalidTls)(&tls), "{tls:?}");
    }
}
