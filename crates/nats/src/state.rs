//! The states of a connection, and which of them an error amounts to.

use std::fmt;

use async_nats::ConnectErrorKind;
use leeward_core::names::ServerName;

use crate::tls::TlsError;

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
pub(crate) enum ConnectError {
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
pub(crate) fn speaks_of_credentials(message: &str) -> bool {
    let message = message.to_lowercase();
    [
        "authorization violation",
        "authentication expired",
        "authentication revoked",
    ]
    .iter()
    .any(|words| message.contains(words))
}
