//! Properties P1, P2, P4, P5 and P6 over generated worlds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use leeward_core::action::{Action, ActionKind, Plan, Successor};
use leeward_core::asset::{asset_index, asset_name};
use leeward_core::context::DecisionContext;
use leeward_core::decide::decide;
use leeward_core::demand::{Home, HomeHistory, Tally, TallyRow, decide_home};
use leeward_core::evaluate::evaluate;
use leeward_core::homes::AssetHome;
use leeward_core::names::{AssetName, Location, ServerName, StreamName};
use leeward_core::plan::plan;
use leeward_core::proposal::Proposal;
use leeward_core::propose::{ProposedState, propose, states};
use leeward_core::safety::is_moving;
use leeward_core::snapshot::{AccountView, Consumer, Gap};
use leeward_core::topology::{LocationMap, Topology};
use leeward_core::usage::StreamUse;
use proptest::prelude::*;

use crate::carry_out::carry_out;
use crate::sketch::sketch;
use crate::worlds::{STALE_AFTER, World, policy_from};

/// The consumers that an action hands over.
fn consumers_touched<'w>(world: &'w World, action: &Action) -> Vec<&'w Consumer> {
    let stream = world.view.stream(&action.asset.stream).unwrap();
    let moves = matches!(action.kind, ActionKind::Move(_));
    let touched = |consumer: &&Consumer| moves || Some(&consumer.name) == action.asset.consumer.as_ref();
    stream.consumers.iter().filter(touched).collect()
}

fn upstreams(view: &AccountView, name: &StreamName) -> Vec<StreamName> {
    let known = |upstream: &&StreamName| view.stream(upstream).is_some();
    let stream = view.stream(name).unwrap();
    stream.upstreams.iter().filter(known).cloned().collect()
}

fn readers(view: &AccountView, name: &StreamName) -> Vec<StreamName> {
    let reads = |stream: &&leeward_core::snapshot::Stream| stream.upstreams.contains(name);
    let readers = view.streams.iter().filter(reads);
    readers.map(|stream| stream.name.clone()).collect()
}

/// All streams that steps lead to from one, itself included.
fn reached(
    world: &World,
    from: &StreamName,
    step: &dyn Fn(&AccountView, &StreamName) -> Vec<StreamName>,
) -> BTreeSet<StreamName> {
    let mut found = BTreeSet::new();
    let mut due = vec![from.clone()];
    while let Some(name) = due.pop() {
        if found.insert(name.clone()) {
            due.extend(step(&world.view, &name));
        }
    }
    found
}

fn planned(world: &World) -> Plan {
    let context = world.context();
    plan(&context, &evaluate(&context))
}

fn proposed(world: &World) -> Proposal {
    let context = world.context();
    propose(&context, &evaluate(&context))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn p1_the_order_of_the_inputs_does_not_matter(sketch in sketch(), seed in any::<usize>()) {
        let plain = sketch.world();
        // Any injective order will do: a multiplicative hash of the position.
        let order = |position: usize| (position + 1).wrapping_mul(seed | 1);
        let shuffled = World::parse(&sketch.text(order));
        prop_assert_eq!(&plain.view, &shuffled.view);
        prop_assert_eq!(planned(&plain), planned(&shuffled));
        prop_assert_eq!(planned(&plain), planned(&plain));
    }

    #[test]
    fn p2_planning_again_after_a_plan_was_carried_out_gives_an_empty_plan(sketch in sketch()) {
        let mut world = sketch.world();
        let mut acted = BTreeSet::new();
        let mut plan = planned(&world);
        while !plan.actions.is_empty() {
            for action in &plan.actions {
                prop_assert!(acted.insert(action.asset.clone()), "an asset is acted on twice: {:?}", plan);
            }
            let waited: BTreeSet<AssetName> =
                plan.held.keys().filter_map(|asset| asset_name(&world.view, *asset)).collect();
            carry_out(&mut world.view, &plan);
            plan = planned(&world);
            for action in &plan.actions {
                // A move may open the way for a consumer that could not follow in one step.
                let due = action.asset.consumer.is_some() || waited.contains(&action.asset);
                prop_assert!(due, "nothing stood against it before: {:?}", action);
            }
        }
    }

    #[test]
    fn p4_a_step_down_names_a_healthy_peer_in_home_that_does_not_lead(sketch in sketch()) {
        let world = sketch.world();
        let gates = &world.policy.disruption.gates;
        let quiet = |since: Option<Timestamp>, gate: Duration| {
            gate.is_zero() || since.is_some_and(|since| since + gate <= world.now)
        };
        for action in planned(&world).actions {
            let group = world.view.group(&action.asset).unwrap();
            let topology: &Topology = &world.view.topology;
            let from = topology.find(action.from.as_str());
            prop_assert_eq!(from, group.leader);
            prop_assert!(group.peers.iter().all(|peer| !peer.offline));
            prop_assert!(group.peers.len() == 1 || quiet(group.leader_since, gates.quiet_after_leader_change));
            let touched = consumers_touched(&world, &action);
            prop_assert!(touched.iter().all(|consumer| !consumer.pinned));
            let durable = |consumer: &&&Consumer| consumer.durable;
            let quiet_enough =
                |consumer: &&Consumer| gates.max_ack_pending.is_none_or(|most| consumer.ack_pending <= most);
            prop_assert!(touched.iter().filter(durable).all(quiet_enough));
            match &action.kind {
                ActionKind::StepDown(step_down) => {
                    let target = match &step_down.successor {
                        Successor::Peer(target) => target,
                        Successor::Anyone => continue,
                        Successor::OtherServer => {
                            prop_assert!(group.peers.len() == 1 && !step_down.home_peers.is_empty(), "{:?}", action);
                            prop_assert!(action.asset.consumer.is_some() && !step_down.home_peers.contains(&action.from));
                            continue;
                        }
                    };
                    prop_assert!(step_down.home_peers.contains(target));
                    let index = topology.find(target.as_str()).unwrap();
                    prop_assert_ne!(Some(index), group.leader);
                    let peer = group.peers.iter().find(|peer| peer.server == index).unwrap();
                    prop_assert!(peer.current && peer.lag <= gates.max_replica_lag);
                    let started = topology.details(index).unwrap().started;
                    prop_assert!(quiet(started, gates.quiet_after_server_start), "{} just started", target);
                }
                ActionKind::Move(moving) => {
                    let target = &moving.target;
                    let away = |peer: &leeward_core::snapshot::Peer| {
                        !target.servers.contains(&topology.get(peer.server).unwrap().name)
                    };
                    prop_assert!(group.peers.iter().all(away), "a step-down would have done");
                    let map = LocationMap::new(topology, &world.policy.topology);
                    for server in &target.servers {
                        prop_assert_eq!(map.of(topology.find(server.as_str()).unwrap()), Some(&target.location));
                    }
                }
            }
        }
    }

    #[test]
    fn p1_the_same_world_is_proposed_under_the_same_id(sketch in sketch(), seed in any::<usize>()) {
        let order = |position: usize| (position + 1).wrapping_mul(seed | 1);
        let (plain, shuffled) = (sketch.world(), World::parse(&sketch.text(order)));
        let id = |world: &World| proposed(world).id("policy", &world.view.account, &[]);
        prop_assert_eq!(id(&plain), id(&shuffled));
        let actions = planned(&plain).actions;
        let all = proposed(&plain).actions;
        prop_assert!(actions.iter().all(|action| all.contains_key(&action.asset)), "what is planned is proposed");
    }

    #[test]
    fn p8_what_is_planned_is_what_was_approved_and_nothing_else(sketch in sketch(), chosen in any::<u64>()) {
        let world = sketch.world();
        let mut approved = proposed(&world);
        let mut bit = 0_u32;
        approved.actions.retain(|_, _| {
            bit += 1;
            chosen.rotate_left(bit) & 1 == 1
        });
        let context = DecisionContext { approved: Some(&approved), ..world.context() };
        let decision = decide(&context);
        let evaluation = evaluate(&world.context());
        let became = states(&approved, &context, &evaluation);
        for action in &decision.actions {
            let wanted = approved.actions.get(&action.asset);
            prop_assert_eq!(wanted.map(|wanted| wanted.action), Some(action.action_type()), "{:?}", action);
            prop_assert_eq!(became.get(&action.asset), Some(&ProposedState::Due));
        }
        // Approved all at once, all is planned that is planned without an approval.
        let all = proposed(&world);
        let context = DecisionContext { approved: Some(&all), ..world.context() };
        let planned_of_all: BTreeSet<AssetName> =
            decide(&context).actions.into_iter().map(|action| action.asset).collect();
        let planned: BTreeSet<AssetName> =
            planned(&world).actions.into_iter().map(|action| action.asset).collect();
        prop_assert_eq!(planned_of_all, planned);
    }

    #[test]
    fn of_streams_that_read_from_each_other_one_moves_at_a_time_and_upstream_first(sketch in sketch()) {
        let world = sketch.world();
        let plan = planned(&world);
        let moves: BTreeSet<&StreamName> = plan
            .actions
            .iter()
            .filter(|action| matches!(action.kind, ActionKind::Move(_)))
            .map(|action| &action.asset.stream)
            .collect();
        let waits: BTreeSet<StreamName> = plan
            .held
            .keys()
            .filter_map(|asset| Some(asset_name(&world.view, *asset)?.stream))
            .collect();
        for stream in &moves {
            let relatives = reached(&world, stream, &|view, name| [upstreams(view, name), readers(view, name)].concat());
            for relative in relatives.iter().filter(|relative| relative != stream) {
                prop_assert!(!moves.contains(relative), "{} and {}", stream, relative);
                prop_assert!(!is_moving(world.view.stream(relative).unwrap()), "{} is moving", relative);
            }
            let before = reached(&world, stream, &upstreams);
            let circle = before.iter().any(|name| upstreams(&world.view, name).contains(stream));
            let first = before.iter().filter(|name| name != stream).find(|name| waits.contains(*name));
            prop_assert!(circle || first.is_none(), "{:?} goes before {}", first, stream);
        }
    }

    #[test]
    fn nothing_is_decided_against_the_use_that_was_seen(sketch in sketch()) {
        let world = sketch.world();
        let evaluation = evaluate(&world.context());
        let map = LocationMap::new(&world.view.topology, &world.policy.topology);
        let location = |server: &ServerName| map.of(world.view.topology.find(server.as_str()).unwrap());
        for action in planned(&world).actions {
            let to = match &action.kind {
                ActionKind::Move(moving) => Some(&moving.target.location),
                ActionKind::StepDown(step_down) => step_down.home_peers.first().and_then(location),
            };
            let at = asset_index(&world.view, &action.asset).unwrap();
            let own = evaluation.homes.own(at);
            prop_assert!(!matches!(own, Some(AssetHome::Unknown { .. })), "unknown is no zero: {:?}", action);
            let used = own.and_then(AssetHome::used).filter(|used| used.is_seen());
            if let Some(used) = used {
                let is_own = matches!(own, Some(AssetHome::Own { .. }));
                prop_assert!(!(is_own && used.is_partly_unmeasured), "what is not measured is no zero: {:?}", action);
                prop_assert_eq!(used.majority(), to, "{:?} against {:?}", action, used);
            } else {
                prop_assert_eq!(evaluation.homes.account_location(), to);
            }
        }
    }

    #[test]
    fn p6_whatever_is_missing_or_stale_stops_every_action(sketch in sketch(), stale in any::<bool>()) {
        let mut world = sketch.world();
        if stale {
            world.view.observed_at = world.now - STALE_AFTER - Duration::from_secs(1);
        } else {
            world.view.gaps.push(Gap::Unreadable { message: "a page was cut short".into() });
        }
        let before = world.history.home.clone();
        let evaluation = evaluate(&world.context());
        prop_assert_eq!(evaluation.homes.account(), None);
        prop_assert_eq!(&evaluation.home_history, &before, "and home is neither changed nor forgotten");
        prop_assert!(planned(&world).actions.is_empty());
    }

    #[test]
    fn p5_home_changes_only_for_a_location_that_led_for_the_whole_window(
        shares in prop::collection::vec((0u32..20, 0u32..20, 1i64..400), 1..60),
        window in 0u64..900,
    ) {
        let policy = policy_from(&format!("home: {{stabilizationWindow: {window}s}}"));
        let mut history = HomeHistory::default();
        let mut now = Timestamp::from_second(1_767_268_800).unwrap();
        let start = now;
        let mut leading: Option<(Location, Timestamp)> = None;
        let mut changes = 0u64;
        for (east, west, pause) in shares {
            now += Duration::from_secs(pause.unsigned_abs());
            let tally = two_locations(east, west);
            let (home, next) = decide_home(&tally, &policy.home, &history, now, Duration::from_mins(5));
            leading = match (majority_of(&tally), leading) {
                (Some(now_leading), Some((before, since))) if now_leading == before => Some((before, since)),
                (Some(now_leading), _) => Some((now_leading, now)),
                (None, _) => None,
            };
            let location = |history: &HomeHistory| history.settled.as_ref().map(|home| home.location.clone());
            if location(&next) != location(&history) {
                changes += 1;
                let (leader, since) = leading.clone().expect("home changed without a majority");
                prop_assert_eq!(Some(leader), location(&next));
                let led_for = Duration::try_from(now.duration_since(since)).unwrap();
                prop_assert!(led_for >= Duration::from_secs(window), "led for {:?} only", led_for);
            }
            if let Home::Settled { location: home, .. } = &home {
                prop_assert_eq!(Some(home.clone()), location(&next));
            }
            history = next;
        }
        let lasted = Duration::try_from(now.duration_since(start)).unwrap().as_secs();
        if let Some(windows) = lasted.checked_div(window) {
            prop_assert!(changes <= windows + 1, "{} changes in {} s", changes, lasted);
        }
    }
}

/// How many cases each property runs; more by `LEEWARD_PROPTEST_CASES`.
#[expect(clippy::disallowed_methods, reason = "a test may be told to try harder")]
pub fn cases() -> u32 {
    std::env::var("LEEWARD_PROPTEST_CASES")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(1000)
}

fn two_locations(east: u32, west: u32) -> Tally {
    let row = |connections: u32| TallyRow {
        connections,
        weight: connections.into(),
    };
    Tally {
        rows: BTreeMap::from([
            (Location::from("us-east"), row(east)),
            (Location::from("eu-west"), row(west)),
        ]),
        total: row(east + west),
        ..Tally::default()
    }
}

/// The rule of the defaults, written anew: at least 5 connections, at least 60 % in one location.
fn majority_of(tally: &Tally) -> Option<Location> {
    let all = tally.total.connections;
    let winner = tally
        .rows
        .iter()
        .find(|(_, row)| row.connections * 100 / all.max(1) >= 60)?;
    (all >= 5).then(|| winner.0.clone())
}

#[test]
fn generated_worlds_give_the_planner_something_to_do() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let worlds: Vec<World> = (0..300)
        .map(|_| sketch().new_tree(&mut runner).unwrap().current().world())
        .collect();
    let plans: Vec<Plan> = worlds.iter().map(planned).collect();
    let by_use = worlds.iter().zip(&plans).filter(|(world, plan)| {
        let homes = evaluate(&world.context()).homes;
        let own = |action: &Action| homes.own(asset_index(&world.view, &action.asset)?)?.used();
        plan.actions
            .iter()
            .any(|action| own(action).is_some_and(StreamUse::is_seen))
    });
    let by_use = by_use.count();
    assert!(by_use >= 10, "only {by_use} of 300 plans are by use");
    let count = |what: fn(&Plan) -> bool| plans.iter().filter(|plan| what(plan)).count();
    let moves = |plan: &Plan| {
        let mut actions = plan.actions.iter();
        actions.any(|action| matches!(action.kind, ActionKind::Move(_)))
    };
    let busy = count(|plan| !plan.actions.is_empty());
    let (moving, waiting) = (count(moves), count(|plan| !plan.held.is_empty()));
    assert!(
        busy >= 60 && moving >= 30 && waiting >= 3,
        "of 300 worlds only {busy} have a plan, {moving} a move, {waiting} something that waits: the properties would hold \
         for want of trying"
    );
}
