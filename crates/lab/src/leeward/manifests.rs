//! Objects for an operator as JSON, which `kubectl` takes as YAML.

use serde_json::{Value, json};

use super::chart::{self, Template};
use crate::nats::{Credentials, DEFAULT_ACCOUNT, DEFAULT_USER, System};

/// The operator's permissions from the chart in every namespace, bound to its service account `leeward` in this one.
pub fn rbac(namespace: &str) -> anyhow::Result<String> {
    rights(namespace, &[])
}

/// The placeholder in `rights.yaml` for the operator's own namespace.
const HOME: &str = "leeward-home";

/// As [`rbac`], rendered beforehand: the demo must run without Helm. A test compares the two.
pub fn rbac_without_helm(namespace: &str) -> String {
    include_str!("rights.yaml").replace(HOME, namespace)
}

/// As [`rbac`], for replicas with this many shards.
pub fn rbac_sharded(namespace: &str, shards: u8) -> anyhow::Result<String> {
    rights(namespace, &[&format!("shards={shards}")])
}

/// As [`rbac`], for policies that patch objects of NACK.
pub fn rbac_that_patches(namespace: &str) -> anyhow::Result<String> {
    rights(namespace, &["rbac.patchOwners=true"])
}

/// The permissions from the chart for an operator that watches only these namespaces.
pub fn rbac_for(namespace: &str, watched: &[&str]) -> anyhow::Result<String> {
    rights(
        namespace,
        &[&format!("watch.namespaces={{{}}}", watched.join(","))],
    )
}

fn rights(namespace: &str, values: &[&str]) -> anyhow::Result<String> {
    chart::rendered(namespace, &[Template::ServiceAccount, Template::Rbac], values)
}

/// A Secret with a user's credentials.
pub fn credentials(namespace: &str, name: &str, credentials: &Credentials) -> Value {
    let data = match credentials {
        Credentials::UserPassword { user, password } => json!({"username": user, "password": password}),
        Credentials::Creds(text) => json!({"user.creds": text}),
        Credentials::Certificate(own) => json!({"tls.crt": own.pem, "tls.key": own.key_pem}),
    };
    secret(namespace, name, &data)
}

pub fn secret(namespace: &str, name: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": namespace, "name": name},
        "stringData": data,
    })
}

/// The Secrets and the `NatsSystem` named `prod` of a running system; `spec` is merged over the required fields.
pub fn system_objects(namespace: &str, system: &System, spec: Value) -> anyhow::Result<Vec<Value>> {
    let account = system.credentials(DEFAULT_ACCOUNT, DEFAULT_USER)?;
    let mut objects = vec![
        credentials(namespace, "nats-system", system.system_credentials()?),
        credentials(namespace, "account", account),
    ];
    if let Some(ca) = system.ca_pem() {
        objects.push(secret(namespace, "nats-ca", &json!({"ca.crt": ca})));
    }
    objects.push(nats_system(namespace, "prod", system, spec)?);
    Ok(objects)
}

/// A `NatsSystem` for a running system; `spec` is merged over the required fields.
pub fn nats_system(namespace: &str, name: &str, system: &System, spec: Value) -> anyhow::Result<Value> {
    let servers: Vec<String> = system
        .server_names()
        .iter()
        .map(|server| system.url(server))
        .collect::<anyhow::Result<_>>()?;
    let mut base = json!({
        "servers": servers,
        "credentialsRef": {"name": "nats-system"},
        "observeInterval": "5s",
    });
    if system.ca_pem().is_some() {
        base["tls"] = json!({"caRef": {"name": "nats-ca", "key": "ca.crt"}});
    }
    Ok(object("NatsSystem", namespace, name, &merged(base, spec)))
}

/// A `PlacementPolicy` that enforces; `spec` is merged over the smallest useful one, without the limits and quiet times
/// that make convergence slow on purpose. Most clients of the lab use nothing: their number decides, unless the spec says
/// otherwise.
pub fn placement_policy(namespace: &str, name: &str, spec: Value) -> Value {
    let base = json!({
        "systemRef": {"name": "prod"},
        "credentialsRef": {"name": "account"},
        "mode": "Enforce",
        "home": {"stabilizationWindow": "0s", "scope": "Account"},
        "disruption": without_limits(),
    });
    object("PlacementPolicy", namespace, name, &merged(base, spec))
}

/// No budget, no wait before an action, and a breaker that stays closed.
pub fn without_limits() -> Value {
    json!({
        "budgets": [],
        "maxPayback": "0s",
        "gates": {"quietAfterLeaderChange": "0s", "quietAfterServerStart": "0s"},
        "circuitBreaker": {"failures": 100},
    })
}

fn object(kind: &str, namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": kind,
        "metadata": {"namespace": namespace, "name": name},
        "spec": spec,
    })
}

/// Merges one object over another, field by field; `null` removes a field.
pub fn merged(base: Value, over: Value) -> Value {
    match (base, over) {
        (Value::Object(mut base), Value::Object(over)) => {
            for (key, value) in over {
                if value.is_null() {
                    base.remove(&key);
                } else {
                    let below = base.remove(&key).unwrap_or(Value::Null);
                    base.insert(key, merged(below, value));
                }
            }
            Value::Object(base)
        }
        (_, over) => over,
    }
}
