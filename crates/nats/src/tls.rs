//! TLS from certificates in memory: rustls with the ring provider, which need not be installed for the process.
//!
//! If a certificate authority is given, only that one is trusted; otherwise the machine's own roots are.

use async_nats::rustls::pki_types::pem::{self, PemObject};
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use async_nats::rustls::{ClientConfig, Error, RootCertStore, crypto};
use secrecy::{ExposeSecret, SecretString};
use std::sync::{Arc, LazyLock};

#[derive(Clone, Debug, Default)]
pub struct TlsConfig {
    /// The authority of the servers' certificates; without it the machine's roots are trusted.
    pub ca_pem: Option<String>,
    /// A client certificate, with its chain.
    pub client_cert_pem: Option<String>,
    pub client_key_pem: Option<SecretString>,
    /// TLS begins before the server sends anything (`handshake_first` of the servers).
    pub handshake_first: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    #[error("the {what} is not valid PEM: {message}")]
    Pem { what: &'static str, message: String },
    #[error("the {what} holds no certificate: put a PEM block `BEGIN CERTIFICATE` there")]
    Empty { what: &'static str },
    /// A certificate without its key, or a key without its certificate.
    #[error("a client certificate needs both the certificate and its key")]
    HalfAPair,
    /// The certificate is refused, such as one that does not fit its key.
    #[error("the {what} cannot be used: {message}")]
    Refused { what: &'static str, message: String },
}

const CA: &str = "certificate authority (ca.crt)";
const CERTIFICATE: &str = "client certificate (tls.crt)";
const KEY: &str = "client key (tls.key)";

/// Makes the configuration for rustls; `client` is a certificate and key that take precedence over the config's own.
pub(crate) fn client_config(
    config: &TlsConfig,
    client: Option<(&str, &SecretString)>,
) -> Result<ClientConfig, TlsError> {
    let own = match (&config.client_cert_pem, &config.client_key_pem) {
        (Some(certificate), Some(key)) => Some((certificate.as_str(), key)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err(TlsError::HalfAPair),
    };
    let roots = match &config.ca_pem {
        Some(pem) => private_roots(pem)?,
        None => MACHINE_ROOTS.clone(),
    };
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refused("TLS provider"))?
        .with_root_certificates(roots);
    match client.or(own) {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => builder
            .with_client_auth_cert(certificates(CERTIFICATE, certificate)?, private_key(key)?)
            .map_err(refused(CERTIFICATE)),
    }
}

fn refused(what: &'static str) -> impl Fn(Error) -> TlsError {
    move |error| TlsError::Refused {
        what,
        message: error.to_string(),
    }
}

fn no_pem(what: &'static str) -> impl Fn(pem::Error) -> TlsError {
    move |error| TlsError::Pem {
        what,
        message: error.to_string(),
    }
}

fn private_roots(pem: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(CA, pem)? {
        roots.add(certificate).map_err(refused(CA))?;
    }
    Ok(roots)
}

/// The machine's roots, read once: no other step of a connection attempt costs as much. A machine without roots gives
/// an empty store, and the handshake error then states so.
static MACHINE_ROOTS: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
});

fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(no_pem(what))?;
    if found.is_empty() {
        Err(TlsError::Empty { what })
    } else {
        Ok(found)
    }
}

fn private_key(pem: &SecretString) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes()).map_err(no_pem(KEY))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, SecretString) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem().into())
    }

    #[test]
    fn a_private_authority_and_a_client_certificate_are_taken() {
        let (certificate, key) = pair();
        let config = TlsConfig {
            ca_pem: Some(certificate.clone()),
            client_cert_pem: Some(certificate),
            client_key_pem: Some(key),
            handshake_first: false,
        };
        assert!(client_config(&config, None).is_ok());
    }

    #[test]
    fn errors_say_which_input_is_wrong() {
        let (certificate, key) = pair();
        let with = |config: TlsConfig| client_config(&config, None).unwrap_err().to_string();
        let empty = TlsConfig {
            ca_pem: Some("no pem".into()),
            ..TlsConfig::default()
        };
        assert_eq!(
            with(empty),
            "the certificate authority (ca.crt) holds no certificate: put a PEM block `BEGIN CERTIFICATE` there"
        );
        let broken = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
        let broken = TlsConfig {
            ca_pem: Some(broken.into()),
            ..TlsConfig::default()
        };
        assert!(with(broken).starts_with("the certificate authority (ca.crt) is not valid PEM"));
        let half = TlsConfig {
            client_cert_pem: Some(certificate.clone()),
            ..TlsConfig::default()
        };
        assert_eq!(
            with(half),
            "a client certificate needs both the certificate and its key"
        );
        let swapped = TlsConfig {
            client_cert_pem: Some(certificate.clone()),
            client_key_pem: Some(certificate.into()),
            ..TlsConfig::default()
        };
        assert!(with(swapped).starts_with("the client key (tls.key) is not valid PEM"));
        let foreign = TlsConfig {
            client_cert_pem: Some(pair().0),
            client_key_pem: Some(key),
            ..TlsConfig::default()
        };
        assert!(with(foreign).starts_with("the client certificate (tls.crt) cannot be used"));
    }
}
