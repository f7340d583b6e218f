use super::*;
use crate::names::StreamName;

const MAX_LAG: u64 = 0;

fn upstream(stream: &str, last_active: Option<u64>) -> Upstream {
    Upstream {
        stream: stream.into(),
        last_active: last_active.map(Duration::from_millis),
        lag: 0,
    }
}

/// A stream in eu that reads S, which it heard of so many milliseconds ago.
fn dependent(last_active: Option<u64>) -> AssetInfo {
    AssetInfo {
        upstreams: vec![upstream("S", last_active)],
        ..reading(&["eu-1", "eu-0", "eu-2"])
    }
}

fn judge(reading: AssetInfo, since: TargetReached) -> Refresh {
    judge_sighting(&ReadResult::Seen(reading), since)
}

fn judge_sighting(read_result: &ReadResult, since: TargetReached) -> Refresh {
    let (dependent, moved) = (StreamName::from("D"), StreamName::from("S"));
    refresh(&dependent, &moved, &target(), read_result, since, MAX_LAG)
}

fn handed_over_before(milliseconds: u64) -> TargetReached {
    TargetReached::Led(Duration::from_millis(milliseconds))
}

fn done_before(milliseconds: u64) -> TargetReached {
    TargetReached::Done(Duration::from_millis(milliseconds))
}

fn steps_down(refresh: &Refresh) -> &Action {
    let Refresh::StepDown(action) = refresh else {
        panic!("no step-down: {refresh:?}");
    };
    action
}

fn left(refresh: &Refresh) -> Option<FindingReason> {
    let Refresh::Leave(outcome) = refresh else {
        panic!("not left: {refresh:?}");
    };
    assert_eq!(outcome.result, ActionResult::Abandoned);
    outcome.reason
}

#[test]
fn a_stream_that_did_not_hear_since_the_hand_over_is_refreshed_soon() {
    for since in [handed_over_before, done_before] {
        for heard in [Some(200), Some(900), Some(20_000), None] {
            assert_eq!(judge(dependent(heard), since(199)), Refresh::Wait, "{heard:?}");
            steps_down(&judge(dependent(heard), since(200)));
        }
    }
}

#[test]
fn a_stream_that_heard_since_the_hand_over_is_watched_until_the_move_is_done_and_it_heard_long_after_that() {
    assert_eq!(judge(dependent(Some(5)), handed_over_before(300)), Refresh::Wait);
    assert_eq!(
        judge(dependent(Some(5)), handed_over_before(60_000)),
        Refresh::Wait,
        "members from before may still feed it"
    );
    assert_eq!(judge(dependent(Some(5)), done_before(2500)), Refresh::Wait);
    assert_eq!(judge(dependent(Some(5)), done_before(2600)), Refresh::Resumed);
    assert_eq!(judge(dependent(Some(1000)), done_before(3000)), Refresh::Wait);
}

#[test]
fn a_stream_that_heard_for_a_while_and_then_falls_silent_is_refreshed() {
    for since in [handed_over_before(10_000), done_before(10_000)] {
        assert_ne!(
            judge(dependent(Some(2500)), since),
            judge(dependent(Some(2501)), since)
        );
        steps_down(&judge(dependent(Some(2501)), since));
    }
}

#[test]
fn of_several_sources_of_one_stream_the_one_heard_of_least_counts_and_others_do_not() {
    let mut reading = dependent(Some(5));
    reading.upstreams.push(upstream("OTHER", None));
    assert_eq!(judge(reading.clone(), done_before(4000)), Refresh::Resumed);
    reading.upstreams.push(upstream("S", None));
    steps_down(&judge(reading, done_before(4000)));
}

#[test]
fn a_stream_that_is_gone_or_reads_it_no_more_needs_nothing() {
    assert_eq!(
        judge_sighting(&ReadResult::Gone, done_before(0)),
        Refresh::Resumed
    );
    let mut other = dependent(None);
    other.upstreams = vec![upstream("OTHER", None)];
    assert_eq!(judge(other, done_before(0)), Refresh::Resumed);
}

#[test]
fn p4_a_stream_is_handed_to_a_caught_up_peer_on_the_side_of_its_leader() {
    let deed = |reading| {
        let refresh = judge(reading, done_before(1000));
        let action = steps_down(&refresh).clone();
        assert_eq!(action.asset, asset("D"));
        let ActionKind::StepDown(step_down) = action.kind else {
            panic!("a step-down");
        };
        (action.from, step_down.successor, step_down.home_peers.len())
    };
    let aimed_at = |server: &str| Successor::Peer(server.into());
    assert_eq!(deed(dependent(None)), ("eu-1".into(), aimed_at("eu-0"), 2));
    let mut lagging = dependent(None);
    lagging.peers[1].lag = 1;
    assert_eq!(deed(lagging).1, aimed_at("eu-2"));
    let stretched = |servers: [&str; 4]| AssetInfo {
        upstreams: dependent(None).upstreams,
        ..reading(&servers)
    };
    assert_eq!(
        deed(stretched(["us-1", "eu-0", "us-0", "us-2"])).1,
        aimed_at("us-0")
    );
    assert_eq!(
        deed(stretched(["eu-1", "us-0", "us-2", "eu-2"])).1,
        aimed_at("eu-2")
    );
    assert_eq!(
        deed(stretched(["eu-1", "us-2", "us-0", "us-1"])).1,
        aimed_at("us-0")
    );
}

#[test]
fn a_stream_that_cannot_hand_over_safely_is_left_and_says_why() {
    let single = AssetInfo {
        upstreams: dependent(None).upstreams,
        ..reading(&["eu-0"])
    };
    let refresh = judge(single, done_before(200));
    assert_eq!(left(&refresh), Some(FindingReason::SinglePeer));
    let mut moving = dependent(None);
    moving.moving = true;
    assert_eq!(
        left(&judge(moving, done_before(200))),
        Some(FindingReason::MoveInProgress)
    );
    let mut grown = dependent(None);
    grown.peers.push(member("us-0"));
    assert_eq!(
        left(&judge(grown, done_before(200))),
        Some(FindingReason::MoveInProgress)
    );
    let mut offline = dependent(None);
    offline.peers[2].offline = true;
    assert_eq!(
        left(&judge(offline, done_before(200))),
        Some(FindingReason::QuorumAtRisk)
    );
}

#[test]
fn a_stream_that_nobody_can_ask_now_is_waited_for_until_it_has_resumed_by_itself() {
    let mut lagging = dependent(None);
    lagging.peers[1].current = false;
    lagging.peers[2].lag = 9;
    let mut leaderless = dependent(None);
    leaderless.leader = None;
    let (early, late) = (done_before(21_999), done_before(22_000));
    for reading in [&lagging, &leaderless] {
        assert_eq!(judge(reading.clone(), early), Refresh::Wait);
    }
    assert_eq!(left(&judge(lagging, late)), Some(FindingReason::TargetLagging));
    assert_eq!(left(&judge(leaderless, late)), Some(FindingReason::NoLeader));
    assert_eq!(judge_sighting(&ReadResult::Unanswered, early), Refresh::Wait);
    let refresh = judge_sighting(&ReadResult::Unanswered, late);
    assert_eq!(left(&refresh), Some(FindingReason::NoLeader));
}

#[test]
fn a_stream_hears_again_when_all_that_it_reads_was_heard_of_since_it_was_asked() {
    let span = Duration::from_millis(700);
    let moved = StreamName::from("S");
    for (heard, expected) in [(Some(699), true), (Some(700), false), (None, false)] {
        assert_eq!(is_active(&dependent(heard), &moved, span), expected, "{heard:?}");
    }
}

#[test]
fn the_end_of_a_refresh_says_whether_the_stream_hears_again() {
    let moved = StreamName::from("S");
    let outcome = refreshed(led_by("eu-0"), &moved, Ok(Duration::from_millis(640)));
    assert_eq!(outcome.result, ActionResult::Succeeded);
    let words = "eu-0 leads it now, and it heard of S again after 640 ms";
    assert_eq!(outcome.message, words);
    let outcome = refreshed(led_by("eu-0"), &moved, Err(ACTIVE_AGAIN));
    assert_eq!(outcome.result, ActionResult::Stalled);
    let words = "eu-0 leads it now, but it has not heard of S for 5 s";
    assert_eq!(outcome.message, words);
}
