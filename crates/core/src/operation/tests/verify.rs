use super::*;

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
fn a_leader_that_was_asked_in_favour_of_a_peer_and_stays_is_asked_again_unless_it_was_elected_again() {
    let still = seen(|_| ());
    let judge = |asked: &SentRequest, after_millis| {
        let now = asked.at + Duration::from_millis(after_millis);
        after(&aimed(), &still, asked, now, &limits(3))
    };
    assert_eq!(judge(&asked(1), 1499), Verification::Wait);
    assert_eq!(judge(&asked(1), 1500), Verification::Again);
    assert_eq!(judge(&asked(3), 19_999), Verification::Wait, "no request is left");
    let elected = |leader: &str| SentRequest {
        elected: Some(leader.into()),
        ..asked(2)
    };
    assert_eq!(
        judge(&elected("eu-0"), 1499),
        Verification::Wait,
        "that may have been heard late"
    );
    assert_eq!(ended(judge(&elected("eu-0"), 1500)).result, ActionResult::Missed);
    assert_eq!(judge(&elected("us-0"), 1500), Verification::Again);
    let blind = after(&blind(), &still, &asked(1), at(19), &limits(3));
    assert_eq!(
        blind,
        Verification::Wait,
        "where the servers choose it is one attempt"
    );
}

#[test]
fn each_request_names_the_next_peer_that_is_ready_in_turns() {
    let step_down = |action: Action| match action.kind {
        ActionKind::StepDown(step_down) => step_down,
        other @ ActionKind::Move(_) => panic!("{other:?}"),
    };
    let mut aimed = step_down(aimed());
    aimed.alternatives = vec!["us-1".into(), "us-2".into()];
    let named = |requests, lagging: &str| {
        let next = aimed.after(requests, |server| server.as_str() != lagging)?;
        match next.successor {
            Successor::Peer(server) => Some(server.to_string()),
            other @ (Successor::Anyone | Successor::OtherServer) => panic!("{other:?}"),
        }
    };
    let turns = [0, 1, 2, 3].map(|requests| named(requests, "").unwrap());
    assert_eq!(turns, ["us-0", "us-1", "us-2", "us-0"]);
    let turns = [0, 1, 2, 3].map(|requests| named(requests, "us-1").unwrap());
    assert_eq!(turns, ["us-0", "us-2", "us-2", "us-0"]);
    assert_eq!(aimed.after(1, |_| false), None);
    let blind = step_down(blind());
    assert_eq!(blind.after(2, |_| false), Some(blind.clone()));
}

#[test]
fn a_blind_request_is_repeated_for_another_leader_outside_home_until_the_attempts_are_used_up() {
    let elsewhere = seen(|reading| reading.leader = Some("eu-1".into()));
    let judge = |requests| after(&blind(), &elsewhere, &asked(requests), at(1), &limits(3));
    assert_eq!(judge(1), Verification::Again);
    assert_eq!(judge(2), Verification::Again);
    assert_eq!(ended(judge(3)).result, ActionResult::Missed);
}

#[test]
fn a_blind_request_is_not_repeated_while_the_leader_that_was_asked_leads() {
    let mut second = asked(2);
    second.of = "eu-1".into();
    let still = seen(|reading| reading.leader = Some("eu-1".into()));
    assert_eq!(
        after(&blind(), &still, &second, at(1), &limits(3)),
        Verification::Wait
    );
    let back = seen(|reading| reading.leader = Some("eu-0".into()));
    assert_eq!(
        after(&blind(), &back, &second, at(1), &limits(3)),
        Verification::Again
    );
}

#[test]
fn an_evacuation_ends_when_the_old_server_has_left_and_is_repeated_likewise() {
    let action = step_down(Successor::OtherServer);
    let one = |leader: &str, replicas: &[&str]| {
        seen(|reading| {
            *reading = super::reading(&[leader]);
            reading.peers.extend(replicas.iter().map(|name| member(name)));
        })
    };
    let judge =
        |read_result: &ReadResult, requests| after(&action, read_result, &asked(requests), at(1), &limits(3));
    for under_way in [
        one("eu-0", &["us-0"]),
        one("us-0", &["eu-0"]),
        one("eu-1", &["eu-0"]),
    ] {
        assert_eq!(judge(&under_way, 1), Verification::Wait, "{under_way:?}");
    }
    assert_eq!(ended(judge(&one("us-0", &[]), 1)), led_by("us-0"));
    assert_eq!(judge(&one("eu-1", &[]), 1), Verification::Again);
    assert_eq!(ended(judge(&one("eu-1", &[]), 3)).result, ActionResult::Missed);
    let lasting = after_seconds(&action, &one("eu-0", &["us-0"]), 20);
    assert_eq!(ended(lasting).result, ActionResult::Missed);
    assert_eq!(before(&action, &one("eu-0", &[]), &limits(3)), Preflight::Request);
}

#[test]
fn a_hand_over_is_waited_for_twenty_seconds() {
    let leaderless = seen(|reading| reading.leader = None);
    let still = seen(|_| ());
    for waiting in [&leaderless, &ReadResult::Unanswered] {
        assert_eq!(after_seconds(&aimed(), waiting, 19), Verification::Wait);
        assert_eq!(after_seconds(&blind(), waiting, 19), Verification::Wait);
    }
    // The last request that was allowed.
    let last = |seconds| after(&aimed(), &still, &asked(3), at(seconds), &limits(3));
    assert_eq!(last(19), Verification::Wait);
    let outcome = ended(last(20));
    assert_eq!(
        (outcome.result, outcome.to),
        (ActionResult::Missed, Some("eu-0".into()))
    );
    for silent in [&leaderless, &ReadResult::Unanswered] {
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
        Verification::Wait
    );
}

#[test]
fn what_was_deleted_after_the_request_ends_without_a_judgement() {
    for action in [aimed(), blind(), moving_home()] {
        let outcome = ended(after_seconds(&action, &ReadResult::Gone, 1));
        assert_eq!((outcome.result, outcome.reason), (ActionResult::Abandoned, None));
    }
}

#[test]
fn a_move_is_done_only_when_led_from_the_target_with_all_replicas_there_and_caught_up() {
    type Flaw = fn(&mut AssetInfo);
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
            Verification::Wait,
            "{what}"
        );
        let outcome = overdue(after_seconds(&moving_home(), &moved(flaw), 300));
        assert_eq!(outcome.result, ActionResult::TimedOut, "{what}");
        assert_eq!(outcome.reason, Some(FindingReason::MoveInProgress), "{what}");
        assert_eq!(outcome.message, "not done after 300 s", "{what}");
    }
    let outcome = ended(after_seconds(&moving_home(), &moved(|_| ()), 1));
    assert_eq!(
        (outcome.result, outcome.to),
        (ActionResult::Succeeded, Some("us-0".into()))
    );
}

#[test]
fn a_move_is_judged_by_its_peers_and_never_by_the_stored_placement() {
    let accepted = away(|reading| reading.placement = Some(placement("us")));
    assert_eq!(after_seconds(&moving_home(), &accepted, 1), Verification::Wait);
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
fn a_move_that_nobody_sees_is_never_cancelled_and_left_to_the_servers_a_minute_after_its_time() {
    for seconds in [299, 300, 359] {
        let look = after_seconds(&moving_home(), &ReadResult::Unanswered, seconds);
        assert_eq!(look, Verification::Wait);
    }
    let outcome = ended(after_seconds(&moving_home(), &ReadResult::Unanswered, 360));
    assert_eq!(outcome.result, ActionResult::TimedOut);
    assert!(outcome.message.contains("left to the servers"), "{outcome:?}");
}

#[test]
fn a_move_whose_time_has_no_end_is_waited_for() {
    let mut forever = limits(1);
    forever.move_timeout = Duration::MAX;
    for read_result in [
        ReadResult::Unanswered,
        away(|reading| reading.placement = Some(placement("us"))),
    ] {
        let look = after(&moving_home(), &read_result, &asked(1), at(1_000_000), &forever);
        assert_eq!(look, Verification::Wait);
    }
}

#[test]
fn a_move_arrives_with_its_first_caught_up_peer_and_is_handed_over_with_its_leader() {
    let target = target();
    let mut far = reading(&["eu-0", "eu-1", "eu-2"]);
    assert!(!arrives(&target, &far) && !led_by_target(&target, &far));
    far.peers.push(PeerInfo {
        current: false,
        ..member("us-0")
    });
    assert!(!arrives(&target, &far), "it copies still");
    far.peers[3].current = true;
    assert!(arrives(&target, &far) && !led_by_target(&target, &far));
    far.leader = None;
    assert!(!led_by_target(&target, &far));
    far.leader = Some("us-0".into());
    assert!(led_by_target(&target, &far));
}

#[test]
fn an_edit_that_does_not_show_or_was_overwritten_ends_the_move_long_before_its_time() {
    let kept = away(|reading| reading.placement = None);
    assert_eq!(
        after_seconds(&moving_home(), &kept, 29),
        Verification::Wait,
        "a new leader may not know yet"
    );
    let outcome = ended(after_seconds(&moving_home(), &kept, 30));
    assert_eq!((outcome.result, outcome.reason), (ActionResult::Failed, None));
    let other = away(|reading| reading.placement = Some(placement("ap")));
    let outcome = ended(after_seconds(&moving_home(), &other, 30));
    assert_eq!(
        (outcome.result, outcome.reason),
        (ActionResult::Failed, Some(FindingReason::Contested))
    );
}
