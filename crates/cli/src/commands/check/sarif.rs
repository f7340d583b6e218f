//! What was checked as SARIF 2.1.0, for code scanning.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::rules::{self, Rule};
use crate::document::{CheckDocument, CheckError, CheckFinding, Checked, DefinitionSource};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// What is escaped in the path of a URI.
const NOT_IN_PATHS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// The document as a log of one run.
pub fn render(document: &CheckDocument) -> Value {
    let rules = rules::all();
    let results: Vec<Value> = document
        .checked
        .iter()
        .flat_map(|checked| checked.findings.iter().map(move |finding| (checked, finding)))
        .map(|(checked, finding)| result(&rules, checked, finding))
        .collect();
    let undecided = document.undecided.iter();
    let undecided = undecided.map(|text| notification("warning", text));
    let notes = document.notes.iter().map(|text| notification("note", text));
    let errors = document.errors.iter().map(failure);
    let notifications: Vec<Value> = errors.chain(undecided).chain(notes).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "leeward",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(descriptor).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": document.errors.is_empty(),
                "endTimeUtc": document.time.to_string(),
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    })
}

fn descriptor(rule: &Rule) -> Value {
    json!({
        "id": rule.name,
        "name": rule.name,
        "shortDescription": {"text": rule.explanation},
        "fullDescription": {"text": rule.explanation},
        "help": {"text": rule.hint, "markdown": rule.hint},
        "defaultConfiguration": {"level": rule.level},
    })
}

fn notification(level: &str, text: &str) -> Value {
    json!({"level": level, "message": {"text": text}})
}

/// What is wrong with a file, at its place.
fn failure(error: &CheckError) -> Value {
    let mut failure = notification("error", &error.to_string());
    let mut place = json!({"artifactLocation": {"uri": uri(&error.file)}});
    if let (Some(line), Some(column)) = (error.line, error.column) {
        place["region"] = json!({"startLine": line, "startColumn": column});
    }
    failure["locations"] = json!([{"physicalLocation": place}]);
    failure
}

fn result(rules: &[Rule], checked: &Checked, finding: &CheckFinding) -> Value {
    let index = rules.iter().position(|rule| rule.name == finding.rule);
    let level = index
        .and_then(|at| rules.get(at))
        .map_or("error", |rule| rule.level);
    let mut location = json!({"logicalLocations": [{"fullyQualifiedName": checked.subject}]});
    // Code scanning shows only what is in a file: for a live asset, its policy.
    let sources = [&finding.source, &checked.source, &checked.policy_source];
    if let Some(source) = sources.into_iter().flatten().next() {
        location["physicalLocation"] = physical(source);
    }
    let mut result = json!({
        "ruleId": finding.rule,
        "level": level,
        "message": {"text": format!("{}: {}", checked.subject, finding.message)},
        "locations": [location],
        // Lines move; the rule and the definition stay the same.
        "partialFingerprints": {"leeward/v1": format!("{}/{}", finding.rule, checked.subject)},
    });
    if let Some(index) = index {
        result["ruleIndex"] = index.into();
    }
    result
}

fn physical(source: &DefinitionSource) -> Value {
    json!({
        "artifactLocation": {"uri": uri(&source.file)},
        "region": {"startLine": source.line, "startColumn": source.column},
    })
}

/// A path as a URI: relative as it was given, so that it is found below the repository.
fn uri(file: &str) -> String {
    if file == "-" {
        return "stdin".to_owned();
    }
    let path = file.strip_prefix("./").unwrap_or(file);
    let scheme = if Path::new(path).is_absolute() {
        "file://"
    } else {
        ""
    };
    format!("{scheme}{}", utf8_percent_encode(path, NOT_IN_PATHS))
}
