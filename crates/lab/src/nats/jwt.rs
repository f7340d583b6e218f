//! Mints the operator, account and user JWTs (version 2) of a test system. Nothing expires; keys live in memory only.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::accounts::{AccountSpec, SYSTEM_ACCOUNT, Subjects, UserSpec};

static MINTED: AtomicU64 = AtomicU64::new(0);

pub(crate) struct JwtIssuer {
    operator: KeyPair,
    accounts: BTreeMap<String, KeyPair>,
}

pub(crate) struct AccountJwt {
    /// The account's public key, which is its name in all server reports.
    pub(crate) id: String,
    pub(crate) jwt: String,
}

impl JwtIssuer {
    pub(crate) fn new(specs: &[AccountSpec]) -> Self {
        let accounts = specs
            .iter()
            .map(|spec| (spec.name.clone(), KeyPair::new_account()))
            .collect();
        Self {
            operator: KeyPair::new_operator(),
            accounts,
        }
    }

    pub(crate) fn operator(&self) -> anyhow::Result<String> {
        let nats = json!({
            "type": "operator",
            "version": 2,
            "system_account": self.key(SYSTEM_ACCOUNT)?.public_key(),
        });
        signed(&self.operator, &self.operator.public_key(), "lab", &nats)
    }

    pub(crate) fn account(&self, spec: &AccountSpec) -> anyhow::Result<AccountJwt> {
        let id = self.key(&spec.name)?.public_key();
        let storage = if spec.jetstream { -1 } else { 0 };
        let nats = json!({
            "type": "account",
            "version": 2,
            "limits": {
                "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
                "conn": -1, "leaf": -1,
                "mem_storage": storage, "disk_storage": storage, "streams": storage, "consumer": storage,
            },
            "default_permissions": { "pub": {}, "sub": {} },
        });
        let jwt = signed(&self.operator, &id, &spec.name, &nats)?;
        Ok(AccountJwt { id, jwt })
    }

    /// The text of the user's `.creds` file.
    pub(crate) fn user(&self, account: &str, user: &UserSpec) -> anyhow::Result<String> {
        let key = KeyPair::new_user();
        let permissions = user.permissions.clone().unwrap_or_default();
        let nats = json!({
            "type": "user",
            "version": 2,
            "subs": -1, "data": -1, "payload": -1,
            "pub": in_jwt(&permissions.publish),
            "sub": in_jwt(&permissions.subscribe),
        });
        let jwt = signed(self.key(account)?, &key.public_key(), &user.name, &nats)?;
        let seed = key.seed().context("user seed")?;
        Ok(format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        ))
    }

    fn key(&self, account: &str) -> anyhow::Result<&KeyPair> {
        self.accounts
            .get(account)
            .with_context(|| format!("there is no account {account}"))
    }
}

fn signed(issuer: &KeyPair, subject: &str, name: &str, nats: &Value) -> anyhow::Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    // Servers only require that the id exists; the tools put a hash of the claims in it.
    let id = format!("{}-{}", now.as_nanos(), MINTED.fetch_add(1, Ordering::Relaxed));
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let claims = json!({
        "jti": data_encoding::BASE32_NOPAD.encode(id.as_bytes()),
        "iat": now.as_secs(),
        "iss": issuer.public_key(),
        "name": name,
        "sub": subject,
        "nats": nats,
    });
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let signature = issuer.sign(text.as_bytes()).context("cannot sign a JWT")?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn in_jwt(subjects: &Subjects) -> Value {
    json!({ "allow": subjects.allow, "deny": subjects.deny })
}
