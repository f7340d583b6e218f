//! What is worth knowing beside findings: what was passed over, and what a policy does not reach.

use std::collections::{BTreeMap, BTreeSet};

use leeward_core::names::StreamName;

use super::definitions::{Defined, DefinedKind, FoundDefinitions};
use crate::input::{self, Passed, SkipReason};
use crate::loaded_policy::name_of;
use crate::loaded_policy::{LoadedPolicy, PolicyOrigin};
use crate::output::amount;

/// How many names a note shows.
const SHOWN: usize = 6;

/// That no policy is in the files, so that the defaults judge.
pub const BY_DEFAULTS: &str = "no PlacementPolicy is in the files: everything is judged by the defaults, a policy of which \
                               nothing is written";

/// That definitions were not judged, since no policy is left that could.
pub const NOT_JUDGED: &str = "nothing was judged, since no policy can be read";

/// What was passed over: files by why, and objects of Kubernetes by kind.
pub fn passed(input: &[Passed], found: &FoundDefinitions<'_>) -> Vec<String> {
    let mut by_why: BTreeMap<Said, Vec<String>> = BTreeMap::new();
    for Passed { file, why } in input.iter().chain(&found.passed) {
        let (said, text) = match why {
            SkipReason::Unknown => (Said::Unknown, file.clone()),
            SkipReason::Tool(tool) => (Said::Tools, format!("{file} ({tool})")),
            SkipReason::Language(language) => {
                (Said::Language(language.name, language.cure("FILE")), file.clone())
            }
            SkipReason::Ending => (Said::Endings, file.clone()),
            SkipReason::Empty => (Said::Empty, file.clone()),
            SkipReason::Irregular => (Said::Irregular, file.clone()),
            SkipReason::Excluded => (Said::Excluded, file.clone()),
        };
        by_why.entry(said).or_default().push(text);
    }
    let mut notes: Vec<String> = by_why
        .into_iter()
        .map(|(said, files)| {
            format!(
                "{} {}: {}",
                counted(files.len(), "file"),
                said.words(files.len()),
                some(&files)
            ) + &said.cure()
        })
        .collect();
    if !found.others.is_empty() {
        let count = found.others.values().sum();
        let kinds: Vec<String> = found
            .others
            .iter()
            .map(|(kind, count)| {
                if *count == 1 {
                    kind.clone()
                } else {
                    format!("{kind} {count}")
                }
            })
            .collect();
        let words = if count == 1 {
            "of another kind was passed over"
        } else {
            "of other kinds were passed over"
        };
        notes.push(format!("{} {words}: {}", counted(count, "object"), some(&kinds)));
    }
    notes
}

/// Why files were passed over, in the order of the notes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Tools,
    Unknown,
    /// One that is not read, with what to do.
    Language(&'static str, String),
    Endings,
    Empty,
    Irregular,
    Excluded,
}

impl Said {
    fn cure(&self) -> String {
        match self {
            Self::Language(_, cure) => format!(": {cure}"),
            Self::Endings => {
                ": name with -f what is a definition, and render first what is a template".to_owned()
            }
            Self::Tools | Self::Unknown | Self::Empty | Self::Irregular | Self::Excluded => String::new(),
        }
    }

    fn words(&self, count: usize) -> String {
        let words = match (self, count) {
            (Self::Language(name, _), 1) => return format!("that is not read ({name}) was passed over"),
            (Self::Language(name, _), _) => return format!("that are not read ({name}) were passed over"),
            (Self::Endings, 1) => "whose name goes on behind .yaml, .yml or .json was passed over",
            (Self::Endings, _) => "whose names go on behind .yaml, .yml or .json were passed over",
            (Self::Tools, 1) => "of another tool was passed over",
            (Self::Tools, _) => "of other tools were passed over",
            (Self::Unknown, 1) => "that has nothing of a stream or consumer was passed over",
            (Self::Unknown, _) => "that have nothing of a stream or consumer were passed over",
            (Self::Empty, 1) => "has no document",
            (Self::Empty, _) => "have no document",
            (Self::Irregular, 1) => "is a pipe, a socket or a device, and was passed over",
            (Self::Irregular, _) => "are pipes, sockets or devices, and were passed over",
            (Self::Excluded, 1) => "or folder was left out by --exclude",
            (Self::Excluded, _) => "or folders were left out by --exclude",
        };
        words.to_owned()
    }
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

fn counted(count: usize, what: &str) -> String {
    amount::counted(u64::try_from(count).unwrap_or(u64::MAX), what)
}

/// Some of many names.
pub fn some(names: &[impl AsRef<str>]) -> String {
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
