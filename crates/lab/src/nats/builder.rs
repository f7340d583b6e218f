//! Describes a system and starts it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Map, Value, json};

use super::accounts::{
    self, AccountSpec, Accounts, Auth, DEFAULT_ACCOUNT, DEFAULT_USER, SYSTEM_ACCOUNT, SYSTEM_USER, UserSpec,
};
use super::config::{Ports, ServerNode, SharedConfig};
use super::layout::{ClusterMember, Layout};
use super::system::System;
use super::tls::LabTls;
use super::wan::Wan;
use crate::folder::Folder;
use crate::ports::Port;
use crate::tools::NatsVersion;

/// How long a start may take until everything is connected and JetStream has its leader.
const START_LIMIT: Duration = Duration::from_mins(4);

/// A system to be started. Without further calls: one account [`DEFAULT_ACCOUNT`] with JetStream, users by password, no
/// TLS, no delay, the newest server.
#[derive(Debug, Clone)]
#[must_use]
#[expect(clippy::struct_excessive_bools, reason = "each switches a thing of its own")]
pub struct SystemBuilder {
    layout: Layout,
    auth: Auth,
    tls: bool,
    users_by_certificate: bool,
    monitoring: bool,
    accounts: Vec<AccountSpec>,
    system_users: Vec<UserSpec>,
    delay: Duration,
    jitter: Duration,
    version: NatsVersion,
    versions: BTreeMap<String, NatsVersion>,
    tags: BTreeMap<String, Vec<String>>,
    /// Settings of JetStream; no server runs it without.
    jetstream: Option<Map<String, Value>>,
    leaf_nodes: bool,
    system_account: Map<String, Value>,
    settings: Map<String, Value>,
    folder: Option<PathBuf>,
}

impl SystemBuilder {
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            auth: Auth::Config,
            tls: false,
            users_by_certificate: false,
            monitoring: false,
            accounts: Vec::new(),
            system_users: Vec::new(),
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            version: NatsVersion::Newest,
            versions: BTreeMap::new(),
            tags: BTreeMap::new(),
            jetstream: Some(Map::new()),
            leaf_nodes: false,
            system_account: Map::new(),
            settings: Map::new(),
            folder: None,
        }
    }

    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Client connections need TLS, with a certificate of a private authority.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// As [`Self::tls`], and servers take the user from the certificate that each client has to show; with [`Auth::Config`].
    pub fn users_by_certificate(mut self) -> Self {
        self.users_by_certificate = true;
        self.tls()
    }

    /// Servers answer HTTP monitoring on loopback.
    pub fn monitoring(mut self) -> Self {
        self.monitoring = true;
        self
    }

    /// Adds an account; the default account is left out then.
    pub fn account(mut self, account: AccountSpec) -> Self {
        self.accounts.push(account);
        self
    }

    /// Adds a user to the system account, beside [`SYSTEM_USER`].
    pub fn system_user(mut self, user: UserSpec) -> Self {
        self.system_users.push(user);
        self
    }

    /// One-way delay between every two locations.
    pub fn delay(mut self, one_way: Duration) -> Self {
        self.delay = one_way;
        self
    }

    /// The most that is added to the delay.
    pub fn jitter(mut self, most: Duration) -> Self {
        self.jitter = most;
        self
    }

    /// The server version where no other is set.
    pub fn version(mut self, version: NatsVersion) -> Self {
        self.version = version;
        self
    }

    pub fn server_version(mut self, server: &str, version: NatsVersion) -> Self {
        self.versions.insert(server.to_owned(), version);
        self
    }

    /// Adds a tag to one server.
    pub fn server_tag(mut self, server: &str, tag: &str) -> Self {
        self.tags
            .entry(server.to_owned())
            .or_default()
            .push(tag.to_owned());
        self
    }

    /// `jetstream.unique_tag`: replicas go to servers with different tags of this prefix.
    pub fn unique_tag(self, prefix: &str) -> Self {
        self.jetstream_setting("unique_tag", prefix)
    }

    pub fn without_jetstream(mut self) -> Self {
        self.jetstream = None;
        self
    }

    pub fn domain(self, name: &str) -> Self {
        self.jetstream_setting("domain", name)
    }

    fn jetstream_setting(mut self, name: &str, value: &str) -> Self {
        if let Some(jetstream) = &mut self.jetstream {
            jetstream.insert(name.to_owned(), json!(value));
        }
        self
    }

    /// Every server accepts leaf nodes, see [`System::leaf_remote`].
    pub fn leaf_nodes(mut self) -> Self {
        self.leaf_nodes = true;
        self
    }

    /// Connects every server as a leaf node, to what [`System::leaf_remote`] gave.
    pub fn leaf_of(self, remotes: &[Value]) -> Self {
        self.setting("leafnodes", json!({ "remotes": remotes }))
    }

    /// Sets a setting of the system account, such as its `exports`; with [`Auth::Config`].
    pub fn system_account_setting(mut self, name: &str, value: Value) -> Self {
        self.system_account.insert(name.to_owned(), value);
        self
    }

    /// Sets a top-level setting of every server's config, replacing what is generated.
    pub fn setting(mut self, name: &str, value: Value) -> Self {
        self.settings.insert(name.to_owned(), value);
        self
    }

    /// Keeps everything in this folder instead of a temporary one.
    pub fn folder(mut self, path: impl Into<PathBuf>) -> Self {
        self.folder = Some(path.into());
        self
    }

    /// Starts all servers and waits until the system is ready.
    pub async fn start(self) -> anyhow::Result<System> {
        let members = self.members()?;
        let folder = match &self.folder {
            Some(path) => Folder::at(path)?,
            None => Folder::temporary()?,
        };
        let wan = Wan::new(&members, self.delay, self.jitter)?;
        let nodes = members
            .iter()
            .map(|member| {
                Ok(ServerNode {
                    member: member.clone(),
                    ports: self.ports(member, &members)?,
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        self.start_relays(&wan, &nodes)?;
        let specs = self.all_accounts();
        let users = if self.users_by_certificate {
            accounts::user_names(&specs)
        } else {
            Vec::new()
        };
        let tls = self
            .tls
            .then(|| LabTls::issue(folder.path(), &users))
            .transpose()?;
        let accounts = Accounts::issue(self.auth, &specs, tls.as_ref().map(|tls| &tls.clients))?;
        let shared = SharedConfig {
            stretched: self.layout.is_stretched(),
            accounts: accounts.config.clone(),
            tls: tls.as_ref().map(|tls| tls.config.clone()),
            jetstream: self.jetstream.clone(),
            settings: self.settings.clone(),
        };
        let version = |node: &ServerNode| self.versions.get(&node.member.name).copied();
        let versions = nodes.iter().map(|node| version(node).unwrap_or(self.version));
        let versions = versions.collect();
        let system = System::new(nodes, versions, &shared, accounts, tls, wan, folder)?;
        system.start_all().await?;
        system.ready(START_LIMIT).await?;
        Ok(system)
    }

    fn members(&self) -> anyhow::Result<Vec<ClusterMember>> {
        let mut members = self.layout.members()?;
        for name in self.tags.keys().chain(self.versions.keys()) {
            ensure!(
                members.iter().any(|member| member.name == *name),
                "the layout has no server {name}"
            );
        }
        for member in &mut members {
            member
                .tags
                .extend(self.tags.get(&member.name).into_iter().flatten().cloned());
        }
        Ok(members)
    }

    fn ports(&self, member: &ClusterMember, members: &[ClusterMember]) -> anyhow::Result<Ports> {
        let callers: BTreeSet<&String> = members
            .iter()
            .map(|other| &other.location)
            .filter(|location| **location != member.location)
            .collect();
        let relays = callers
            .into_iter()
            .map(|location| Ok((location.clone(), Port::reserve()?)));
        Ok(Ports {
            relays: relays.collect::<anyhow::Result<_>>()?,
            nowhere: Port::reserve()?,
            client: Port::reserve()?,
            cluster: Port::reserve()?,
            gateway: Port::reserve()?,
            leaf_nodes: self.leaf_nodes.then(Port::reserve).transpose()?,
            monitoring: self.monitoring.then(Port::reserve).transpose()?,
        })
    }

    fn start_relays(&self, wan: &Wan, nodes: &[ServerNode]) -> anyhow::Result<()> {
        for node in nodes {
            let behind = if self.layout.is_stretched() {
                &node.ports.cluster
            } else {
                &node.ports.gateway
            };
            for (from, port) in &node.ports.relays {
                let name = &node.member.name;
                let listener = port
                    .listen()
                    .with_context(|| format!("the relay from {from} to {name} cannot listen"))?;
                wan.relay((from, &node.member.location), listener, behind.address())?;
            }
        }
        Ok(())
    }

    fn all_accounts(&self) -> Vec<AccountSpec> {
        let mut system = AccountSpec::new(SYSTEM_ACCOUNT)
            .user(UserSpec::new(SYSTEM_USER))
            .without_jetstream();
        system.users.extend(self.system_users.iter().cloned());
        system.settings.extend(self.system_account.clone());
        let mut all = vec![system];
        all.extend(self.accounts.iter().cloned());
        if self.accounts.is_empty() {
            all.push(AccountSpec::new(DEFAULT_ACCOUNT).user(UserSpec::new(DEFAULT_USER)));
        }
        all
    }
}
