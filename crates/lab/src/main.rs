//! `leeward-lab`: servers on loopback to try things on, the demo, the benchmark, and the soak.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand};
use leeward_lab::bench::{self, Section};
use leeward_lab::demo::{self, Shape};
use leeward_lab::folder::Folder;
use leeward_lab::hostile::mutation::Mutation;
use leeward_lab::hostile::trial::{Looking, Trial};
use leeward_lab::hostile::{Liar, Script, scenarios};
use leeward_lab::kube::Kube;
use leeward_lab::nats::{
    Auth, DEFAULT_ACCOUNT, DEFAULT_USER, SYSTEM_ACCOUNT, SYSTEM_USER, System, go_duration,
};
use leeward_lab::print_line;
use leeward_lab::soak::{self, Options};
use tokio::signal::unix::{SignalKind, signal};

/// Real NATS and Kubernetes servers on loopback.
#[derive(Debug, Parser)]
#[command(version)]
struct Lab {
    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Start servers, print how to reach them, and end them on Ctrl-C or SIGTERM.
    Up(Up),
    /// Show the main job: leaders come home to their clients, with a table of before and after.
    Demo(Demo),
    /// Measure how fast leaders come home, what clients feel while a stream moves, what a report takes, and what samples of use
    /// cost.
    Bench(Bench),
    /// Leave Leeward alone under load while everything around it fails and comes back, and hold it to its promises.
    Soak(Soak),
    /// A NATS server that lies: to look at what Leeward makes of it.
    Hostile {
        #[command(subcommand)]
        command: Hostile,
    },
}

#[derive(Debug, Subcommand)]
enum Hostile {
    /// Print the names of all lies and what is wrong in each.
    List,
    /// Lie until Ctrl-C or SIGTERM; prints where it listens.
    Serve {
        /// The name of a lie, or a number for one made by chance.
        scenario: String,
        /// The port on 127.0.0.1; a free one if none is given.
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// Run a command of Leeward against lies, and tabulate how it ended.
    Try(Try),
}

#[derive(Debug, Args)]
struct Try {
    /// The binary.
    #[arg(long)]
    leeward: PathBuf,
    /// What is run.
    #[arg(long, default_value = "report")]
    command: String,
    /// As the account's user alone, without the system account.
    #[arg(long)]
    tenant: bool,
    /// What the command waits for a complete look.
    #[arg(long, value_parser = go_duration, default_value = "6s")]
    wait: Duration,
    /// The most memory in megabytes; more is a fault.
    #[arg(long, default_value_t = 256)]
    memory: u64,
    /// Names of lies, or numbers for ones made by chance; all that have names if none is given.
    scenarios: Vec<String>,
}

#[derive(Debug, Args)]
struct Demo {
    /// Clusters joined by gateways, where streams move, or one stretched cluster, where leaders step down.
    #[arg(long, value_enum, default_value = "supercluster")]
    topology: Shape,
    /// Leave everything running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
struct Bench {
    /// One section instead of all.
    #[arg(long, value_enum)]
    only: Option<Section>,
    /// How often the times are measured of which the median is given.
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

#[derive(Debug, Args)]
struct Soak {
    /// One topology only, instead of one after the other.
    #[arg(long, value_enum)]
    topology: Option<Shape>,
    /// About how long it takes in all.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Chooses the disturbances; one by chance if none is given.
    #[arg(long)]
    seed: Option<u64>,
    /// A minute on the supercluster, with a few disturbances of each kind.
    #[arg(long, conflicts_with_all = ["topology", "minutes"])]
    short: bool,
}

#[derive(Debug, Args)]
struct Up {
    /// Clusters joined by gateways, or one cluster over several regions.
    #[arg(long, value_enum, default_value = "supercluster")]
    topology: Shape,
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
async fn run(command: &LabCommand) -> anyhow::Result<()> {
    match command {
        LabCommand::Up(up) => stay_up(up).await,
        LabCommand::Demo(Demo { topology, keep }) => Box::pin(demo::play(*topology, *keep)).await,
        LabCommand::Soak(Soak {
            topology,
            minutes,
            seed,
            short,
        }) => {
            let shapes =
                topology.map_or_else(|| vec![Shape::Supercluster, Shape::Stretched], |one| vec![one]);
            let seed = seed.unwrap_or_else(|| fastrand::u64(..10_000));
            let options = if *short {
                Options::short(seed)
            } else {
                Options::long(shapes, Duration::from_mins(*minutes), seed)
            };
            Box::pin(soak::run(&options)).await
        }
        LabCommand::Bench(Bench { only, runs }) => Box::pin(bench::run(*only, *runs)).await,
        LabCommand::Hostile { command } => hostile(command).await,
    }
}

async fn hostile(command: &Hostile) -> anyhow::Result<()> {
    match command {
        Hostile::List => {
            for one in scenarios::all() {
                print_line(format!("{:<30} {}", one.name, one.describes));
            }
            Ok(())
        }
        Hostile::Serve { scenario, port } => {
            let liar = Liar::start_at(*port, script(scenario)?).await?;
            print_line(liar.url());
            std::future::pending().await
        }
        Hostile::Try(this) => try_scenarios(this).await,
    }
}

fn script(scenario: &str) -> anyhow::Result<Script> {
    if let Ok(seed) = scenario.parse() {
        return Ok(Mutation::of(seed).script);
    }
    let found = scenarios::find(scenario);
    Ok(found
        .with_context(|| format!("no lie is called {scenario}: see leeward-lab hostile list"))?
        .script)
}

async fn try_scenarios(this: &Try) -> anyhow::Result<()> {
    const LIMIT: Duration = Duration::from_mins(1);
    let names: Vec<String> = if this.scenarios.is_empty() {
        scenarios::all().iter().map(|one| one.name.to_owned()).collect()
    } else {
        this.scenarios.clone()
    };
    let trial = Trial {
        binary: this.leeward.clone(),
        wait: this.wait,
        limit: LIMIT + this.wait,
        memory: this.memory << 20,
    };
    let looking = if this.tenant {
        Looking::Tenant
    } else {
        Looking::System
    };
    let command: Vec<&str> = this.command.split_whitespace().collect();
    let mut faults = 0;
    for name in &names {
        let liar = Liar::start(script(name)?).await?;
        let ended = trial.run(&liar, looking, &command).await?;
        let fault = ended.fault(trial.memory);
        faults += usize::from(fault.is_some());
        let code = ended.code().map_or("-".to_owned(), |code| code.to_string());
        print_line(format!(
            "{name:<30} exit {code:<3} {:>5.1} s {:>5} MB  {}  {}",
            ended.took.as_secs_f32(),
            ended.memory >> 20,
            fault.map_or("ok".to_owned(), |fault| fault.to_uppercase()),
            ended.last_output()
        ));
    }
    ensure!(faults == 0, "{faults} of {} went wrong", names.len());
    Ok(())
}

/// Ends with an error only.
async fn stay_up(up: &Up) -> anyhow::Result<()> {
    let folder = match &up.dir {
        Some(path) => Folder::at(path)?,
        None => Folder::temporary()?,
    };
    let locations: Vec<(&str, usize)> = up
        .clusters
        .iter()
        .map(|name| (name.as_str(), up.servers))
        .collect();
    let mut builder = System::builder(up.topology.layout(&locations))
        .auth(if up.jwt { Auth::Operator } else { Auth::Config })
        .delay(up.delay)
        .jitter(up.jitter)
        .folder(folder.path().join("nats"));
    if up.tls {
        builder = builder.tls();
    }
    let system = builder.start().await?;
    let kube = if up.kube {
        Some(Kube::start(&folder.inside("kube")?).await?)
    } else {
        None
    };
    print_line(describe(&system, kube.as_ref()).await?.join("\n"));
    std::future::pending().await
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
