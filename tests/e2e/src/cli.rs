//! The built `leeward` as a user at a terminal or a pipeline starts it: arguments, exit code, output.
//!
//! It does not inherit the environment of the tests, so that only a test's own settings define how to connect.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use leeward_lab::leeward::binary;
use leeward_lab::nats::{
    Credentials, DEFAULT_ACCOUNT, DEFAULT_USER, SYSTEM_ACCOUNT, SYSTEM_USER, System, eventually,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::stage::CONVERGED;

/// How a command is started: in which folder, and as which user it connects.
#[derive(Clone, Debug)]
pub struct CommandLine {
    folder: PathBuf,
    connection: Vec<String>,
    environment: Vec<(String, String)>,
}

impl CommandLine {
    /// A command that needs no NATS, in a folder.
    pub async fn offline(folder: &Path) -> anyhow::Result<Self> {
        crate::build().await?;
        Ok(Self {
            folder: folder.to_owned(),
            connection: Vec::new(),
            environment: Vec::new(),
        })
    }

    /// As the user of the default account, who connects to a location, with a user of the system account.
    pub async fn new(system: &System, location: &str) -> anyhow::Result<Self> {
        let tenant = Self::tenant(system, DEFAULT_ACCOUNT, DEFAULT_USER, location).await?;
        let context = system.nats_context(SYSTEM_ACCOUNT, SYSTEM_USER, location)?;
        Ok(tenant.arguments(&["--system-context", &context]))
    }

    /// As a user of an account, who sees only what that user may see.
    pub async fn tenant(system: &System, account: &str, user: &str, location: &str) -> anyhow::Result<Self> {
        let context = system.nats_context(account, user, location)?;
        let config = system.config_home();
        let own = Self::offline(system.folder()).await?;
        Ok(own
            .environment("XDG_CONFIG_HOME", &config.display().to_string())
            .arguments(&["--context", &context]))
    }

    /// As the user of the default account alone, set by the environment of the `nats` command instead of a context.
    pub async fn by_environment(system: &System, location: &str) -> anyhow::Result<Self> {
        let Credentials::UserPassword { user, password } =
            system.credentials(DEFAULT_ACCOUNT, DEFAULT_USER)?
        else {
            bail!("the account's user has no password");
        };
        Ok(Self::offline(system.folder())
            .await?
            .environment("NATS_URL", &system.urls(location)?)
            .environment("NATS_USER", user)
            .environment("NATS_PASSWORD", password))
    }

    /// With arguments after those of each command.
    #[must_use]
    pub fn arguments(mut self, more: &[&str]) -> Self {
        self.connection
            .extend(more.iter().map(|argument| (*argument).to_owned()));
        self
    }

    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file into the command's folder; returns its path.
    pub fn file(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path.display().to_string())
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs `leeward` to its end.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<Ended> {
        self.start(arguments)?.wait().await
    }

    pub fn start(&self, arguments: &[&str]) -> anyhow::Result<Started> {
        self.start_program(&binary()?, arguments)
    }

    /// Starts another program in the same way, such as `kubectl` with a plugin.
    pub fn start_program(&self, program: &Path, arguments: &[&str]) -> anyhow::Result<Started> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .args(&self.connection)
            .current_dir(&self.folder)
            .env_clear()
            .env("HOME", &self.folder)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let words = format!("{} {}", program.display(), arguments.join(" "));
        let mut child = command.spawn().with_context(|| format!("cannot run {words}"))?;
        let out = Reader::of(child.stdout.take().context("no output")?);
        let err = Reader::of(child.stderr.take().context("no error output")?);
        Ok(Started {
            words,
            child,
            out,
            err,
        })
    }
}

/// A command that was started; dropping it kills it.
#[derive(Debug)]
pub struct Started {
    words: String,
    child: Child,
    out: Reader,
    err: Reader,
}

impl Started {
    /// Everything it has printed up to now.
    pub fn said(&self) -> String {
        format!("{}{}", self.out.text(), self.err.text())
    }

    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.child.id().context("it has ended")?;
        let id = Pid::from_raw(id.try_into()?).context("a process id")?;
        kill_process(id, signal).with_context(|| format!("{signal:?} to {}", self.words))
    }

    pub fn running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits until it has printed a text.
    pub async fn says(&mut self, text: &str) -> anyhow::Result<()> {
        let said = Arc::clone(&self.out.text);
        let complained = Arc::clone(&self.err.text);
        let what = format!("{} says {text:?}", self.words);
        eventually(CONVERGED, &what, || async {
            let all = format!("{}{}", text_of(&said), text_of(&complained));
            ensure!(all.contains(text), "it said: {all}");
            Ok(())
        })
        .await
    }

    /// Waits for its end. One that does not end is killed, and its output is in the error.
    pub async fn wait(mut self) -> anyhow::Result<Ended> {
        let Ok(status) = tokio::time::timeout(CONVERGED, self.child.wait()).await else {
            bail!("{} does not end; it said: {}", self.words, self.said());
        };
        let status = status?;
        Ok(Ended {
            words: self.words,
            code: status.code(),
            out: self.out.rest().await?,
            err: self.err.rest().await?,
        })
    }
}

#[derive(Debug)]
pub struct Ended {
    words: String,
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// Itself, if it has ended with this code.
    pub fn with_code(self, code: i32) -> anyhow::Result<Self> {
        ensure!(
            self.code == Some(code),
            "{} ended with {:?} instead of {code}\n{}\n{}",
            self.words,
            self.code,
            self.out,
            self.err
        );
        Ok(self)
    }

    /// Its JSON document, which follows the schema of that command in `docs/schemas`.
    pub fn document(&self, command: &str) -> anyhow::Result<Value> {
        let document: Value = serde_json::from_str(&self.out)
            .with_context(|| format!("{} prints JSON: {}\n{}", self.words, self.out, self.err))?;
        let path = format!("{}/../../docs/schemas/{command}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let schema: Value = serde_json::from_str(&text).with_context(|| path.clone())?;
        let schema =
            jsonschema::validator_for(&schema).map_err(|error| anyhow::anyhow!("{path}: {error}"))?;
        let errors: Vec<String> = schema
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        ensure!(
            errors.is_empty(),
            "{} does not follow its schema: {errors:#?}\n{}",
            self.words,
            self.out
        );
        Ok(document)
    }
}

/// Reads a pipe to its end, even if nobody waits: a full pipe would stop the command.
#[derive(Debug)]
struct Reader {
    text: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Reader {
    fn of(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&text);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let read = pipe.read(&mut buffer).await?;
                if read == 0 {
                    return Ok(());
                }
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
            }
        });
        Self { text, task }
    }

    fn text(&self) -> String {
        text_of(&self.text)
    }

    /// Does not wait for what a grandchild still writes.
    async fn rest(self) -> anyhow::Result<String> {
        let ended = tokio::time::timeout(Duration::from_secs(20), self.task).await;
        ended.context("its output stays open")???;
        Ok(text_of(&self.text))
    }
}

fn text_of(text: &Mutex<Vec<u8>>) -> String {
    let text = text.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&text).into_owned()
}
