//! What kustomize changes before it is applied: judging it as written would judge something else.
//!
//! A kustomization that only lists files changes nothing in them, and they are read as they are. What it lists must be
//! read as well: an unread file may be anything.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::bounds::Bounds;
use super::{Document, InputDocuments, Passed, SkipReason, located};

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
const CHANGES: [&str; 6] = [
    "components",
    "replacements",
    "transformers",
    "generators",
    "helmCharts",
    "helmChartInflationGenerator",
];

/// A folder that kustomize has to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unbuilt {
    /// The kustomization, as its file is named.
    pub file: String,
    /// Whether policies or systems are among what it changes.
    pub has_policies: bool,
    /// What it lists and was not read, if it changes nothing that was read.
    pub unread: Option<String>,
}

impl Unbuilt {
    /// What to do.
    pub fn problem(&self) -> super::Problem {
        let folder = folder_of(&self.file);
        let folder = if folder.is_empty() { "." } else { folder };
        let why = match &self.unread {
            None => "it changes what it lists, so that is not read".to_owned(),
            Some(path) => format!("it lists {path}, which was not read, so what comes of it is not known"),
        };
        super::Problem {
            file: self.file.clone(),
            place: None,
            text: format!("{why}: build it first: kustomize build {folder} | leeward check -f -"),
        }
    }
}

/// What was read, by path.
struct ReadResources<'d> {
    documents: BTreeMap<String, Vec<&'d Document>>,
    /// By folder.
    kustomizations: BTreeMap<String, &'d Value>,
    /// Files and folders that are reported already: passed over, left out, or not readable.
    reported: BTreeSet<String>,
}

impl<'d> ReadResources<'d> {
    fn of(input: &'d InputDocuments) -> Self {
        let mut documents: BTreeMap<String, Vec<&Document>> = BTreeMap::new();
        for document in &input.documents {
            documents
                .entry(normal(&document.file))
                .or_default()
                .push(document);
        }
        let passed = input.passed.iter().map(|passed| normal(&passed.file));
        let problems = input.problems.all().iter().map(|problem| normal(&problem.file));
        Self {
            documents,
            kustomizations: input
                .documents
                .iter()
                .filter(|document| is_kustomization(document))
                .map(|document| (normal(folder_of(&document.file)), &document.value))
                .collect(),
            reported: passed.chain(problems).collect(),
        }
    }

    fn of_file(&self, file: &str) -> &[&'d Document] {
        self.documents.get(file).map_or(&[], Vec::as_slice)
    }

    /// Whether a file, a folder or one that it is in was read or reported.
    fn has(&self, path: &str) -> bool {
        let mut within =
            std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(folder, _)| folder));
        self.documents.contains_key(path)
            || within.any(|path| self.reported.contains(path))
            || NAMES
                .iter()
                .any(|name| self.reported.contains(&joined(path, name)))
    }
}

fn is_kustomization(document: &Document) -> bool {
    let is_kind = |kind: &str| ["Kustomization", "Component"].contains(&kind);
    NAMES.contains(&name_of(&document.file)) && document.text("/kind").is_none_or(is_kind)
}

/// Takes kustomizations, their patches and what those change out of the documents.
pub fn set_aside(input: &mut InputDocuments) {
    let known = ReadResources::of(input);
    if known.kustomizations.is_empty() {
        return;
    }
    let mut gone: BTreeSet<String> = BTreeSet::new();
    let mut unbuilt = Vec::new();
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for document in input
        .documents
        .iter()
        .filter(|document| is_kustomization(document))
    {
        names.insert(&document.file);
        let folder = normal(folder_of(&document.file));
        let Changed { files, unread } = changed(&folder, &document.value, &known);
        let has = |group: &str| has_group(&files, &known, group);
        let (has_policies, has_definitions) = (has(GROUPS[0]), has(GROUPS[1]));
        if has_policies || has_definitions || unread.is_some() {
            unbuilt.push(Unbuilt {
                file: document.file.clone(),
                has_policies,
                unread: unread.filter(|_| !has_policies && !has_definitions),
            });
        }
        gone.extend(files);
    }
    let passed: Vec<Passed> = names
        .into_iter()
        .map(|file| Passed::new(file, SkipReason::Tool("kustomize")))
        .collect();
    input.passed.extend(passed);
    input.unbuilt = unbuilt;
    input
        .documents
        .retain(|document| !is_kustomization(document) && !gone.contains(&normal(&document.file)));
}

fn has_group(files: &BTreeSet<String>, known: &ReadResources<'_>, group: &str) -> bool {
    let mut documents = files.iter().flat_map(|file| known.of_file(file));
    documents.any(|document| group_of(document) == Some(group))
}

/// The effect of a kustomization.
struct Changed {
    /// The files that it changes, and those that it changes them with; none if it only lists them.
    files: BTreeSet<String>,
    /// Something that it lists and was not read, as written.
    unread: Option<String>,
}

fn changed(folder: &str, kustomization: &Value, known: &ReadResources<'_>) -> Changed {
    let mut patches = BTreeSet::new();
    let mut of_others = BTreeSet::new();
    let mut listed = Listed::default();
    let mut changes = CHANGES.iter().any(|field| is_filled(kustomization.get(field)));
    for patch in PATCHES.iter().flat_map(|field| items(kustomization.get(field))) {
        let path = patch
            .as_str()
            .or_else(|| patch.get("path").and_then(Value::as_str));
        let path = path.filter(|path| !path.contains('\n'));
        let file = path.map(|path| joined(folder, path));
        if is_of_others(patch, file.as_deref(), known) {
            of_others.extend(file);
            continue;
        }
        changes = true;
        if let (Some(path), Some(file)) = (path, &file) {
            listed.note(path, file, known);
        }
        patches.extend(file);
    }
    reach(folder, kustomization, known, &mut listed);
    let namespace = kustomization.get("namespace").and_then(Value::as_str);
    if let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) {
        let mut documents = listed.files.iter().flat_map(|file| known.of_file(file));
        changes |= documents.any(|document| {
            group_of(document).is_some() && document.text("/metadata/namespace") != Some(namespace)
        });
    }
    let files = if changes {
        patches.extend(listed.files);
        patches
    } else {
        // Patches of other objects mean nothing, and are no objects.
        let is_patch = |file: &String| {
            let mut documents = known.of_file(file).iter();
            documents.all(|document| document.value.is_array())
        };
        of_others.into_iter().filter(is_patch).collect()
    };
    Changed {
        files,
        unread: listed.unread,
    }
}

/// Whether a patch targets only objects that mean nothing here. A target may be given by name or label alone, and its
/// kind may be a pattern; then it may be anything.
fn is_of_others(patch: &Value, file: Option<&str>, known: &ReadResources<'_>) -> bool {
    if let Some(target) = patch.get("target") {
        // The patch's own kind is ignored then.
        let is_other = |field: &str, ours: &[&str]| {
            let text = target.get(field).and_then(Value::as_str).unwrap_or_default();
            let is_word = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-');
            !text.is_empty() && text.chars().all(is_word) && !ours.contains(&text)
        };
        return is_other("group", &GROUPS) || (is_other("kind", &KINDS) && !has_dot(target.get("kind")));
    }
    let is_other = |document: &Document| {
        let group = document
            .text("/apiVersion")
            .and_then(|version| version.split('/').next());
        group.is_some_and(|group| !GROUPS.contains(&group))
            || document.text("/kind").is_some_and(|kind| !KINDS.contains(&kind))
    };
    if let Some(file) = file {
        let documents = known.of_file(file);
        return !documents.is_empty() && documents.iter().all(|document| is_other(document));
    }
    let text = patch
        .as_str()
        .or_else(|| patch.get("patch").and_then(Value::as_str));
    let documents = text.and_then(|text| located::parse("", text, &mut Bounds::default()).ok());
    documents.is_some_and(|documents| !documents.is_empty() && documents.iter().all(is_other))
}

fn has_dot(kind: Option<&Value>) -> bool {
    kind.and_then(Value::as_str)
        .is_some_and(|kind| kind.contains('.'))
}

/// What kustomizations list.
#[derive(Default)]
struct Listed {
    seen: BTreeSet<String>,
    files: BTreeSet<String>,
    unread: Option<String>,
}

impl Listed {
    fn note(&mut self, path: &str, file: &str, known: &ReadResources<'_>) {
        if self.unread.is_none() && !known.has(file) {
            self.unread = Some(path.to_owned());
        }
    }
}

/// All files that a kustomization lists, those of other kustomizations included.
fn reach(folder: &str, kustomization: &Value, known: &ReadResources<'_>, listed: &mut Listed) {
    if !listed.seen.insert(folder.to_owned()) {
        return;
    }
    for field in ["resources", "bases", "components"] {
        for path in items(kustomization.get(field)).filter_map(Value::as_str) {
            let inner = joined(folder, path);
            if let Some(kustomization) = known.kustomizations.get(&inner) {
                reach(&inner, kustomization, known, listed);
            } else {
                listed.note(path, &inner, known);
                listed.files.insert(inner);
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
