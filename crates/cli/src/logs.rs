//! Log lines on standard error.

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;

/// What these say of every failed attempt, Leeward says better once; whoever wants their lines names them.
const CLIENTS: [&str; 2] = ["async_nats", "kube_client"];

/// Starts logging.
pub fn start(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let quiet = CLIENTS
        .iter()
        .filter(|client| !filter.contains(**client))
        .map(|client| format!(",{client}=off"));
    let directives: String = std::iter::once(filter.to_owned()).chain(quiet).collect();
    let filter: EnvFilter = directives
        .parse()
        .with_context(|| format!("--log-level {filter} is no level and no filter: write one such as info"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .init(),
        LogFormat::Plain => builder.init(),
    }
    Ok(())
}
