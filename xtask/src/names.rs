//! The names of types: terms of the field, and one name for one meaning over the whole workspace.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{bail, ensure};

use crate::sources::product_files;

/// Words that nobody who knows NATS, Kubernetes and Rust would search for, with the word that says the same.
const DENIED: [(&str, &str); 40] = [
    ("Aim", "Successor"),
    ("Authority", "Authorizer"),
    ("Blind", "Unavailable"),
    ("Board", "a table of what"),
    ("Census", "ServerInventory"),
    ("Circumstances", "EvaluationContext"),
    ("Conduct", "OperationContext"),
    ("Contender", "LeaseCandidate"),
    ("Contest", "LeaderElection"),
    ("Course", "Simulation"),
    ("Crew", "Supervisor"),
    ("Deed", "ActionKind"),
    ("Drive", "PolicyRun"),
    ("Editions", "ResourceVersions"),
    ("Families", "SourceGraph"),
    ("Fence", "Deadline"),
    ("Flight", "FlightEntry"),
    ("Given", "LoadedPolicy"),
    ("Grip", "LeaderHandle"),
    ("Ground", "a context of what"),
    ("Judged", "Assessment"),
    ("Learnt", "AccountTracker"),
    ("Lesson", "AccountUpdate"),
    ("Mint", "JwtIssuer"),
    ("Occurrence", "PolicyEvent"),
    ("Orders", "RunInput"),
    ("Outlook", "PolicyStatusInput"),
    ("Pokes", "ReconcileQueue"),
    ("Rival", "ConflictingReplica"),
    ("Roll", "InventoryHistory"),
    ("Scene", "a view of what"),
    ("Seat", "MemberSlot"),
    ("Sight", "Observation"),
    ("Sighting", "ReadResult"),
    ("Standing", "PolicyState"),
    ("Tenure", "Leadership"),
    ("Underway", "OperationInFlight"),
    ("Voice", "PendingWrite"),
    ("Whom", "AccountSelector"),
    ("Withheld", "Inhibited"),
];

/// Words in the names of functions that code of this field says with others.
const DENIED_IN_FUNCTIONS: [(&str, &str); 14] = [
    ("abroad", "away"),
    ("cure", "remedy or hint"),
    ("hand_over", "step_down or transfer"),
    ("hand", "step_down or transfer"),
    ("heard", "active, received or seen"),
    ("hears", "is_active"),
    ("poke", "enqueue"),
    ("revive", "retry"),
    ("said", "the thing that was printed or answered"),
    ("say", "print, publish or log"),
    ("speaks", "is_about"),
    ("strayed", "reverted"),
    ("tell", "report, publish or record"),
    ("told", "the thing that was reported"),
];

/// Names of several types that mean the same: a custom resource's and its resolved form in core, an arguments type of each
/// binary, an alias.
const SAME_MEANING: [&str; 16] = [
    "Actions",
    "Args",
    "Budget",
    "ClientKind",
    "ClusterStatus",
    "Credentials",
    "Disruption",
    "Finding",
    "Float",
    "Gates",
    "Mode",
    "OnNoMajority",
    "Precedence",
    "TopologyKey",
    "WeightBy",
    "Window",
];

/// The types that are defined outside of tests: the files, by name.
fn types() -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let mut types: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in product_files()? {
        for name in defined(&file.source) {
            types.entry(name).or_default().insert(file.path.clone());
        }
    }
    Ok(types)
}

/// The names of the types that a source file defines, except associated ones.
fn defined(source: &str) -> Vec<String> {
    let names = source.lines().filter_map(|line| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let line = line.strip_prefix("pub(").map_or(line, |rest| {
            rest.split_once(") ").map_or(rest, |(_, defined)| defined)
        });
        let keywords = ["struct ", "enum ", "trait ", "type "];
        let rest = keywords.iter().find_map(|keyword| line.strip_prefix(keyword))?;
        let name = rest.split(|end: char| !end.is_alphanumeric()).next()?;
        Some(name.to_owned())
    });
    names.collect()
}

/// The names of the functions of a source file, those of its tests among product code (`#[test]`) apart.
fn functions(source: &str) -> Vec<&str> {
    let mut is_test = false;
    let mut names = Vec::new();
    for line in source.lines().map(str::trim_start) {
        is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
        let Some((before, rest)) = line.split_once("fn ") else {
            continue;
        };
        let is_definition = before.is_empty()
            || before.ends_with(' ')
                && before.starts_with(['p', 'a', 'c', 'u', 'e'])
                && !before.contains('=');
        let name = rest
            .split(|end: char| !end.is_alphanumeric() && end != '_')
            .next();
        if let (true, Some(name)) = (is_definition, name)
            && !std::mem::take(&mut is_test)
        {
            names.push(name);
        }
    }
    names
}

#[test]
fn types_are_called_by_words_of_the_field() -> anyhow::Result<()> {
    let types = types()?;
    for (word, instead) in DENIED {
        let files = types.get(word);
        ensure!(files.is_none(), "{word} in {files:?}: call it {instead}");
    }
    Ok(())
}

#[test]
fn functions_are_called_by_words_of_the_field() -> anyhow::Result<()> {
    for file in product_files()? {
        for name in functions(&file.source) {
            let denied = |(word, _): &&(&str, &str)| format!("_{name}_").contains(&format!("_{word}_"));
            if let Some((word, instead)) = DENIED_IN_FUNCTIONS.iter().find(denied) {
                bail!("{word} in fn {name} of {}: say {instead}", file.path);
            }
        }
    }
    Ok(())
}

#[test]
fn one_name_of_a_type_has_one_meaning() -> anyhow::Result<()> {
    let types = types()?;
    for (name, files) in &types {
        let several = files.len() > 1;
        let may_be = SAME_MEANING.contains(&name.as_str());
        ensure!(
            !several || may_be,
            "{name} is defined in each of {files:?}: give them names of their own"
        );
        ensure!(several || !may_be, "{name} is defined once: take it off the list");
    }
    Ok(())
}

#[test]
fn names_are_read_where_types_are_defined() {
    let source = "pub struct One;\npub(crate) enum Two<T> {\n    type Inner = u8;\n}\ntype Three = u8;\nfn four() {}\n\
                  trait Five: Send {}\n";
    assert_eq!(defined(source), ["One", "Two", "Three", "Five"]);
    assert_eq!(functions(source), ["four"]);
    let source = "    pub(super) async fn tell(&self) {}\n#[test]\nfn it_is_told() {}\nconst fn six() {}\n/// A fn of it.\n";
    assert_eq!(functions(source), ["tell", "six"]);
}
