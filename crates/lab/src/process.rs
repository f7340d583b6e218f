//! A server as a child process that ends with the process that started it, however that one ends.
//!
//! Between the two is a guard: a shell that starts the server, prints its process id, and holds the read end of a pipe.
//! The kernel closes the write end when this process is gone, by SIGKILL too, and the guard then kills the server. The
//! guard is in a process group of its own, so that a Ctrl-C in the terminal ends the parent first and reaches the
//! server through the pipe. Processes that the server itself starts are not tracked.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::lock::lock;

/// The watcher outlives the guard if somebody ends the guard: it alone suffices to kill the server at the end of the
/// pipe.
const GUARD: &str = r#"
exec 3<&0
"$@" </dev/null >&2 3<&- &
server=$!
(while read -r _ <&3; do :; done; kill -KILL "$server" 2>/dev/null) >/dev/null &
watcher=$!
echo "$server"
wait "$server"
status=$?
kill "$watcher"
exit "$status"
"#;

/// How long a server may take to end after SIGTERM before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// A killed process that is still there after this long is stuck in the kernel.
const KILL_LIMIT: Duration = Duration::from_secs(20);
/// How often the end of a process is checked. `waitpid` is authoritative; it needs no runtime, also not in `Drop`.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// A shell reports death by signal N as this plus N.
const SHELL_SIGNAL_BASE: i32 = 128;

/// What to run. The server's standard output and error are appended to `log`, whose folder is made if it is missing.
#[derive(Clone, Debug)]
pub struct ServerCommand {
    pub program: PathBuf,
    pub args: Vec<OsString>,
    pub log: PathBuf,
    pub envs: Vec<(String, String)>,
}

/// A running or ended server. Dropping it kills the server and waits until it is gone.
#[derive(Debug)]
pub struct Process {
    name: String,
    server: Pid,
    guard: Mutex<Child>,
    pipe: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    /// Starts the server and returns as soon as it has a process id. The caller checks whether it is ready, or has
    /// ended at once: see [`Process::running`] and [`Process::log_tail`].
    pub async fn start(command: ServerCommand) -> anyhow::Result<Self> {
        tokio::task::spawn_blocking(move || Self::spawn(&command)).await?
    }

    fn spawn(command: &ServerCommand) -> anyhow::Result<Self> {
        ensure!(
            command.program.is_file(),
            "{} is not a program that can be started",
            command.program.display()
        );
        let name = command
            .program
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut guard = std::process::Command::new("sh")
            .args(["-c", GUARD, "leeward-guard"])
            .arg(&command.program)
            .args(&command.args)
            .envs(command.envs.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(open_log(&command.log)?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("sh, which guards {name}, did not start"))?;
        let pipe = guard.stdin.take();
        let server = read_server_id(&mut guard).with_context(|| format!("{name} did not start"))?;
        Ok(Self {
            name,
            server,
            guard: Mutex::new(guard),
            pipe,
            log: command.log.clone(),
        })
    }

    /// The process id of the server itself, not of its guard.
    pub fn id(&self) -> u32 {
        self.server.as_raw_nonzero().get().unsigned_abs()
    }

    /// False once the server has ended and was reaped; a paused server is running.
    pub fn running(&self) -> bool {
        matches!(self.guard().try_wait(), Ok(None))
    }

    /// The last lines of the server's log, for error messages.
    pub fn log_tail(&self, lines: usize) -> String {
        log_tail(&self.log, lines)
    }

    /// SIGKILL; returns when the server is gone. Nothing happens if it has ended before.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.signal_if_running(Signal::KILL)?;
        match self.ended_within(KILL_LIMIT).await? {
            Some(_) => Ok(()),
            None => bail!(
                "{} ({}) is still there {KILL_LIMIT:?} after SIGKILL",
                self.name,
                self.id()
            ),
        }
    }

    /// SIGTERM, and SIGKILL if that does not help in 20 s; returns when the server is gone. A paused server is resumed
    /// for it.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.signal_if_running(Signal::TERM)?;
        self.signal_if_running(Signal::CONT)?;
        match self.ended_within(STOP_LIMIT).await? {
            Some(_) => Ok(()),
            None => self.kill().await,
        }
    }

    /// SIGSTOP: the server keeps its connections and does not answer.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// SIGHUP: a NATS server reads its configuration again.
    pub fn reload(&self) -> anyhow::Result<()> {
        self.signal(Signal::HUP)
    }

    /// Waits for the server to end by itself. `None` means that a signal ended it.
    pub async fn wait(&mut self) -> anyhow::Result<Option<i32>> {
        loop {
            if let Some(status) = self.ended_within(Duration::MAX).await? {
                return Ok(code_of(status));
            }
        }
    }

    async fn ended_within(&mut self, limit: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let started = Instant::now();
        loop {
            let status = self.guard().try_wait()?;
            if status.is_some() || started.elapsed() > limit {
                return Ok(status);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        ensure!(
            self.running(),
            "{} ({}) has ended; the end of its log:\n{}",
            self.name,
            self.id(),
            self.log_tail(20)
        );
        self.signal_if_running(signal)
    }

    /// The server may end at any moment, and "no such process" then is no error.
    fn signal_if_running(&self, signal: Signal) -> anyhow::Result<()> {
        if !self.running() {
            return Ok(());
        }
        match kill_process(self.server, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => {
                Err(error).with_context(|| format!("signal {signal:?} to {} ({})", self.name, self.id()))
            }
        }
    }

    fn guard(&self) -> MutexGuard<'_, Child> {
        lock(&self.guard)
    }
}

impl Drop for Process {
    /// Waits, so that the server's folder can be removed and its ports used again right after. A killed process is
    /// gone in milliseconds.
    fn drop(&mut self) {
        let _ = self.signal_if_running(Signal::KILL);
        drop(self.pipe.take());
        let started = Instant::now();
        while self.running() && started.elapsed() < KILL_LIMIT {
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}

/// The last lines of a file, or why they cannot be read: it is for error messages and does not fail.
pub fn log_tail(path: &Path, lines: usize) -> String {
    match std::fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let skipped = text.lines().count().saturating_sub(lines);
            text.lines().skip(skipped).collect::<Vec<_>>().join("\n")
        }
        Err(error) => format!("(no log: {}: {error})", path.display()),
    }
}

fn open_log(path: &Path) -> anyhow::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("folder for the log {}", path.display()))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("log {}", path.display()))
}

fn read_server_id(guard: &mut Child) -> anyhow::Result<Pid> {
    let output = guard.stdout.take().context("its guard has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let id = line.trim().parse().ok().and_then(Pid::from_raw);
    id.with_context(|| format!("its guard said {line:?} where a process id belongs"))
}

/// A guard that was itself ended by a signal, or that reports one for its server, has no exit code.
fn code_of(guard: ExitStatus) -> Option<i32> {
    if guard.signal().is_some() {
        None
    } else {
        guard.code().filter(|code| *code < SHELL_SIGNAL_BASE)
    }
}
