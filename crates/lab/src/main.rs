//! `leeward-lab`: servers on loopback to try things on, the demo, the benchmark, and the soak.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use leeward_lab::bench::{self, Section};
use leeward_lab::demo::{self, Shape};
use leeward_lab::folder::Folder;
use leeward_lab::kube::Kube;
use leeward_lab::nats::{
    Auth, ClusterSpec, DEFAULT_ACCOUNT, DEFAULT_USER, Layout, RegionSpec, SYSTEM_ACCOUNT, SYSTEM_USER,
    System, go_duration, layout,
};
use leeward_lab::soak::{self, Options};
use tokio::signal::unix::{SignalKind, signal};

/// Real NATS and Kubernetes servers on loopback.
#[derive(Debug, Parser)]
#[command(version)]
struct Lab {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start servers, print how to reach them, and end them on Ctrl-C or SIGTERM.
    Up(Up),
    /// Show the main job: leaders come home to their clients, with a table of before and after.
    Demo(Demo),
    /// Measure how fast leaders come home, what clients feel while a stream moves, and what a report takes.
    Bench(Bench),
    /// Leave Leeward alone under load while everything around it fails and comes back, and hold it to its promises.
    Soak(Soak),
}

#[derive(Debug, Args)]
struct Demo {
    /// Clusters joined by gateways, where streams move, or one stretched cluster, where leaders step down.
    #[arg(long, value_enum, default_value = "supercluster")]
    topology: Topology,
    /// Leave everything running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
struct Bench {
    /// One section instead of all.
    #[arg(long, value_enum)]
    only: Option<Measured>,
}

#[derive(Debug, Args)]
struct Soak {
    /// About how long it takes in all.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Chooses the disturbances; one by chance if none is given.
    #[arg(long)]
    seed: Option<u64>,
    /// A minute on the supercluster, with a few disturbances of each kind.
    #[arg(long)]
    short: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Measured {
    /// How fast leaders come home, against a loop over the `nats` command and against a floor.
    Converge,
    /// Stalls while a stream moves, by a bare placement edit and by Leeward.
    Move,
    /// What `leeward report` takes for 1,000 streams, against `nats stream report` and `nats consumer report`.
    Report,
}

#[derive(Debug, Args)]
struct Up {
    /// Clusters joined by gateways, or one cluster over several regions.
    #[arg(long, value_enum, default_value = "supercluster")]
    topology: Topology,
    /// Names of the clusters or regions.
    #[arg(long, value_delimiter = ',', default_value = "us-east,eu-west")]
    clusters: Vec<String>,
    /// Servers in each of them.
    #[arg(long, default_value_t = 3)]
    servers: usize,
    /// One-way delay between them, such as 20ms.
    #[arg(long, value_parser = go_duration, default_value = "20ms")]
    delay: Duration,
    /// The most that is added to the delay.
    #[arg(long, value_parser = go_duration, default_value = "0s")]
    jitter: Duration,
    /// Clients need TLS.
    #[arg(long)]
    tls: bool,
    /// Users have JWTs instead of passwords.
    #[arg(long)]
    jwt: bool,
    /// Start a Kubernetes API too.
    #[arg(long)]
    kube: bool,
    /// Keep everything in this folder; it is removed at the end if it was not there before.
    #[arg(long)]
    dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Topology {
    Supercluster,
    Stretched,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Lab { command } = Lab::parse();
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        result = run(&command) => result,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// Everything that was started ends when this future is dropped.
async fn run(command: &Action) -> anyhow::Result<()> {
    match command {
        Action::Up(up) => stay_up(up).await,
        Action::Demo(Demo { topology, keep }) => {
            let shape = match topology {
                Topology::Supercluster => Shape::Supercluster,
                Topology::Stretched => Shape::Stretched,
            };
            Box::pin(demo::play(shape, *keep)).await
        }
        Action::Soak(Soak { minutes, seed, short }) => {
            let seed = seed.unwrap_or_else(|| fastrand::u64(..10_000));
            let options = if *short {
                Options::short(seed)
            } else {
                Options::long(Duration::from_mins(*minutes), seed)
            };
            Box::pin(soak::run(&options)).await
        }
        Action::Bench(Bench { only }) => Box::pin(bench::run(&sections(*only))).await,
    }
}

fn sections(only: Option<Measured>) -> Vec<Section> {
    match only {
        None => vec![Section::Converge, Section::Move, Section::Report],
        Some(Measured::Converge) => vec![Section::Converge],
        Some(Measured::Move) => vec![Section::Move],
        Some(Measured::Report) => vec![Section::Report],
    }
}

/// Ends with an error only.
async fn stay_up(up: &Up) -> anyhow::Result<()> {
    let folder = match &up.dir {
        Some(path) => Folder::at(path)?,
        None => Folder::temporary()?,
    };
    let system = start_nats(up, folder.path()).await?;
    let kube = if up.kube {
        Some(Kube::start(&folder.inside("kube")?).await?)
    } else {
        None
    };
    print(&describe(&system, kube.as_ref()).await?);
    std::future::pending().await
}

async fn start_nats(up: &Up, folder: &Path) -> anyhow::Result<System> {
    let mut builder = System::builder(layout_of(up))
        .auth(if up.jwt { Auth::Operator } else { Auth::Config })
        .delay(up.delay)
        .jitter(up.jitter)
        .folder(folder.join("nats"));
    if up.tls {
        builder = builder.tls();
    }
    builder.start().await
}

fn layout_of(up: &Up) -> Layout {
    let names = up.clusters.iter().cloned();
    let servers = up.servers;
    match up.topology {
        Topology::Supercluster => Layout::Supercluster {
            clusters: names
                .map(|name| ClusterSpec {
                    name,
                    servers,
                    tags: Vec::new(),
                })
                .collect(),
        },
        Topology::Stretched => Layout::Stretched {
            cluster: layout::STRETCHED_CLUSTER.to_owned(),
            regions: names.map(|name| RegionSpec { name, servers }).collect(),
        },
    }
}

async fn describe(system: &System, kube: Option<&Kube>) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for server in system.server_names() {
        lines.push(format!(
            "{server}  {}  pid {}",
            system.url(&server)?,
            system.process_id(&server).await?
        ));
    }
    lines.push(String::new());
    lines.push(format!(
        "export XDG_CONFIG_HOME={}",
        system.config_home().display()
    ));
    if let Some(kube) = kube {
        lines.push(format!("export KUBECONFIG={}", kube.admin_kubeconfig().display()));
    }
    if let Some(ca) = system.ca_file() {
        lines.push(format!("export LEEWARD_LAB_CA={}", ca.display()));
    }
    lines.push(String::new());
    for location in system.locations() {
        for (account, user) in [(SYSTEM_ACCOUNT, SYSTEM_USER), (DEFAULT_ACCOUNT, DEFAULT_USER)] {
            let context = system.nats_context(account, user, &location)?;
            lines.push(format!("nats --context {context}"));
        }
    }
    lines.push(String::new());
    lines.push(format!(
        "Everything is in {}. Ctrl-C ends it.",
        system.folder().display()
    ));
    Ok(lines)
}

#[expect(
    clippy::print_stdout,
    reason = "this is what the program says to the person who started it"
)]
fn print(lines: &[String]) {
    for line in lines {
        println!("{line}");
    }
}
