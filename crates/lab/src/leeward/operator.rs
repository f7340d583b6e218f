//! An operator process: started, watched, killed, started again.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::nats::eventually;
use crate::process::{Process, ServerCommand};

/// The binary serves requests within this time.
const START_LIMIT: Duration = Duration::from_mins(2);
/// The argument for its listen address.
const METRICS: &str = "--listen";
const PROBES: &str = "--probe-listen";
const HTTP_LIMIT: Duration = Duration::from_secs(30);

/// The `leeward` binary: `LEEWARD_BIN`, or the one that was built beside the running program.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("LEEWARD_BIN") {
        let path = PathBuf::from(path);
        ensure!(path.is_file(), "LEEWARD_BIN names no file: {}", path.display());
        return Ok(path);
    }
    let running = std::env::current_exe().context("cannot tell which program this is")?;
    let beside = running
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("leeward"));
    match beside.into_iter().find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!("the leeward binary is missing: run `cargo build -p leeward`, or set LEEWARD_BIN"),
    }
}

#[derive(Clone, Debug)]
pub struct OperatorOptions {
    pub kubeconfig: PathBuf,
    /// The namespace that it runs in, with its lease.
    pub home: String,
    /// The namespaces that it watches; all when empty.
    pub namespaces: Vec<String>,
    /// Where the log goes, one JSON object a line.
    pub log: PathBuf,
    pub arguments: Vec<String>,
}

#[derive(Debug)]
pub struct Operator {
    process: Process,
    options: OperatorOptions,
    metrics: String,
    probes: String,
}

impl Operator {
    /// Starts the binary and waits until it listens.
    pub async fn start(options: OperatorOptions) -> anyhow::Result<Self> {
        let from = std::fs::metadata(&options.log).map_or(0, |file| file.len());
        let mut args: Vec<String> = ["operator", "--log-format", "json"].map(str::to_owned).into();
        args.extend([METRICS, PROBES].map(|argument| format!("{argument}=127.0.0.1:0")));
        for namespace in &options.namespaces {
            args.extend(["--watch-namespace".to_owned(), namespace.clone()]);
        }
        args.extend(["--lease-namespace".to_owned(), options.home.clone()]);
        args.extend(options.arguments.iter().cloned());
        let kubeconfig = options.kubeconfig.display().to_string();
        let process = Process::start(ServerCommand {
            program: binary()?,
            args: args.into_iter().map(Into::into).collect(),
            log: options.log.clone(),
            envs: vec![
                ("KUBECONFIG".to_owned(), kubeconfig),
                // Operators of other tests run on this machine too.
                ("LEEWARD_ADMIN_LISTEN".to_owned(), String::new()),
                // Symbolizing one panic's backtrace reads all debug information into memory.
                ("RUST_BACKTRACE".to_owned(), "0".to_owned()),
            ],
        })
        .await?;
        let (metrics, probes) = eventually(START_LIMIT, "the operator listens", || async {
            ensure!(
                process.running(),
                "the operator has ended: {}",
                process.log_tail(10)
            );
            let text = std::fs::read(&options.log).context("no log yet")?;
            let text = text.get(usize::try_from(from)?..).unwrap_or_default();
            let text = String::from_utf8_lossy(text);
            Ok((listening(&text, METRICS)?, listening(&text, PROBES)?))
        })
        .await?;
        Ok(Self {
            process,
            options,
            metrics,
            probes,
        })
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn running(&self) -> bool {
        self.process.running()
    }

    /// Where it serves metrics, as `host:port`.
    pub fn metrics(&self) -> &str {
        &self.metrics
    }

    pub fn log_tail(&self, lines: usize) -> String {
        self.process.log_tail(lines)
    }

    /// Everything it logged, also in earlier starts with the same log; lines that are not JSON are left out.
    pub fn log(&self) -> anyhow::Result<Vec<Value>> {
        let text = std::fs::read_to_string(&self.options.log).context("cannot read the operator's log")?;
        Ok(text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect())
    }

    /// What the operator did, from its audit trail: one line for each act that ended.
    pub fn audit_trail(&self) -> anyhow::Result<Vec<Value>> {
        let mut lines = self.log()?;
        lines.retain(|line| line["target"] == "leeward::audit");
        Ok(lines)
    }

    /// Kills it, as a crash or the kernel would.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    /// Ends it with SIGTERM and gives its exit code.
    pub async fn stop(&mut self) -> anyhow::Result<Option<i32>> {
        self.process.stop().await?;
        self.process.wait().await
    }

    /// SIGSTOP: it keeps its connections and does nothing.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.process.pause()
    }

    /// SIGCONT.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.process.resume()
    }

    /// Starts it again after it has ended.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        *self = Self::start(self.options.clone()).await?;
        Ok(())
    }

    /// The status code and body of a page, such as `/metrics`.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let address = match path {
            "/metrics" => &self.metrics,
            _ => &self.probes,
        };
        tokio::time::timeout(HTTP_LIMIT, get(address, path))
            .await
            .with_context(|| format!("{path} did not answer"))?
    }
}

/// The address bound for an argument, from the log.
fn listening(log: &str, argument: &str) -> anyhow::Result<String> {
    let address = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        let fields = line.get("fields").unwrap_or(&line);
        let address = fields.get("address").filter(|_| fields["argument"] == argument)?;
        Some(address.as_str()?.to_owned())
    };
    log.lines()
        .find_map(address)
        .with_context(|| format!("it has not said where it listens for {argument}"))
}

async fn get(address: &str, path: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8(answer).context("the answer is not text")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no body")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .context("no status code")?;
    Ok((status, body.to_owned()))
}
