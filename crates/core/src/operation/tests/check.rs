use super::*;

#[test]
fn what_is_as_planned_is_requested() {
    assert_eq!(before(&aimed(), &seen(|_| ()), &limits(3)), Preflight::Request);
    assert_eq!(before(&blind(), &seen(|_| ()), &limits(3)), Preflight::Request);
    assert_eq!(
        before(&moving_home(), &away(|_| ()), &limits(3)),
        Preflight::Request
    );
}

#[test]
fn nothing_is_requested_of_what_is_gone_unanswered_or_leaderless() {
    for action in [aimed(), blind(), moving_home()] {
        assert_eq!(stopped(&action, &ReadResult::Gone).0, None);
        assert_eq!(
            stopped(&action, &ReadResult::Unanswered).0,
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
    let offline = away(|reading| reading.peers[1].offline = true);
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
    let Preflight::Stop(outcome) = before(&aimed(), &elsewhere, &limits(3)) else {
        panic!("stopped above");
    };
    assert_eq!(outcome.to, Some("eu-1".into()), "and says who leads");
}

#[test]
fn p4_the_target_has_to_be_a_caught_up_peer() {
    let unfit: [fn(&mut PeerInfo); 2] = [
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
    assert_eq!(before(&aimed(), &hardly, &limits(3)), Preflight::Request);
    let other = seen(|reading| reading.peers[2].current = false);
    assert_eq!(
        before(&aimed(), &other, &limits(3)),
        Preflight::Request,
        "only the target counts"
    );
}

#[test]
fn a_blind_request_needs_any_caught_up_peer_in_home() {
    let one = seen(|reading| reading.peers[1].current = false);
    assert_eq!(before(&blind(), &one, &limits(3)), Preflight::Request);
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
    let partly = away(|reading| reading.peers[2].server = "us-0".into());
    assert_eq!(before(&moving_home(), &partly, &limits(3)), Preflight::Request);
}

#[test]
fn p7_a_placement_that_is_not_the_one_planned_for_is_not_overwritten() {
    let changed = away(|reading| reading.placement = Some(placement("ap")));
    assert_eq!(
        stopped(&moving_home(), &changed).1,
        "its placement was changed meanwhile"
    );
    let mut planned_for_it = moving_home();
    let ActionKind::Move(moving) = &mut planned_for_it.kind else {
        panic!("a move");
    };
    moving.target.replaces = Some(placement("ap"));
    assert_eq!(before(&planned_for_it, &changed, &limits(3)), Preflight::Request);
    assert_eq!(
        stopped(&planned_for_it, &away(|_| ())).0,
        None,
        "removed meanwhile"
    );
}

#[test]
fn a_drifted_stream_is_moved_although_its_placement_says_home() {
    let mut repair = moving_home();
    let ActionKind::Move(moving) = &mut repair.kind else {
        panic!("a move");
    };
    moving.target.replaces = Some(placement("us"));
    assert!(moving.target.is_repair());
    let drifted = away(|reading| reading.placement = Some(placement("us")));
    assert_eq!(before(&repair, &drifted, &limits(3)), Preflight::Request);
}

#[test]
fn a_stream_with_a_follower_behind_is_not_moved_and_the_leaders_own_lag_says_nothing() {
    let behind = away(|reading| reading.peers[1].current = false);
    assert_eq!(
        stopped(&moving_home(), &behind).0,
        Some(FindingReason::TargetLagging)
    );
    let lagging = away(|reading| reading.peers[2].lag = 257);
    assert_eq!(
        stopped(&moving_home(), &lagging).0,
        Some(FindingReason::TargetLagging)
    );
    let leader = away(|reading| reading.peers[0].current = false);
    assert_eq!(before(&moving_home(), &leader, &limits(3)), Preflight::Request);
}

#[test]
fn a_stream_whose_leader_changed_meanwhile_is_not_moved() {
    let elsewhere = away(|reading| reading.leader = Some("eu-1".into()));
    assert_eq!(
        stopped(&moving_home(), &elsewhere).1,
        "its leader changed meanwhile"
    );
}

#[test]
fn a_peer_may_lack_as_many_entries_as_the_policy_says() {
    let mut strict = limits(3);
    strict.max_lag = 0;
    let behind = seen(|reading| reading.peers[1].lag = 1);
    assert_eq!(before(&aimed(), &behind, &limits(3)), Preflight::Request);
    assert!(matches!(before(&aimed(), &behind, &strict), Preflight::Stop(_)));
    let away = away(|reading| reading.peers[1].lag = 1);
    assert_eq!(before(&moving_home(), &away, &limits(3)), Preflight::Request);
    assert!(matches!(
        before(&moving_home(), &away, &strict),
        Preflight::Stop(_)
    ));
}

#[test]
fn a_consumer_with_too_many_unacknowledged_messages_is_left_alone() {
    let holding = |ack_pending| {
        seen(|reading| {
            reading.progress = Some(Progress {
                ack_pending,
                ..Progress::default()
            });
        })
    };
    let mut most = limits(3);
    most.max_ack_pending = Some(10);
    assert_eq!(before(&aimed(), &holding(10), &most), Preflight::Request);
    assert_eq!(
        before(&aimed(), &holding(11), &limits(3)),
        Preflight::Request,
        "no limit"
    );
    let Preflight::Stop(outcome) = before(&aimed(), &holding(11), &most) else {
        panic!("requested");
    };
    assert_eq!(outcome.result, ActionResult::Abandoned);
    assert_eq!(outcome.reason, Some(FindingReason::AckPendingHigh));
    assert!(outcome.message.contains("11 of its messages"), "{outcome:?}");
}

#[test]
fn a_stream_is_not_moved_while_one_of_its_consumers_has_too_many_unacknowledged_messages() {
    let holding = |name: &str, ack_pending| {
        let progress = Progress {
            ack_pending,
            ..Progress::default()
        };
        (name.into(), progress)
    };
    let mut most = limits(3);
    most.max_ack_pending = Some(10);
    let consumers = [holding("a", 10), holding("b", 11)];
    assert_eq!(before_consumers(&consumers[..1], &most), Preflight::Request);
    assert_eq!(before_consumers(&consumers, &limits(3)), Preflight::Request);
    let Preflight::Stop(outcome) = before_consumers(&consumers, &most) else {
        panic!("moved");
    };
    assert_eq!(outcome.result, ActionResult::Abandoned);
    assert_eq!(outcome.reason, Some(FindingReason::AckPendingHigh));
    assert!(
        outcome.message.starts_with("consumer b: 11 of its"),
        "{outcome:?}"
    );
}
