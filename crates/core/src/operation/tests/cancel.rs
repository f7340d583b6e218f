use super::*;

fn peers_before() -> Vec<ServerName> {
    vec!["eu-0".into(), "eu-1".into(), "eu-2".into()]
}

fn overdue_since(seconds: u64) -> Outcome {
    overdue(after_seconds(
        &moving_home(),
        &away(|reading| reading.placement = Some(placement("us"))),
        seconds,
    ))
}

fn judged(read_result: &ReadResult) -> Option<Outcome> {
    after_cancel(&target(), &peers_before(), read_result, &overdue_since(300))
}

#[test]
fn a_cancelled_move_ends_when_the_stream_lies_where_it_lay_with_the_placement_from_before() {
    let outcome = judged(&away(|_| ())).unwrap();
    assert_eq!((outcome.result, outcome.reason), (ActionResult::TimedOut, None));
    let words = "not done after 300 s: cancelled, it lies on eu-0, eu-1, eu-2 as before";
    assert_eq!(outcome.message, words);
    assert_eq!(outcome.to, Some("eu-0".into()));
    let other_order = away(|reading| {
        reading.leader = Some("eu-2".into());
        reading.peers.reverse();
    });
    assert!(judged(&other_order).is_some());
}

#[test]
fn a_cancelled_move_is_waited_for_while_anything_of_it_is_left() {
    type Flaw = fn(&mut AssetInfo);
    let unfinished: [(&str, Flaw); 6] = [
        ("flagged", |reading| reading.moving = true),
        ("no leader", |reading| reading.leader = None),
        ("led from the target", |reading| {
            reading.leader = Some("us-0".into());
        }),
        ("a peer too many", |reading| reading.peers.push(member("us-0"))),
        ("another peer", |reading| reading.peers[2].server = "us-0".into()),
        ("the placement of the move", |reading| {
            reading.placement = Some(placement("us"));
        }),
    ];
    for (what, flaw) in unfinished {
        assert_eq!(judged(&away(flaw)), None, "{what}");
    }
    assert_eq!(judged(&ReadResult::Unanswered), None);
}

#[test]
fn p9_a_move_that_was_done_when_the_cancel_came_is_done() {
    let outcome = judged(&moved(|_| ())).unwrap();
    assert_eq!(
        (outcome.result, outcome.to),
        (ActionResult::Succeeded, Some("us-0".into()))
    );
}

#[test]
fn a_stream_that_was_deleted_while_it_was_cancelled_ends_without_a_judgement() {
    assert_eq!(judged(&ReadResult::Gone).unwrap().result, ActionResult::Abandoned);
}

#[test]
fn an_overdue_move_that_was_not_cancelled_says_why() {
    let left = left_to_the_servers(overdue_since(400), "the policy is suspended");
    assert_eq!(left.result, ActionResult::TimedOut);
    assert_eq!(left.reason, Some(FindingReason::MoveInProgress));
    let words = "not done after 400 s: left to the servers, the policy is suspended";
    assert_eq!(left.message, words);
}
