//! NACK, NATS's own controller, which keeps streams as their `Stream` objects say: a stand-in that does so in each of its
//! two modes, or the real one where `LEEWARD_NACK` names its binary.
//!
//! The real one serves metrics at port 8080 in its control loop, whatever it is told: its tests run one at a time.
//!
//! The stand-in knows subjects, replicas, storage, metadata and placement; it makes no stream and deletes none, and
//! of kinds knows `Stream` alone. It looks every second; the real one is told of changes, and looks at everything once
//! a minute.

mod stand_in;

use std::path::{Path, PathBuf};

use tokio::task::JoinHandle;

use crate::kube::ObjectClient;
use crate::nats::{Credentials, DEFAULT_ACCOUNT, DEFAULT_USER, System};
use crate::ports::Port;
use crate::process::{Process, ServerCommand};

/// The definitions of its kinds.
pub const CRDS: &str = include_str!("crds.yaml");

/// How it keeps a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NackMode {
    /// When its object changes.
    Legacy,
    /// Also when the stream does (`--control-loop`).
    ControlLoop,
}

/// A running controller; it ends with this value.
#[derive(Debug)]
pub enum Nack {
    /// The stand-in.
    StandIn(JoinHandle<()>),
    /// The real one.
    Real(Process),
}

/// What it works with.
#[derive(Debug)]
pub struct NackOptions<'a> {
    pub mode: NackMode,
    pub system: &'a System,
    /// The location whose servers it connects to.
    pub location: &'a str,
    /// The only namespace whose objects it keeps.
    pub namespace: &'a str,
    pub objects: ObjectClient,
    pub kubeconfig: PathBuf,
    /// For its log.
    pub folder: &'a Path,
}

impl Nack {
    /// Starts the real one where `LEEWARD_NACK` names it, else the stand-in.
    pub async fn start(options: NackOptions<'_>) -> anyhow::Result<Self> {
        if let Some(program) = std::env::var_os("LEEWARD_NACK") {
            return Ok(Self::Real(real(program.into(), options).await?));
        }
        let client = options.system.connect_default(options.location).await?;
        let namespace = options.namespace.to_owned();
        let kept = stand_in::keep(options.objects, client, namespace, options.mode);
        Ok(Self::StandIn(tokio::spawn(kept)))
    }
}

impl Drop for Nack {
    fn drop(&mut self) {
        match self {
            Self::StandIn(task) => task.abort(),
            Self::Real(_) => {}
        }
    }
}

async fn real(program: PathBuf, options: NackOptions<'_>) -> anyhow::Result<Process> {
    let probes = Port::reserve()?;
    let url = options.system.urls(options.location)?;
    let user = match options.system.credentials(DEFAULT_ACCOUNT, DEFAULT_USER)? {
        Credentials::UserPassword { user, password } => format!("nats://{user}:{password}@"),
        Credentials::Creds(_) | Credentials::Certificate(_) => "nats://".to_owned(),
    };
    let mut args = vec![
        format!("--kubeconfig={}", options.kubeconfig.display()),
        format!("-s={}", url.replace("nats://", &user)),
        format!("--namespace={}", options.namespace),
    ];
    if options.mode == NackMode::ControlLoop {
        args.push("--control-loop".to_owned());
        args.push("--sync-interval=5s".to_owned());
        args.push(format!("--health-probe-bind-address={}", probes.address()));
    }
    Process::start(ServerCommand {
        program,
        args: args.into_iter().map(Into::into).collect(),
        log: options.folder.join(format!("nack-{}.log", options.namespace)),
        envs: Vec::new(),
    })
    .await
}
