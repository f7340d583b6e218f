use super::*;
use crate::fixtures::{asset, at};
use crate::names::{ClusterName, Location};
use crate::safety::SMALL_LAG;

fn member(server: &str) -> PeerReading {
    PeerReading {
        server: server.into(),
        current: true,
        offline: false,
        lag: 0,
    }
}

/// The first server leads, the rest follow.
fn reading(servers: &[&str]) -> Reading {
    Reading {
        leader: servers.first().map(|name| ServerName::from(*name)),
        peers: servers.iter().map(|name| member(name)).collect(),
        replicas: u8::try_from(servers.len()).unwrap(),
        moving: false,
        placement: None,
        bytes: 0,
    }
}

fn seen(change: impl FnOnce(&mut Reading)) -> Sighting {
    let mut reading = reading(&["eu-0", "us-0", "us-1"]);
    change(&mut reading);
    Sighting::Seen(reading)
}

fn step_down(aim: Aim) -> Action {
    Action {
        asset: asset("S"),
        from: "eu-0".into(),
        deed: Deed::StepDown(StepDown {
            aim,
            home_peers: vec!["us-0".into(), "us-1".into()],
        }),
    }
}

fn aimed() -> Action {
    step_down(Aim::Peer("us-0".into()))
}

fn blind() -> Action {
    step_down(Aim::Anyone)
}

fn placement(cluster: &str) -> Placement {
    Placement {
        cluster: Some(ClusterName::from(cluster)),
        tags: Vec::new(),
    }
}

fn moving_home() -> Action {
    let target = MoveTarget {
        location: Location::from("us"),
        placement: placement("us"),
        replaces: None,
        servers: vec!["us-0".into(), "us-1".into(), "us-2".into()],
    };
    Action {
        asset: asset("S"),
        from: "eu-0".into(),
        deed: Deed::Move(Box::new(target)),
    }
}

fn abroad(change: impl FnOnce(&mut Reading)) -> Sighting {
    let mut reading = reading(&["eu-0", "eu-1", "eu-2"]);
    change(&mut reading);
    Sighting::Seen(reading)
}

fn moved(change: impl FnOnce(&mut Reading)) -> Sighting {
    let mut reading = reading(&["us-0", "us-1", "us-2"]);
    reading.placement = Some(placement("us"));
    change(&mut reading);
    Sighting::Seen(reading)
}

/// Why it was stopped, and the leader that was seen.
fn stopped(action: &Action, sighting: &Sighting) -> (Option<FindingReason>, String) {
    match before(action, sighting) {
        Before::Stop(outcome) => {
            assert_eq!(outcome.result, ActionResult::Abandoned);
            (outcome.reason, outcome.message)
        }
        Before::Request => panic!("{action:?} is requested in spite of {sighting:?}"),
    }
}

fn limits(max_requests: u32) -> VerifyLimits {
    VerifyLimits {
        move_timeout: Duration::from_mins(5),
        max_requests,
    }
}

fn asked(requests: u32) -> Asked {
    Asked {
        of: "eu-0".into(),
        at: at(0),
        requests,
    }
}

fn after_seconds(action: &Action, sighting: &Sighting, seconds: u64) -> After {
    after(action, sighting, &asked(1), at(seconds), &limits(3))
}

fn ended(after: After) -> Outcome {
    match after {
        After::Done(outcome) => outcome,
        After::Wait | After::Again => panic!("it goes on: {after:?}"),
    }
}

#[test]
fn what_is_as_planned_is_requested() {
    assert_eq!(before(&aimed(), &seen(|_| ())), Before::Request);
    assert_eq!(before(&blind(), &seen(|_| ())), Before::Request);
    assert_eq!(before(&moving_home(), &abroad(|_| ())), Before::Request);
}

#[test]
fn nothing_is_requested_of_what_is_gone_unanswered_or_leaderless() {
    for action in [aimed(), blind(), moving_home()] {
        assert_eq!(stopped(&action, &Sighting::Gone).0, None);
        assert_eq!(
            stopped(&action, &Sighting::Unanswered).0,
            Some(FindingReason::NoLeader)
        );
        let leaderless = seen(|reading| reading.leader = None);
        assert_eq!(stopped(&action, &leaderless).0, Some(FindingReason::NoLeader));
    }
}

#[test]
fn nothing_is_requested_of_a_stream_that_moves_by_flag_or_by_its_number_of_peers() {
    for action in [aimed(), blind(), moving_home()] {
        let flagged = seen(|reading| reading.moving = true);
        assert_eq!(stopped(&action, &flagged).0, Some(FindingReason::MoveInProgress));
        let grown = seen(|reading| reading.peers.push(member("us-2")));
        assert_eq!(stopped(&action, &grown).0, Some(FindingReason::MoveInProgress));
    }
}

#[test]
fn an_offline_peer_stands_against_every_action_wherever_it_is() {
    for (action, position) in [(aimed(), 2), (blind(), 1), (aimed(), 0)] {
        let offline = seen(|reading| reading.peers[position].offline = true);
        let (reason, message) = stopped(&action, &offline);
        assert_eq!(reason, Some(FindingReason::QuorumAtRisk));
        assert!(message.contains(["eu-0", "us-0", "us-1"][position]), "{message}");
    }
    let offline = abroad(|reading| reading.peers[1].offline = true);
    assert_eq!(
        stopped(&moving_home(), &offline).0,
        Some(FindingReason::QuorumAtRisk)
    );
}

#[test]
fn a_leader_that_changed_since_the_plan_ends_the_operation() {
    let home = seen(|reading| reading.leader = Some("us-1".into()));
    let (reason, message) = stopped(&aimed(), &home);
    assert_eq!((reason, message.as_str()), (None, "its leader is home already"));
    let elsewhere = seen(|reading| reading.leader = Some("eu-1".into()));
    assert_eq!(stopped(&aimed(), &elsewhere).1, "its leader changed meanwhile");
    let Before::Stop(outcome) = before(&aimed(), &elsewhere) else {
        panic!("stopped above");
    };
    assert_eq!(outcome.to, Some("eu-1".into()), "and says who leads");
}

#[test]
fn p4_the_target_has_to_be_a_caught_up_peer() {
    let unfit: [fn(&mut PeerReading); 2] = [
        |peer| peer.current = false,
        |peer| peer.lag = u64::from(SMALL_LAG) + 1,
    ];
    for flaw in unfit {
        let lagging = seen(|reading| flaw(&mut reading.peers[1]));
        let (reason, message) = stopped(&aimed(), &lagging);
        assert_eq!(reason, Some(FindingReason::TargetLagging));
        assert!(message.contains("us-0"), "{message}");
    }
    let left = seen(|reading| {
        reading.peers.remove(1);
    });
    assert_eq!(stopped(&aimed(), &left).0, Some(FindingReason::TargetLagging));
    let hardly = seen(|reading| reading.peers[1].lag = SMALL_LAG.into());
    assert_eq!(before(&aimed(), &hardly), Before::Request);
    let other = seen(|reading| reading.peers[2].current = false);
    assert_eq!(
        before(&aimed(), &other),
        Before::Request,
        "only the target counts"
    );
}

#[test]
fn a_blind_request_needs_any_caught_up_peer_in_home() {
    let one = seen(|reading| reading.peers[1].current = false);
    assert_eq!(before(&blind(), &one), Before::Request);
    let none = seen(|reading| {
        reading.peers[1].current = false;
        reading.peers[2].lag = 100_000;
    });
    assert_eq!(stopped(&blind(), &none).0, Some(FindingReason::TargetLagging));
}

#[test]
fn a_stream_that_is_home_already_is_not_moved() {
    let (reason, message) = stopped(&moving_home(), &moved(|_| ()));
    assert_eq!((reason, message.as_str()), (None, "it is in us already"));
    let partly = abroad(|reading| reading.peers[2].server = "us-0".into());
    assert_eq!(before(&moving_home(), &partly), Before::Request);
}

#[test]
fn p7_a_placement_that_is_not_the_one_planned_for_is_not_overwritten() {
    let changed = abroad(|reading| reading.placement = Some(placement("ap")));
    assert_eq!(
        stopped(&moving_home(), &changed).1,
        "its placement was changed meanwhile"
    );
    let mut planned_for_it = moving_home();
    let Deed::Move(target) = &mut planned_for_it.deed else {
        panic!("a move");
    };
    target.replaces = Some(placement("ap"));
    assert_eq!(before(&planned_for_it, &changed), Before::Request);
    assert_eq!(
        stopped(&planned_for_it, &abroad(|_| ())).0,
        None,
        "removed meanwhile"
    );
}

#[test]
fn a_drifted_stream_is_moved_although_its_placement_says_home() {
    let mut repair = moving_home();
    let Deed::Move(target) = &mut repair.deed else {
        panic!("a move");
    };
    target.replaces = Some(placement("us"));
    assert!(target.is_repair());
    let drifted = abroad(|reading| reading.placement = Some(placement("us")));
    assert_eq!(before(&repair, &drifted), Before::Request);
}

#[test]
fn a_stream_with_a_follower_behind_is_not_moved_and_the_leaders_own_lag_says_nothing() {
    let behind = abroad(|reading| reading.peers[1].current = false);
    assert_eq!(
        stopped(&moving_home(), &behind).0,
        Some(FindingReason::TargetLagging)
    );
    let lagging = abroad(|reading| reading.peers[2].lag = 257);
    assert_eq!(
        stopped(&moving_home(), &lagging).0,
        Some(FindingReason::TargetLagging)
    );
    let leader = abroad(|reading| reading.peers[0].current = false);
    assert_eq!(before(&moving_home(), &leader), Before::Request);
}

#[test]
fn any_leader_in_home_is_a_success_and_is_named() {
    for leader in ["us-0", "us-1"] {
        let home = seen(|reading| reading.leader = Some(leader.into()));
        for action in [aimed(), blind()] {
            let outcome = ended(after_seconds(&action, &home, 1));
            assert_eq!(
                (outcome.result, outcome.to),
                (ActionResult::Succeeded, Some(leader.into()))
            );
        }
    }
}

#[test]
fn an_aimed_request_that_elected_somebody_else_missed_at_once() {
    let elsewhere = seen(|reading| reading.leader = Some("eu-1".into()));
    let outcome = ended(after_seconds(&aimed(), &elsewhere, 0));
    assert_eq!(
        (outcome.result, outcome.to),
        (ActionResult::Missed, Some("eu-1".into()))
    );
}

#[test]
fn a_blind_request_is_repeated_for_another_leader_outside_home_until_the_attempts_are_used_up() {
    let elsewhere = seen(|reading| reading.leader = Some("eu-1".into()));
    let judge = |requests| after(&blind(), &elsewhere, &asked(requests), at(1), &limits(3));
    assert_eq!(judge(1), After::Again);
    assert_eq!(judge(2), After::Again);
    assert_eq!(ended(judge(3)).result, ActionResult::Missed);
}

#[test]
fn a_blind_request_is_not_repeated_while_the_leader_that_was_asked_leads() {
    let mut second = asked(2);
    second.of = "eu-1".into();
    let still = seen(|reading| reading.leader = Some("eu-1".into()));
    assert_eq!(after(&blind(), &still, &second, at(1), &limits(3)), After::Wait);
    let back = seen(|reading| reading.leader = Some("eu-0".into()));
    assert_eq!(after(&blind(), &back, &second, at(1), &limits(3)), After::Again);
}

#[test]
fn a_hand_over_is_waited_for_twenty_seconds() {
    let leaderless = seen(|reading| reading.leader = None);
    let still = seen(|_| ());
    for waiting in [&leaderless, &still, &Sighting::Unanswered] {
        assert_eq!(after_seconds(&aimed(), waiting, 19), After::Wait);
        assert_eq!(after_seconds(&blind(), waiting, 19), After::Wait);
    }
    let outcome = ended(after_seconds(&aimed(), &still, 20));
    assert_eq!(
        (outcome.result, outcome.to),
        (ActionResult::Missed, Some("eu-0".into()))
    );
    for silent in [&leaderless, &Sighting::Unanswered] {
        let outcome = ended(after_seconds(&aimed(), silent, 20));
        assert_eq!(outcome.result, ActionResult::TimedOut);
        assert_eq!(outcome.reason, Some(FindingReason::NoLeader));
        assert_eq!(outcome.to, None);
    }
}

#[test]
fn a_clock_that_goes_backwards_only_waits_longer() {
    let mut later = asked(1);
    later.at = at(1000);
    assert_eq!(
        after(&aimed(), &seen(|_| ()), &later, at(0), &limits(3)),
        After::Wait
    );
}

#[test]
fn what_was_deleted_after_the_request_ends_without_a_judgement() {
    for action in [aimed(), blind(), moving_home()] {
        let outcome = ended(after_seconds(&action, &Sighting::Gone, 1));
        assert_eq!((outcome.result, outcome.reason), (ActionResult::Abandoned, None));
    }
}

#[test]
fn a_move_is_done_only_when_led_from_the_target_with_all_replicas_there_and_caught_up() {
    type Flaw = fn(&mut Reading);
    let unfinished: [(&str, Flaw); 9] = [
        ("flagged", |reading| reading.moving = true),
        ("no leader", |reading| reading.leader = None),
        ("led from abroad", |reading| reading.leader = Some("eu-0".into())),
        ("a peer too many", |reading| reading.peers.push(member("us-2"))),
        ("a peer too few", |reading| {
            reading.peers.pop();
        }),
        ("a peer abroad", |reading| reading.peers[2].server = "eu-2".into()),
        ("a follower behind", |reading| reading.peers[1].current = false),
        ("a follower offline", |reading| reading.peers[1].offline = true),
        ("nobody", |reading| reading.peers.clear()),
    ];
    for (what, flaw) in unfinished {
        assert_eq!(
            after_seconds(&moving_home(), &moved(flaw), 299),
            After::Wait,
            "{what}"
        );
        let outcome = ended(after_seconds(&moving_home(), &moved(flaw), 300));
        assert_eq!(outcome.result, ActionResult::TimedOut, "{what}");
        assert_eq!(outcome.reason, Some(FindingReason::MoveInProgress), "{what}");
    }
    let outcome = ended(after_seconds(&moving_home(), &moved(|_| ()), 1));
    assert_eq!(
        (outcome.result, outcome.to),
        (ActionResult::Succeeded, Some("us-0".into()))
    );
}

#[test]
fn a_move_is_judged_by_its_peers_and_never_by_the_stored_placement() {
    let accepted = abroad(|reading| reading.placement = Some(placement("us")));
    assert_eq!(after_seconds(&moving_home(), &accepted, 1), After::Wait);
    let unplaced = moved(|reading| reading.placement = None);
    assert_eq!(
        ended(after_seconds(&moving_home(), &unplaced, 1)).result,
        ActionResult::Succeeded
    );
}

#[test]
fn a_move_that_is_done_when_its_time_is_over_is_done() {
    let outcome = ended(after_seconds(&moving_home(), &moved(|_| ()), 100_000));
    assert_eq!(outcome.result, ActionResult::Succeeded);
}

#[test]
fn a_move_without_an_answer_goes_on_until_its_time_is_over() {
    assert_eq!(
        after_seconds(&moving_home(), &Sighting::Unanswered, 299),
        After::Wait
    );
    let outcome = ended(after_seconds(&moving_home(), &Sighting::Unanswered, 300));
    assert_eq!(outcome.result, ActionResult::TimedOut);
}

#[test]
fn an_edit_that_does_not_show_or_was_overwritten_ends_the_move_long_before_its_time() {
    let kept = abroad(|reading| reading.placement = None);
    assert_eq!(
        after_seconds(&moving_home(), &kept, 29),
        After::Wait,
        "a new leader may not know yet"
    );
    let outcome = ended(after_seconds(&moving_home(), &kept, 30));
    assert_eq!((outcome.result, outcome.reason), (ActionResult::Failed, None));
    let other = abroad(|reading| reading.placement = Some(placement("ap")));
    let outcome = ended(after_seconds(&moving_home(), &other, 30));
    assert_eq!(
        (outcome.result, outcome.reason),
        (ActionResult::Failed, Some(FindingReason::Contested))
    );
}

#[test]
fn a_stream_whose_leader_changed_meanwhile_is_not_moved() {
    let elsewhere = abroad(|reading| reading.leader = Some("eu-1".into()));
    assert_eq!(
        stopped(&moving_home(), &elsewhere).1,
        "its leader changed meanwhile"
    );
}
