//! Streams that read a stream that moved get a new leader, unless they go on by themselves.

use super::*;

/// The stream `D` lies in eu-west and reads `S`, which moves.
fn with_dependent(reader: Reader) -> Trial {
    Trial::new(supercluster(&["D", "S"], 0)).with_reader("D", reader)
}

fn writes_to(fake: &FakeSystem, stream: &str) -> Vec<Option<Successor>> {
    let state = fake.state();
    let of_it = state
        .writes
        .iter()
        .filter(|write| write.asset == stream_asset(stream));
    of_it.map(|write| write.successor.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_reads_a_moved_one_gets_a_new_leader_within_a_second_of_the_hand_over() {
    for led_first_for in [0, 12] {
        let trial = with_dependent(Reader::of("S"));
        let fake = Arc::clone(&trial.fake);
        fake.state().moves.led_first_for = led_first_for;
        let finished = trial.run(relocation(&[], &["D"])).await;
        assert_eq!(finished.outcome.result, ActionResult::Succeeded);
        let [follow_up] = &finished.follow_ups[..] else {
            panic!("one: {finished:?}");
        };
        assert_eq!(follow_up.stream.as_str(), "D");
        assert_eq!(
            (follow_up.outcome.result, follow_up.requests),
            (ActionResult::Succeeded, 1)
        );
        let words = "n-4 leads it now, and it heard of S again after";
        assert!(follow_up.outcome.message.starts_with(words), "{follow_up:?}");
        assert_eq!(writes_to(&fake, "D"), [Some(Successor::Peer("n-4".into()))]);
        let led_by_target = fake.state().life.lost(&StreamName::from("D"));
        let asked = fake
            .state()
            .writes
            .iter()
            .find(|write| write.asset == stream_asset("D"))
            .unwrap()
            .at;
        assert!(
            asked.checked_sub(led_by_target).unwrap() < Duration::from_secs(1),
            "{asked:?} after {led_by_target:?}"
        );
        if led_first_for > 0 {
            assert!(
                follow_up.started < finished.ended - Duration::from_millis(500),
                "before the move is done"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_goes_on_by_itself_is_left_alone() {
    let mut reader = Reader::of("S");
    reader.by_itself = Duration::ZERO;
    let trial = with_dependent(reader);
    let fake = Arc::clone(&trial.fake);
    let finished = trial.run(relocation(&[], &["D"])).await;
    assert_eq!(finished.outcome.result, ActionResult::Succeeded);
    assert!(finished.follow_ups.is_empty(), "{finished:?}");
    assert!(writes_to(&fake, "D").is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_refreshed_where_the_policy_does_not_want_it_or_the_move_never_gets_there() {
    let mut unwanted = with_dependent(Reader::of("S"));
    unwanted.limits.refresh_dependents = false;
    let stuck = with_dependent(Reader::of("S"));
    stuck
        .fake
        .state()
        .behaviour
        .insert(stream_asset("S"), Behaviour::Stick);
    for trial in [unwanted, stuck] {
        let fake = Arc::clone(&trial.fake);
        let finished = trial.run(relocation(&[], &["D"])).await;
        assert!(finished.follow_ups.is_empty(), "{finished:?}");
        assert!(writes_to(&fake, "D").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_a_single_peer_is_said_to_resume_by_itself() {
    let trial = with_dependent(Reader::of("S"));
    let fake = Arc::clone(&trial.fake);
    {
        let mut state = fake.state();
        let dependent = &mut state.truth.streams[0];
        dependent.replicas = 1;
        dependent.group.peers = dependent.group.peers[..1].into();
    }
    let finished = trial.run(relocation(&[], &["D"])).await;
    let follow_up = &finished.follow_ups[0];
    assert_eq!(
        (follow_up.outcome.result, follow_up.requests),
        (ActionResult::Abandoned, 0)
    );
    assert_eq!(follow_up.outcome.reason, Some(FindingReason::SinglePeer));
    assert!(writes_to(&fake, "D").is_empty());
}

#[tokio::test(start_paused = true)]
async fn servers_that_take_no_aim_are_asked_without_one() {
    let trial = with_dependent(Reader::of("S"));
    let fake = Arc::clone(&trial.fake);
    fake.state()
        .behaviour
        .insert(stream_asset("D"), Behaviour::Aimless);
    let finished = trial.run(relocation(&[], &["D"])).await;
    let follow_up = &finished.follow_ups[0];
    assert_eq!(
        (follow_up.outcome.result, follow_up.requests),
        (ActionResult::Succeeded, 2)
    );
    assert_eq!(
        writes_to(&fake, "D"),
        [Some(Successor::Peer("n-4".into())), Some(Successor::Anyone)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_hear_after_a_hand_over_gets_one_more_and_no_third() {
    let cases = [(1, ActionResult::Succeeded), (9, ActionResult::Stalled)];
    for (deaf_for, result) in cases {
        let mut reader = Reader::of("S");
        (reader.deaf_for, reader.by_itself) = (deaf_for, Duration::from_hours(9));
        let trial = with_dependent(reader);
        let fake = Arc::clone(&trial.fake);
        let finished = trial.run(relocation(&[], &["D"])).await;
        let follow_up = &finished.follow_ups[0];
        assert_eq!(
            (follow_up.outcome.result, follow_up.requests),
            (result, 2),
            "{follow_up:?}"
        );
        assert_eq!(writes_to(&fake, "D").len(), 2);
        assert_eq!(
            finished.outcome.result,
            ActionResult::Succeeded,
            "the move itself is done"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_is_refused_or_elects_nobody_says_so() {
    let cases = [
        (Behaviour::Refuse, ActionResult::Failed, 1),
        (Behaviour::Deny, ActionResult::Abandoned, 0),
        (Behaviour::Ignore, ActionResult::Missed, 1),
    ];
    for (behaviour, result, requests) in cases {
        let trial = with_dependent(Reader::of("S"));
        let fake = Arc::clone(&trial.fake);
        fake.state()
            .behaviour
            .insert(stream_asset("D"), behaviour.clone());
        let finished = trial.run(relocation(&[], &["D"])).await;
        let follow_up = &finished.follow_ups[0];
        assert_eq!(
            (follow_up.outcome.result, follow_up.requests),
            (result, requests),
            "{behaviour:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn p8_nothing_is_refreshed_once_the_right_to_act_is_withheld() {
    let trial = with_dependent(Reader::of("S"));
    let (fake, authorizer) = (Arc::clone(&trial.fake), trial.authorizer.clone());
    let suspend = async {
        while fake.writes() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        authorizer.set([Inhibited::NotActive]);
    };
    let (finished, ()) = tokio::join!(trial.run(relocation(&[], &["D"])), suspend);
    let follow_up = &finished.follow_ups[0];
    assert_eq!(
        (follow_up.outcome.result, follow_up.requests),
        (ActionResult::Abandoned, 0)
    );
    assert!(writes_to(&fake, "D").is_empty());
    assert_eq!(
        finished.outcome.result,
        ActionResult::Succeeded,
        "what was begun is watched"
    );
}

#[tokio::test(start_paused = true)]
async fn p10_an_operation_that_is_dropped_at_any_call_leaves_nothing_that_asks_on() {
    for call in 1..=40 {
        let trial = with_dependent(Reader::of("S")).with_clients(consumer_asset("S", "c0"), Then::GoesOn);
        let fake = Arc::clone(&trial.fake);
        fake.halt_at(call, crate::model::Effect::After);
        tokio::select! {
            finished = trial.run(relocation(&["c0"], &["D"])) => {
                assert_eq!(finished.outcome.result, ActionResult::Succeeded, "at call {call}");
                continue;
            }
            () = fake.halted.notified() => {}
        }
        fake.carry_on();
        let calls = fake.state().calls.len();
        tokio::time::sleep(Duration::from_mins(10)).await;
        assert_eq!(fake.state().calls.len(), calls, "dropped at call {call}");
    }
}
