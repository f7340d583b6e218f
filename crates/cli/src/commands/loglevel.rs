//! `leeward log-level`: what a running operator logs, shown and changed.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::args::LogLevelArgs;
use crate::logs::admin::PATH;
use crate::{output, runtime};

/// It is the same machine, or a port that kubectl forwards.
const LIMIT: Duration = Duration::from_secs(10);

/// Shows what is logged, after changing it if a filter is given.
pub fn run(args: &LogLevelArgs) -> anyhow::Result<()> {
    let address = args
        .admin
        .0
        .context("--admin is empty: name the operator's --admin-listen address")?;
    let (method, body) = match &args.filter {
        Some(filter) => ("PUT", filter.as_str()),
        None => ("GET", ""),
    };
    let answered = runtime::block_on(async {
        tokio::time::timeout(LIMIT, ask(address, method, body))
            .await
            .with_context(|| format!("{address} did not answer"))?
    })?;
    output::write(&answered)
}

async fn ask(address: SocketAddr, method: &str, body: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await.with_context(|| {
        format!(
            "nothing listens on {address}: run this where the operator runs (kubectl exec), forward the port (kubectl \
             port-forward), or name its --admin-listen address with --admin"
        )
    })?;
    let request = format!(
        "{method} {PATH} HTTP/1.1\r\nhost: {address}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, words) = answer
        .split_once("\r\n\r\n")
        .with_context(|| format!("what listens on {address} is no operator"))?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(words.to_owned()),
        Some("400") => bail!("{}", words.trim_end()),
        Some(code) => bail!("{address} answered with {code}: is it the operator's --admin-listen address?"),
        None => bail!("what listens on {address} is no operator"),
    }
}
