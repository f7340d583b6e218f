//! Assets of a live system → what was checked. Pure.

use std::collections::{BTreeMap, BTreeSet};

use itertools::Itertools as _;
use leeward_api::policy_status::Finding;
use leeward_core::names::Location;
use leeward_core::snapshot::Stream;
use leeward_core::topology::LocationMap;

use super::judged::{CheckOutcome, location};
use super::rules;
use crate::document::{CheckFinding, Checked, DefinitionSource, DocumentHeader};
use crate::judge::Assessment;
use crate::loaded_policy::{LoadedPolicy, PolicyOrigin, name_of};
use crate::look::Looked;

/// Every selected asset of a live system, judged by the first policy that selects it.
pub fn judged(seen: &Looked, judged: &[Assessment<'_>]) -> CheckOutcome {
    let mut outcome = CheckOutcome {
        undecided: unseen(judged).into_iter().chain(homeless(judged)).collect(),
        ..CheckOutcome::default()
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
            policy: judged.get(at).map(|judged| name_of(judged.loaded)),
            also_selected_by: Vec::new(),
            source: None,
            policy_source: judged.get(at).and_then(|judged| written_in(judged.loaded)),
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
pub fn unseen(judged: &[Assessment<'_>]) -> Vec<String> {
    let inconclusive = judged
        .iter()
        .filter(|judged| !judged.decision.evaluation.conclusive());
    let text = |judged: &Assessment<'_>| {
        let DocumentHeader { policy, observed, .. } = judged.about();
        format!("policy {policy}: {}: {}", observed.reason, observed.message)
    };
    inconclusive.map(text).collect()
}

/// Why assets that were seen cannot be judged, by policy.
fn homeless(judged: &[Assessment<'_>]) -> impl Iterator<Item = String> {
    let homeless = judged.iter().filter(|judged| judged.home_is_missing());
    homeless.map(|judged| {
        let (reason, message) = &judged.report.in_place;
        format!("policy {}: {reason}: {message}", name_of(judged.loaded))
    })
}

/// Where a policy is written, if that is a file; standard input has no name to point at.
fn written_in(loaded: &LoadedPolicy) -> Option<DefinitionSource> {
    match &loaded.origin {
        PolicyOrigin::File { path, line } if path != "-" => Some(DefinitionSource {
            file: path.clone(),
            line: *line,
            column: 1,
        }),
        PolicyOrigin::File { .. } | PolicyOrigin::Defaults | PolicyOrigin::Kubernetes => None,
    }
}

fn misplaced(judged: &Assessment<'_>) -> BTreeMap<(String, Option<String>), CheckFinding> {
    let home = judged.decision.evaluation.homes.account_location();
    let findings = judged.report.findings.iter();
    let findings = findings.filter(|finding| rules::ASSETS.contains(&finding.check));
    findings
        .filter_map(|finding| {
            let asset = (finding.stream.clone()?, finding.consumer.clone());
            Some((asset, live_finding(finding, home)))
        })
        .collect()
}

fn live_finding(finding: &Finding, home: Option<&Location>) -> CheckFinding {
    let led = match finding.location.as_ref().or(finding.leader.as_ref()) {
        Some(from) => format!("led from {from}"),
        None => "has no leader".to_owned(),
    };
    let home = finding.home.as_deref().or(home.map(Location::as_str));
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

/// Refuses a given home that has no server, where all servers are known.
pub fn refuse_unknown_home(home: &str, seen: &Looked, policies: &[LoadedPolicy]) -> anyhow::Result<()> {
    let topology = &seen.view.topology;
    let all_known = topology.servers().iter().all(|server| server.details.is_some());
    if !all_known || !seen.view.gaps.is_empty() {
        return Ok(());
    }
    let mut there: BTreeSet<Location> = BTreeSet::new();
    for loaded in policies {
        let map = LocationMap::new(topology, &loaded.policy.topology);
        if map.locations().contains(&location(home, &loaded.policy)) {
            return Ok(());
        }
        there.extend(map.locations().iter().cloned());
    }
    let there = match there.iter().join(", ") {
        none if none.is_empty() => "none".to_owned(),
        there => there,
    };
    anyhow::bail!("--home {home} is not a location of the system: it has {there}");
}
