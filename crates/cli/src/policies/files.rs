//! The policies of a set of documents, in the order of their rank.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use leeward_api::policy::PlacementPolicySpec;
use leeward_core::resolve::InvalidPolicy;

use super::object::{self, CustomObject, ObjectKind};
use crate::input::{Document, Problem, Problems};
use crate::loaded_policy::{LoadedPolicy, PolicyOrigin, SystemRules, name_of};

/// Policies and system of the files.
#[derive(Clone, Debug)]
pub struct FromFiles {
    /// The policies by rank; none where the files have none.
    pub policies: Vec<LoadedPolicy>,
    /// What is set for the whole system, or why that is not known.
    pub system: Result<SystemRules, Problem>,
}

/// Reads the policies and the system among the documents, or everything that is wrong with any of them.
pub fn from_documents(documents: &[Document]) -> Result<FromFiles, Problems> {
    let (found, mut problems) = sound(documents);
    problems.extend(found.system.as_ref().err().cloned());
    problems.none(found)
}

/// The policies and the system among the documents, all other kinds left alone, and everything that is wrong with those
/// that cannot be read.
pub fn sound(documents: &[Document]) -> (FromFiles, Problems) {
    let mut problems = Problems::default();
    let mut policies = Vec::new();
    let mut systems = Vec::new();
    for document in documents {
        match object::read(document) {
            Err(found) => problems.extend(found),
            Ok(None) => {}
            Ok(Some(CustomObject {
                kind: ObjectKind::Policy(spec),
                name,
                namespace,
            })) => {
                let origin = PolicyOrigin::File {
                    path: document.file.clone(),
                    line: document.start.line,
                };
                match LoadedPolicy::new(namespace, name, *spec, origin) {
                    Err(error) => problems.push(located(document, &error)),
                    Ok(loaded) => policies.push(loaded),
                }
            }
            Ok(Some(CustomObject {
                kind: ObjectKind::System(spec),
                name,
                namespace,
            })) => {
                // The default is for the operator; a command has its own argument, unless the file sets it.
                let is_written = document.value.pointer("/spec/observeInterval").is_some();
                let rules = SystemRules {
                    limits: spec.limits,
                    interval: is_written.then(|| Duration::from(spec.observe_interval)),
                    suspended: spec.suspend,
                };
                systems.push(SystemDefinition {
                    document,
                    name,
                    namespace,
                    rules,
                });
            }
        }
    }
    problems.extend(duplicates(documents));
    // Sorting is stable: among equals the order in files stays.
    policies.sort_by_key(|loaded| Reverse(loaded.spec.priority));
    let found = FromFiles {
        system: only_system(&systems, &policies),
        policies,
    };
    (found, problems)
}

struct SystemDefinition<'d> {
    document: &'d Document,
    name: String,
    namespace: String,
    rules: SystemRules,
}

/// The system that the policies refer to; where they refer to none, the only one.
fn only_system(systems: &[SystemDefinition<'_>], policies: &[LoadedPolicy]) -> Result<SystemRules, Problem> {
    let is_meant = |system: &&SystemDefinition<'_>| {
        policies.iter().any(|loaded| {
            let reference = &loaded.spec.system_ref;
            let namespace = reference.namespace.as_ref().unwrap_or(&loaded.namespace);
            reference.name == system.name && *namespace == system.namespace
        })
    };
    let mut meant: Vec<&SystemDefinition<'_>> = systems.iter().filter(is_meant).collect();
    if meant.is_empty() {
        meant = systems.iter().collect();
    }
    match meant.as_slice() {
        [] => Ok(SystemRules::default()),
        [system] => Ok(system.rules),
        [first, second, ..] => Err(second_system(second.document, first.document)),
    }
}

fn second_system(document: &Document, first: &Document) -> Problem {
    let text = format!(
        "kind: a second NatsSystem; the first is in {}, line {}: keep the one that the command connects to",
        first.file, first.start.line
    );
    document.problem("/kind", text)
}

/// Policies of one name in one namespace.
fn duplicates(documents: &[Document]) -> Vec<Problem> {
    let mut seen: BTreeMap<(&str, &str), &Document> = BTreeMap::new();
    let mut problems = Vec::new();
    for document in documents.iter().filter(|document| object::is_policy(document)) {
        let namespace = document.text("/metadata/namespace").unwrap_or_default();
        let Some(name) = document.text("/metadata/name") else {
            continue;
        };
        if let Some(first) = seen.insert((namespace, name), document) {
            let text = format!(
                "metadata.name: a second PlacementPolicy with the name {name}; the first is in {}, line {}: give each its own",
                first.file, first.start.line
            );
            problems.push(document.problem("/metadata/name", text));
        }
    }
    problems
}

/// What the schema accepts but is invalid.
fn located(document: &Document, error: &InvalidPolicy) -> Problem {
    let pointer = match error {
        InvalidPolicy::TagPrefixMissing => "/spec/topology".to_owned(),
        InvalidPolicy::MaxBytes { field, .. } => format!("/spec/{}", field.replace('.', "/")),
        InvalidPolicy::Limit { field, .. } => limit(document, field),
        InvalidPolicy::TimeZone { field, .. } => limit(document, field) + "/timeZone",
    };
    document.problem(&pointer, format!("spec.{error}"))
}

/// `disruption.budgets[NAME]` or `disruption.windows[INDEX]` as a JSON pointer.
fn limit(document: &Document, field: &str) -> String {
    let (list, item) = field.split_once('[').unwrap_or((field, ""));
    let item = item.trim_end_matches(']');
    let list = format!("/spec/{}", list.replace('.', "/"));
    let items = document.value.pointer(&list).and_then(|list| list.as_array());
    let named = items.and_then(|items| items.iter().position(|budget| budget["name"] == item));
    match named {
        Some(at) => format!("{list}/{at}"),
        None => format!("{list}/{item}"),
    }
}

/// The one domain that the policies name.
pub fn common_domain(policies: &[LoadedPolicy]) -> anyhow::Result<Option<String>> {
    common(policies, "JetStream domain", |spec| {
        spec.jet_stream_domain.as_ref()
    })
}

/// The one inbox prefix that the policies name.
pub fn common_inbox_prefix(policies: &[LoadedPolicy]) -> anyhow::Result<Option<String>> {
    common(policies, "inbox prefix", |spec| spec.inbox_prefix.as_ref())
}

fn common(
    policies: &[LoadedPolicy],
    what: &str,
    of: impl Fn(&PlacementPolicySpec) -> Option<&String>,
) -> anyhow::Result<Option<String>> {
    let mut named = policies
        .iter()
        .filter_map(|loaded| Some((loaded, of(&loaded.spec)?)));
    let Some((first, one)) = named.next() else {
        return Ok(None);
    };
    if let Some((other, another)) = named.find(|(_, another)| *another != one) {
        bail!(
            "policy {} is for the {what} {one} and policy {} for {another}: give the policies of one at a time",
            name_of(first),
            name_of(other)
        );
    }
    Ok(Some(one.clone()))
}
