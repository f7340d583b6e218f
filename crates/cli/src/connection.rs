//! How to reach NATS: flags, environment and contexts of the `nats` command, resolved once.
//!
//! As with the `nats` command, flags win over the environment, and both, field by field, over the named or selected
//! context. A user in URLs counts where nothing else names one. Files are read, no connection is made, and no secret is
//! ever part of an error.

mod address;
mod context;
mod environment;
mod proof;

use anyhow::ensure;
use itertools::Itertools as _;
use leeward_nats::{ConnectConfig, TlsConfig};
use serde_json::json;

use self::address::Addresses;
use self::context::Context;
use self::environment::{Environment, Setting};
use self::proof::CredentialOptions;
use crate::args::ConnectionArgs;
use crate::schema;

/// Where the `nats` command connects when nothing says where.
pub const DEFAULT_SERVER: &str = "nats://127.0.0.1:4222";

/// How to reach NATS.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// As a user of the account; `None` where nothing says how.
    pub account: Option<AccountConnection>,
    /// As a user of the system account; without one an account is seen through its own user (tenant mode).
    pub system: Option<ConnectConfig>,
}

/// How to connect as a user of the account.
#[derive(Clone, Debug)]
pub struct AccountConnection {
    /// How to connect.
    pub config: ConnectConfig,
    /// JetStream domain of the account's streams.
    pub domain: Option<String>,
}

/// Resolves the arguments with the environment and the files of the `nats` command.
pub fn resolve(args: &ConnectionArgs) -> anyhow::Result<ConnectionOptions> {
    resolve_in(args, &Environment::of_process())
}

/// Whether flags, the environment or `--context` say how to connect, so that a policy's own references are not needed.
pub fn is_explicit(args: &ConnectionArgs) -> bool {
    let words = [
        &args.context,
        &args.server,
        &args.user,
        &args.password,
        &args.token,
    ];
    let files = [&args.creds, &args.nkey, &args.tlscert, &args.tlskey];
    words.iter().any(|word| word.is_some()) || files.iter().any(|file| file.is_some())
}

/// Whether a connection is configured, a selected context included; otherwise there is only the server on this machine.
pub fn is_configured(args: &ConnectionArgs) -> anyhow::Result<bool> {
    let named = is_explicit(args) || args.system_context.is_some();
    Ok(named || Context::selected(&Environment::of_process())?.is_some())
}

/// The connections of a policy's references, with the arguments that choose no server or user, and `--system-context`.
pub fn over_references(
    args: &ConnectionArgs,
    connections: ConnectionOptions,
) -> anyhow::Result<ConnectionOptions> {
    over_references_in(args, connections, &Environment::of_process())
}

fn over_references_in(
    args: &ConnectionArgs,
    mut connections: ConnectionOptions,
    environment: &Environment,
) -> anyhow::Result<ConnectionOptions> {
    let given = tls(&TlsFiles::of_servers(args), environment)?;
    if let Some(account) = &mut connections.account {
        account.domain = args.js_domain.clone().or(account.domain.take());
        account.config.inbox_prefix = args.inbox_prefix.clone().or(account.config.inbox_prefix.take());
    }
    let account = connections.account.as_mut().map(|account| &mut account.config);
    if let Some(given) = given {
        for config in account.into_iter().chain(&mut connections.system) {
            let tls = config.tls.get_or_insert_default();
            tls.ca_pem = given.ca_pem.clone().or(tls.ca_pem.take());
            tls.handshake_first |= given.handshake_first;
        }
    }
    with_valid_inboxes(with_system_in(args, connections, environment)?)
}

fn resolve_in(args: &ConnectionArgs, environment: &Environment) -> anyhow::Result<ConnectionOptions> {
    let context = match &args.context {
        Some(name) => Some(Context::load(environment, name)?),
        None => Context::selected(environment)?,
    };
    let account = account(args, &context.unwrap_or_default(), environment)?;
    let connections = ConnectionOptions {
        account: Some(account),
        system: None,
    };
    with_valid_inboxes(with_system_in(args, connections, environment)?)
}

/// The same connections, if their inbox prefixes are valid in a `NatsSystem`.
fn with_valid_inboxes(connections: ConnectionOptions) -> anyhow::Result<ConnectionOptions> {
    let account = connections.account.as_ref().map(|account| &account.config);
    let configs = account.into_iter().chain(&connections.system);
    for prefix in configs.filter_map(|config| config.inbox_prefix.as_deref()) {
        let wrong = schema::check(&schema::of_inbox_prefix(), &json!(prefix));
        let words = wrong.iter().map(|wrong| wrong.text.trim_start_matches(": "));
        ensure!(
            wrong.is_empty(),
            "--inbox-prefix or inbox_prefix of the context is {prefix:?}: {}",
            words.format(", ")
        );
    }
    Ok(connections)
}

fn account(
    args: &ConnectionArgs,
    context: &Context,
    environment: &Environment,
) -> anyhow::Result<AccountConnection> {
    let urls = Setting::of_flag("--server (NATS_URL)", args.server.as_deref()).or_else(|| context.url());
    let addresses = Addresses::of(urls.as_ref())?;
    let proofs = CredentialOptions::of_flags(args)
        .over(context.proofs())
        .or(addresses.proofs);
    let config = ConnectConfig {
        servers: addresses.servers,
        tls: tls(&TlsFiles::of_flags(args).over(context.tls()), environment)?,
        credentials: proofs.credentials(environment)?,
        inbox_prefix: args.inbox_prefix.clone().or_else(|| context.inbox_prefix()),
    };
    let domain = match &args.js_domain {
        Some(domain) => Some(domain.clone()),
        None => context.domain()?,
    };
    Ok(AccountConnection { config, domain })
}

/// The same connections, with `--system-context` for the system account. It inherits only the account's servers with
/// their TLS, and only where it names no servers.
fn with_system_in(
    args: &ConnectionArgs,
    connections: ConnectionOptions,
    environment: &Environment,
) -> anyhow::Result<ConnectionOptions> {
    let Some(name) = &args.system_context else {
        return Ok(connections);
    };
    let context = Context::load(environment, name)?;
    let account = connections.account.as_ref().map(|account| &account.config);
    let urls = context.url();
    let addresses = Addresses::of(urls.as_ref())?;
    let (own, own_tls) = (addresses.servers, context.tls());
    let (servers, inherited) = match account {
        Some(account) if urls.is_none() => (account.servers.clone(), account.tls.clone()),
        Some(_) | None => (own, None),
    };
    let tls = match inherited {
        Some(inherited) if own_tls.is_empty() => Some(inherited),
        Some(_) | None => tls(&TlsFiles::of_servers(args).over(own_tls), environment)?,
    };
    let system = ConnectConfig {
        servers,
        tls,
        credentials: context.proofs().or(addresses.proofs).credentials(environment)?,
        inbox_prefix: context.inbox_prefix(),
    };
    Ok(ConnectionOptions {
        system: Some(system),
        ..connections
    })
}

/// Files with certificates and keys.
#[derive(Clone, Debug, Default)]
struct TlsFiles {
    certificate: Option<Setting>,
    key: Option<Setting>,
    authority: Option<Setting>,
    first: bool,
}

impl TlsFiles {
    fn of_flags(args: &ConnectionArgs) -> Self {
        Self {
            certificate: Setting::of_file("--tlscert (NATS_CERT)", args.tlscert.as_deref()),
            key: Setting::of_file("--tlskey (NATS_KEY)", args.tlskey.as_deref()),
            authority: Setting::of_file("--tlsca (NATS_CA)", args.tlsca.as_deref()),
            first: args.tlsfirst,
        }
    }

    /// Those for reaching servers, not for the user's identity.
    fn of_servers(args: &ConnectionArgs) -> Self {
        Self {
            certificate: None,
            key: None,
            ..Self::of_flags(args)
        }
    }

    fn is_empty(&self) -> bool {
        let files = [&self.certificate, &self.key, &self.authority];
        !self.first && files.iter().all(|file| file.is_none())
    }

    /// A certificate and its key belong together.
    fn over(self, other: Self) -> Self {
        let (certificate, key) = match (self.certificate, self.key) {
            (None, None) => (other.certificate, other.key),
            own => own,
        };
        Self {
            certificate,
            key,
            authority: self.authority.or(other.authority),
            first: self.first || other.first,
        }
    }
}

fn tls(files: &TlsFiles, environment: &Environment) -> anyhow::Result<Option<TlsConfig>> {
    let pair = match (&files.certificate, &files.key) {
        (Some(certificate), Some(key)) => Some((environment.file(certificate)?, environment.file(key)?)),
        (None, None) => None,
        (Some(alone), None) => anyhow::bail!("{} has no key: give the certificate's key too", alone.source),
        (None, Some(alone)) => anyhow::bail!("{} has no certificate: give it too", alone.source),
    };
    let authority = files.authority.as_ref();
    let authority = authority.map(|file| environment.file(file)).transpose()?;
    if pair.is_none() && authority.is_none() && !files.first {
        return Ok(None);
    }
    let (certificate, key) = pair.unzip();
    Ok(Some(TlsConfig {
        ca_pem: authority,
        client_cert_pem: certificate,
        client_key_pem: key.map(Into::into),
        handshake_first: files.first,
    }))
}

#[cfg(test)]
mod tests;
