//! The states of a connection, and the state that an error leads to.

use std::{fmt, io};

use async_nats::{ConnectErrorKind, rustls};
use leeward_core::names::ServerName;
use leeward_engine::supervise::Panicked;

use crate::tls::TlsError;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ConnectionState {
    /// The first attempt is under way.
    #[default]
    Connecting,
    /// Requests can be sent.
    Connected {
        /// The server at the other end.
        server: ServerName,
        /// The version of the server, as it reports it.
        version: String,
    },
    /// No connection; attempts continue.
    Disconnected { message: String },
    /// No connection, and none without a change of configuration; attempts continue all the same.
    Refused {
        problem: ConnectProblem,
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

/// What is wrong with certificates where a handshake failed. The TLS library reports it only as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateProblem {
    /// No trusted authority signed the server's.
    NotTrusted,
    /// The server requires the client's, and it presents none.
    NoneShown,
}

impl CertificateProblem {
    /// From the error message of a failed connection.
    pub fn of(message: &str) -> Option<Self> {
        if message.contains("UnknownIssuer") {
            Some(Self::NotTrusted)
        } else if message.contains("CertificateRequired") {
            Some(Self::NoneShown)
        } else {
            None
        }
    }
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

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the list of servers is empty")]
    NoServers,
    #[error("{} is not a NATS URL: {message}", split_userinfo(url).0)]
    Url { url: String, message: String },
    #[error("{0}")]
    Tls(TlsError),
    #[error("the credentials cannot be used: {0}")]
    Credentials(String),
    #[error("{0}")]
    BrokeOff(Panicked),
    #[error("a thread for the connection cannot be started: {0}")]
    NoThread(std::io::Error),
    #[error("{}", crate::watchdog::grown())]
    Endless,
    #[error("{} goes without TLS, which tls or another URL asks for: write wss://", split_userinfo(url).0)]
    PlainWebSocket { url: String },
    #[error("{}", words(at, error))]
    Nats {
        /// The address that was tried.
        at: String,
        error: async_nats::ConnectError,
    },
}

/// The message of a failed attempt. A service that is no NATS server is not quoted: whoever may name it here may not be
/// allowed to read what it sends.
fn words(at: &str, error: &async_nats::ConnectError) -> String {
    let own = match error.kind() {
        ConnectErrorKind::Dns
        | ConnectErrorKind::TimedOut
        | ConnectErrorKind::Tls
        | ConnectErrorKind::ServerParse
        | ConnectErrorKind::Authentication
        | ConnectErrorKind::AuthorizationViolation
        | ConnectErrorKind::MaxReconnects => true,
        ConnectErrorKind::Io => {
            let text = error.to_string();
            text.ends_with(NO_GREETING) || causes(error).any(is_of_the_network)
        }
    };
    if own {
        Chain(error).to_string()
    } else {
        format!("what answers at {at} does not greet as a NATS server does")
    }
}

/// The error of async-nats where a connection is closed instead of greeted.
const NO_GREETING: &str = "expected INFO, got nothing";

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// Whether an error is the operating system's, of TLS, or sent by a NATS server in its protocol.
fn is_of_the_network(error: &(dyn std::error::Error + 'static)) -> bool {
    if error.is::<rustls::Error>() || error.is::<async_nats::ServerError>() {
        return true;
    }
    let Some(error) = error.downcast_ref::<io::Error>() else {
        return false;
    };
    if let Some(inner) = error.get_ref()
        && inner.is::<rustls::Error>()
    {
        return true;
    }
    let foreign = [
        io::ErrorKind::InvalidInput,
        io::ErrorKind::InvalidData,
        io::ErrorKind::Other,
    ];
    error.raw_os_error().is_some() || !foreign.contains(&error.kind())
}

/// A URL for display, and separately the user, password or token in it. Everything before the last `@` counts as these,
/// even where that makes no URL.
pub fn split_userinfo(url: &str) -> (String, Option<&str>) {
    let Some((before, host)) = url.rsplit_once('@') else {
        return (url.to_owned(), None);
    };
    match before.split_once("://") {
        Some((scheme, userinfo)) if scheme.chars().all(|letter| letter.is_ascii_alphanumeric()) => {
            (format!("{scheme}://{host}"), Some(userinfo))
        }
        Some(_) | None => (host.to_owned(), Some(before)),
    }
}

/// An error with its causes, without repetition.
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
            ConnectError::NoServers
            | ConnectError::Url { url: _, message: _ }
            | ConnectError::PlainWebSocket { url: _ } => ConnectProblem::InvalidServers,
            ConnectError::Tls(_) => ConnectProblem::InvalidTls,
            ConnectError::Credentials(_) => ConnectProblem::InvalidCredentials,
            ConnectError::BrokeOff(_) | ConnectError::Endless | ConnectError::NoThread(_) => {
                return Self::Disconnected { message };
            }
            ConnectError::Nats { at: _, error } => match error.kind() {
                ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                    ConnectProblem::InvalidCredentials
                }
                _ if is_about_credentials(&message) => ConnectProblem::InvalidCredentials,
                _ => return Self::Disconnected { message },
            },
        };
        Self::Refused { problem, message }
    }
}

/// The servers' other messages for the same: `User Authentication Expired`, `Account Authentication Expired`, `User
/// Authentication Revoked`.
pub(crate) fn is_about_credentials(message: &str) -> bool {
    let message = message.to_lowercase();
    [
        "authorization violation",
        "authentication expired",
        "authentication revoked",
    ]
    .iter()
    .any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_in_a_url_is_split_off() {
        let table = [
            (
                "nats://app:secret@n-0:4222",
                "nats://n-0:4222",
                Some("app:secret"),
            ),
            ("t0ken@n-0", "n-0", Some("t0ken")),
            ("nats://app:se@/cr#et@n-0", "nats://n-0", Some("app:se@/cr#et")),
            ("app:se://cret@n-0", "n-0", Some("app:se://cret")),
            ("tls://n-0:4222", "tls://n-0:4222", None),
        ];
        for (url, public, userinfo) in table {
            assert_eq!(split_userinfo(url), (public.to_owned(), userinfo), "{url}");
        }
    }

    #[test]
    fn a_url_that_is_none_is_named_without_its_password() {
        let error = ConnectError::Url {
            url: "nats://app:se/cret@n-0:port".into(),
            message: "invalid port number".into(),
        };
        assert_eq!(
            error.to_string(),
            "nats://n-0:port is not a NATS URL: invalid port number"
        );
    }
}
