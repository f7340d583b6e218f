//! Gathers the Secrets that a system refers to, all in its own namespace. IO, no judgement of their contents.

use std::sync::Arc;
use std::time::Duration;

use leeward_api::NatsSystemSpec;
use leeward_api::system::{CaRef, CertificateRef};
use leeward_api::vocabulary::ConnectedReason;
use leeward_engine::condition::ReasonMessage;

use super::not_found;
use crate::cluster::{Cluster, ClusterError, SecretData};
use crate::error::chain;
use crate::key::Key;
use crate::policy::secret_problem;

/// What an observer connects with: another one is started when any of it changes.
#[derive(Clone, PartialEq, Eq)]
pub struct ObserverInput {
    /// The URLs.
    pub servers: Vec<String>,
    /// How often everything is observed.
    pub interval: Duration,
    /// TLS, if it is configured.
    pub tls: Option<TlsSecretData>,
    /// The user of the system account, with the key of its credentials file; `None` in tenant mode.
    pub credentials: Option<(Key, Arc<SecretData>, Option<String>)>,
    /// The first part of its inbox subjects.
    pub inbox_prefix: Option<String>,
}

/// Certificates and keys.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsSecretData {
    /// Authorities, in PEM.
    pub authority: Option<Vec<u8>>,
    /// The certificate and its key, in PEM.
    pub certificate: Option<(Vec<u8>, Vec<u8>)>,
    /// Whether TLS starts before the server sends anything.
    pub handshake_first: bool,
}

/// Why something could not be gathered.
#[derive(Debug)]
pub enum GatherError {
    /// It is not there.
    Definite(ReasonMessage<ConnectedReason>),
    /// The Kubernetes API did not answer.
    Unknown(String),
}

/// Gathers everything.
pub async fn dereference(
    cluster: &Cluster,
    system: &Key,
    spec: &NatsSystemSpec,
) -> Result<ObserverInput, GatherError> {
    let mut materials = ObserverInput {
        servers: spec.servers.clone(),
        interval: spec.observe_interval.into(),
        tls: None,
        credentials: None,
        inbox_prefix: spec.inbox_prefix.clone(),
    };
    if let Some(tls) = &spec.tls {
        materials.tls = Some(TlsSecretData {
            authority: authority(cluster, system, tls.ca_ref.as_ref()).await?,
            certificate: certificate(cluster, system, tls.client_certificate_ref.as_ref()).await?,
            handshake_first: tls.handshake_first,
        });
    }
    if let Some(reference) = &spec.credentials_ref {
        let (key, data) = secret(cluster, system, &reference.name).await?;
        materials.credentials = Some((key, data, reference.key.clone()));
    }
    Ok(materials)
}

async fn authority(
    cluster: &Cluster,
    system: &Key,
    reference: Option<&CaRef>,
) -> Result<Option<Vec<u8>>, GatherError> {
    let Some(reference) = reference else {
        return Ok(None);
    };
    let (key, data) = secret(cluster, system, &reference.name).await?;
    value(&key, &data, &reference.key, "tls.caRef").map(Some)
}

async fn certificate(
    cluster: &Cluster,
    system: &Key,
    reference: Option<&CertificateRef>,
) -> Result<Option<(Vec<u8>, Vec<u8>)>, GatherError> {
    let Some(reference) = reference else {
        return Ok(None);
    };
    let field = "tls.clientCertificateRef";
    let (key, data) = secret(cluster, system, &reference.name).await?;
    let certificate = value(&key, &data, "tls.crt", field)?;
    let private = value(&key, &data, "tls.key", field)?;
    Ok(Some((certificate, private)))
}

async fn secret(cluster: &Cluster, system: &Key, name: &str) -> Result<(Key, Arc<SecretData>), GatherError> {
    let key = Key::new(system.namespace.as_str(), name);
    match cluster.secret(&key).await {
        Ok(data) => Ok((key, data)),
        Err(error @ ClusterError::Foreign { .. }) => {
            let reason = ConnectedReason::InvalidCredentials;
            Err(GatherError::Definite(ReasonMessage::new(
                reason,
                secret_problem(&error),
            )))
        }
        Err(error) if error.is_definite() => Err(GatherError::Definite(not_found(secret_problem(&error)))),
        Err(error) => Err(GatherError::Unknown(chain(&error))),
    }
}

fn value(key: &Key, data: &SecretData, name: &str, field: &str) -> Result<Vec<u8>, GatherError> {
    data.get(name).cloned().ok_or_else(|| {
        let text = format!("Secret {key} has no key {name}, which {field} needs: add it, or correct {field}");
        GatherError::Definite(not_found(text))
    })
}
