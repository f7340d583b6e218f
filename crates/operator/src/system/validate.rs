//! Makes the configuration of a connection from Secrets, or returns why they cannot be used. Pure.

use leeward_api::vocabulary::ConnectedReason;
use leeward_engine::condition::ReasonMessage;
use leeward_nats::{ConnectConfig, Credentials, CredentialsError, TlsConfig};

use super::dereference::{ObserverInput, TlsSecretData};
use super::not_found;

/// The configuration that the materials make.
pub fn validate(materials: &ObserverInput) -> Result<ConnectConfig, ReasonMessage<ConnectedReason>> {
    let credentials = match &materials.credentials {
        None => None,
        Some((key, data, file)) => {
            Some(Credentials::from_secret(data, file.as_deref()).map_err(|error| {
                let text = format!("Secret {key}: {error}");
                match error {
                    CredentialsError::NoSuchKey { .. } => not_found(text),
                    CredentialsError::Nothing { .. }
                    | CredentialsError::Several { .. }
                    | CredentialsError::HalfAPair { .. }
                    | CredentialsError::Unusable { .. } => {
                        ReasonMessage::new(ConnectedReason::InvalidCredentials, text)
                    }
                }
            })?)
        }
    };
    Ok(ConnectConfig {
        servers: materials.servers.clone(),
        tls: materials.tls.as_ref().map(tls).transpose()?,
        credentials,
        inbox_prefix: materials.inbox_prefix.clone(),
    })
}

fn tls(materials: &TlsSecretData) -> Result<TlsConfig, ReasonMessage<ConnectedReason>> {
    let certificate = materials.certificate.as_ref();
    let private = certificate.map(|(_, key)| text(key, "the client certificate's key (tls.key)"));
    Ok(TlsConfig {
        ca_pem: materials
            .authority
            .as_ref()
            .map(|pem| text(pem, "the certificate authority"))
            .transpose()?,
        client_cert_pem: certificate
            .map(|(pem, _)| text(pem, "the client certificate (tls.crt)"))
            .transpose()?,
        client_key_pem: private.transpose()?.map(Into::into),
        handshake_first: materials.handshake_first,
    })
}

fn text(bytes: &[u8], what: &str) -> Result<String, ReasonMessage<ConnectedReason>> {
    String::from_utf8(bytes.to_vec()).map_err(|_| {
        let text = format!("{what} is not text: put PEM into the Secret");
        ReasonMessage::new(ConnectedReason::InvalidCredentials, text)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::key::Key;

    fn materials(secret: &[(&str, &str)], file: Option<&str>) -> ObserverInput {
        let data = secret
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect();
        ObserverInput {
            servers: vec!["nats://localhost".into()],
            interval: Duration::from_secs(30),
            tls: None,
            credentials: Some((
                Key::new("nats", "secret"),
                Arc::new(data),
                file.map(str::to_owned),
            )),
            inbox_prefix: None,
        }
    }

    #[test]
    fn a_missing_key_is_another_reason_than_bad_contents() {
        let reason = |materials: &ObserverInput| validate(materials).unwrap_err().reason;
        let empty = materials(&[], None);
        assert_eq!(reason(&empty), ConnectedReason::InvalidCredentials);
        let other_key = materials(&[("user.creds", "x")], Some("sys.creds"));
        assert_eq!(reason(&other_key), ConnectedReason::SecretNotFound);
        let good = materials(&[("username", "sys"), ("password", "secret")], None);
        assert!(validate(&good).unwrap().credentials.is_some());
    }

    #[test]
    fn a_key_that_is_no_text_is_refused_with_words() {
        let mut with_tls = materials(&[("token", "x")], None);
        with_tls.tls = Some(TlsSecretData {
            authority: Some(vec![0xff]),
            certificate: None,
            handshake_first: false,
        });
        let verdict = validate(&with_tls).unwrap_err();
        assert!(
            verdict.message.contains("certificate authority"),
            "{}",
            verdict.message
        );
    }
}
