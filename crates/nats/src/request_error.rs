//! Why a request has no answer.

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("{subject} may not be used by this user")]
    Denied { subject: String },
    #[error("nobody serves {subject}")]
    NoResponders { subject: String },
    #[error("no answer from {subject} in time")]
    Timeout { subject: String },
    /// Sent, but then the connection was lost.
    #[error("the connection was lost while waiting for {subject}")]
    Interrupted { subject: String },
    /// Not sent.
    #[error("not connected to NATS")]
    Disconnected,
    /// Not sent: the right to send it ended.
    #[error("the right to send {subject} ended")]
    Withheld { subject: String },
    /// Not sent: async-nats does not accept it.
    #[error("{subject} cannot be sent: {message}")]
    Unsendable { subject: String, message: String },
    #[error("the answer from {subject} cannot be unpacked: {message}")]
    Unpackable { subject: String, message: String },
}
