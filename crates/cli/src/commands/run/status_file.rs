//! The status file: each policy's status, written before any request is sent, and read at the next start (P10).
//!
//! It holds policies as the Kubernetes API shows them, with their status. It is replaced as a whole, and on disk when
//! [`StatusFile::write`] returns. An unreadable file is left as it is. Only one process can use it at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use itertools::Itertools as _;
use kube::Resource as _;
use leeward_api::PlacementPolicy;
use leeward_api::policy_status::PlacementPolicyStatus;
use serde::{Deserialize, Serialize};

const HEAD: &str = "# What leeward run did and what limits it. It reads this at its next start, and replaces it as a whole.\n";
const LIST: (&str, &str) = ("v1", "List");

/// A policy's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct PolicyName {
    /// Its namespace; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) namespace: String,
    /// Its name in it.
    pub(super) name: String,
}

/// The status file, locked for other processes while this lives.
#[derive(Debug)]
pub(super) struct StatusFile {
    path: PathBuf,
    statuses: BTreeMap<PolicyName, PlacementPolicyStatus>,
    _lock: File,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct List<S> {
    api_version: String,
    kind: String,
    items: Vec<Item<S>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Item<S> {
    api_version: String,
    kind: String,
    metadata: PolicyName,
    status: S,
}

impl StatusFile {
    /// Locks and reads the file; one that does not exist is created first.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        // A link means the file behind it.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let lock = locked(&path)?;
        let text = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(&path, error.into())),
        };
        let statuses = match &text {
            Some(text) => parse(text).map_err(|error| unreadable(&path, error))?,
            None => BTreeMap::new(),
        };
        let mut record = Self {
            path,
            statuses,
            _lock: lock,
        };
        if text.is_none() {
            // Better now than when an operation waits for it.
            record.write(BTreeMap::new())?;
        }
        Ok(record)
    }

    /// The last written status of a policy.
    pub(super) fn past(&self, policy: &PolicyName) -> Option<&PlacementPolicyStatus> {
        self.statuses.get(policy)
    }

    /// An error for a file that is about something else than these policies of this account.
    pub(super) fn must_be_about(&self, policies: &[PolicyName], account: &str) -> anyhow::Result<()> {
        let known: BTreeSet<&PolicyName> = policies.iter().collect();
        let path = self.path.display();
        if !self.statuses.is_empty() && !self.statuses.keys().any(|key| known.contains(key)) {
            let held = self.statuses.keys().join(", ");
            bail!(
                "status file {path} is of other policies ({held}): give another --status-file; it was left as it is"
            );
        }
        for (key, status) in &self.statuses {
            if let Some(of) = &status.account
                && of.id != account
            {
                bail!(
                    "status file {path} says of policy {key} what was done in account {}, and the user belongs to \
                     {account}: give another --status-file, or connect as a user of {}; it was left as it is",
                    of.id,
                    of.id
                );
            }
        }
        Ok(())
    }

    /// Replaces the status of these policies; that of others stays.
    pub(super) fn write(&mut self, news: BTreeMap<PolicyName, PlacementPolicyStatus>) -> anyhow::Result<()> {
        let mut statuses = self.statuses.clone();
        statuses.extend(news);
        let text = render(&statuses)?;
        replace(&self.path, &text).with_context(|| {
            format!(
                "cannot write status file {}, and nothing begins that is not in it",
                self.path.display()
            )
        })?;
        self.statuses = statuses;
        Ok(())
    }
}

impl std::fmt::Display for PolicyName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { namespace, name } = self;
        if namespace.is_empty() {
            formatter.write_str(name)
        } else {
            write!(formatter, "{namespace}/{name}")
        }
    }
}

fn unreadable(path: &Path, error: anyhow::Error) -> anyhow::Error {
    error.context(format!(
        "status file {} cannot be read and was left as it is: correct it, or move it away to begin without a past",
        path.display()
    ))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Beside the file, which is replaced with every write.
fn locked(path: &Path) -> anyhow::Result<File> {
    let beside = beside(path, ".lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&beside)
        .with_context(|| {
            let beside = beside.display();
            format!("cannot open {beside}, which keeps the status file for one process: its folder must be there and writable")
        })?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => bail!(
            "another leeward run uses status file {}: end it first, or give another --status-file",
            path.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", beside.display()))
        }
    }
}

fn parse(text: &str) -> anyhow::Result<BTreeMap<PolicyName, PlacementPolicyStatus>> {
    if text.trim().is_empty() {
        bail!("it is empty");
    }
    let list: List<PlacementPolicyStatus> = serde_saphyr::from_str(text)?;
    if (list.api_version.as_str(), list.kind.as_str()) != LIST {
        bail!(
            "it is a {} {}, not a List of PlacementPolicy",
            list.api_version,
            list.kind
        );
    }
    let mut statuses = BTreeMap::new();
    for item in list.items {
        let is_policy =
            item.api_version == PlacementPolicy::api_version(&()) && item.kind == PlacementPolicy::kind(&());
        if !is_policy {
            bail!("{} is a {} {}", item.metadata, item.api_version, item.kind);
        }
        if let Some(twice) = statuses.keys().find(|key| **key == item.metadata) {
            bail!("policy {twice} is in it twice");
        }
        statuses.insert(item.metadata, item.status);
    }
    Ok(statuses)
}

fn render(statuses: &BTreeMap<PolicyName, PlacementPolicyStatus>) -> anyhow::Result<String> {
    let items = statuses.iter().map(|(key, status)| Item {
        api_version: PlacementPolicy::api_version(&()).into_owned(),
        kind: PlacementPolicy::kind(&()).into_owned(),
        metadata: key.clone(),
        status,
    });
    let list = List {
        api_version: LIST.0.to_owned(),
        kind: LIST.1.to_owned(),
        items: items.collect(),
    };
    let text =
        serde_saphyr::to_string(&list).map_err(|error| anyhow!("cannot write statuses as YAML: {error}"))?;
    Ok(format!("{HEAD}{text}"))
}

/// At any instant the file has the old text or the new one, and after a return the new one, even after a crash.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = beside(path, ".new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests;
