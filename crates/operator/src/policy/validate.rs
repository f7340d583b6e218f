//! Judges what was gathered: a policy that can run, or the condition with the reason why not. Pure.

use std::sync::Arc;

use leeward_api::PlacementPolicy;
use leeward_api::vocabulary::{AcceptedReason, ObservedReason, ResolvedRefsReason};
use leeward_core::policy::Policy;
use leeward_core::resolve::{InvalidPolicy, resolve};
use leeward_engine::condition::ReasonMessage;
use leeward_nats::{ConnectConfig, Credentials, CredentialsError};

use super::allowed::why_refused;
use super::dereference::{References, SystemResolution};
use crate::cluster::{ClusterError, SecretData};
use crate::error::chain;
use crate::key::Key;
use crate::systems::{Route, SystemHandle};

/// What a policy needs to run.
#[derive(Clone, Debug)]
pub struct Refs {
    /// The system.
    pub system: Arc<SystemHandle>,
    /// How to reach it.
    pub route: Route,
    /// How to connect as the account's user.
    pub connect: ConnectConfig,
    /// What the connection depends on.
    pub identity: ConnectionIdentity,
}

/// What a connection depends on: another one is made when any of it changes.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionIdentity {
    /// The system.
    pub system: Key,
    /// The edition of its servers, certificates and observer.
    pub epoch: u64,
    /// The Secret's contents.
    pub secret: Arc<SecretData>,
    /// The key in it.
    pub key: Option<String>,
    /// The domain of the account's assets.
    pub domain: Option<String>,
    /// The first part of its inbox subjects.
    pub inbox_prefix: Option<String>,
}

impl std::fmt::Debug for ConnectionIdentity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the Secret.
        formatter
            .debug_struct("ConnectionIdentity")
            .field("system", &self.system)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// Why a policy does not have what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// A reference is wrong.
    Refs(ReasonMessage<ResolvedRefsReason>),
    /// The references are right, but the system cannot be used.
    System(ReasonMessage<ObservedReason>),
    /// The Kubernetes API did not answer; what runs continues with what was known.
    Unknown(String),
}

/// The rules in the policy itself.
pub fn accept(policy: &PlacementPolicy) -> Result<Arc<Policy>, ReasonMessage<AcceptedReason>> {
    resolve(&policy.spec).map(Arc::new).map_err(|error| {
        let reason = match &error {
            InvalidPolicy::TimeZone { .. } => AcceptedReason::InvalidTimeZone,
            InvalidPolicy::TagPrefixMissing
            | InvalidPolicy::MaxBytes { .. }
            | InvalidPolicy::Limit { .. } => AcceptedReason::Invalid,
        };
        ReasonMessage::new(reason, error.to_string())
    })
}

/// The references of a policy.
pub fn judge(policy: &PlacementPolicy, facts: &References) -> Result<Refs, Unresolved> {
    let (key, fact) = &facts.system;
    let system = known(key, fact)?;
    permitted(policy, key, system, facts)?;
    let (credentials, secret) = credentials(policy, facts)?;
    let route = system.route.clone().map_err(|verdict| {
        let text = format!("NatsSystem {key} has no connection: {}", verdict.message);
        Unresolved::System(ReasonMessage::new(ObservedReason::Disconnected, text))
    })?;
    let connect = ConnectConfig {
        credentials: Some(credentials),
        inbox_prefix: policy.spec.inbox_prefix.clone(),
        ..route.connect.for_another_user()
    };
    let identity = ConnectionIdentity {
        system: key.clone(),
        epoch: route.epoch,
        secret,
        key: policy.spec.credentials_ref.key.clone(),
        domain: policy.spec.jet_stream_domain.clone(),
        inbox_prefix: policy.spec.inbox_prefix.clone(),
    };
    Ok(Refs {
        system: Arc::clone(system),
        route,
        connect,
        identity,
    })
}

fn refuse<T>(reason: ResolvedRefsReason, message: String) -> Result<T, Unresolved> {
    Err(Unresolved::Refs(ReasonMessage::new(reason, message)))
}

fn known<'a>(key: &Key, fact: &'a SystemResolution) -> Result<&'a Arc<SystemHandle>, Unresolved> {
    let missing = |text: String| refuse(ResolvedRefsReason::SystemNotFound, text);
    match fact {
        SystemResolution::Known(handle) => Ok(handle),
        SystemResolution::NotWatched => missing(format!(
            "NatsSystem {key} is in a namespace that this operator does not watch: correct systemRef, or add \
             --watch-namespace {}",
            key.namespace
        )),
        SystemResolution::Missing => missing(format!(
            "NatsSystem {key} does not exist: create it, or correct systemRef"
        )),
        SystemResolution::Unreadable => missing(format!(
            "NatsSystem {key} cannot be read: correct it; the operator's log says what is wrong"
        )),
        SystemResolution::Starting => {
            let text = format!("NatsSystem {key} is being looked at for the first time");
            Err(Unresolved::System(ReasonMessage::new(
                ObservedReason::WarmingUp,
                text,
            )))
        }
    }
}

fn permitted(
    policy: &PlacementPolicy,
    key: &Key,
    system: &SystemHandle,
    facts: &References,
) -> Result<(), Unresolved> {
    let labels = match &facts.labels {
        None => None,
        Some(Ok(labels)) => Some(labels),
        Some(Err(error)) if error.is_definite() => {
            let text = format!(
                "NatsSystem {key} asks for labels of this namespace: {error}: grant get on namespaces to it"
            );
            return refuse(ResolvedRefsReason::RefNotPermitted, text);
        }
        Some(Err(error)) => return Err(Unresolved::Unknown(chain(error))),
    };
    match why_refused(
        &system.allowed,
        &key.namespace,
        &Key::of(policy).namespace,
        labels,
    ) {
        None => Ok(()),
        Some(why) => refuse(
            ResolvedRefsReason::RefNotPermitted,
            format!("NatsSystem {key} may not be used from here: {why}"),
        ),
    }
}

fn credentials(
    policy: &PlacementPolicy,
    facts: &References,
) -> Result<(Credentials, Arc<SecretData>), Unresolved> {
    let (key, found) = &facts.secret;
    let data = match found {
        Ok(data) => data,
        Err(error @ ClusterError::Foreign { .. }) => {
            return refuse(ResolvedRefsReason::InvalidCredentials, secret_problem(error));
        }
        Err(error) if error.is_definite() => {
            return refuse(ResolvedRefsReason::SecretNotFound, secret_problem(error));
        }
        Err(error) => return Err(Unresolved::Unknown(chain(error))),
    };
    match Credentials::from_secret(data, policy.spec.credentials_ref.key.as_deref()) {
        Ok(credentials) => Ok((credentials, Arc::clone(data))),
        Err(error) => refuse(credentials_reason(&error), format!("Secret {key}: {error}")),
    }
}

fn credentials_reason(error: &CredentialsError) -> ResolvedRefsReason {
    match error {
        CredentialsError::NoSuchKey { .. } => ResolvedRefsReason::SecretNotFound,
        CredentialsError::Nothing { .. }
        | CredentialsError::Several { .. }
        | CredentialsError::HalfAPair { .. }
        | CredentialsError::Unusable { .. } => ResolvedRefsReason::InvalidCredentials,
    }
}

/// What is wrong with a Secret that is missing or forbidden, and what to do.
pub fn secret_problem(error: &ClusterError) -> String {
    match error {
        ClusterError::Missing { .. } => format!("{error}: create it, or correct the reference"),
        ClusterError::Forbidden { .. } => {
            format!("{error}: grant get on secrets in that namespace to it")
        }
        ClusterError::Foreign { .. } => {
            format!("{error}: name a Secret with credentials for NATS, of type Opaque for example")
        }
        ClusterError::Unanswered { .. } | ClusterError::Failed { .. } => chain(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use leeward_api::system::AllowedNamespaces;
    use leeward_engine::limits::SystemLimits;
    use leeward_nats::TlsConfig;
    use serde_json::json;

    use super::*;

    #[test]
    fn p11_what_a_system_connects_with_is_lent_to_no_policy() {
        let connect = ConnectConfig {
            servers: vec!["tls://n-0:4222".into()],
            tls: Some(TlsConfig {
                ca_pem: Some("authority".into()),
                client_cert_pem: Some("the system's".into()),
                client_key_pem: Some("its key".to_owned().into()),
                handshake_first: true,
            }),
            credentials: Some(Credentials::Token("the system's".to_owned().into())),
            inbox_prefix: Some("_INBOX_system".into()),
        };
        let handle = SystemHandle {
            uid: String::new(),
            allowed: AllowedNamespaces::default(),
            interval: Duration::from_secs(30),
            suspended: false,
            lease_epoch: None,
            limits: SystemLimits::new(1, 1),
            route: Ok(Route {
                epoch: 1,
                connect,
                observer: None,
            }),
        };
        let policy: PlacementPolicy = serde_json::from_value(json!({
            "apiVersion": "leeward.dev/v1alpha1", "kind": "PlacementPolicy",
            "metadata": {"name": "orders", "namespace": "shop"},
            "spec": {
                "systemRef": {"name": "prod"}, "credentialsRef": {"name": "junk"}, "inboxPrefix": "_INBOX_orders",
            },
        }))
        .unwrap();
        let secret = SecretData::from([("token".to_owned(), b"i-have-no-nats-user".to_vec())]);
        let facts = References {
            system: (
                Key::new("shop", "prod"),
                SystemResolution::Known(Arc::new(handle)),
            ),
            labels: None,
            secret: (Key::new("shop", "junk"), Ok(Arc::new(secret))),
        };
        let connect = judge(&policy, &facts).unwrap().connect;
        let tls = connect.tls.unwrap();
        assert_eq!(
            (tls.ca_pem.as_deref(), tls.handshake_first),
            (Some("authority"), true)
        );
        assert!(tls.client_cert_pem.is_none() && tls.client_key_pem.is_none());
        assert!(matches!(connect.credentials, Some(Credentials::Token(_))));
        assert_eq!(connect.inbox_prefix.as_deref(), Some("_INBOX_orders"));
    }
}
