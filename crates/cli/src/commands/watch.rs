//! `leeward watch`: the policies of a cluster, a line for each and another whenever one changes, until Ctrl-C.
//!
//! A broken watch is restarted; what changed meanwhile is shown then. What cannot succeed ends it.

mod row;

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use anyhow::Context as _;
use futures::StreamExt as _;
use kube::Api;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use leeward_api::PlacementPolicy;

use self::row::{ColumnWidths, PolicyRow, RowKey};
use crate::args::WatchArgs;
use crate::kubernetes::{self, Kubernetes};
use crate::{exit, runtime};

type PolicyObject = DeserializeGuard<PlacementPolicy>;

/// Runs the command.
pub fn run(args: &WatchArgs) -> anyhow::Result<()> {
    runtime::block_on(async {
        tokio::select! {
            outcome = follow(args) => outcome,
            interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot listen for Ctrl-C"),
        }
    })
}

async fn follow(args: &WatchArgs) -> anyhow::Result<()> {
    let kubernetes = kubernetes::connect(&args.kubernetes).await?;
    let (scope, config) = asked(&kubernetes, args).await?;
    let client = kubernetes.client.clone();
    let api: Api<PolicyObject> = if scope.is_empty() {
        Api::all(client)
    } else {
        Api::namespaced(client, &scope)
    };
    if is_empty(&api, &kubernetes.server, &scope).await? {
        exit::print_error(&format!(
            "no placement policies in {}: waiting for the first",
            kubernetes::place(&scope)
        ));
    }
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut table = PolicyTable::new(args.all_namespaces);
    while let Some(event) = events.next().await {
        let lines = match event {
            Ok(event) => table.lines_of(event),
            Err(error) => {
                table.watch_failed(&kubernetes.server, &scope, &error)?;
                continue;
            }
        };
        if !written(&lines)? {
            return Ok(());
        }
    }
    Ok(())
}

/// The namespace, empty for all of them, and what is watched in it.
async fn asked(kubernetes: &Kubernetes, args: &WatchArgs) -> anyhow::Result<(String, watcher::Config)> {
    let config = watcher::Config::default();
    let Some(wanted) = &args.policy else {
        let namespace = (!args.all_namespaces).then(|| kubernetes.namespace.clone());
        return Ok((namespace.unwrap_or_default(), config));
    };
    anyhow::ensure!(
        !args.all_namespaces,
        "--all-namespaces does not go with the name of a policy: leave out one of the two"
    );
    let (namespace, name) = kubernetes.key(wanted)?;
    // A name that does not exist would be waited for silently.
    kubernetes::read(kubernetes, &namespace, &name).await?;
    Ok((namespace, config.fields(&format!("metadata.name={name}"))))
}

/// Whether nothing is there yet; an unreachable API is an error here, while the watch would retry forever.
async fn is_empty(api: &Api<PolicyObject>, server: &str, scope: &str) -> anyhow::Result<bool> {
    let first = ListParams::default().limit(1);
    let list = kubernetes::answered(server, api.list(&first)).await?;
    let list =
        list.map_err(|error| kubernetes::problem(server, "list", kubernetes::POLICIES, scope, &error))?;
    Ok(list.items.is_empty())
}

/// Whether the output is open.
fn written(lines: &str) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(lines.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write"),
    }
}

/// The rows that were printed.
#[derive(Debug)]
struct PolicyTable {
    layout: ColumnWidths,
    rows: BTreeMap<RowKey, PolicyRow>,
    /// The list that is being read.
    listed: BTreeMap<RowKey, PolicyRow>,
    broken: bool,
}

impl PolicyTable {
    fn new(namespaces: bool) -> Self {
        Self {
            layout: ColumnWidths::new(namespaces),
            rows: BTreeMap::new(),
            listed: BTreeMap::new(),
            broken: false,
        }
    }

    /// The lines that an event makes.
    fn lines_of(&mut self, event: Event<PolicyObject>) -> String {
        match event {
            Event::Init => {
                self.listed.clear();
                String::new()
            }
            Event::InitApply(object) => {
                let (key, row) = row::of(&object);
                self.listed.insert(key, row);
                String::new()
            }
            Event::InitDone => {
                self.broken = false;
                let listed = std::mem::take(&mut self.listed);
                self.replace(listed)
            }
            Event::Apply(object) => {
                self.broken = false;
                let (key, row) = row::of(&object);
                if self.rows.get(&key) == Some(&row) {
                    return String::new();
                }
                self.rows.insert(key.clone(), row.clone());
                self.layout.lines([(&key, &row)])
            }
            Event::Delete(object) => {
                let (key, row) = row::of(&object);
                self.rows.remove(&key);
                self.layout.lines([(&key, &row.deleted())])
            }
        }
    }

    fn replace(&mut self, listed: BTreeMap<RowKey, PolicyRow>) -> String {
        let before = std::mem::replace(&mut self.rows, listed);
        let mut gone = before.clone();
        gone.retain(|key, _| !self.rows.contains_key(key));
        let gone: BTreeMap<RowKey, PolicyRow> =
            gone.into_iter().map(|(key, row)| (key, row.deleted())).collect();
        let rows = self.rows.iter();
        let changed = rows.filter(|(key, row)| before.get(*key) != Some(*row));
        self.layout.lines(changed.chain(&gone))
    }

    /// Ends the command where a retry cannot help; otherwise reports once that the watch is restarted.
    fn watch_failed(&mut self, server: &str, scope: &str, error: &watcher::Error) -> anyhow::Result<()> {
        let (verb, cause) = match error {
            watcher::Error::InitialListFailed(cause) => ("list", Some(cause)),
            watcher::Error::WatchStartFailed(cause) | watcher::Error::WatchFailed(cause) => {
                ("watch", Some(cause))
            }
            watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => ("watch", None),
        };
        if let Some(cause) = cause.filter(|cause| kubernetes::is_definite(cause)) {
            return Err(kubernetes::problem(
                server,
                verb,
                kubernetes::POLICIES,
                scope,
                cause,
            ));
        }
        if !std::mem::replace(&mut self.broken, true) {
            let words = exit::words(anyhow::Chain::new(error));
            exit::print_error(&format!("the watch of {server} is begun anew: {words}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
