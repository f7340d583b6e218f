//! The built `leeward` against a server that lies, as a user at a terminal would run it.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::Liar;
use super::honest::SYSTEM_USER;
use crate::folder::{Folder, write_file};

/// How often memory is checked; the kernel keeps its peak.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// More output than this is not kept.
const MOST: u64 = 8 << 20;
const USER: &str = "app";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looking {
    /// The account's user alone.
    Tenant,
    /// With a user of the system account.
    System,
}

#[derive(Clone, Debug)]
pub struct Trial {
    pub binary: PathBuf,
    /// The wait for a complete look that commands are given.
    pub wait: Duration,
    /// A command that takes longer hangs.
    pub limit: Duration,
    /// The most memory that a command may take, in bytes.
    pub memory: u64,
}

#[derive(Clone, Debug)]
pub struct Ended {
    /// `None` if it hung and was killed.
    pub status: Option<ExitStatus>,
    pub took: Duration,
    /// The peak of the command's memory in bytes.
    pub memory: u64,
    pub stdout: String,
    pub stderr: String,
}

impl Trial {
    pub async fn run(&self, liar: &Liar, looking: Looking, command: &[&str]) -> anyhow::Result<Ended> {
        let folder = Folder::temporary()?;
        for user in [USER, SYSTEM_USER] {
            let context = json!({"url": liar.url(), "user": user, "password": format!("password-of-{user}")});
            let path = folder.path().join(format!("nats/context/{user}.json"));
            write_file(&path, &context.to_string())?;
        }
        let began = Instant::now();
        let mut child = self.start(folder.path(), looking, command)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (ended, stdout, stderr) = tokio::join!(self.end(&mut child), text(stdout), text(stderr));
        let (status, memory) = ended?;
        Ok(Ended {
            status,
            took: began.elapsed(),
            memory,
            stdout,
            stderr,
        })
    }

    fn start(&self, folder: &Path, looking: Looking, command: &[&str]) -> anyhow::Result<Child> {
        let wait = format!("{}ms", self.wait.as_millis());
        let mut started = Command::new(&self.binary);
        started
            .args(command)
            .args(["--context", USER, "--wait", &wait, "--sample", "0s"])
            .env_clear()
            .envs([
                ("PATH", "/usr/bin:/bin"),
                ("NO_COLOR", "1"),
                ("RUST_BACKTRACE", "0"),
            ])
            .env("HOME", folder)
            .env("XDG_CONFIG_HOME", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if looking == Looking::System {
            started.args(["--system-context", SYSTEM_USER]);
        }
        let child = started.spawn();
        child.with_context(|| format!("{} did not start", self.binary.display()))
    }

    /// Waits for the end; kills what hangs, and what takes more than twice its memory.
    async fn end(&self, child: &mut Child) -> anyhow::Result<(Option<ExitStatus>, u64)> {
        let id = child.id();
        let began = Instant::now();
        let mut most = 0;
        loop {
            most = id.and_then(peak_memory).unwrap_or(0).max(most);
            if let Some(status) = child.try_wait()? {
                return Ok((Some(status), most));
            }
            if began.elapsed() > self.limit || most > self.memory.saturating_mul(2) {
                child.kill().await?;
                return Ok((None, most));
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

/// The peak of a process's memory in bytes.
pub fn peak_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

async fn text(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What came before an error is as good.
        let _ = (&mut stream).take(MOST).read_to_end(&mut bytes).await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Ended {
    /// What is wrong with how it ended, whatever the answers were.
    pub fn fault(&self, most_memory: u64) -> Option<String> {
        let output = [self.stdout.as_str(), self.stderr.as_str()].concat();
        let Some(status) = self.status else {
            return Some(format!(
                "hung or took too much: {:?}, {} MB",
                self.took,
                self.memory >> 20
            ));
        };
        if let Some(signal) = status.signal() {
            Some(format!("ended by signal {signal}"))
        } else if output.contains("panicked at") {
            Some("panicked".to_owned())
        } else if output.contains(['\u{1b}', '\u{202e}']) {
            Some("steers the terminal".to_owned())
        } else if self.memory > most_memory {
            Some(format!("took {} MB", self.memory >> 20))
        } else {
            None
        }
    }

    /// The exit code, if it ended by itself.
    pub fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }

    /// Its last output, on one line.
    pub fn last_output(&self) -> String {
        const MOST: usize = 200;
        let from = if self.stderr.trim().is_empty() {
            &self.stdout
        } else {
            &self.stderr
        };
        let words = from.split_whitespace().collect::<Vec<_>>().join(" ");
        words.chars().take(MOST).collect()
    }
}
