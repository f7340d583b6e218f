//! Definitions → what was checked. Pure; assets of a live system are judged in [`super::assets`].

use std::collections::{BTreeMap, BTreeSet};

use itertools::Itertools as _;
use leeward_core::definition::{
    Definition, DefinitionFinding, DefinitionReport, DefinitionRule, KnownSystem, Undecided, judge_consumer,
    judge_stream,
};
use leeward_core::names::{Location, StreamName};
use leeward_core::policy::Policy;
use leeward_core::snapshot::Stream;
use leeward_core::topology::TopologyKey;

use super::account::{self, Choice};
use super::definitions::{Defined, DefinedKind};
use super::part::{escaped, path};
use super::streams::Streams;
use crate::document::{CheckFinding, Checked};
use crate::input::{self, Problem};
use crate::judge::Assessment;
use crate::loaded_policy::{LoadedPolicy, name_of};
use crate::look::Looked;

/// Note where no server was asked.
const JUDGED_ALONE: &str = "the files were judged alone: their clusters and tags were not looked up";

/// What was checked, and what could not be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckOutcome {
    /// All that was.
    pub checked: Vec<Checked>,
    /// What was not, and why.
    pub undecided: Vec<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// What could not be read.
    pub errors: Vec<Problem>,
}

/// What definitions are judged against.
#[derive(Debug)]
pub struct CheckContext<'a> {
    /// By rank.
    pub policies: &'a [LoadedPolicy],
    /// A live system, with every policy's judgement in the same order.
    pub live: Option<(&'a Looked, &'a [Assessment<'a>])>,
    /// The home that was given.
    pub home: Option<&'a str>,
}

impl CheckContext<'_> {
    fn known(&self, at: usize, policy: &Policy) -> KnownSystem<'_> {
        let mut known = match self.live {
            None => KnownSystem::offline(policy),
            Some((seen, judged)) => KnownSystem {
                home: judged
                    .get(at)
                    .and_then(|judged| judged.decision.evaluation.homes.account_location())
                    .cloned(),
                topology: Some(&seen.view.topology),
            },
        };
        if let Some(home) = self.home {
            known.home = Some(location(home, policy));
        }
        known
    }

    /// The stream of a consumer: as defined, else as it is live.
    fn stream(
        &self,
        name: &StreamName,
        consumer: &Defined<'_>,
        streams: &Streams<'_, '_>,
    ) -> Option<Definition> {
        let live = || {
            let (seen, _) = self.live?;
            let stream = seen.view.streams.iter().find(|stream| stream.name == *name)?;
            Some(as_definition(stream))
        };
        streams.beside(consumer, name).cloned().or_else(live)
    }

    /// The reports of the policies that select a definition, by rank.
    fn judge(
        &self,
        one: &Defined<'_>,
        streams: &Streams<'_, '_>,
        known: &[KnownSystem<'_>],
    ) -> Vec<(usize, DefinitionReport)> {
        let stream = match &one.what {
            DefinedKind::Stream(_) => None,
            DefinedKind::Consumer(consumer) => {
                let name = consumer.stream.as_ref();
                name.and_then(|name| self.stream(name, one, streams))
            }
        };
        let judged = self
            .policies
            .iter()
            .zip(known)
            .enumerate()
            .map(|(at, (loaded, known))| {
                let policy = &loaded.policy;
                let judgement = match &one.what {
                    DefinedKind::Stream(definition) => judge_stream(definition, policy, known),
                    DefinedKind::Consumer(consumer) => judge_consumer(consumer, stream.as_ref(), policy),
                };
                (at, judgement)
            });
        judged.filter(|(_, judgement)| judgement.selected).collect()
    }
}

fn as_definition(stream: &Stream) -> Definition {
    Definition {
        stream: stream.name.clone(),
        metadata: stream.metadata.clone(),
        placement: stream.placement.clone(),
        replicas: stream.replicas,
        updates: true,
    }
}

/// A location as a person writes it: with a tag's prefix or without, whatever the topology's key.
pub fn location(home: &str, policy: &Policy) -> Location {
    let Some(prefix) = policy.topology.tag_prefix() else {
        return Location::from(home);
    };
    let (tag, prefix) = (home.to_lowercase(), prefix.to_lowercase());
    match (&policy.topology, tag.strip_prefix(&prefix)) {
        (TopologyKey::Cluster { .. }, Some(_)) => Location::from(home.get(prefix.len()..).unwrap_or(home)),
        (TopologyKey::Cluster { .. }, None) => Location::from(home),
        (TopologyKey::ServerTag { .. }, Some(_)) => Location::from(tag),
        (TopologyKey::ServerTag { prefix }, None) => Location::from(format!("{prefix}{tag}")),
    }
}

/// Judges each definition by one policy: of its account as far as files state it, and the first of those.
pub fn definitions(defined: &[Defined<'_>], ground: &CheckContext<'_>) -> CheckOutcome {
    let mut outcome = CheckOutcome::default();
    let streams = Streams::of(defined);
    let policies = ground.policies.iter().enumerate();
    let known: Vec<KnownSystem<'_>> = policies
        .map(|(at, loaded)| ground.known(at, &loaded.policy))
        .collect();
    let mut selecting = BTreeSet::new();
    let mut unclear: BTreeMap<BTreeSet<usize>, Vec<&Defined<'_>>> = BTreeMap::new();
    for one in defined {
        if let Some(problem) = unfilled_metadata(one, ground.policies) {
            outcome.errors.push(problem);
            continue;
        }
        let mut judged = ground.judge(one, &streams, &known);
        let positions: Vec<usize> = judged.iter().map(|(at, _)| *at).collect();
        selecting.extend(positions.iter().copied());
        let choice = account::choose(&positions, ground.policies, &one.owner);
        if !choice.unclear.is_empty() {
            unclear.entry(choice.unclear.clone()).or_default().push(one);
        }
        let chosen = judged.iter().position(|(at, _)| Some(*at) == choice.judge);
        let judgement = chosen.map(|chosen| judged.swap_remove(chosen).1);
        outcome.add(one, &choice, judgement.unwrap_or_default(), ground);
    }
    outcome.notes.extend(several_accounts(&unclear, ground.policies));
    outcome
        .notes
        .extend(super::notes::idle(ground.policies, &selecting, defined));
    outcome
}

/// A placeholder in metadata by which a policy selects.
fn unfilled_metadata(defined: &Defined<'_>, policies: &[LoadedPolicy]) -> Option<Problem> {
    let DefinedKind::Stream(definition) = &defined.what else {
        return None;
    };
    let keys = policies
        .iter()
        .flat_map(|loaded| loaded.policy.streams.metadata.keys());
    let mut values = keys.filter_map(|key| Some((key, definition.metadata.get(key)?)));
    values.find_map(|(key, value)| {
        let pointer = format!("{}/metadata/{}", defined.form.base(), escaped(key));
        let text = input::unfilled(&path(&pointer), value)?;
        Some(defined.part.problem(&pointer, text))
    })
}

fn several_accounts<'d>(
    unclear: &BTreeMap<BTreeSet<usize>, Vec<&Defined<'d>>>,
    policies: &[LoadedPolicy],
) -> Vec<String> {
    let note = |(of, defined): (&BTreeSet<usize>, &Vec<&Defined<'d>>)| {
        let names = of.iter().filter_map(|at| policies.get(*at)).map(name_of);
        let names: Vec<String> = names.collect();
        let (first, rest) = (defined.first()?, defined.len() - 1);
        let subject = match rest {
            0 => first.subject(),
            rest => format!("{} and {rest} more", first.subject()),
        };
        let judge = names.first()?;
        Some(first.part.problem("", format!(
            "{subject}: the policies {} select it and may be of different accounts, of which the files do not say which it is \
             in: judged by {judge}. Give the object the namespace of its policy, or check one account at a time",
            names.join(" and ")
        )).to_string())
    };
    unclear.iter().filter_map(note).collect()
}

impl CheckOutcome {
    /// Nothing but a note.
    pub fn with_note(note: &str) -> Self {
        Self {
            notes: vec![note.to_owned()],
            ..Self::default()
        }
    }

    /// Nothing but an error.
    pub fn with_error(error: Problem) -> Self {
        Self {
            errors: vec![error],
            ..Self::default()
        }
    }

    fn add(
        &mut self,
        defined: &Defined<'_>,
        choice: &Choice,
        judgement: DefinitionReport,
        ground: &CheckContext<'_>,
    ) {
        for undecided in judgement.undecided {
            match undecided {
                // Offline it is clear that no server was asked.
                Undecided::ServersUnknown if ground.live.is_none() => {
                    // It is put first, so only the first is compared.
                    if self.notes.first().is_none_or(|first| first != JUDGED_ALONE) {
                        self.notes.insert(0, JUDGED_ALONE.to_owned());
                    }
                }
                Undecided::HomeUnknown
                | Undecided::LocationUnknown
                | Undecided::ServersUnknown
                | Undecided::StreamUnknown => {
                    let text = format!("{}: {}", defined.subject(), undecided.explanation());
                    self.undecided.push(defined.part.problem("", text).to_string());
                }
            }
        }
        let misses = defined.misses.iter().map(|miss| {
            let text = format!("{}: {}", defined.subject(), miss.text);
            defined.part.problem(&miss.pointer, text).to_string()
        });
        self.notes.extend(misses);
        let name = |at: &usize| ground.policies.get(*at).map(name_of);
        self.checked.push(Checked {
            subject: defined.subject(),
            policy: choice.judge.as_ref().and_then(name),
            also_selected_by: choice.others.iter().filter_map(name).collect(),
            source: Some(defined.part.source("")),
            policy_source: None,
            findings: judgement
                .findings
                .iter()
                .map(|finding| found(defined, finding))
                .collect(),
        });
    }
}

fn found(defined: &Defined<'_>, finding: &DefinitionFinding) -> CheckFinding {
    let DefinitionFinding { rule, message } = finding;
    // Unknown fields that were meant as a placement.
    let misses = defined
        .misses
        .iter()
        .filter(|miss| miss.is_placement && *rule == DefinitionRule::LocationOpen);
    let text = std::iter::once(message)
        .chain(misses.map(|miss| &miss.text))
        .join("; ");
    CheckFinding {
        rule: rule.to_string(),
        message: format!("{text}. {}", rule.hint()),
        source: Some(defined.part.source(&pointer_of(defined, *rule, message))),
    }
}

/// The field that a finding is about.
fn pointer_of(defined: &Defined<'_>, rule: DefinitionRule, message: &str) -> String {
    let Defined { part, form, .. } = defined;
    let within = |field: &str| format!("{}/{field}", form.base());
    let has = |pointer: &String| part.value(pointer).is_some();
    let first_of = |fields: &[&str]| {
        let found = fields.iter().map(|field| within(field)).find(has);
        found.unwrap_or_else(|| form.name().to_owned())
    };
    match rule {
        DefinitionRule::LocationOpen => first_of(&["placement"]),
        DefinitionRule::LocationNotHome | DefinitionRule::UnknownCluster | DefinitionRule::Undone => {
            first_of(&["placement/cluster", "placement/tags", "placement"])
        }
        DefinitionRule::UnknownTag => {
            let tags = part.value(&within("placement/tags"));
            let tags = tags.and_then(|tags| tags.as_array()).into_iter().flatten();
            // The message ends with the tag.
            let at = tags
                .filter_map(|tag| tag.as_str())
                .position(|tag| message.rsplit(' ').next() == Some(tag));
            at.map_or_else(
                || within("placement/tags"),
                |at| within(&format!("placement/tags/{at}")),
            )
        }
        DefinitionRule::SinglePeer => form.replicas().to_owned(),
    }
}
