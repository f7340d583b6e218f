//! `leeward run`: the operator's loop from policy files, without Kubernetes.
//!
//! Each policy has a runner of the engine; this module sets its input and records its state: log lines, and the status
//! file. With that file a restart resumes where this process was, also after a kill; without one, limits are forgotten
//! with the process. SIGHUP rereads the policy files, SIGTERM and SIGINT end it.

mod status_file;
mod status_input;
mod supervisor;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use self::status_file::StatusFile;
use self::supervisor::Supervisor;
use super::drive;
use crate::args::{ConnectionArgs, PolicyArgs, RunArgs};
use crate::loaded_policy::{LoadedPolicy, SystemRules};
use crate::look::Session;
use crate::policies::PolicySource;
use crate::runtime::ExitSignals;
use crate::{logs, policies, runtime};

/// A shorter one leaves time only to look.
const SHORTEST: Duration = Duration::from_secs(1);
/// Retry interval for writing the status and for opening the session.
const AGAIN: Duration = Duration::from_secs(2);

/// Runs the command.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    let interval = args.interval.as_std();
    if interval < SHORTEST {
        bail!(
            "--interval {}s is too short: give at least 1s",
            interval.as_secs_f64()
        );
    }
    logs::start(args.log_format, &args.log_level, None)?;
    runtime::block_on(keep(args))
}

async fn keep(args: RunArgs) -> anyhow::Result<()> {
    let files = Files {
        connection: args.connection,
        paths: args.files,
    };
    // A status file that is in use, or unreadable, is reported before anything else is done.
    let record = args.status_file.as_deref().map(StatusFile::open).transpose()?;
    let subject = files.read().await?;
    let rules = drive::rules(&subject)?;
    // Not before: while standard input is read, nobody would handle the signals.
    let mut signals = Signals::listen()?;
    let interval = rules.interval.unwrap_or(args.interval.as_std());
    let wait = files.connection.wait.as_std().max(SHORTEST);
    let opening = retry_open(wait, || Session::open(&subject.connections, interval, wait));
    let session = tokio::select! {
        session = opening => session?,
        () = signals.end.next() => return Ok(()),
    };
    info!(version = env!("CARGO_PKG_VERSION"), account = %session.account.id, "leeward run");
    let mut supervisor = Supervisor::new(&session, interval, record, subject.policies, rules)?;
    let followed = follow(&mut supervisor, &session, &files, &mut signals).await;
    supervisor.end().await;
    session.close().await;
    info!("ended");
    followed
}

/// Retries while nobody answers, since NATS may start later; an error before `wait` is over is one that waiting does
/// not fix.
async fn retry_open<T>(
    wait: Duration,
    mut open: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    loop {
        let begun = Instant::now();
        match open().await {
            Err(error) if begun.elapsed() >= wait => {
                warn!(
                    error = format!("{error:#}"),
                    "NATS did not answer, and is tried again"
                );
                sleep(AGAIN).await;
            }
            opened => return opened,
        }
    }
}

/// Until a signal ends it.
async fn follow(
    supervisor: &mut Supervisor<'_>,
    session: &Session,
    files: &Files,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let mut views = session.observe.watch(&session.account.id);
    let mut state = session.client.state();
    loop {
        views.borrow_and_update();
        state.borrow_and_update();
        supervisor.update_precedence();
        let written = supervisor.record();
        let rest = supervisor.restart_failed().await;
        tokio::select! {
            () = supervisor.changed() => {}
            () = sleep(rest.unwrap_or_default()), if rest.is_some() => {}
            _ = views.changed() => {}
            _ = state.changed() => {}
            () = sleep(AGAIN), if !written => {}
            _ = signals.hang_up.recv() => match files.read_again().await {
                Ok((policies, rules)) => supervisor.replace(policies, rules).await,
                Err(error) => error!(error = format!("{error:#}"), "the policy files were not read anew, and the policies from before go on"),
            },
            () = signals.end.next() => return Ok(()),
        }
    }
}

/// Where policies are read.
struct Files {
    connection: ConnectionArgs,
    paths: Vec<PathBuf>,
}

impl Files {
    async fn read(&self) -> anyhow::Result<PolicySource> {
        let policy = PolicyArgs {
            files: self.paths.clone(),
            ..PolicyArgs::default()
        };
        policies::read(&self.connection, &policy).await
    }

    async fn read_again(&self) -> anyhow::Result<(Vec<LoadedPolicy>, SystemRules)> {
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
    end: ExitSignals,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?,
            end: ExitSignals::listen()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    const WAIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn nats_that_is_not_there_yet_is_tried_until_it_is() {
        let mut tries = 0;
        let opened = retry_open(WAIT, async || {
            tries += 1;
            if tries < 4 {
                sleep(WAIT).await;
                Err(anyhow!("no connection"))
            } else {
                Ok(tries)
            }
        });
        assert_eq!(opened.await.unwrap(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waiting_does_not_cure_ends_it_at_once() {
        let refused = retry_open(WAIT, async || Err::<(), _>(anyhow!("refused")));
        assert_eq!(refused.await.unwrap_err().to_string(), "refused");
    }
}
