use insta::assert_snapshot;
use leeward_core::names::AssetName;
use leeward_core::proposal::Proposal;
use serde_json::json;

use super::super::*;
use super::*;
use crate::document::ApplyDocument;
use crate::judge::fixtures::{free, judged, loaded, orders, seen};
use crate::look::Looked;
use crate::output::Screen;

const SCREEN: Screen = Screen {
    width: 100,
    colour: false,
};

/// A plan as it is written, with the change made to it before it is read again.
fn saved(plan: &PlanDocument, change: impl Fn(&mut serde_json::Value)) -> anyhow::Result<SavedPlan> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.json");
    let mut written = serde_json::to_value(plan).unwrap();
    change(&mut written);
    std::fs::write(&path, written.to_string()).unwrap();
    SavedPlan::read(&path)
}

#[test]
fn a_saved_plan_approves_just_what_it_proposes() {
    let (mut loaded, seen) = (loaded("orders", free()), seen(orders()));
    let first = judged(&loaded, &seen);
    let plan = plan_of(std::slice::from_ref(&first));
    let proposal = first.proposal();
    assert!(!proposal.actions.is_empty());
    drop(first);
    let approved = saved(&plan, |_| {}).unwrap();
    approved.approve(std::slice::from_mut(&mut loaded)).unwrap();
    assert_eq!(loaded.approved.as_ref(), Some(&proposal));
    let again = judged(&loaded, &seen);
    approved.require_account(std::slice::from_ref(&again)).unwrap();
    let wanted: Vec<_> = now(&again).iter().map(|action| action.asset.clone()).collect();
    assert_eq!(
        approval(&again).actions.keys().cloned().collect::<Vec<_>>(),
        wanted
    );
    assert_eq!(approval(&again), proposal);
    assert_eq!(again.loaded.approved_id, plan.plans[0].id);
    drop(again);
    loaded.approved = Some(Proposal::default());
    let nothing = judged(&loaded, &seen);
    assert!(now(&nothing).is_empty(), "what is not in the plan is not done");
}

#[test]
fn a_plan_that_was_edited_or_is_of_something_else_is_refused() {
    let (loaded, seen) = (loaded("orders", free()), seen(orders()));
    let judged = judged(&loaded, &seen);
    let plan = plan_of(std::slice::from_ref(&judged));
    let refused = |change: fn(&mut serde_json::Value)| format!("{:#}", saved(&plan, change).unwrap_err());
    let another_stream = refused(|plan| plan["plans"][0]["proposed"][0]["stream"] = json!("OTHER"));
    assert!(
        another_stream.contains("was changed after it was made"),
        "{another_stream}"
    );
    let another_account = refused(|plan| plan["plans"][0]["account"]["id"] = json!("B"));
    assert!(another_account.contains("was changed"), "{another_account}");
    let nothing = refused(|plan| plan["plans"][0]["proposed"] = json!([]));
    assert!(nothing.contains("proposes has none"), "{nothing}");
    let report = refused(|plan| *plan = json!({"time": "2026-01-01T12:00:00Z", "reports": []}));
    assert!(report.contains("leeward plan -o json"), "{report}");
    let missing = SavedPlan::read(std::path::Path::new("/nowhere/plan.json")).unwrap_err();
    assert!(
        format!("{missing:#}").contains("/nowhere/plan.json cannot be read"),
        "{missing:#}"
    );
    let mut other = [crate::judge::fixtures::loaded("mail", free())];
    let approved = saved(&plan, |_| {}).unwrap();
    let wrong = approved.approve(&mut other).unwrap_err().to_string();
    assert!(wrong.contains("orders") && wrong.contains("mail"), "{wrong}");
    let mut elsewhere = seen.clone();
    elsewhere.account.id = "B".into();
    let elsewhere = crate::judge::fixtures::judged(&loaded, &elsewhere);
    let wrong = approved
        .require_account(std::slice::from_ref(&elsewhere))
        .unwrap_err();
    assert!(wrong.to_string().contains("account B"), "{wrong}");
}

#[test]
fn what_of_a_saved_plan_is_not_begun_is_shown_with_its_reason() {
    let (mut loaded, seen) = (loaded("orders", free()), seen(orders()));
    let mut proposal = judged(&loaded, &seen).proposal();
    let some = proposal.actions.values().next().unwrap().clone();
    let away = ProposedAction {
        to: "ap-south".into(),
        ..some.clone()
    };
    proposal.actions.insert(AssetName::of("GONE", None), some.clone());
    proposal.actions.insert(AssetName::of("PAYMENTS", None), away);
    loaded.approved = Some(proposal);
    let judged = judged(&loaded, &seen);
    let document = untouched(std::slice::from_ref(&judged));
    assert_snapshot!(table::render(&document, SCREEN));
    assert_eq!(
        found_of_plan(std::slice::from_ref(&judged), LookOutcome::Findings),
        LookOutcome::Findings
    );
    let text = crate::output::json(&document).unwrap();
    assert_eq!(serde_json::from_str::<ApplyDocument>(&text).unwrap(), document);
}

#[test]
fn a_plan_of_which_all_is_done_ends_well_whatever_else_is_misplaced() {
    let (mut loaded, mut seen) = (loaded("orders", free()), seen(orders()));
    let mut proposal = judged(&loaded, &seen).proposal();
    let orders = AssetName::of("ORDERS", None);
    proposal.actions.retain(|asset, _| *asset == orders);
    loaded.approved = Some(proposal);
    let found = |seen: &Looked| {
        let judged = judged(&loaded, seen);
        let all = std::slice::from_ref(&judged);
        let of = |found| found_of_plan(all, found);
        (of(LookOutcome::Findings), of(LookOutcome::Incomplete))
    };
    assert_eq!(found(&seen), (LookOutcome::Findings, LookOutcome::Incomplete));
    let mut view = (*seen.view).clone();
    let home = view.topology.find("us-east-0");
    view.streams
        .iter_mut()
        .find(|one| one.name == orders.stream)
        .unwrap()
        .group
        .leader = home;
    seen.view = Arc::new(view);
    assert_eq!(found(&seen), (LookOutcome::InPlace, LookOutcome::Incomplete));
}
