//! A stream as people keep it in files, judged under a policy: before any server has it, or beside the one that has.
//!
//! A definition's placement is interpreted as by a policy: by the topology key. Where servers are known, those that a
//! placement fits show which locations it leaves open. What cannot be decided without live clients or servers is
//! [`Undecided`], never assumed (P6). Reading files is left to callers.

mod place;
mod rule;

use std::collections::BTreeMap;

use serde::Serialize;

use self::place::PlacementMatch;
pub use self::rule::{DefinitionRule, Undecided};
use crate::names::{ConsumerName, Location, StreamName};
use crate::policy::{Policy, Strategy, opted_out};
use crate::snapshot::Placement;
use crate::topology::{Topology, TopologyKey};

/// A stream as it is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub stream: StreamName,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
    /// Its placement; an empty one is none.
    pub placement: Option<Placement>,
    /// Its replicas; 0 counts as 1.
    pub replicas: u8,
    /// Whether applying the definition changes a stream that exists already.
    pub updates: bool,
}

/// A consumer as it is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerDefinition {
    /// Its stream, if given.
    pub stream: Option<StreamName>,
    /// Its name.
    pub name: ConsumerName,
    /// Its replicas; `None` and 0 for those of its stream.
    pub replicas: Option<u8>,
    /// False for an ephemeral one.
    pub durable: bool,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
}

/// What is known besides definitions and policy.
#[derive(Clone, Debug, Default)]
pub struct KnownSystem<'a> {
    /// Where leaders belong; `None` when unknown.
    pub home: Option<Location>,
    /// The servers; `None` without a live system.
    pub topology: Option<&'a Topology>,
}

impl KnownSystem<'_> {
    /// What is known without a live system. With `home.strategy: Preferred` the first preference that is not excluded
    /// is home: it is assumed to be up. A majority of clients is decided by live clients, so it is unknown, whatever
    /// `home.onNoMajority` is.
    pub fn offline(policy: &Policy) -> Self {
        let rules = &policy.home;
        let first = || {
            let mut preferences = rules.preferences.iter();
            preferences.find(|location| !rules.exclude.contains(location))
        };
        let home = match rules.strategy {
            Strategy::Preferred => first().cloned(),
            Strategy::ClientMajority => None,
        };
        Self { home, topology: None }
    }
}

/// A policy's verdict on one definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[must_use]
pub struct DefinitionReport {
    /// Whether the policy selects it.
    pub selected: bool,
    /// Whether its owner opted it out (`leeward.dev/ignore: "true"`); then nothing is found.
    pub opted_out: bool,
    /// What is wrong, in the order of the rules.
    pub findings: Vec<DefinitionFinding>,
    /// What could not be decided.
    pub undecided: Vec<Undecided>,
}

/// One thing that is wrong with a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DefinitionFinding {
    /// Which rule found it.
    pub rule: DefinitionRule,
    /// What was found, in one sentence with the names in question.
    pub message: String,
}

/// Judges the definition of a stream.
pub fn judge_stream(definition: &Definition, policy: &Policy, known: &KnownSystem<'_>) -> DefinitionReport {
    let mut judgement = DefinitionReport {
        selected: selects(policy, definition),
        opted_out: opted_out(&definition.metadata),
        ..DefinitionReport::default()
    };
    if !judgement.selected || judgement.opted_out {
        return judgement;
    }
    let empty = Placement::default();
    let place = PlacementMatch::new(
        definition.placement.as_ref().unwrap_or(&empty),
        &policy.topology,
        known.topology,
    );
    judge_location(&mut judgement, &place, definition, policy, known);
    judge_names(&mut judgement, &place);
    judgement.findings.sort_by_key(|finding| finding.rule);
    judgement
}

fn selects(policy: &Policy, definition: &Definition) -> bool {
    let rules = &policy.streams;
    let carries = |(key, value)| definition.metadata.get(key) == Some(value);
    rules.names.selects(definition.stream.as_str()) && rules.metadata.iter().all(carries)
}

impl DefinitionReport {
    fn find(&mut self, rule: DefinitionRule, message: String) {
        self.findings.push(DefinitionFinding { rule, message });
    }
}

fn judge_location(
    judgement: &mut DefinitionReport,
    place: &PlacementMatch<'_>,
    definition: &Definition,
    policy: &Policy,
    known: &KnownSystem<'_>,
) {
    let fixed = match place.fixed() {
        Ok(fixed) => fixed,
        Err(undecided) => {
            judgement.undecided.push(undecided);
            return;
        }
    };
    if fixed.is_empty() {
        judgement.find(DefinitionRule::LocationOpen, place.open_text());
        return;
    }
    let Some(home) = &known.home else {
        judgement.undecided.push(Undecided::HomeUnknown);
        return;
    };
    let away: Vec<&str> = fixed
        .iter()
        .filter(|location| !place.same(location, home))
        .map(Location::as_str)
        .collect();
    if away.is_empty() {
        return;
    }
    let away = away.join(" and ");
    judgement.find(
        DefinitionRule::LocationNotHome,
        format!("the placement fixes {away}, and home is {home}"),
    );
    if definition.updates && policy.mode.acts() && policy.actions.stream_placement.is_some() {
        judgement.find(
            DefinitionRule::Undone,
            format!("the policy would move the stream from {away} to {home}, and whoever applies the definition would move it back"),
        );
    }
}

fn judge_names(judgement: &mut DefinitionReport, place: &PlacementMatch<'_>) {
    let unknown = match place.unknown() {
        Ok(unknown) => unknown,
        Err(undecided) => {
            judgement.undecided.push(undecided);
            return;
        }
    };
    for tag in unknown.tags {
        judgement.find(
            DefinitionRule::UnknownTag,
            format!("no server carries the placement tag {tag}"),
        );
    }
    if let Some(cluster) = unknown.cluster {
        judgement.find(
            DefinitionRule::UnknownCluster,
            format!("no server is in the cluster {cluster}"),
        );
    }
}

/// Judges the definition of a consumer beside that of its stream, whose location is not judged again. An unknown stream
/// is selected by its name alone: metadata that a policy asks for may be there.
pub fn judge_consumer(
    definition: &ConsumerDefinition,
    stream: Option<&Definition>,
    policy: &Policy,
) -> DefinitionReport {
    let of_stream = match (stream, &definition.stream) {
        (Some(stream), _) => selects(policy, stream),
        (None, Some(name)) => policy.streams.names.selects(name.as_str()),
        (None, None) => true,
    };
    let mut judgement = DefinitionReport {
        selected: of_stream && policy.consumers.selects(definition.name.as_str()),
        opted_out: opted_out(&definition.metadata)
            || stream.is_some_and(|stream| opted_out(&stream.metadata)),
        ..DefinitionReport::default()
    };
    let may_stay = matches!(policy.topology, TopologyKey::ServerTag { prefix: _ })
        && definition.replicas == Some(1)
        && definition.durable;
    if !judgement.selected || judgement.opted_out || !may_stay {
        return judgement;
    }
    match stream {
        None => judgement.undecided.push(Undecided::StreamUnknown),
        Some(stream) if stream.replicas > 1 => {
            let message = format!(
                "the consumer has 1 replica and its stream {} has {}",
                stream.stream, stream.replicas
            );
            judgement.find(DefinitionRule::SinglePeer, message);
        }
        Some(_) => {}
    }
    judgement
}

#[cfg(test)]
mod tests;
