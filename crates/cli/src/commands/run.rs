//! `leeward run`: the operator's loop from policy files, without Kubernetes.
//!
//! Each policy has a runner of the engine; here is what it is told and where its state goes: log lines, and the status
//! file. With that file a restart goes on where this process was, also after a kill; without one what is limited is
//! forgotten with the process. SIGHUP reads the policy files anew, SIGTERM and SIGINT end it.

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

/// More often, looking is all that is done.
const SHORTEST: Duration = Duration::from_secs(1);
/// A status that could not be written is tried again after this long.
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
    // A status file that is in use, or not understood, is said before anything else is done.
    let record = args.status_file.as_deref().map(StatusFile::open).transpose()?;
    let subject = files.read().await?;
    let rules = drive::rules(&subject)?;
    // Not before: what is read may be standard input, and nobody listens for a signal meanwhile.
    let mut signals = Signals::listen()?;
    let interval = rules.interval.unwrap_or(args.interval.as_std());
    let wait = files.connection.wait.as_std().max(SHORTEST);
    let opening = until_it_answers(wait, || Session::open(&subject.connections, interval, wait));
    let session = tokio::select! {
        session = opening => session?,
        () = signals.end.next() => return Ok(()),
    };
    info!(version = env!("CARGO_PKG_VERSION"), account = %session.account.id, "leeward run");
    let mut crew = Supervisor::new(&session, interval, record, subject.policies, rules)?;
    let followed = follow(&mut crew, &session, &files, &mut signals).await;
    crew.end().await;
    session.close().await;
    info!("ended");
    followed
}

/// Tries for as long as nobody answers, since NATS may start later; an error that comes before the waiting is over is
/// one that waiting does not cure.
async fn until_it_answers<T>(
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
    crew: &mut Supervisor<'_>,
    session: &Session,
    files: &Files,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let mut views = session.observe.watch(&session.account.id);
    let mut state = session.client.state();
    loop {
        views.borrow_and_update();
        state.borrow_and_update();
        crew.direct();
        let written = crew.tell();
        let rest = crew.mend().await;
        tokio::select! {
            () = crew.changed() => {}
            () = sleep(rest.unwrap_or_default()), if rest.is_some() => {}
            _ = views.changed() => {}
            _ = state.changed() => {}
            () = sleep(AGAIN), if !written => {}
            _ = signals.hang_up.recv() => match files.read_again().await {
                Ok((policies, rules)) => crew.replace(policies, rules).await,
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
        let opened = until_it_answers(WAIT, async || {
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
        let refused = until_it_answers(WAIT, async || Err::<(), _>(anyhow!("refused")));
        assert_eq!(refused.await.unwrap_err().to_string(), "refused");
    }
}
