//! `leeward run`: the operator's loop from policy files, without Kubernetes.
//!
//! Each policy has a runner of the engine; here is what it is told and where its standing goes: log lines, and the status
//! file. With that file a restart goes on where this process was, also after a kill; without one what is limited is
//! forgotten with the process. SIGHUP reads the policy files anew, SIGTERM and SIGINT end it.

mod crew;
mod outlook;
mod record;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;
use tracing::{error, info};

use self::crew::Crew;
use self::record::Record;
use super::drive;
use crate::args::{ConnectionArgs, KubernetesArgs, PolicyArgs, RunArgs};
use crate::look::Session;
use crate::policies::{Given, Subject, SystemRules};
use crate::{logs, policies, runtime};

/// More often, looking is all that is done.
const SHORTEST: Duration = Duration::from_secs(1);
/// A status that could not be written is tried again after this long.
const AGAIN: Duration = Duration::from_secs(2);

/// Runs the command.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    if args.interval.0 < SHORTEST {
        bail!("--interval {} is too short: give at least 1s", args.interval);
    }
    logs::start(args.log_format, &args.log_level)?;
    runtime::block_on(keep(args))
}

async fn keep(args: RunArgs) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let files = Files {
        connection: args.connection,
        paths: args.files,
    };
    // A status file that is in use, or not understood, is said before anything else is done.
    let record = args.status_file.as_deref().map(Record::open).transpose()?;
    let subject = files.read().await?;
    let rules = drive::rules(&subject)?;
    let interval = rules.interval.unwrap_or(args.interval.0);
    let opening = Session::open(&subject.connections, interval, files.connection.wait.0);
    let session = tokio::select! {
        session = opening => session?,
        () = signals.end.asked_for() => return Ok(()),
    };
    info!(version = env!("CARGO_PKG_VERSION"), account = %session.account.id, "leeward run");
    let mut crew = Crew::new(&session, interval, record, subject.policies, rules)?;
    follow(&mut crew, &session, &files, &mut signals).await;
    crew.end().await;
    session.close().await;
    info!("ended");
    Ok(())
}

/// Until a signal ends it.
async fn follow(crew: &mut Crew<'_>, session: &Session, files: &Files, signals: &mut Signals) {
    let mut views = session.observe.watch(&session.account.id);
    let mut state = session.client.state();
    loop {
        views.borrow_and_update();
        state.borrow_and_update();
        crew.direct();
        let written = crew.tell();
        tokio::select! {
            () = crew.changed() => {}
            _ = views.changed() => {}
            _ = state.changed() => {}
            () = sleep(AGAIN), if !written => {}
            _ = signals.hang_up.recv() => match files.read_again().await {
                Ok((policies, rules)) => crew.replace(policies, rules).await,
                Err(error) => error!(error = format!("{error:#}"), "the policy files were not read anew, and the policies from before go on"),
            },
            () = signals.end.asked_for() => return,
        }
    }
}

/// Where policies are read.
struct Files {
    connection: ConnectionArgs,
    paths: Vec<PathBuf>,
}

impl Files {
    async fn read(&self) -> anyhow::Result<Subject> {
        let policy = PolicyArgs {
            files: self.paths.clone(),
            policy: None,
            kubernetes: KubernetesArgs::default(),
        };
        policies::read(&self.connection, &policy).await
    }

    async fn read_again(&self) -> anyhow::Result<(Vec<Given>, SystemRules)> {
        if self.paths.iter().any(|path| path == Path::new("-")) {
            bail!("standard input can be read only once: give files");
        }
        let subject = self.read().await?;
        let rules = drive::rules(&subject)?;
        Ok((subject.policies, rules))
    }
}

struct Signals {
    hang_up: Signal,
    end: End,
}

struct End {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind, name| signal(kind).with_context(|| format!("cannot listen for {name}"));
        Ok(Self {
            hang_up: listen(SignalKind::hangup(), "SIGHUP")?,
            end: End {
                interrupt: listen(SignalKind::interrupt(), "SIGINT")?,
                terminate: listen(SignalKind::terminate(), "SIGTERM")?,
            },
        })
    }
}

impl End {
    async fn asked_for(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
