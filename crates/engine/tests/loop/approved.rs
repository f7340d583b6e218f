//! A plan that somebody approved: nothing else is begun, and it can be taken back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use leeward_api::policy_status::PlacementPolicyStatus;
use leeward_api::vocabulary::{ActionType, ProgressingReason};
use leeward_core::names::AssetName;
use leeward_core::policy::Policy;
use leeward_core::proposal::{Proposal, ProposedAction};
use leeward_core::propose::ProposedState;
use leeward_engine::runner::RunnerInput;
use serde_json::json;

use crate::bench::{Bench, Running, input};
use crate::model::life::Reader;
use crate::worlds::{consumer_asset, policy, stream_asset, stretched_of, supercluster};

fn deciding(policy: &Arc<Policy>, approved: Proposal) -> RunnerInput {
    RunnerInput {
        approved: Some(Arc::new(approved)),
        ..input(policy, [])
    }
}

/// Step-downs towards where the clients are.
fn step_downs(assets: impl IntoIterator<Item = AssetName>) -> Proposal {
    let kind = |asset: &AssetName| match asset.consumer {
        None => ActionType::StreamStepDown,
        Some(_) => ActionType::ConsumerStepDown,
    };
    let actions = assets.into_iter().map(|asset| {
        let action = kind(&asset);
        (asset, towards("region:us-east", action))
    });
    Proposal {
        actions: actions.collect(),
    }
}

fn towards(home: &str, action: ActionType) -> ProposedAction {
    ProposedAction {
        action,
        from: None,
        to: home.into(),
    }
}

fn approving(policy: &Arc<Policy>, assets: impl IntoIterator<Item = AssetName>) -> RunnerInput {
    deciding(policy, step_downs(assets))
}

fn start(bench: &Bench, policy: &Arc<Policy>, assets: &[AssetName]) -> Running {
    let input = approving(policy, assets.iter().cloned());
    bench.start_with(input, &PlacementPolicyStatus::default())
}

fn touched(bench: &Bench) -> BTreeSet<AssetName> {
    bench.fake.writes_per_asset().into_keys().collect()
}

/// What of the account's six assets a number means, bit by bit.
fn some_of(number: usize) -> Vec<AssetName> {
    let all = (0..3).flat_map(|stream| {
        let name = format!("S{stream:02}");
        [stream_asset(&name), consumer_asset(&name, "c0")]
    });
    let chosen = all.enumerate().filter(|(bit, _)| number & (1 << bit) != 0);
    chosen.map(|(_, asset)| asset).collect()
}

#[tokio::test(start_paused = true)]
async fn p8_whatever_was_approved_nothing_else_is_ever_acted_on_and_all_of_it_is() {
    for number in 0..64 {
        let approved = some_of(number);
        let bench = Bench::new(stretched_of(3, 1));
        let running = start(&bench, &policy(json!({})), &approved);
        bench.pass(Duration::from_mins(5)).await;
        let expected: BTreeSet<AssetName> = approved.into_iter().collect();
        assert_eq!(touched(&bench), expected);
        let policy_state = running.policy_state();
        assert_eq!((policy_state.operations.len(), policy_state.waiting), (0, 0));
        let findings = policy_state.report.findings.iter();
        let outside_home = findings.filter(|finding| finding.stream.is_some()).count();
        assert_eq!(outside_home, 6 - expected.len(), "they are reported as before");
    }
}

#[tokio::test(start_paused = true)]
async fn p8_what_was_approved_is_not_done_towards_another_home_nor_by_another_deed() {
    let stream = stream_asset("S00");
    let elsewhere = towards("region:eu-west", ActionType::StreamStepDown);
    let nowhere = towards("region:ap-south", ActionType::StreamStepDown);
    let otherwise = towards("region:us-east", ActionType::StreamPlacement);
    for approved in [elsewhere, nowhere, otherwise] {
        let approved = Proposal {
            actions: [(stream.clone(), approved)].into(),
        };
        let bench = Bench::new(stretched_of(1, 0));
        let input = deciding(&policy(json!({})), approved);
        let running = bench.start_with(input, &PlacementPolicyStatus::default());
        bench.pass(Duration::from_mins(5)).await;
        assert_eq!(touched(&bench), BTreeSet::new());
        assert_eq!(running.policy_state().waiting, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_approved_takes_nothing_from_a_budget() {
    let bench = Bench::new(stretched_of(5, 0));
    let policy = policy(json!({"disruption": {"budgets": [{"name": "few", "max": 1, "per": "1h"}]}}));
    let last = stream_asset("S04");
    let _running = start(&bench, &policy, std::slice::from_ref(&last));
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(touched(&bench), BTreeSet::from([last]));
}

#[tokio::test(start_paused = true)]
async fn p8_an_approval_that_is_taken_back_lets_what_is_in_flight_end_and_nothing_begin() {
    for step in 0..20 {
        let bench = Bench::new(stretched_of(10, 0));
        let policy = policy(json!({"disruption": {"maxConcurrent": 2}}));
        let all: Vec<AssetName> = (0..10)
            .map(|number| stream_asset(&format!("S{number:02}")))
            .collect();
        let running = start(&bench, &policy, &all);
        bench.written(2).await;
        // Some of these moments are those in which an operation ends and its place becomes free.
        bench.pass(Duration::from_millis(step * 5)).await;
        running.runner.update(approving(&policy, []));
        let begun: BTreeSet<AssetName> = {
            let underway = running.runner.underway();
            let underway = underway.borrow();
            let in_flight = underway.iter().map(|operation| operation.action.asset.clone());
            touched(&bench).into_iter().chain(in_flight).collect()
        };
        let policy_state = running
            .until("nothing is in flight", |policy_state| {
                policy_state.operations.is_empty() && policy_state.waiting == 0
            })
            .await;
        assert_eq!(
            policy_state.recent_actions.len(),
            begun.len(),
            "each has a result"
        );
        bench.pass(Duration::from_mins(5)).await;
        assert_eq!(touched(&bench), begun, "after {step} steps");
        assert!(begun.len() < 10);
    }
}

#[tokio::test(start_paused = true)]
async fn streams_that_read_a_stream_whose_move_was_approved_are_looked_after() {
    let mut truth = supercluster(&["S00", "S01"], 0);
    truth.streams[1].upstreams = vec!["S00".into()];
    let bench = Bench::new(truth);
    let reader = Reader::of("S00");
    bench.fake.state().life.readers.insert("S01".into(), reader);
    let moved = stream_asset("S00");
    let approved = Proposal {
        actions: [(moved.clone(), towards("us-east", ActionType::StreamPlacement))].into(),
    };
    let input = deciding(&policy(json!({"topology": {"key": "Cluster"}})), approved);
    let running = bench.start_with(input, &PlacementPolicyStatus::default());
    running.until_ended(2).await;
    bench.pass(Duration::from_mins(10)).await;
    let dependent = stream_asset("S01");
    assert_eq!(touched(&bench), BTreeSet::from([moved, dependent.clone()]));
    let writes = bench.fake.state().writes.clone();
    let of_dependent = writes.iter().find(|write| write.asset == dependent).unwrap();
    assert!(
        of_dependent.successor.is_some(),
        "it steps down, and does not move"
    );
}

#[tokio::test(start_paused = true)]
async fn p8_a_policy_that_proposes_begins_nothing_that_nobody_approved_whatever_its_caller_forgot() {
    let policy = policy(json!({"mode": "Propose"}));
    let bench = Bench::new(stretched_of(3, 1));
    // No word of approvals at all.
    let running = bench.start(&policy);
    bench.pass(Duration::from_mins(5)).await;
    assert!(touched(&bench).is_empty());
    let policy_state = running.policy_state();
    assert_eq!(policy_state.progressing.0, ProgressingReason::AwaitingApproval);
    let look = policy_state.proposed.clone().unwrap();
    assert_eq!(look.proposal.actions.len(), 6);
    // And then all of it.
    running.runner.update(deciding(&policy, look.proposal.clone()));
    running.until_home().await;
    let look = running.policy_state().proposed.clone().unwrap();
    assert!(look.states.values().all(|state| *state == ProposedState::Done));
    assert!(look.proposal.actions.is_empty());
}
