//! What kustomize changes before it is applied: to judge it as it is written would be to judge something else.
//!
//! A kustomization that only lists files changes nothing in them, and they are read as they are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Document, Input, Passed, Why};

const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// The objects that mean something here.
const GROUPS: [&str; 2] = ["leeward.dev", "jetstream.nats.io"];
const KINDS: [&str; 6] = [
    "PlacementPolicy",
    "NatsSystem",
    "Stream",
    "Consumer",
    "KeyValue",
    "ObjectStore",
];
/// What lists patches.
const PATCHES: [&str; 3] = ["patches", "patchesStrategicMerge", "patchesJson6902"];
/// What changes or makes anything.
const CHANGES: [&str; 5] = [
    "components",
    "replacements",
    "transformers",
    "generators",
    "helmCharts",
];

/// A folder that kustomize has to build, with objects that mean something here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unbuilt {
    /// The kustomization, as its file is named.
    pub file: String,
    /// Whether policies or systems are among what it changes.
    pub has_policies: bool,
    /// Whether streams or consumers are.
    pub has_definitions: bool,
}

impl Unbuilt {
    /// What to do.
    pub fn problem(&self) -> super::Problem {
        let folder = folder_of(&self.file);
        let folder = if folder.is_empty() { "." } else { folder };
        super::Problem {
            file: self.file.clone(),
            place: None,
            text: format!(
                "it changes what it lists, so that is not read: build it first: kustomize build {folder} | leeward check -f -"
            ),
        }
    }
}

/// Takes kustomizations, their patches and what those change out of the documents.
pub fn set_aside(input: &mut Input) {
    let is_kustomization = |document: &&Document| NAMES.contains(&name_of(&document.file));
    let known: BTreeMap<String, &Value> = input
        .documents
        .iter()
        .filter(is_kustomization)
        .map(|document| (normal(folder_of(&document.file)), &document.value))
        .collect();
    if known.is_empty() {
        return;
    }
    let mut gone: BTreeSet<String> = BTreeSet::new();
    let mut unbuilt = Vec::new();
    for document in input.documents.iter().filter(is_kustomization) {
        let folder = normal(folder_of(&document.file));
        let changed = changed(&folder, &document.value, &known, &input.documents);
        let ours = input
            .documents
            .iter()
            .filter(|document| changed.contains(&normal(&document.file)));
        let has = |group: &str| ours.clone().any(|document| group_of(document) == Some(group));
        let (has_policies, has_definitions) = (has(GROUPS[0]), has(GROUPS[1]));
        if has_policies || has_definitions {
            unbuilt.push(Unbuilt {
                file: document.file.clone(),
                has_policies,
                has_definitions,
            });
        }
        gone.extend(changed);
    }
    let names: BTreeSet<&str> = input
        .documents
        .iter()
        .filter(is_kustomization)
        .map(|document| document.file.as_str())
        .collect();
    let passed = names
        .into_iter()
        .map(|file| Passed::new(file, Why::Tool("kustomize")));
    input.passed.extend(passed.collect::<Vec<_>>());
    input.unbuilt = unbuilt;
    input
        .documents
        .retain(|document| !is_kustomization(&document) && !gone.contains(&normal(&document.file)));
}

/// The files that a kustomization changes, and those that it changes them with; none if it only lists them, or if nothing
/// of it means anything here.
fn changed(
    folder: &str,
    kustomization: &Value,
    known: &BTreeMap<String, &Value>,
    documents: &[Document],
) -> BTreeSet<String> {
    let mut patches = BTreeSet::new();
    let mut changes = CHANGES.iter().any(|field| is_filled(kustomization.get(field)));
    for patch in PATCHES.iter().flat_map(|field| items(kustomization.get(field))) {
        let path = patch
            .as_str()
            .or_else(|| patch.get("path").and_then(Value::as_str));
        let path = path.filter(|path| !path.contains('\n'));
        let file = path.map(|path| joined(folder, path));
        let of_file = |document: &&Document| file.as_ref() == Some(&normal(&document.file));
        let mut in_file = documents.iter().filter(of_file).map(|document| &document.value);
        changes |= is_ours(patch) || in_file.any(is_ours);
        patches.extend(file);
    }
    if !changes {
        // Patches of other objects mean nothing, and are no objects.
        return patches
            .into_iter()
            .filter(|file| {
                let of_file = |document: &&Document| *file == normal(&document.file);
                documents
                    .iter()
                    .filter(of_file)
                    .all(|document| document.value.is_array())
            })
            .collect();
    }
    let mut files = patches;
    reach(folder, kustomization, known, &mut BTreeSet::new(), &mut files);
    files
}

/// Whether a patch, or what it is for, names something that means something here. One of JSON names it in its target.
fn is_ours(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            GROUPS.iter().any(|group| text.contains(group)) || KINDS.contains(&text.as_str())
        }
        Value::Array(items) => items.iter().any(is_ours),
        Value::Object(fields) => fields.values().any(is_ours),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// All files that a kustomization lists, those of other kustomizations included.
fn reach(
    folder: &str,
    kustomization: &Value,
    known: &BTreeMap<String, &Value>,
    seen: &mut BTreeSet<String>,
    files: &mut BTreeSet<String>,
) {
    if !seen.insert(folder.to_owned()) {
        return;
    }
    for field in ["resources", "bases", "components"] {
        for path in items(kustomization.get(field)).filter_map(Value::as_str) {
            let path = joined(folder, path);
            match known.get(&path) {
                Some(inner) => reach(&path, inner, known, seen, files),
                None => {
                    files.insert(path);
                }
            }
        }
    }
}

fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn is_filled(value: Option<&Value>) -> bool {
    items(value).next().is_some()
}

fn group_of(document: &Document) -> Option<&'static str> {
    let version = document.text("/apiVersion")?;
    let group = version.split('/').next()?;
    GROUPS.into_iter().find(|known| *known == group)
}

fn name_of(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

fn folder_of(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn joined(folder: &str, path: &str) -> String {
    if folder.is_empty() {
        normal(path)
    } else {
        normal(&format!("{folder}/{path}"))
    }
}

/// A path without `.` and `..` where that is possible.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for (at, part) in path.split('/').enumerate() {
        match part {
            "" if at > 0 => {}
            "." => {}
            ".." if parts.last().is_some_and(|last| !matches!(*last, "" | "..")) => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
