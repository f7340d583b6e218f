//! Text scenarios → findings, plan and report as text. Every scenario also shows what is planned once its plan was
//! carried out: nothing, but for what waited for others (P2).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use leeward_api::vocabulary::{ClearedBy, FindingReason, ReasonClass, Remedy};
use leeward_core::action::{Action, ActionKind, Plan, Successor};
use leeward_core::asset::asset_name;
use leeward_core::evaluate::{Evaluation, Verdict, evaluate};
use leeward_core::names::AssetName;
use leeward_core::plan::plan;
use leeward_core::report::report;
use strum::IntoEnumIterator as _;

use crate::carry_out::carry_out;
use crate::worlds::World;

#[test]
#[expect(clippy::disallowed_methods, reason = "scenarios are files")]
fn every_scenario_is_decided_as_written_and_planning_again_changes_nothing() {
    insta::glob!("scenarios/*.txt", |path| {
        let text = std::fs::read_to_string(path).unwrap();
        let mut world = World::parse(&text);
        let mut said = decide(&world);
        let (evaluation, mut planned) = plan_of(&world);
        world
            .history
            .settle(evaluation.home_history, evaluation.asset_homes);
        loop {
            let waited = waiting(&world, &planned);
            carry_out(&mut world.view, &planned);
            planned = plan_of(&world).1;
            let _ = writeln!(said, "planning again: {} actions", planned.actions.len());
            if planned.actions.is_empty() {
                break;
            }
            for action in &planned.actions {
                let _ = writeln!(
                    said,
                    "then: {} from {}: {}",
                    action.asset,
                    action.from,
                    deed(action)
                );
                let waited = waited.contains(&action.asset.stream);
                assert!(waited, "{}: P2: {action:?}", path.display());
            }
        }
        insta::with_settings!({ description => text, omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(said);
        });
    });
}

/// Every reason that evaluation may hold a finding by; limits decide later, and answers are compared before a request.
#[test]
#[expect(clippy::disallowed_methods, reason = "scenarios are files")]
fn every_reason_of_an_evaluation_is_in_a_scenario() {
    let elsewhere = |reason: FindingReason| {
        let is_limit = reason.behavior().cleared_by == ClearedBy::Limits;
        is_limit || reason.class() == ReasonClass::Fine || reason == FindingReason::AnswersDiffer
    };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/decisions/snapshots");
    let texts: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    for reason in FindingReason::iter().filter(|reason| !elsewhere(*reason)) {
        let word = reason.to_string();
        assert!(
            texts.iter().any(|text| text.contains(&word)),
            "no scenario is held by {word}"
        );
    }
}

/// Streams that a plan does not act on, or not on all of, only for the sake of others.
fn waiting(world: &World, planned: &Plan) -> BTreeSet<leeward_core::names::StreamName> {
    let names = planned
        .held
        .keys()
        .filter_map(|asset| asset_name(&world.view, *asset));
    names.map(|asset: AssetName| asset.stream).collect()
}

fn plan_of(world: &World) -> (Evaluation, Plan) {
    let context = world.context();
    let mut evaluation = evaluate(&context);
    let plan = plan(&context, &evaluation);
    evaluation.hold(&plan.held);
    (evaluation, plan)
}

fn decide(world: &World) -> String {
    let (evaluation, planned) = plan_of(world);
    let report = report(&world.context(), &evaluation, &[]);
    let mut said = String::new();
    let _ = writeln!(said, "observed: {} - {}", report.observed.0, report.observed.1);
    let _ = match &report.home {
        Some(home) => writeln!(
            said,
            "home: {} {} % of {} connections{}",
            home.location,
            home.percent,
            evaluation.tally.total.connections,
            if home.stable { "" } else { ", not stable" }
        ),
        None => writeln!(said, "home: none"),
    };
    let _ = writeln!(said, "in place: {} - {}", report.in_place.0, report.in_place.1);
    let _ = writeln!(said, "streams: {}", counts(&report.streams));
    let _ = writeln!(said, "consumers: {}", counts(&report.consumers));
    for finding in &evaluation.findings {
        let asset = asset_name(&world.view, finding.asset).unwrap();
        let verdict = match finding.verdict {
            Verdict::InPlace => "in place".to_owned(),
            Verdict::Ignored(reason) => format!("ignored {reason}"),
            Verdict::Misplaced(remedy) => format!("misplaced, cure {}", cure(remedy)),
            Verdict::Held(_, reason) => format!("held {reason}"),
        };
        let _ = writeln!(said, "finding: {asset}: {verdict}");
    }
    for finding in &report.findings {
        let subject = match (&finding.stream, &finding.consumer, &finding.location) {
            (Some(stream), Some(consumer), _) => format!("{stream}/{consumer}"),
            (Some(stream), None, _) => stream.clone(),
            (None, _, Some(location)) => location.clone(),
            (None, _, None) => "account".to_owned(),
        };
        let _ = writeln!(said, "says: {} {subject}: {}", finding.check, finding.message);
    }
    for advice in &report.advice {
        let _ = writeln!(said, "advice: {} {}", advice.kind, advice.message);
    }
    for (number, action) in planned.actions.iter().enumerate() {
        let _ = writeln!(
            said,
            "plan {}: {} from {}: {}",
            number + 1,
            action.asset,
            action.from,
            deed(action)
        );
    }
    said
}

fn cure(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::StreamStepDown | Remedy::ConsumerStepDown => "StepDown",
        Remedy::ConsumerEvacuation => "Evacuate",
        Remedy::StreamPlacement => "Move",
        Remedy::FollowsStream => "FollowStream",
        Remedy::Advice => "Advice",
    }
}

fn deed(action: &Action) -> String {
    let moving = match &action.kind {
        ActionKind::StepDown(step_down) => {
            return match &step_down.successor {
                Successor::Peer(server) => format!("step down, {server} takes over"),
                Successor::Anyone => "step down, anyone takes over".to_owned(),
                Successor::OtherServer => {
                    format!("evacuate, until one of {} leads", listed(&step_down.home_peers))
                }
            };
        }
        ActionKind::Move(moving) => moving,
    };
    let target = &moving.target;
    let placement = serde_json::to_string(&target.placement).unwrap();
    let mut text = format!("move to {}: {placement}", target.location);
    if target.is_repair() {
        text.push_str(" (repair)");
    }
    if !moving.consumers.is_empty() {
        let _ = write!(text, ", watches {}", listed(&moving.consumers));
    }
    if !moving.dependents.is_empty() {
        let _ = write!(text, ", read by {}", listed(&moving.dependents));
    }
    text
}

fn listed<T: ToString>(names: &[T]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.join(" ")
}

fn counts(counts: &leeward_api::policy_status::AssetCounts) -> String {
    format!(
        "{} total, {} in place, {} misplaced, {} held, {} ignored",
        counts.total, counts.in_place, counts.misplaced, counts.held, counts.ignored
    )
}
