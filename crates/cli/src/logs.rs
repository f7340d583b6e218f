//! Log lines on standard error, through a filter that may change while the process runs; and, unfiltered, the audit
//! trail, one JSON line for each act, and traces.

pub mod admin;
pub mod panics;
mod traces;

use std::sync::{Arc, Mutex, PoisonError};

use clap::ValueEnum;
use leeward_engine::policy_event::{SPANS, audit};
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

pub use self::traces::Traces;
use crate::output::Screen;

/// Leeward logs once what these log per failed attempt; a filter that names them shows their lines.
const CLIENTS: [&str; 2] = ["async_nats", "kube_client"];
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for people.
    Plain,
}

/// An invalid filter.
#[derive(Debug, thiserror::Error)]
#[error(
    "{given} is no level and no filter: write off, error, warn, info, debug or trace, or TARGET=LEVEL for a part of the program, with commas between"
)]
pub struct BadFilter {
    given: String,
}

/// What is logged now, shared by all clones.
#[derive(Clone, Debug)]
pub struct Filter {
    handle: reload::Handle<EnvFilter, Registry>,
    now: Arc<Mutex<String>>,
}

impl Filter {
    /// As it was given.
    pub fn get(&self) -> String {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes effect at once.
    pub fn set(&self, filter: &str) -> Result<(), BadFilter> {
        let parsed = parse(filter)?;
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        // It fails only at the end of the process, where there is nothing to log any more.
        let _ = self.handle.reload(parsed);
        filter.clone_into(&mut now);
        Ok(())
    }
}

/// Starts logging, and sending spans if there is a collector for them.
pub fn start(format: LogFormat, filter: &str, traces: Option<&Traces>) -> anyhow::Result<Filter> {
    let (reloaded, filter) = self::filter(filter).map_err(|error| anyhow::anyhow!("--log-level {error}"))?;
    let shown = reloaded.and(filter_fn(|metadata| {
        ![audit::TARGET, SPANS].contains(&metadata.target())
    }));
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(Screen::stderr().colour)
        // Errors of unwritable lines would go the same way, and panic.
        .log_internal_errors(false);
    let lines = match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
        LogFormat::Plain => lines.boxed(),
    };
    let trail = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .log_internal_errors(false)
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_filter(filter_fn(|metadata| metadata.target() == audit::TARGET));
    tracing_subscriber::registry()
        .with(lines.with_filter(shown))
        .with(trail)
        .with(traces.map(Traces::layer))
        .try_init()?;
    panics::log_panics();
    Ok(filter)
}

/// A filter, and what changes it.
fn filter(given: &str) -> Result<(reload::Layer<EnvFilter, Registry>, Filter), BadFilter> {
    let (layer, handle) = reload::Layer::new(parse(given)?);
    let now = Arc::new(Mutex::new(given.to_owned()));
    Ok((layer, Filter { handle, now }))
}

fn parse(filter: &str) -> Result<EnvFilter, BadFilter> {
    let bad = || BadFilter {
        given: filter.to_owned(),
    };
    // A lone word that is no level would be read as a target, and nothing else would be logged.
    let is_level = |word: &str| LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level));
    let is_complete = |part: &str| part.contains('=') || is_level(part.trim());
    if !filter.split(',').all(is_complete) {
        return Err(bad());
    }
    let quiet = CLIENTS
        .iter()
        .filter(|client| !filter.contains(**client))
        .map(|client| format!(",{client}=off"));
    let directives: String = std::iter::once(filter.to_owned()).chain(quiet).collect();
    directives.parse().map_err(|_| bad())
}

#[cfg(test)]
mod tests;
