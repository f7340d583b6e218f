//! What is worth knowing beside findings: what was passed over, and what a policy does not reach.

use std::collections::{BTreeMap, BTreeSet};

use leeward_core::names::StreamName;

use super::definitions::{Defined, DefinedKind, FoundDefinitions};
use crate::input::{self, Passed, SkipReason};
use crate::loaded_policy::{LoadedPolicy, PolicyOrigin, name_of};
use crate::output::amount;

/// How many names a note shows.
pub const SHOWN: usize = 6;

/// That no policy is in the files, so that the defaults judge.
pub const BY_DEFAULTS: &str = "no PlacementPolicy is in the files: everything is judged by the defaults, a policy of which \
                               nothing is written";

/// That definitions were not judged, since no policy could be read.
pub const NOT_JUDGED: &str = "nothing was judged, since no policy can be read";

/// What was passed over: files by reason, and Kubernetes objects by kind.
pub fn passed(input: &[Passed], found: &FoundDefinitions<'_>) -> Vec<String> {
    let mut groups: BTreeMap<SkipReason, Vec<String>> = BTreeMap::new();
    for Passed { file, why } in input.iter().chain(&found.passed) {
        let (group, text) = match why {
            // All tools are one group, in which each file names its own.
            SkipReason::Tool(tool) => (SkipReason::Tool(""), format!("{file} ({tool})")),
            why => (*why, file.clone()),
        };
        groups.entry(group).or_default().push(text);
    }
    let mut notes: Vec<String> = groups
        .into_iter()
        .map(|(why, files)| {
            let (count, names) = (files.len(), amount::names(&files, SHOWN));
            let what = amount::counted(count, "file");
            format!("{what} {}: {names}{}", description(why, count), hint(why))
        })
        .collect();
    if !found.others.is_empty() {
        let count: usize = found.others.values().sum();
        let kinds: Vec<String> = found
            .others
            .iter()
            .map(|(kind, count)| match count {
                1 => kind.clone(),
                _ => format!("{kind} {count}"),
            })
            .collect();
        let words = match count {
            1 => "of another kind was passed over",
            _ => "of other kinds were passed over",
        };
        let objects = amount::counted(count, "object");
        notes.push(format!("{objects} {words}: {}", amount::names(&kinds, SHOWN)));
    }
    notes
}

/// What to do about files that were passed over.
fn hint(why: SkipReason) -> String {
    match why {
        SkipReason::Language(language) => format!(": {}", language.hint("FILE")),
        SkipReason::Ending => {
            ": name with -f what is a definition, and render first what is a template".to_owned()
        }
        SkipReason::Tool(_)
        | SkipReason::Unknown
        | SkipReason::Empty
        | SkipReason::Irregular
        | SkipReason::Excluded => String::new(),
    }
}

/// What files are that were passed over.
fn description(why: SkipReason, count: usize) -> String {
    let words = match (why, count) {
        (SkipReason::Language(language), 1) => {
            return format!("that is not read ({}) was passed over", language.name);
        }
        (SkipReason::Language(language), _) => {
            return format!("that are not read ({}) were passed over", language.name);
        }
        (SkipReason::Ending, 1) => "whose name goes on behind .yaml, .yml or .json was passed over",
        (SkipReason::Ending, _) => "whose names go on behind .yaml, .yml or .json were passed over",
        (SkipReason::Tool(_), 1) => "of another tool was passed over",
        (SkipReason::Tool(_), _) => "of other tools were passed over",
        (SkipReason::Unknown, 1) => "that has nothing of a stream or consumer was passed over",
        (SkipReason::Unknown, _) => "that have nothing of a stream or consumer were passed over",
        (SkipReason::Empty, 1) => "has no document",
        (SkipReason::Empty, _) => "have no document",
        (SkipReason::Irregular, 1) => "is a pipe, a socket or a device, and was passed over",
        (SkipReason::Irregular, _) => "are pipes, sockets or devices, and were passed over",
        (SkipReason::Excluded, 1) => "or folder was left out by --exclude",
        (SkipReason::Excluded, _) => "or folders were left out by --exclude",
    };
    words.to_owned()
}

/// The policies of files that select none of the definitions.
pub fn idle(policies: &[LoadedPolicy], selecting: &BTreeSet<usize>, defined: &[Defined<'_>]) -> Vec<String> {
    let names: BTreeSet<&str> = defined
        .iter()
        .filter_map(|defined| match &defined.what {
            DefinedKind::Stream(definition) => Some(definition.stream.as_str()),
            DefinedKind::Consumer(consumer) => consumer.stream.as_ref().map(StreamName::as_str),
        })
        .collect();
    let policies = policies.iter().enumerate();
    let idle = policies.filter(|(at, _)| !selecting.contains(at));
    idle.filter_map(|(_, loaded)| match &loaded.origin {
        PolicyOrigin::Defaults | PolicyOrigin::Kubernetes => None,
        PolicyOrigin::File { path, line } => {
            let meant = loaded.spec.streams.include.iter().find_map(|include| {
                let meant = input::nearest(include, names.iter().copied())?;
                Some(format!("; {meant} is defined, and {include} is not"))
            });
            Some(format!(
                "{path}:{line}:1: policy {} selects none of the definitions{}",
                name_of(loaded),
                meant.unwrap_or_default()
            ))
        }
    })
    .collect()
}
