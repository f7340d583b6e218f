//! An operation succeeds only by what was read back, whatever was seen on the way (P9).

use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::ActionResult;
use leeward_core::action::{Action, ActionKind, LeaderTransfers, Move, StepDown, Successor};
use leeward_core::names::{ClusterName, ServerName};
use leeward_core::operation::{
    AssetInfo, Outcome, PeerInfo, Progress, ReadResult, ResumeCheck, ResumeResult, SentRequest, Verification,
    VerifyLimits, after, proven_step_down,
};
use leeward_core::safety::SMALL_LAG;
use leeward_core::score::MoveCost;
use leeward_core::snapshot::Placement;
use leeward_core::target::MoveTarget;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::properties::cases;

const HOME: [&str; 3] = ["us-0", "us-1", "us-2"];
const AWAY: [&str; 3] = ["eu-0", "eu-1", "eu-2"];

fn servers(names: &[&str]) -> Vec<ServerName> {
    names.iter().copied().map(ServerName::from).collect()
}

fn all() -> Vec<&'static str> {
    [HOME, AWAY].concat()
}

fn placement(cluster: &str) -> Placement {
    Placement {
        cluster: Some(ClusterName::from(cluster)),
        tags: Vec::new(),
    }
}

fn actions() -> impl Strategy<Value = Action> {
    let step_down = |successor| {
        ActionKind::StepDown(StepDown {
            successor,
            alternatives: Vec::new(),
            home_peers: servers(&HOME),
        })
    };
    let moving = ActionKind::Move(Box::new(Move {
        target: MoveTarget {
            location: "us".into(),
            placement: placement("us"),
            replaces: None,
            servers: servers(&HOME),
            owner: None,
        },
        bytes: 0,
        cost: MoveCost::default(),
        consumers: Vec::new(),
        transfers: LeaderTransfers::default(),
        dependents: Vec::new(),
    }));
    let kinds = vec![
        step_down(Successor::Peer("us-0".into())),
        step_down(Successor::Anyone),
        moving,
    ];
    select(kinds).prop_map(|kind| Action {
        asset: leeward_core::names::AssetName::stream("S".into()),
        from: "eu-0".into(),
        kind,
    })
}

fn peer() -> impl Strategy<Value = PeerInfo> {
    let lag = prop_oneof![3 => Just(0u64), 1 => 0..2 * u64::from(SMALL_LAG)];
    (
        select(all()),
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.1),
        lag,
    )
        .prop_map(|(server, current, offline, lag)| PeerInfo {
            server: server.into(),
            current,
            offline,
            lag,
        })
}

fn readings() -> impl Strategy<Value = AssetInfo> {
    let peers = prop_oneof![
        prop::collection::vec(peer(), 0..6),
        subsequence(HOME.to_vec(), 1..=3).prop_map(|names| {
            let healthy = |name: &str| PeerInfo {
                server: name.into(),
                current: true,
                offline: false,
                lag: 0,
            };
            names.into_iter().map(healthy).collect()
        }),
    ];
    let leader = prop::option::weighted(0.8, select(all()));
    let stored = select(vec![None, Some(placement("us")), Some(placement("eu"))]);
    (leader, peers, 1u8..4, prop::bool::weighted(0.2), stored).prop_map(
        |(leader, peers, replicas, moving, placement)| AssetInfo {
            leader: leader.map(ServerName::from),
            peers,
            replicas,
            moving,
            placement,
            bytes: 0,
            progress: None,
            upstreams: Vec::new(),
        },
    )
}

fn sightings() -> impl Strategy<Value = ReadResult> {
    prop_oneof![
        8 => readings().prop_map(ReadResult::Seen),
        1 => Just(ReadResult::Gone),
        2 => Just(ReadResult::Unanswered),
    ]
}

/// The rule, in so many words.
fn shows_success(action: &Action, read_result: &ReadResult) -> bool {
    let ReadResult::Seen(reading) = read_result else {
        return false;
    };
    let home = |server: &ServerName| HOME.contains(&server.as_str());
    let led_from_home = reading.leader.as_ref().is_some_and(home);
    match action.kind {
        ActionKind::StepDown(_) => led_from_home,
        ActionKind::Move(_) => {
            let caught_up = |peer: &PeerInfo| {
                let leads = Some(&peer.server) == reading.leader.as_ref();
                home(&peer.server)
                    && (leads || (peer.current && !peer.offline && peer.lag <= u64::from(SMALL_LAG)))
            };
            led_from_home
                && !reading.moving
                && reading.peers.len() == usize::from(reading.replicas)
                && reading.peers.iter().all(caught_up)
        }
    }
}

/// Looks one after the other until the operation ends; the end, and what was seen last.
fn watch<'s>(
    action: &Action,
    looks: &'s [(ReadResult, u64)],
    requests: u32,
) -> Option<(Outcome, &'s ReadResult)> {
    let limits = VerifyLimits {
        move_timeout: Duration::from_mins(5),
        max_requests: requests,
        max_lag: SMALL_LAG.into(),
        max_ack_pending: None,
        refresh_dependents: true,
    };
    let mut now = Timestamp::UNIX_EPOCH;
    let mut asked = SentRequest {
        of: action.from.clone(),
        at: now,
        requests: 1,
        elected: None,
    };
    for (read_result, pause) in looks {
        now += Duration::from_secs(*pause);
        match after(action, read_result, &asked, now, &limits) {
            Verification::Wait => {}
            Verification::Again => {
                let ReadResult::Seen(AssetInfo { leader: Some(of), .. }) = read_result else {
                    panic!("whom to ask again was not seen");
                };
                asked = SentRequest {
                    of: of.clone(),
                    at: now,
                    requests: asked.requests + 1,
                    elected: None,
                };
                assert!(asked.requests <= requests, "asked more often than allowed");
            }
            Verification::Overdue(outcome) | Verification::Done(outcome) => {
                return Some((outcome, read_result));
            }
        }
    }
    None
}

fn progress() -> impl Strategy<Value = Progress> {
    (0u64..4, 0u64..4, 0u64..4, 0u64..4, 0u64..2, any::<bool>()).prop_map(
        |(delivered, ack_floor, pending, ack_pending, waiting, paused)| Progress {
            delivered,
            ack_floor,
            pending,
            ack_pending,
            max_ack_pending: Some(3),
            waiting,
            push_bound: false,
            paused,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn p9_an_operation_succeeds_when_and_only_when_a_look_shows_it(
        action in actions(),
        looks in prop::collection::vec((sightings(), 0u64..40), 0..30),
        requests in 1u32..4,
    ) {
        match watch(&action, &looks, requests) {
            Some((outcome, seen)) => {
                let succeeded = outcome.result == ActionResult::Succeeded;
                prop_assert_eq!(succeeded, shows_success(&action, seen), "{:?} from {:?}", outcome, seen);
                if let (true, ReadResult::Seen(reading)) = (succeeded, seen) {
                    prop_assert_eq!(outcome.to, reading.leader.clone());
                }
            }
            None => prop_assert!(!looks.iter().any(|(seen, _)| shows_success(&action, seen))),
        }
    }

    #[test]
    fn p9_a_consumer_that_was_seen_led_from_elsewhere_or_not_at_all_has_not_proven_that_it_goes_on(
        before in progress(),
        looks in prop::collection::vec((sightings(), prop::option::of(progress())), 1..20),
    ) {
        let Some(mut proof) = ResumeCheck::of(&before) else { return Ok(()) };
        let led = Outcome::new(ActionResult::Succeeded, None, "us-0 leads it now");
        for ((read_result, progress), waited) in looks.into_iter().zip((0u64..).step_by(7)) {
            let mut read_result = read_result;
            if let ReadResult::Seen(reading) = &mut read_result {
                reading.progress = progress;
            }
            let proven = proof.look(Some(&read_result), &servers(&HOME), Duration::from_secs(waited));
            let outcome = proven_step_down(led.clone(), &proven);
            if let ReadResult::Seen(AssetInfo { leader: Some(leader), .. }) = &read_result
                && !HOME.contains(&leader.as_str())
            {
                prop_assert_eq!(outcome.result, ActionResult::Missed);
                prop_assert_eq!(outcome.to.as_ref(), Some(leader));
            }
            let unseen = match &read_result {
                ReadResult::Seen(reading) => reading.leader.is_none() || reading.progress.is_none(),
                ReadResult::Unanswered => true,
                ReadResult::Gone => false,
            };
            prop_assert!(!unseen || !matches!(proven, ResumeResult::Resumed | ResumeResult::Quiet(_)) || matches!(proven, ResumeResult::Left(_)));
            if proven != ResumeResult::NotYet {
                return Ok(());
            }
        }
    }
}
