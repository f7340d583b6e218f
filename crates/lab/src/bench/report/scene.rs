//! A cluster with many streams and consumers, and two ways to list their leaders, through one meter.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, bail, ensure};
use async_nats::Client;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tokio::process::Command;

use super::meter::TrafficMeter;
use crate::folder::write_file;
use crate::leeward::binary;
use crate::nats::{
    Credentials, DEFAULT_ACCOUNT, DEFAULT_USER, Layout, SYSTEM_ACCOUNT, SYSTEM_USER, System, jetstream,
};

pub(super) const STREAMS: usize = 1_000;
pub(super) const PER_STREAM: usize = 3;
/// Three would cost the servers a whole core when idle, which disturbs the measurement.
pub(super) const REPLICAS: usize = 1;

const CLUSTER: &str = "us-east";
const SERVERS: usize = 3;
/// Enough for a home by a policy's defaults.
const CLIENTS: usize = 9;
const CREATED_AT_ONCE: usize = 16;
/// Contexts of the `nats` command that connect through the meter.
const ACCOUNT_CONTEXT: &str = "metered-account";
const SYSTEM_CONTEXT: &str = "metered-system";

pub(super) struct ReportScene {
    clients: Vec<Client>,
    pub(super) meter: TrafficMeter,
    system: System,
}

/// How `leeward report` sees the account.
#[derive(Clone, Copy, Debug)]
pub(super) enum As {
    /// As a user of the system account.
    System,
    /// As the account's own user.
    Tenant,
}

impl ReportScene {
    pub(super) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let system = System::builder(Layout::supercluster(&[(CLUSTER, SERVERS)]))
            .folder(folder.join("nats"))
            .start()
            .await?;
        let server = system.server_names().into_iter().next().context("a server")?;
        let address = system.url(&server)?;
        let address = address.trim_start_matches("nats://").parse()?;
        let meter = TrafficMeter::start(address).await?;
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(system.connect_default(CLUSTER).await?);
        }
        let scene = Self {
            clients,
            meter,
            system,
        };
        scene.write_context(ACCOUNT_CONTEXT, DEFAULT_ACCOUNT, DEFAULT_USER)?;
        scene.write_context(SYSTEM_CONTEXT, SYSTEM_ACCOUNT, SYSTEM_USER)?;
        scene.create().await?;
        Ok(scene)
    }

    pub(super) fn version(&self) -> String {
        let version = self.clients.first().map(|client| client.server_info().version);
        version.unwrap_or_default()
    }

    async fn create(&self) -> anyhow::Result<()> {
        let client = &self.system.connect_default(CLUSTER).await?;
        stream::iter(streams())
            .map(|name| async move {
                let config = json!({"subjects": [format!("{name}.>")], "num_replicas": REPLICAS});
                jetstream::create_stream(client, &name, config).await?;
                for number in 0..PER_STREAM {
                    let config = json!({"ack_policy": "explicit"});
                    jetstream::create_consumer(client, &name, &format!("c-{number}"), config).await?;
                }
                anyhow::Ok(())
            })
            .buffer_unordered(CREATED_AT_ONCE)
            .try_collect::<()>()
            .await
    }

    fn write_context(&self, name: &str, account: &str, user: &str) -> anyhow::Result<()> {
        let Credentials::UserPassword { user, password } = self.system.credentials(account, user)? else {
            bail!("{account} has no passwords");
        };
        let context = json!({"url": self.meter.url(), "user": user, "password": password});
        let contexts = self.system.config_home().join("nats/context");
        write_file(&contexts.join(format!("{name}.json")), &context.to_string())
    }

    /// `nats stream report`, then `nats consumer report` for every stream, this many at a time.
    pub(super) async fn by_the_nats_command(&self, at_once: usize) -> anyhow::Result<()> {
        let output = self.nats(&["stream", "report"]).await?;
        let (listed, first, last) = (output.lines().count(), "s-0000", format!("s-{:04}", STREAMS - 1));
        ensure!(
            listed > STREAMS && output.contains(first) && output.contains(&last),
            "{output}"
        );
        stream::iter(streams())
            .map(|stream| async move {
                let output = self.nats(&["consumer", "report", &stream]).await?;
                let listed = (0..PER_STREAM).all(|number| output.contains(&format!("c-{number}")));
                ensure!(listed, "{stream}: {output}");
                Ok(())
            })
            .buffer_unordered(at_once)
            .try_collect::<()>()
            .await
    }

    async fn nats(&self, args: &[&str]) -> anyhow::Result<String> {
        self.system.nats_cli_text(ACCOUNT_CONTEXT, args).await
    }

    /// `leeward report`, checked to have counted everything.
    pub(super) async fn by_leeward(&self, whom: As, more: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(binary()?);
        command
            .args(["report", "--output", "json", "--context", ACCOUNT_CONTEXT])
            .args(more)
            .env_clear()
            .env("XDG_CONFIG_HOME", self.system.config_home())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        match whom {
            As::System => command.args(["--system-context", SYSTEM_CONTEXT]),
            As::Tenant => &mut command,
        };
        let output = command.output().await.context("cannot run leeward report")?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        let report: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("leeward report ended with {}: {stderr}", output.status))?;
        let total = |kind: &str| report["reports"][0][kind]["total"].as_u64();
        let expected = (Some(STREAMS as u64), Some((STREAMS * PER_STREAM) as u64));
        let counted = (total("streams"), total("consumers"));
        ensure!(
            counted == expected,
            "leeward report counted {counted:?}: {stderr}"
        );
        Ok(())
    }
}

fn streams() -> impl Iterator<Item = String> {
    (0..STREAMS).map(|number| format!("s-{number:04}"))
}
