//! The two server processes and their options. Options are chosen for starts in seconds on a small machine: no fsync,
//! no flow control, and only the admission plugins that work without controllers.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::net::TcpStream;

use super::objects::ObjectClient;
use super::pki::Pki;
use crate::ports::Port;
use crate::process::{Process, ServerCommand};
use crate::tools::{KubeVersion, Tool, tool};

const READY_LIMIT: Duration = Duration::from_mins(4);
const CONNECT_INTERVAL: Duration = Duration::from_millis(10);
/// Each check takes time from the starting apiserver.
const READY_INTERVAL: Duration = Duration::from_millis(50);
const LOG_LINES: usize = 20;

/// Starts etcd and waits until it accepts connections; it answers them once it has elected itself.
pub async fn start_etcd(folder: &Path, address: SocketAddr) -> anyhow::Result<Process> {
    let client_url = format!("http://{address}");
    let args = [
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={client_url}"),
        format!("--advertise-client-urls={client_url}"),
        // A single member has no peers: the kernel chooses the port.
        "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    let process = Process::start(ServerCommand {
        program: tool(Tool::Etcd)?,
        args: args.map(OsString::from).to_vec(),
        log: folder.join("etcd.log"),
        envs: Vec::new(),
    })
    .await?;
    await_connection(&process, "etcd", address).await?;
    Ok(process)
}

/// An API server that can be stopped and started; it keeps its port meanwhile.
#[derive(Debug)]
pub struct Apiserver {
    process: Option<Process>,
    command: ServerCommand,
    port: Port,
    url: String,
    ready_after: Duration,
}

impl Apiserver {
    pub fn new(version: KubeVersion, folder: &Path, pki: &Pki, etcd: SocketAddr) -> anyhow::Result<Self> {
        let port = Port::reserve()?;
        let command = ServerCommand {
            program: tool(Tool::KubeApiserver(version))?,
            args: arguments(folder, pki, etcd, port.number()),
            log: folder.join("kube-apiserver.log"),
            envs: Vec::new(),
        };
        let url = format!("https://{}", port.address());
        Ok(Self {
            process: None,
            command,
            port,
            url,
            ready_after: Duration::ZERO,
        })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    pub fn process(&self) -> anyhow::Result<&Process> {
        self.process.as_ref().context("the apiserver is stopped")
    }

    pub async fn start(&mut self, kubeconfig: &Path) -> anyhow::Result<()> {
        if self.process.as_ref().is_some_and(Process::running) {
            return Ok(());
        }
        let started = Instant::now();
        let process = self.process.insert(Process::start(self.command.clone()).await?);
        await_connection(process, "kube-apiserver", self.port.address()).await?;
        await_ready(process, kubeconfig).await?;
        self.ready_after = started.elapsed();
        Ok(())
    }

    /// SIGKILL: a graceful end of the apiserver waits for its clients' watches.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }
}

fn arguments(folder: &Path, pki: &Pki, etcd: SocketAddr, port: u16) -> Vec<OsString> {
    let path = |option: &str, path: &Path| format!("--{option}={}", path.display());
    [
        format!("--etcd-servers=http://{etcd}"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        path("cert-dir", &folder.join("pki")),
        path("tls-cert-file", &pki.serving_certificate_file),
        path("tls-private-key-file", &pki.serving_key_file),
        path("client-ca-file", &pki.authority_file),
        "--authorization-mode=RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        path("service-account-signing-key-file", &pki.token_key_file),
        path("service-account-key-file", &pki.token_public_key_file),
        // It refuses every pod whose service account no controller has made.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--enable-priority-and-fairness=false".to_owned(),
        "--profiling=false".to_owned(),
    ]
    .map(OsString::from)
    .to_vec()
}

async fn await_connection(process: &Process, name: &str, address: SocketAddr) -> anyhow::Result<()> {
    let started = Instant::now();
    while TcpStream::connect(address).await.is_err() {
        ensure_still_starting(process, name, started)?;
        tokio::time::sleep(CONNECT_INTERVAL).await;
    }
    Ok(())
}

async fn await_ready(process: &Process, kubeconfig: &Path) -> anyhow::Result<()> {
    let started = Instant::now();
    let objects = ObjectClient::new(kubeconfig).await?;
    while let Err(error) = objects.ready().await {
        ensure_still_starting(process, "kube-apiserver", started).with_context(|| format!("{error:#}"))?;
        tokio::time::sleep(READY_INTERVAL).await;
    }
    Ok(())
}

/// An error when there is nothing left to wait for.
fn ensure_still_starting(process: &Process, name: &str, started: Instant) -> anyhow::Result<()> {
    if !process.running() {
        bail!(
            "{name} has ended; the end of its log:\n{}",
            process.log_tail(LOG_LINES)
        );
    }
    if started.elapsed() > READY_LIMIT {
        bail!(
            "{name} is not ready after {READY_LIMIT:?}; the end of its log:\n{}",
            process.log_tail(LOG_LINES)
        );
    }
    Ok(())
}
