//! How to connect: to which servers, as whom, and which certificates to trust.

use crate::credentials::Credentials;
use crate::tls::TlsConfig;

#[derive(Clone, Debug, Default)]
pub struct ConnectConfig {
    /// URLs with the schemes nats, tls, ws or wss; no other server is ever connected to. Where one of them is tls or wss, all
    /// connections have TLS.
    pub servers: Vec<String>,
    /// TLS, for all connections; without it a server that asks for TLS is trusted by the machine's roots.
    pub tls: Option<TlsConfig>,
    /// What the user authenticates with.
    pub credentials: Option<Credentials>,
    /// The first part of inbox subjects, for users whose permissions name it; `_INBOX` otherwise.
    pub inbox_prefix: Option<String>,
}

impl ConnectConfig {
    /// The same servers and trust, for another user: without this user's credentials, its client certificate included,
    /// and without its inbox.
    #[must_use]
    pub fn for_another_user(&self) -> Self {
        let tls = self.tls.as_ref().map(|tls| TlsConfig {
            ca_pem: tls.ca_pem.clone(),
            client_cert_pem: None,
            client_key_pem: None,
            handshake_first: tls.handshake_first,
        });
        Self {
            servers: self.servers.clone(),
            tls,
            credentials: None,
            inbox_prefix: None,
        }
    }
}
