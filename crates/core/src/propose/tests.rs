use serde_json::{Value, json};

use super::*;
use crate::evaluate::evaluate;
use crate::fixtures::{
    at, clients, consumer, context, group, policy, regional_policy, server, stream, stretched, supercluster,
    view,
};
use crate::history::History;
use crate::names::AccountId;
use crate::policy::Policy;
use crate::snapshot::{AccountView, Gap};
use crate::topology::ServerIx;

/// Stream A and its consumer c are led from eu-west, stream B from home, us-east.
fn abroad() -> AccountView {
    let topology = stretched();
    let mut away = stream(&topology, "A", &["n-3", "n-0", "n-1"]);
    away.consumers = vec![consumer(&topology, "c", &["n-4", "n-0", "n-1"])];
    let at_home = stream(&topology, "B", &["n-0", "n-1", "n-3"]);
    view(topology, vec![clients(ServerIx(0), 9)], vec![away, at_home])
}

fn proposed(view: &AccountView, policy: &Policy) -> Proposal {
    let history = History::default();
    let context = context(view, policy, &history, at(0));
    propose(&context, &evaluate(&context))
}

/// What became of the only action on stream A, which was proposed in [`abroad`].
fn became(view: &AccountView, changes: &Value) -> ProposedState {
    let stream_a = AssetName::of("A", None);
    let mut proposal = proposed(&abroad(), &regional_policy(&json!({})));
    proposal.actions.retain(|asset, _| *asset == stream_a);
    let (policy, history) = (regional_policy(changes), History::default());
    let context = context(view, &policy, &history, at(0));
    states(&proposal, &context, &evaluate(&context))[&stream_a]
}

fn id(proposal: &Proposal) -> String {
    proposal
        .id("payments/orders", &AccountId::from("A"), &[])
        .unwrap()
}

#[test]
fn each_asset_that_an_action_of_its_own_brings_home_is_proposed() {
    let proposal = proposed(&abroad(), &regional_policy(&json!({})));
    let of = |action| ProposedAction {
        action,
        from: Some("region:eu-west".into()),
        to: "region:us-east".into(),
    };
    let expected = [
        (AssetName::of("A", None), of(ActionType::StreamStepDown)),
        (AssetName::of("A", Some("c")), of(ActionType::ConsumerStepDown)),
    ];
    assert_eq!(proposal.actions, expected.into());
}

#[test]
fn consumers_that_come_along_with_their_stream_are_not_proposed() {
    let topology = supercluster();
    let away = ["eu-west-0", "eu-west-1", "eu-west-2"];
    let mut moved = stream(&topology, "A", &away);
    moved.consumers = vec![consumer(&topology, "c", &away)];
    let home = topology.find("us-east-0").unwrap();
    let view = view(topology, vec![clients(home, 9)], vec![moved]);
    let policy = policy(json!({"mode": "Enforce", "home": {"stabilizationWindow": "0s"}}));
    let proposal = proposed(&view, &policy);
    let actions: Vec<_> = proposal
        .actions
        .iter()
        .map(|(asset, one)| (asset.clone(), one.action))
        .collect();
    assert_eq!(actions, [(AssetName::of("A", None), ActionType::StreamPlacement)]);
}

#[test]
fn what_only_waits_is_proposed_and_what_a_person_stands_against_is_not() {
    let plain = proposed(&abroad(), &regional_policy(&json!({})));
    let closed =
        json!({"disruption": {"windows": [{"kind": "Deny", "schedule": "* * * * *", "duration": "1h"}]}});
    assert_eq!(proposed(&abroad(), &regional_policy(&closed)), plain);
    let mut lagging = abroad();
    for peer in &mut lagging.streams[0].group.peers {
        peer.lag = 5;
    }
    assert_eq!(proposed(&lagging, &regional_policy(&json!({}))), plain);
    let disabled = json!({"actions": {"streamStepDown": {"enabled": false}}});
    let without = proposed(&abroad(), &regional_policy(&disabled));
    assert_eq!(
        without.actions.keys().collect::<Vec<_>>(),
        [&AssetName::of("A", Some("c"))]
    );
}

#[test]
fn p6_nothing_is_proposed_where_not_everything_was_seen_or_home_is_not_settled() {
    let mut partly = abroad();
    partly.gaps = vec![Gap::WarmingUp];
    assert_eq!(
        proposed(&partly, &regional_policy(&json!({}))),
        Proposal::default()
    );
    let unsettled = regional_policy(&json!({"home": {"stabilizationWindow": "10m"}}));
    assert_eq!(proposed(&abroad(), &unsettled), Proposal::default());
    assert_eq!(Proposal::default().id("a", &AccountId::from("A"), &[]), None);
}

#[test]
fn the_id_is_of_the_proposal_alone() {
    let policy = regional_policy(&json!({}));
    let first = id(&proposed(&abroad(), &policy));
    assert!(
        first.len() == 16 && first.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{first}"
    );
    // The rate, the lag and the server within the location have changed.
    let mut later = abroad();
    later.streams[0].message_rate = Some(99.0);
    later.streams[0].bytes = 1 << 30;
    later.streams[0].group.leader = Some(ServerIx(4));
    later.observed_at = at(0);
    assert_eq!(id(&proposed(&later, &policy)), first);
    let mut less = proposed(&abroad(), &policy);
    less.actions.pop_first();
    assert_ne!(id(&less), first);
    let proposal = proposed(&abroad(), &policy);
    let of = |policy: &str, account: &str| proposal.id(policy, &AccountId::from(account), &[]).unwrap();
    assert_ne!(of("payments/orders", "B"), first);
    assert_ne!(of("payments/mail", "A"), first);
    assert_ne!(of("payments/ordersA", ""), of("payments/orders", "A"));
}

#[test]
fn an_action_is_due_as_long_as_nothing_but_time_and_rates_changes() {
    assert_eq!(became(&abroad(), &json!({})), ProposedState::Due);
    let closed =
        json!({"disruption": {"windows": [{"kind": "Deny", "schedule": "* * * * *", "duration": "1h"}]}});
    assert_eq!(
        became(&abroad(), &closed),
        ProposedState::Waits(FindingReason::OutsideWindow)
    );
    let mut peerless = abroad();
    peerless.streams[0].group.peers[2].offline = true;
    assert_eq!(
        became(&peerless, &json!({})),
        ProposedState::Waits(FindingReason::QuorumAtRisk)
    );
    let mut leaderless = abroad();
    leaderless.streams[0].group.leader = None;
    assert_eq!(
        became(&leaderless, &json!({})),
        ProposedState::Waits(FindingReason::NoLeader)
    );
}

#[test]
fn an_action_is_done_when_home_leads_whoever_did_it() {
    let mut done = abroad();
    done.streams[0].group.leader = Some(ServerIx(1));
    assert_eq!(became(&done, &json!({})), ProposedState::Done);
}

#[test]
fn an_action_is_left_out_when_its_asset_changed() {
    let changed = |view: &AccountView, changes| {
        let state = became(view, &changes);
        let ProposedState::Changed(change) = state else {
            panic!("{state:?}");
        };
        change
    };
    let mut gone = abroad();
    gone.streams.remove(0);
    assert_eq!(changed(&gone, json!({})), ProposalChange::Gone);
    let mut moved_on = abroad();
    moved_on.clients = vec![clients(ServerIx(3), 90)];
    assert_eq!(changed(&moved_on, json!({})), ProposalChange::HomeChanged);
    assert_eq!(
        changed(&abroad(), json!({"streams": {"include": ["B"]}})),
        ProposalChange::NotSelected
    );
    let disabled = json!({"actions": {"streamStepDown": {"enabled": false}}});
    assert_eq!(
        changed(&abroad(), disabled),
        ProposalChange::Held(FindingReason::ActionDisabled)
    );
    let mut elsewhere = abroad();
    elsewhere.streams[0].group = group(&stretched(), &["n-3", "n-4", "n-5"]);
    assert_eq!(changed(&elsewhere, json!({})), ProposalChange::ActionChanged);
}

#[test]
fn an_action_is_left_out_when_a_third_location_leads() {
    let of = |leader: &str| {
        let place = |name: &str, region: &str| server(name, "c1", &[&format!("region:{region}")]);
        let servers = vec![
            place("n-0", "us-east"),
            place("n-1", "eu-west"),
            place("n-2", "ap-south"),
        ];
        let topology = crate::topology::Topology::new(servers, BTreeMap::new());
        let mut peers = vec!["n-0", "n-1", "n-2"];
        peers.retain(|peer| *peer != leader);
        peers.insert(0, leader);
        let streams = vec![stream(&topology, "A", &peers)];
        view(topology, vec![clients(ServerIx(0), 9)], streams)
    };
    let (policy, history) = (regional_policy(&json!({})), History::default());
    let proposal = proposed(&of("n-1"), &policy);
    let later = of("n-2");
    let context = context(&later, &policy, &history, at(0));
    let states = super::states(&proposal, &context, &evaluate(&context));
    assert_eq!(
        states[&AssetName::of("A", None)],
        ProposedState::Changed(ProposalChange::LeaderChanged)
    );
}
