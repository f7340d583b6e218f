//! A running system: its servers, links and users. Everything ends when the value is dropped, or with the process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use async_nats::{Client, ConnectOptions};
use futures::future::try_join_all;
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};

use super::accounts::{Accounts, Credentials, DEFAULT_ACCOUNT, DEFAULT_USER, SYSTEM_ACCOUNT, SYSTEM_USER};
use super::builder::SystemBuilder;
use super::config::{self, ServerNode, SharedConfig};
use super::jetstream::{self, eventually};
use super::layout::Layout;
use super::meta_group;
use super::ready;
use super::tls::LabTls;
use super::wan::Wan;
use crate::folder::Folder;
use crate::process::{Process, ServerCommand};
use crate::tools::{NatsVersion, Tool, tool};

/// A restarted server answers its clients within this time.
const RESTART_LIMIT: Duration = Duration::from_mins(2);
/// A busy machine is slow to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// A swallowed request is repeated.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
const LOG_LINES: usize = 15;

#[derive(Debug)]
pub struct System {
    // Dropped in this order: clients, servers, network, folder.
    watcher: OnceCell<Client>,
    servers: Vec<RunningServer>,
    nodes: Vec<ServerNode>,
    accounts: Accounts,
    tls: Option<LabTls>,
    wan: Wan,
    folder: Folder,
}

#[derive(Debug)]
struct RunningServer {
    folder: PathBuf,
    state: Mutex<ServerState>,
}

#[derive(Debug)]
struct ServerState {
    version: NatsVersion,
    process: Option<Process>,
}

impl System {
    pub fn builder(layout: Layout) -> SystemBuilder {
        SystemBuilder::new(layout)
    }

    pub(crate) fn new(
        nodes: Vec<ServerNode>,
        versions: Vec<NatsVersion>,
        shared: &SharedConfig,
        accounts: Accounts,
        tls: Option<LabTls>,
        wan: Wan,
        folder: Folder,
    ) -> anyhow::Result<Self> {
        let names: Vec<&str> = nodes.iter().map(|node| node.member.name.as_str()).collect();
        let is_group = names.len() > 1 && shared.jetstream.is_some();
        let peers_are_written = is_group && versions.iter().any(|version| meta_group::is_needed(*version));
        let mut servers = Vec::new();
        for (index, (node, version)) in nodes.iter().zip(versions).enumerate() {
            let own = folder.inside(&node.member.name)?;
            let store = own.join("store");
            let text = config::text(shared, &nodes, index, &store);
            std::fs::write(own.join("server.conf"), text).context("cannot write a server config")?;
            if peers_are_written {
                meta_group::write(&store, accounts.id(SYSTEM_ACCOUNT)?, &names)?;
            }
            servers.push(RunningServer {
                folder: own,
                state: Mutex::new(ServerState {
                    version,
                    process: None,
                }),
            });
        }
        Ok(Self {
            watcher: OnceCell::new(),
            servers,
            nodes,
            accounts,
            tls,
            wan,
            folder,
        })
    }

    pub(crate) async fn start_all(&self) -> anyhow::Result<()> {
        try_join_all(self.servers.iter().map(RunningServer::start)).await?;
        Ok(())
    }

    /// Waits until all servers are connected to each other, the JetStream meta group has a leader with all its peers
    /// current, and JetStream answers an account's user in every location. Fails at once when a server has ended.
    pub async fn ready(&self, limit: Duration) -> anyhow::Result<()> {
        let waiting = eventually(limit, "the system is ready", || async {
            ready::check(&self.system_client().await?, &self.nodes).await?;
            self.check_api().await
        });
        tokio::select! {
            result = waiting => match result {
                Ok(()) => Ok(()),
                Err(error) => Err(error.context(format!("the ends of the logs:\n{}", self.logs(LOG_LINES)))),
            },
            name = self.ended_server() => {
                bail!("{name} has ended; the end of its log:\n{}", self.log(&name, LOG_LINES)?)
            }
        }
    }

    /// The answer comes from the meta leader, through the network as it is.
    async fn check_api(&self) -> anyhow::Result<()> {
        let Some((account, user)) = self.accounts.unlimited_user() else {
            return Ok(());
        };
        for location in self.locations() {
            let client = self.connect(&location, self.credentials(account, user)?).await?;
            let asked = jetstream::request(&client, "$JS.API.INFO", &Value::Null);
            tokio::time::timeout(ANSWER_LIMIT, asked)
                .await
                .with_context(|| format!("JetStream does not answer in {location}"))??;
        }
        Ok(())
    }

    async fn ended_server(&self) -> String {
        loop {
            for (server, node) in self.servers.iter().zip(&self.nodes) {
                if !server
                    .state
                    .lock()
                    .await
                    .process
                    .as_ref()
                    .is_some_and(Process::running)
                {
                    return node.member.name.clone();
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The folder of the whole system. Each server has its own inside: `server.conf`, `server.log`, `store`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn server_names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.member.name.clone()).collect()
    }

    pub fn servers_in(&self, location: &str) -> Vec<String> {
        let here = self.nodes.iter().filter(|node| node.member.location == location);
        here.map(|node| node.member.name.clone()).collect()
    }

    /// In the order of the layout.
    pub fn locations(&self) -> Vec<String> {
        let mut locations: Vec<String> = self
            .nodes
            .iter()
            .map(|node| node.member.location.clone())
            .collect();
        locations.dedup();
        locations
    }

    pub fn location_of(&self, server: &str) -> anyhow::Result<&str> {
        Ok(&self.node(server)?.member.location)
    }

    pub fn wan(&self) -> &Wan {
        &self.wan
    }

    /// The client URL of one server.
    pub fn url(&self, server: &str) -> anyhow::Result<String> {
        Ok(self.client_url(self.node(server)?))
    }

    /// The client URLs of a location's servers, separated by commas.
    pub fn urls(&self, location: &str) -> anyhow::Result<String> {
        let here = self.nodes.iter().filter(|node| node.member.location == location);
        let urls: Vec<String> = here.map(|node| self.client_url(node)).collect();
        ensure!(!urls.is_empty(), "there is no location {location}");
        Ok(urls.join(","))
    }

    /// The config of a leaf node's connection to a server that accepts them, for the users of one account.
    pub fn leaf_remote(&self, server: &str, account: &str, user: &str) -> anyhow::Result<Value> {
        let port = self.node(server)?.ports.leaf_nodes.as_ref();
        let port = port.with_context(|| format!("{server} accepts no leaf nodes"))?;
        let Credentials::UserPassword { user, password } = self.credentials(account, user)? else {
            bail!("leaf nodes of the lab connect by password");
        };
        let url = format!("nats-leaf://{user}:{password}@{}", port.address());
        Ok(json!({ "urls": [url], "account": account }))
    }

    fn client_url(&self, node: &ServerNode) -> String {
        let scheme = if self.tls.is_some() { "tls" } else { "nats" };
        format!("{scheme}://{}", node.ports.client.address())
    }

    /// The HTTP monitoring URL of a server; `None` unless the system was built with it.
    pub fn monitoring_url(&self, server: &str) -> anyhow::Result<Option<String>> {
        let port = self.node(server)?.ports.monitoring.as_ref();
        Ok(port.map(|port| format!("http://{}", port.address())))
    }

    /// The certificate of the private authority; `None` without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.tls.as_ref().map(|tls| tls.ca_pem.as_str())
    }

    pub fn ca_file(&self) -> Option<&Path> {
        self.tls.as_ref().map(|tls| tls.ca_file.as_path())
    }

    pub fn credentials(&self, account: &str, user: &str) -> anyhow::Result<&Credentials> {
        self.accounts.credentials(account, user)
    }

    pub fn system_credentials(&self) -> anyhow::Result<&Credentials> {
        self.credentials(SYSTEM_ACCOUNT, SYSTEM_USER)
    }

    /// The servers' id of the account: its name, or its public key with [`super::Auth::Operator`].
    pub fn account_id(&self, account: &str) -> anyhow::Result<&str> {
        self.accounts.id(account)
    }

    /// The options that this system needs: the private authority, and staying with the given servers.
    pub fn connect_options(&self, credentials: &Credentials) -> anyhow::Result<ConnectOptions> {
        let mut options = credentials
            .apply(ConnectOptions::new())?
            .ignore_discovered_servers()
            .connection_timeout(CONNECT_LIMIT);
        if let Some(tls) = &self.tls {
            // Fails if the program has already installed a provider, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
            options = options
                .add_root_certificates(tls.ca_file.clone())
                .require_tls(true);
        }
        Ok(options)
    }

    /// Connects to a server of the location, and reconnects to that location only.
    pub async fn connect(&self, location: &str, credentials: &Credentials) -> anyhow::Result<Client> {
        self.connect_with(&self.urls(location)?, self.connect_options(credentials)?)
            .await
    }

    /// As [`Self::connect`], as the user of the system's default account.
    pub async fn connect_default(&self, location: &str) -> anyhow::Result<Client> {
        self.connect(location, self.credentials(DEFAULT_ACCOUNT, DEFAULT_USER)?)
            .await
    }

    /// Connects to one server, and reconnects to that one only.
    pub async fn connect_to(&self, server: &str, credentials: &Credentials) -> anyhow::Result<Client> {
        self.connect_with(&self.url(server)?, self.connect_options(credentials)?)
            .await
    }

    /// Connects to `urls` (as [`Self::urls`] gives them) with options made from [`Self::connect_options`].
    pub async fn connect_with(&self, urls: &str, options: ConnectOptions) -> anyhow::Result<Client> {
        let addresses = urls
            .split(',')
            .map(str::parse)
            .collect::<Result<Vec<async_nats::ServerAddr>, _>>()
            .with_context(|| format!("no server addresses: {urls}"))?;
        options
            .connect(addresses)
            .await
            .with_context(|| format!("cannot connect to {urls}"))
    }

    /// The lab's own connection to the system account; it reconnects to any server.
    pub async fn system_client(&self) -> anyhow::Result<Client> {
        let connect = || async {
            let urls: Vec<String> = self.nodes.iter().map(|node| self.client_url(node)).collect();
            self.connect_with(&urls.join(","), self.connect_options(self.system_credentials()?)?)
                .await
        };
        Ok(self.watcher.get_or_try_init(connect).await?.clone())
    }

    /// Asks all servers (`$SYS.REQ.SERVER.PING.<kind>`): `data` by server name, of those that answer.
    pub async fn ping(&self, kind: &str, payload: &Value) -> anyhow::Result<BTreeMap<String, Value>> {
        ready::ping(&self.system_client().await?, kind, payload, self.nodes.len()).await
    }

    /// The least round trip that servers of `from` have measured on their gateway to `to`. Servers measure when they
    /// connect and about every 15 s.
    pub async fn gateway_rtt(&self, from: &str, to: &str) -> anyhow::Result<Duration> {
        let gatewayz = self.ping("GATEWAYZ", &Value::Null).await?;
        let servers = self.servers_in(from);
        let found = gatewayz
            .iter()
            .filter(|(name, _)| servers.contains(name))
            .filter_map(|(_, data)| ready::round_trip(&data["outbound_gateways"][to]["connection"]));
        found
            .min()
            .with_context(|| format!("no gateway from {from} to {to} has a round trip time yet"))
    }

    /// The round trip that one server has measured on its route to another of its cluster.
    pub async fn route_rtt(&self, from: &str, to: &str) -> anyhow::Result<Duration> {
        let routez = self.ping("ROUTEZ", &Value::Null).await?;
        let data = routez
            .get(from)
            .with_context(|| format!("{from} does not answer"))?;
        let found = ready::array(&data["routes"])
            .iter()
            .filter(|route| route["remote_name"] == to)
            .filter_map(ready::round_trip);
        found
            .min()
            .with_context(|| format!("no route from {from} to {to} has a round trip time yet"))
    }

    /// SIGKILL.
    pub async fn kill(&self, server: &str) -> anyhow::Result<()> {
        match &mut self.server(server)?.state.lock().await.process {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// SIGTERM.
    pub async fn stop(&self, server: &str) -> anyhow::Result<()> {
        match &mut self.server(server)?.state.lock().await.process {
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }

    /// Stops the server if it runs and starts it again, with its ports, its relay and its store. Returns when it
    /// serves clients; see [`Self::ready`] for the whole system.
    pub async fn restart(&self, server: &str) -> anyhow::Result<()> {
        let version = self.version(server).await?;
        self.restart_as(server, version).await
    }

    /// As [`Self::restart`], with JetStream turned off for good; its store stays.
    pub async fn restart_without_jetstream(&self, server: &str) -> anyhow::Result<()> {
        let path = self.server(server)?.folder.join("server.conf");
        let text = std::fs::read_to_string(&path).context("cannot read a server config")?;
        let mut config: Value = serde_json::from_str(&text)?;
        if let Some(config) = config.as_object_mut() {
            config.remove("jetstream");
        }
        for account in config["accounts"].as_object_mut().into_iter().flatten() {
            if let Some(account) = account.1.as_object_mut() {
                account.remove("jetstream");
            }
        }
        std::fs::write(&path, config.to_string()).context("cannot write a server config")?;
        self.restart(server).await
    }

    /// As [`Self::restart`], with another version of the server.
    pub async fn restart_as(&self, server: &str, version: NatsVersion) -> anyhow::Result<()> {
        self.stop(server).await?;
        let handle = self.server(server)?;
        handle.state.lock().await.version = version;
        handle.start().await?;
        eventually(RESTART_LIMIT, &format!("{server} serves clients"), || async {
            self.connect_to(server, self.system_credentials()?)
                .await
                .map(drop)
        })
        .await
        .with_context(|| format!("the end of its log:\n{}", handle.log(LOG_LINES)))
    }

    /// SIGSTOP: the server keeps its connections and does not answer.
    pub async fn pause(&self, server: &str) -> anyhow::Result<()> {
        self.server(server)?.state.lock().await.running()?.pause()
    }

    /// SIGHUP: the server reads its configuration again.
    pub async fn reload(&self, server: &str) -> anyhow::Result<()> {
        self.server(server)?.state.lock().await.running()?.reload()
    }

    /// SIGCONT.
    pub async fn resume(&self, server: &str) -> anyhow::Result<()> {
        self.server(server)?.state.lock().await.running()?.resume()
    }

    pub async fn version(&self, server: &str) -> anyhow::Result<NatsVersion> {
        Ok(self.server(server)?.state.lock().await.version)
    }

    /// The process id of a running server.
    pub async fn process_id(&self, server: &str) -> anyhow::Result<u32> {
        Ok(self.server(server)?.state.lock().await.running()?.id())
    }

    /// The last lines of a server's log.
    pub fn log(&self, server: &str, lines: usize) -> anyhow::Result<String> {
        Ok(self.server(server)?.log(lines))
    }

    fn logs(&self, lines: usize) -> String {
        let all = self.nodes.iter().zip(&self.servers);
        let tails = all.map(|(node, server)| format!("--- {}\n{}", node.member.name, server.log(lines)));
        tails.collect::<Vec<_>>().join("\n")
    }

    fn node(&self, server: &str) -> anyhow::Result<&ServerNode> {
        let found = self.nodes.iter().find(|node| node.member.name == server);
        found.with_context(|| format!("there is no server {server}"))
    }

    fn server(&self, name: &str) -> anyhow::Result<&RunningServer> {
        let found = self.nodes.iter().position(|node| node.member.name == name);
        found
            .and_then(|index| self.servers.get(index))
            .with_context(|| format!("there is no server {name}"))
    }
}

impl RunningServer {
    async fn start(&self) -> anyhow::Result<()> {
        let mut state = self.state.lock().await;
        let command = ServerCommand {
            program: tool(Tool::NatsServer(state.version))?,
            args: vec!["--config".into(), self.folder.join("server.conf").into()],
            log: self.folder.join("server.log"),
            envs: meta_group::envs(state.version),
        };
        state.process = Some(Process::start(command).await?);
        Ok(())
    }

    fn log(&self, lines: usize) -> String {
        crate::process::log_tail(&self.folder.join("server.log"), lines)
    }
}

impl ServerState {
    fn running(&self) -> anyhow::Result<&Process> {
        self.process.as_ref().context("the server was not started")
    }
}
