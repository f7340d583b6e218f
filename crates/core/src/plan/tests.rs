use std::time::Duration;

use leeward_api::vocabulary::{ActionType, FindingReason};
use serde_json::json;

use super::*;
use crate::evaluate::evaluate;
use crate::fixtures::{
    asset, at, clients, consumer, context, policy, server, stream, stretched, supercluster, view,
};
use crate::history::History;
use crate::names::ConsumerName;
use crate::topology::{Topology, Version};

fn planned(view: &AccountView, key: &serde_json::Value) -> Vec<Action> {
    planned_with(view, key, &json!({}))
}

fn planned_with(view: &AccountView, key: &serde_json::Value, actions: &serde_json::Value) -> Vec<Action> {
    let policy = policy(json!({
        "topology": key,
        "home": {"stabilizationWindow": "0s"},
        "actions": actions,
        "disruption": {"budgets": [], "maxPayback": "0s"},
    }));
    let history = History::default();
    let context = context(view, &policy, &history, at(0));
    let evaluation = evaluate(&context);
    plan(&context, &evaluation).actions
}

fn by_region(view: &AccountView) -> Vec<Action> {
    planned(view, &json!({"key": "ServerTag", "tagPrefix": "region:"}))
}

fn order(actions: &[Action]) -> Vec<String> {
    actions.iter().map(|action| action.asset.to_string()).collect()
}

#[test]
fn the_greatest_gain_goes_first_but_no_consumer_before_its_stream() {
    let topology = stretched();
    let peers = ["n-3", "n-0", "n-1"];
    let busy = |name: &str, rate: f32| {
        let mut stream = stream(&topology, name, &peers);
        stream.message_rate = Some(rate);
        stream
    };
    let mut slow = busy("SLOW", 1.0);
    let mut fast_consumer = consumer(&topology, "fast", &peers);
    fast_consumer.message_rate = Some(1000.0);
    slow.consumers.push(fast_consumer);
    let mut at_home = busy("HOME", 0.0);
    at_home.group.leader = topology.find("n-0");
    let mut free = consumer(&topology, "free", &peers);
    free.message_rate = Some(50.0);
    at_home.consumers.push(free);
    let streams = vec![at_home, busy("QUICK", 100.0), slow, busy("SLOWER", 0.5)];
    let view = view(topology.clone(), vec![clients(ServerIx(0), 9)], streams);
    let expected = [
        "stream QUICK",
        "consumer HOME/free",
        "stream SLOW",
        "consumer SLOW/fast",
        "stream SLOWER",
    ];
    assert_eq!(order(&by_region(&view)), expected);
}

#[test]
fn a_cheap_hand_over_goes_before_a_move_and_a_small_move_before_a_large_one() {
    let topology = supercluster();
    let abroad = |name: &str, bytes: u64| {
        let mut stream = stream(&topology, name, &["eu-west-0", "eu-west-1", "eu-west-2"]);
        stream.message_rate = Some(10.0);
        stream.bytes = bytes;
        stream
    };
    let home = topology.find("us-east-0").unwrap();
    let streams = vec![abroad("LARGE", 1 << 40), abroad("SMALL", 1 << 10)];
    let view = view(topology.clone(), vec![clients(home, 9)], streams);
    let actions = planned(&view, &json!({"key": "Cluster"}));
    assert_eq!(order(&actions), ["stream SMALL", "stream LARGE"]);
    assert_eq!(actions[0].action_type(), ActionType::StreamPlacement);
    assert_eq!(actions[0].target(), None);
}

#[test]
fn old_leaders_are_asked_blindly_and_new_ones_with_an_aim() {
    let mut servers = stretched().servers().to_vec();
    let mut old = server("n-9", "c1", &["region:eu-west"]);
    old.details.as_mut().unwrap().version = Version::new(2, 10, 29);
    servers.push(old);
    let topology = Topology::new(servers, std::collections::BTreeMap::new());
    let mut led_by_old = stream(&topology, "S", &["n-9", "n-0", "n-1"]);
    led_by_old
        .consumers
        .push(consumer(&topology, "c", &["n-3", "n-0", "n-1"]));
    let view = view(topology, vec![clients(ServerIx(0), 9)], vec![led_by_old]);
    let actions = by_region(&view);
    let kinds: Vec<ActionType> = actions.iter().map(Action::action_type).collect();
    assert_eq!(kinds, [ActionType::StreamStepDown, ActionType::ConsumerStepDown]);
    let step_downs: Vec<&StepDown> = actions
        .iter()
        .map(|action| match &action.kind {
            ActionKind::StepDown(step_down) => step_down,
            ActionKind::Move(_) => panic!("a step-down"),
        })
        .collect();
    assert_eq!(step_downs[0].successor, Successor::Anyone);
    assert!(matches!(&step_downs[1].successor, Successor::Peer(_)));
    assert_eq!(actions[0].target(), None);
    assert!(actions[1].target().is_some());
    for step_down in step_downs {
        assert_eq!(step_down.home_peers, ["n-0".into(), "n-1".into()]);
    }
}

#[test]
fn a_move_tells_what_it_costs_whom_it_takes_along_and_who_reads_from_it() {
    let topology = supercluster();
    let peers = ["eu-west-0", "eu-west-1", "eu-west-2"];
    let mut moved = stream(&topology, "RAW", &peers);
    moved.bytes = 100 << 20;
    for number in 0..20u16 {
        let mut used = consumer(&topology, &format!("used-{number:02}"), &peers);
        used.message_rate = Some(f32::from(number) / 2.0);
        moved.consumers.push(used);
    }
    let mut pending = consumer(&topology, "pending", &peers);
    pending.ack_pending = 1;
    let mut ephemeral = consumer(&topology, "ephemeral", &peers);
    (ephemeral.durable, ephemeral.message_rate) = (false, Some(1000.0));
    moved.consumers.extend([pending, ephemeral]);
    let reader = |name: &str| {
        let mut reader = stream(&topology, name, &["us-east-0"]);
        reader.upstreams = vec!["RAW".into()];
        reader
    };
    let mut left_alone = reader("LEFT_ALONE");
    left_alone
        .metadata
        .insert("leeward.dev/ignore".to_owned(), "true".to_owned());
    let home = topology.find("us-east-0").unwrap();
    let streams = vec![left_alone, reader("MIRROR"), moved, reader("SUMS")];
    let mut view = view(topology.clone(), vec![clients(home, 9)], streams);
    view.normalize();
    let of = |refresh: bool| {
        let placement = json!({"streamPlacement": {"refreshDependents": refresh}});
        let actions = planned_with(&view, &json!({"key": "Cluster"}), &placement);
        let [action] = <[Action; 1]>::try_from(actions).unwrap();
        let ActionKind::Move(moving) = action.kind else {
            panic!("a move");
        };
        *moving
    };
    let moving = of(true);
    assert_eq!((moving.bytes, moving.cost.bytes), (100 << 20, 300 << 20));
    assert_eq!(moving.cost.time, Duration::from_secs(15));
    let expected: Vec<ConsumerName> = (4..20u16)
        .rev()
        .map(|number| ConsumerName::from(format!("used-{number:02}")))
        .collect();
    assert_eq!(moving.consumers, expected, "those used most, and no more");
    assert_eq!(moving.dependents, ["MIRROR".into(), "SUMS".into()]);
    assert_eq!(of(false).dependents, []);
}

#[test]
fn leaders_of_a_moving_stream_are_transferred_only_where_that_is_sooner_and_allowed() {
    let transfers = |version, replicas: usize, consumers: usize, actions: serde_json::Value| {
        let mut servers = supercluster().servers().to_vec();
        for server in &mut servers {
            server.details.as_mut().unwrap().version = version;
        }
        let topology = Topology::new(servers, std::collections::BTreeMap::new());
        let peers = &["eu-west-0", "eu-west-1", "eu-west-2"][..replicas];
        let mut moved = stream(&topology, "S", peers);
        for number in 0..consumers {
            moved
                .consumers
                .push(consumer(&topology, &format!("c{number:02}"), peers));
        }
        let mut others = ["opted-out", "single", "ephemeral"].map(|name| consumer(&topology, name, peers));
        others[0].opted_out = true;
        others[1] = consumer(&topology, "single", &peers[..1]);
        others[2].durable = false;
        moved.consumers.extend(others);
        let home = topology.find("us-east-0").unwrap();
        let view = view(topology, vec![clients(home, 9)], vec![moved]);
        let actions = planned_with(&view, &json!({"key": "Cluster"}), &actions);
        let [action] = <[Action; 1]>::try_from(actions).unwrap();
        let ActionKind::Move(moving) = action.kind else {
            panic!("a move");
        };
        (moving.transfers.stream, moving.transfers.consumers.len())
    };
    let (new, old) = (Version::new(2, 15, 0), Version::new(2, 14, 10));
    let off = |action: &str| json!({action: {"enabled": false}});
    assert_eq!(transfers(new, 3, 3, json!({})), (true, 3));
    assert_eq!(transfers(new, 3, 32, json!({})), (true, 32));
    assert_eq!(
        transfers(new, 3, 33, json!({})),
        (true, 0),
        "the servers are as soon"
    );
    assert_eq!(transfers(new, 1, 3, json!({})), (false, 0), "nobody takes over");
    assert_eq!(transfers(old, 3, 3, json!({})), (false, 0), "a move stalls there");
    assert_eq!(transfers(new, 3, 3, off("streamStepDown")), (false, 3));
    assert_eq!(transfers(new, 3, 3, off("consumerStepDown")), (true, 0));
}

#[test]
fn streams_that_move_already_count_where_the_next_ones_leaders_go() {
    let topology = supercluster();
    let away = ["eu-west-0", "eu-west-1", "eu-west-2"];
    let both = [away, ["us-east-0", "us-east-1", "us-east-2"]].concat();
    let of = |moving: bool| {
        let mut first = stream(&topology, "A", if moving { &both } else { &away });
        first.moving = moving;
        let streams = vec![first, stream(&topology, "B", &away)];
        let home = topology.find("us-east-0").unwrap();
        let view = view(topology.clone(), vec![clients(home, 9)], streams);
        let planned = planned_with(&view, &json!({"key": "Cluster"}), &json!({}));
        let ActionKind::Move(moving) = &planned.last().unwrap().kind else {
            panic!("a move");
        };
        (planned.len(), moving.transfers.successors[0].to_string())
    };
    assert_eq!(of(false), (2, "us-east-1".to_owned()), "A's goes to us-east-0");
    assert_eq!(of(true), (1, "us-east-1".to_owned()));
}

#[test]
fn a_plan_survives_being_written_and_read() {
    let topology = stretched();
    let view = view(
        topology.clone(),
        vec![clients(ServerIx(0), 9)],
        vec![stream(&topology, "S", &["n-3", "n-0"])],
    );
    let plan = Plan {
        actions: by_region(&view),
        held: BTreeMap::from([(AssetIx::Consumer(3, 1), FindingReason::NoCapacity)]),
    };
    assert_eq!(plan.actions[0].asset, asset("S"));
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}
