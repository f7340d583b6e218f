//! Properties P1, P2, P4, P5 and P6 over generated worlds.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use leeward_core::demand::{Home, HomeHistory, Tally, TallyRow, decide};
use leeward_core::evaluate::evaluate;
use leeward_core::names::Location;
use leeward_core::plan::{Aim, Deed, Plan, plan};
use leeward_core::safety::SMALL_LAG;
use leeward_core::snapshot::Gap;
use leeward_core::topology::{LocationMap, Topology};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::carry_out::carry_out;
use crate::worlds::{STALE_AFTER, World, policy_from};

/// A world as blocks of lines, whose order must not matter.
#[derive(Clone, Debug)]
struct Sketch {
    head: Vec<String>,
    servers: Vec<String>,
    clients: Vec<String>,
    streams: Vec<Vec<String>>,
    policy: String,
}

impl Sketch {
    fn text(&self, order: impl Fn(usize) -> usize) -> String {
        let mut lines = self.head.clone();
        lines.extend(reordered(&self.servers, &order));
        lines.extend(reordered(&self.clients, &order));
        for stream in reordered(&self.streams, &order) {
            lines.push(stream[0].clone());
            lines.extend(reordered(&stream[1..], &order));
        }
        format!("{}\n\npolicy:\n{}", lines.join("\n"), self.policy)
    }

    fn world(&self) -> World {
        World::parse(&self.text(|position| position))
    }
}

fn reordered<T: Clone>(items: &[T], order: impl Fn(usize) -> usize) -> Vec<T> {
    let mut keyed: Vec<(usize, T)> = items
        .iter()
        .enumerate()
        .map(|(position, item)| (order(position), item.clone()))
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, item)| item).collect()
}

const CLUSTERS: [&str; 3] = ["us-east", "eu-west", "ap-south"];

fn server_names(stretched: bool) -> Vec<String> {
    (0..9)
        .map(|number| {
            if stretched {
                format!("n-{number}")
            } else {
                format!("{}-{}", CLUSTERS[number / 3], number % 3)
            }
        })
        .collect()
}

fn peer_flaw() -> impl Strategy<Value = &'static str> {
    prop_oneof![12 => Just(""), 1 => Just(":lag=5"), 1 => Just(":lag=90000"), 1 => Just(":behind"), 1 => Just(":offline")]
}

fn group(candidates: Vec<String>, sizes: Vec<usize>) -> impl Strategy<Value = (String, Vec<String>)> {
    let size = select(sizes);
    (size, prop::bool::weighted(0.95)).prop_flat_map(move |(size, led)| {
        let size = size.min(candidates.len());
        (
            subsequence(candidates.clone(), size).prop_shuffle(),
            prop::collection::vec(peer_flaw(), size),
        )
            .prop_map(move |(servers, flaws)| {
                let peers: Vec<String> = servers
                    .iter()
                    .zip(&flaws)
                    .enumerate()
                    .map(|(position, (server, flaw))| {
                        if position == 0 && led {
                            format!("*{server}")
                        } else {
                            format!("{server}{flaw}")
                        }
                    })
                    .collect();
                (peers.join(","), servers)
            })
    })
}

fn stream(number: usize, stretched: bool) -> impl Strategy<Value = Vec<String>> {
    let names = server_names(stretched);
    let candidates = if stretched {
        Just(names).boxed()
    } else {
        select(vec![0usize, 1, 2])
            .prop_map(move |cluster| names[cluster * 3..cluster * 3 + 3].to_vec())
            .boxed()
    };
    candidates
        .prop_flat_map(move |candidates| group(candidates, vec![1, 3, 3, 3]))
        .prop_flat_map(move |(peers, servers)| {
            let extra = prop_oneof![
                6 => Just(String::new()),
                1 => Just(" ignore".to_owned()),
                1 => Just(" moving".to_owned()),
                1 => Just(" cluster=eu-west".to_owned()),
                1 => Just(" tags=disk:ssd".to_owned()),
            ];
            let consumers = prop::collection::vec(
                (group(servers, vec![1, 3]), 0u32..100, prop::bool::weighted(0.1)),
                0..4,
            );
            (extra, 0u32..1000, consumers).prop_map(move |(extra, rate, consumers)| {
                let mut lines = vec![format!("stream S{number} peers={peers} rate={rate}{extra}")];
                for (nth, ((peers, _), rate, ephemeral)) in consumers.into_iter().enumerate() {
                    let kind = if ephemeral { " ephemeral" } else { "" };
                    lines.push(format!("consumer C{nth} peers={peers} rate={rate}{kind}"));
                }
                lines
            })
        })
}

prop_compose! {
    fn sketch()(stretched in any::<bool>())(
        old in prop::bool::weighted(0.2),
        crowd in 0u32..60,
        clients in prop::collection::vec((0usize..9, 1u32..12), 1..4),
        streams in (0usize..7).prop_flat_map(move |count| {
            (0..count).map(|number| stream(number, stretched)).collect::<Vec<_>>()
        }),
        window in select(vec!["0s", "0s", "0s", "10m"]),
        moves in prop::bool::weighted(0.8),
        settled in prop::option::of(select(CLUSTERS.to_vec())),
        stretched in Just(stretched),
    ) -> Sketch {
        let names = server_names(stretched);
        let version = if old { "2.10.29" } else { "2.15.1" };
        let server = |(number, name): (usize, &String)| {
            let place = if stretched { "c1" } else { CLUSTERS[number / 3] };
            let disk = if number % 3 == 0 { ",disk:ssd" } else { "" };
            format!("server {name} cluster={place} version={version} tags=region:{}{disk}", CLUSTERS[number / 3])
        };
        let key = if stretched { "topology: {key: ServerTag, tagPrefix: \"region:\"}\n" } else { "" };
        let mut head = vec!["now 2026-01-01T12:00:00Z".to_owned(), "rtt us-east eu-west 40ms".to_owned()];
        if let Some(settled) = settled {
            head.push(format!("home {}{settled}", if stretched { "region:" } else { "" }));
        }
        Sketch {
            head,
            servers: names.iter().enumerate().map(server).collect(),
            clients: clients
                .iter()
                .enumerate()
                .map(|(nth, (server, count))| {
                    let crowd = if nth == 0 { crowd } else { 0 };
                    format!("clients {} {}", names[*server], count + crowd)
                })
                .collect(),
            streams,
            policy: format!(
                "mode: Enforce\n{key}home: {{stabilizationWindow: {window}}}\nactions: {{streamPlacement: {{enabled: {moves}}}}}"
            ),
        }
    }
}

fn planned(world: &World) -> Plan {
    let circumstances = world.circumstances();
    let evaluation = evaluate(&world.view, &world.policy, &circumstances);
    plan(&world.view, &world.policy, &circumstances, &evaluation)
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
        let first = planned(&world);
        carry_out(&mut world.view, &first);
        // A move may open the way for a consumer that could not follow in one step; a second plan ends it.
        let second = planned(&world);
        prop_assert!(
            second.actions.iter().all(|action| !first.actions.iter().any(|before| before.asset == action.asset)),
            "an asset is acted on twice: {:?}", second
        );
        carry_out(&mut world.view, &second);
        let third = planned(&world);
        prop_assert!(third.actions.is_empty(), "{:?}", third);
    }

    #[test]
    fn p4_a_step_down_names_a_healthy_peer_in_home_that_does_not_lead(sketch in sketch()) {
        let world = sketch.world();
        for action in planned(&world).actions {
            let group = world.view.group(&action.asset).unwrap();
            let topology: &Topology = &world.view.topology;
            let from = topology.find(action.from.as_str());
            prop_assert_eq!(from, group.leader);
            prop_assert!(group.peers.iter().all(|peer| !peer.offline));
            match &action.deed {
                Deed::StepDown(step_down) => {
                    let Aim::Peer(target) = &step_down.aim else { continue };
                    prop_assert!(step_down.home_peers.contains(target));
                    let index = topology.find(target.as_str()).unwrap();
                    prop_assert_ne!(Some(index), group.leader);
                    let peer = group.peers.iter().find(|peer| peer.server == index).unwrap();
                    prop_assert!(peer.current && peer.lag <= SMALL_LAG);
                }
                Deed::Move(target) => {
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
    fn p6_whatever_is_missing_or_stale_stops_every_action(sketch in sketch(), stale in any::<bool>()) {
        let mut world = sketch.world();
        if stale {
            world.view.observed_at = world.now - STALE_AFTER - Duration::from_secs(1);
        } else {
            world.view.gaps.push(Gap::Unreadable { message: "a page was cut short".into() });
        }
        let before = world.history.home.clone();
        let circumstances = world.circumstances();
        let evaluation = evaluate(&world.view, &world.policy, &circumstances);
        prop_assert_eq!(&evaluation.home, &None);
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
            let (home, next) = decide(&tally, &policy.home, &history, now, Duration::from_mins(5));
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
fn cases() -> u32 {
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
    let busy = (0..300)
        .filter(|_| {
            !planned(&sketch().new_tree(&mut runner).unwrap().current().world())
                .actions
                .is_empty()
        })
        .count();
    assert!(
        busy >= 60,
        "only {busy} of 300 worlds have a plan: the properties would hold for want of trying"
    );
}
