//! Definitions and live assets → what was checked. Pure.

use std::collections::{BTreeMap, BTreeSet};

use leeward_api::policy_status::Finding;
use leeward_core::definition::{
    Definition, DefinitionFinding, DefinitionRule, Judgement, Known, Undecided, judge_consumer, judge_stream,
};
use leeward_core::demand::Home;
use leeward_core::names::{Location, StreamName};
use leeward_core::policy::Policy;
use leeward_core::snapshot::Stream;
use leeward_core::topology::{LocationMap, TopologyKey};

use super::definitions::{Defined, Form, What, of_stream};
use super::rules;
use crate::document::{About, CheckFinding, Checked, Source};
use crate::judge::{Judged, name_of};
use crate::look::Seen;
use crate::policies::{Given, Origin};

/// What was checked, and what could not be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// All that was.
    pub checked: Vec<Checked>,
    /// What was not, and why.
    pub undecided: Vec<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

/// What definitions are judged against.
#[derive(Debug)]
pub struct Ground<'a> {
    /// By rank.
    pub policies: &'a [Given],
    /// A live system, with every policy's judgement in the same order.
    pub live: Option<(&'a Seen, &'a [Judged<'a>])>,
    /// The home that was given.
    pub home: Option<&'a str>,
}

impl Ground<'_> {
    fn known(&self, at: usize, policy: &Policy) -> Known<'_> {
        let mut known = match self.live {
            None => Known::offline(policy),
            Some((seen, judged)) => Known {
                home: judged
                    .get(at)
                    .and_then(|judged| judged.evaluation.home.as_ref())
                    .and_then(Home::reference)
                    .cloned(),
                topology: Some(&seen.view.topology),
            },
        };
        if let Some(home) = self.home {
            known.home = Some(location(home, policy));
        }
        known
    }

    /// A stream by name: as it is defined, else as it is.
    fn stream(&self, name: &StreamName, defined: &[Defined<'_>]) -> Option<Definition> {
        let among_files = defined.iter().find_map(|defined| match &defined.what {
            What::Stream(definition) if definition.stream == *name => Some(definition.clone()),
            What::Stream(_) | What::Consumer { .. } => None,
        });
        let live = || {
            let (seen, _) = self.live?;
            let stream = seen.view.streams.iter().find(|stream| stream.name == *name)?;
            Some(as_definition(stream))
        };
        among_files.or_else(live)
    }
}

fn as_definition(stream: &Stream) -> Definition {
    Definition {
        stream: stream.name.clone(),
        metadata: stream.metadata.clone(),
        placement: stream.placement.clone(),
        replicas: stream.replicas,
    }
}

/// A location as a person writes it; a tag's prefix may be left out.
fn location(home: &str, policy: &Policy) -> Location {
    match &policy.topology {
        TopologyKey::Cluster { tag_prefix: _ } => Location::from(home),
        TopologyKey::ServerTag { prefix } => {
            let tag = home.to_lowercase();
            match tag.strip_prefix(prefix.as_str()) {
                Some(_) => Location::from(tag),
                None => Location::from(format!("{prefix}{tag}")),
            }
        }
    }
}

/// Judges every definition by the first policy that selects it.
pub fn definitions(defined: &[Defined<'_>], ground: &Ground<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    for one in defined {
        let judged = match &one.what {
            What::Stream(definition) => first(ground, |at, policy| {
                judge_stream(definition, policy, &ground.known(at, policy))
            }),
            What::Consumer {
                stream,
                name,
                replicas,
                metadata,
            } => match stream.as_ref().and_then(|stream| ground.stream(stream, defined)) {
                None => {
                    outcome.undecided.push(without_stream(one));
                    continue;
                }
                Some(stream) => {
                    let consumer = of_stream(&stream, name.as_ref(), *replicas, metadata);
                    first(ground, |_, policy| judge_consumer(&consumer, &stream, policy))
                }
            },
        };
        outcome.add(one, judged, ground.live.is_some());
    }
    outcome
}

fn without_stream(defined: &Defined<'_>) -> String {
    let text = format!(
        "{}: its stream is not known: define it in the files as well",
        defined.subject()
    );
    defined.part.problem("", text).to_string()
}

fn first<'g>(
    ground: &Ground<'g>,
    judge: impl Fn(usize, &Policy) -> Judgement,
) -> Option<(&'g Given, Judgement)> {
    let judged = ground.policies.iter().enumerate();
    let mut judged = judged.map(|(at, given)| (given, judge(at, &given.policy)));
    judged.find(|(_, judgement)| judgement.selected)
}

impl Outcome {
    fn add(&mut self, defined: &Defined<'_>, judged: Option<(&Given, Judgement)>, is_live: bool) {
        let (policy, judgement) = match judged {
            Some((given, judgement)) => (Some(name_of(given)), judgement),
            None => (None, Judgement::default()),
        };
        let Judgement {
            selected: _,
            opted_out: _,
            findings,
            undecided,
        } = judgement;
        for undecided in undecided {
            match undecided {
                // Who looks at files alone knows that no server was asked.
                Undecided::ServersUnknown if !is_live => {
                    let note =
                        "the files were judged alone: their clusters and tags were not looked up".to_owned();
                    if !self.notes.contains(&note) {
                        self.notes.push(note);
                    }
                }
                Undecided::HomeUnknown | Undecided::LocationUnknown | Undecided::ServersUnknown => {
                    let text = format!("{}: {}", defined.subject(), undecided.explanation());
                    self.undecided.push(defined.part.problem("", text).to_string());
                }
            }
        }
        self.checked.push(Checked {
            subject: defined.subject(),
            policy,
            source: Some(defined.part.source("")),
            policy_source: None,
            findings: findings.iter().map(|finding| found(defined, finding)).collect(),
        });
    }
}

fn found(defined: &Defined<'_>, finding: &DefinitionFinding) -> CheckFinding {
    let DefinitionFinding { rule, message } = finding;
    CheckFinding {
        rule: rule.to_string(),
        message: format!("{message}. {}", rule.cure()),
        source: Some(defined.part.source(&pointer_of(defined, *rule, message))),
    }
}

/// The field that a finding is about.
fn pointer_of(defined: &Defined<'_>, rule: DefinitionRule, message: &str) -> String {
    let Defined { part, form, what: _ } = defined;
    let within = |field: &str| format!("{}/{field}", form.base());
    let has = |pointer: &String| part.value(pointer).is_some();
    let location = [
        within("placement/cluster"),
        within("placement/tags"),
        within("placement"),
    ];
    match rule {
        DefinitionRule::LocationOpen => {
            let placement = within("placement");
            if has(&placement) {
                placement
            } else {
                name_of_form(*form)
            }
        }
        DefinitionRule::LocationNotHome | DefinitionRule::UnknownCluster | DefinitionRule::Undone => {
            let known = location.into_iter().find(has);
            known.unwrap_or_else(|| name_of_form(*form))
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

fn name_of_form(form: Form) -> String {
    form.name().to_owned()
}

/// Every selected asset of a live system, judged by the first policy that selects it.
pub fn assets(seen: &Seen, judged: &[Judged<'_>]) -> Outcome {
    let mut outcome = Outcome {
        undecided: unseen(judged).into_iter().chain(homeless(judged)).collect(),
        ..Outcome::default()
    };
    let findings: Vec<BTreeMap<(String, Option<String>), CheckFinding>> =
        judged.iter().map(misplaced).collect();
    let mut check = |at: Option<usize>, stream: &Stream, consumer: Option<&str>| {
        let (Some(at), Some(of)) = (at, at.and_then(|at| findings.get(at))) else {
            return;
        };
        let key = (stream.name.to_string(), consumer.map(str::to_owned));
        let subject = match consumer {
            None => format!("Stream {}", stream.name),
            Some(consumer) => format!("Consumer {}/{consumer}", stream.name),
        };
        outcome.checked.push(Checked {
            subject,
            policy: judged.get(at).map(|judged| name_of(judged.given)),
            source: None,
            policy_source: judged.get(at).and_then(|judged| written_in(judged.given)),
            findings: of.get(&key).cloned().into_iter().collect(),
        });
    };
    for stream in &seen.view.streams {
        let selecting = judged
            .iter()
            .position(|judged| judged.policy.streams.selects(stream));
        check(selecting, stream, None);
        for consumer in stream.consumers.iter().filter(|consumer| consumer.durable) {
            let selecting = judged.iter().position(|judged| {
                judged.policy.streams.selects(stream) && judged.policy.selects_consumer(consumer)
            });
            check(selecting, stream, Some(consumer.name.as_str()));
        }
    }
    outcome
}

/// What could not be seen of a live system, by policy.
pub fn unseen(judged: &[Judged<'_>]) -> Vec<String> {
    let inconclusive = judged.iter().filter(|judged| !judged.evaluation.conclusive());
    let text = |judged: &Judged<'_>| {
        let About { policy, observed, .. } = judged.about();
        format!("policy {policy}: {}: {}", observed.reason, observed.message)
    };
    inconclusive.map(text).collect()
}

/// Why assets that were seen cannot be judged, by policy.
fn homeless(judged: &[Judged<'_>]) -> impl Iterator<Item = String> {
    let homeless = judged.iter().filter(|judged| judged.home_is_missing());
    homeless.map(|judged| {
        let (reason, message) = &judged.report.in_place;
        format!("policy {}: {reason}: {message}", name_of(judged.given))
    })
}

/// Where a policy is written, if that is a file; standard input has no name to point at.
fn written_in(given: &Given) -> Option<Source> {
    match &given.origin {
        Origin::File { path, line } if path != "-" => Some(Source {
            file: path.clone(),
            line: *line,
            column: 1,
        }),
        Origin::File { .. } | Origin::Defaults | Origin::Kubernetes => None,
    }
}

fn misplaced(judged: &Judged<'_>) -> BTreeMap<(String, Option<String>), CheckFinding> {
    let home = judged.evaluation.home.as_ref().and_then(Home::reference);
    let findings = judged.report.findings.iter();
    let findings = findings.filter(|finding| rules::ASSETS.contains(&finding.check));
    findings
        .filter_map(|finding| {
            Some((
                (finding.stream.clone()?, finding.consumer.clone()),
                live_finding(finding, home),
            ))
        })
        .collect()
}

fn live_finding(finding: &Finding, home: Option<&Location>) -> CheckFinding {
    let led = match finding.location.as_ref().or(finding.leader.as_ref()) {
        Some(from) => format!("led from {from}"),
        None => "has no leader".to_owned(),
    };
    let home = home.map_or_else(
        || "home is not known".to_owned(),
        |home| format!("home is {home}"),
    );
    CheckFinding {
        rule: finding.check.to_string(),
        message: format!("{led}, {home}: {}", finding.message),
        source: None,
    }
}

/// Refuses a home that was given and that no server is in, where all servers are known.
pub fn refuse_unknown_home(home: &str, seen: &Seen, policies: &[Given]) -> anyhow::Result<()> {
    let topology = &seen.view.topology;
    let all_known = topology.servers().iter().all(|server| server.details.is_some());
    if !all_known || !seen.view.gaps.is_empty() {
        return Ok(());
    }
    let mut there: BTreeSet<Location> = BTreeSet::new();
    for given in policies {
        let map = LocationMap::new(topology, &given.policy.topology);
        if map.locations().contains(&location(home, &given.policy)) {
            return Ok(());
        }
        there.extend(map.locations().iter().cloned());
    }
    let there: Vec<&str> = there.iter().map(Location::as_str).collect();
    anyhow::bail!(
        "--home {home} is not a location of the system: it has {}",
        if there.is_empty() {
            "none".to_owned()
        } else {
            there.join(", ")
        }
    );
}
