//! A move that takes too long is called off, where that can be done and seen.

use super::*;

/// A move that never ends, with a time limit of five minutes.
fn endless(cancel: Cancel) -> Trial {
    let mut trial = Trial::new(supercluster(&["S"], 1));
    trial.limits.move_timeout = Duration::from_mins(5);
    let mut state = trial.fake.state();
    state.behaviour.insert(stream_asset("S"), Behaviour::Stick);
    state.cancel = cancel;
    drop(state);
    trial
}

#[tokio::test(start_paused = true)]
async fn a_move_that_takes_too_long_is_cancelled_and_read_back_where_it_was() {
    for (cancel, asked) in [(Cancel::Obey, 1), (Cancel::Silent, 2)] {
        let trial = endless(cancel);
        let (fake, stage) = (Arc::clone(&trial.fake), trial.advance.subscribe());
        let finished = trial.run(relocation(&[], &[])).await;
        let outcome = &finished.outcome;
        assert_eq!((outcome.result, outcome.reason), (ActionResult::TimedOut, None));
        assert!(
            outcome
                .message
                .ends_with("cancelled, it lies on n-3, n-4, n-5 as before")
        );
        assert_eq!(outcome.to, Some("n-3".into()));
        assert_eq!(finished.requests, 1, "the cancel is no attempt");
        assert_eq!(stage.borrow().stage, Stage::Cancelling);
        let state = fake.state();
        assert_eq!(state.cancels.len(), asked);
        assert!(!state.truth.streams[0].moving);
        assert_eq!(state.truth.streams[0].placement, None);
    }
}

#[tokio::test(start_paused = true)]
async fn p7_a_cancel_is_asked_for_again_while_nobody_is_there_to_do_it() {
    for cancel in [Cancel::Absent(20), Cancel::Unread(20), Cancel::Lost(20)] {
        let trial = endless(cancel);
        let fake = Arc::clone(&trial.fake);
        let finished = trial.run(relocation(&[], &[])).await;
        let message = &finished.outcome.message;
        assert!(
            message.ends_with("it lies on n-3, n-4, n-5 as before"),
            "{message}"
        );
        assert_eq!(finished.requests, 1, "the cancel is no attempt");
        assert_eq!(fake.state().cancels.len(), 21, "{cancel:?}");
    }

    let cases = [
        (Cancel::Absent(usize::MAX), "temporarily unavailable", 8),
        (
            Cancel::Lost(usize::MAX),
            "whether they cancelled it was not seen in 18",
            11,
        ),
    ];
    for (cancel, why, given_up) in cases {
        let finished = endless(cancel).run(relocation(&[], &[])).await;
        let message = &finished.outcome.message;
        assert!(message.contains("left to the servers"), "{message}");
        assert!(message.contains(why), "{message}");
        let given_up = Duration::from_mins(given_up);
        assert!((given_up..given_up + Duration::from_secs(5)).contains(&finished.duration()));
    }
}

#[tokio::test(start_paused = true)]
async fn p8_a_cancel_that_nobody_is_there_for_is_not_asked_for_again_once_the_policy_is_suspended() {
    let trial = endless(Cancel::Absent(usize::MAX));
    let (fake, authorizer) = (Arc::clone(&trial.fake), trial.authorizer.clone());
    let suspend = async {
        tokio::time::sleep(Duration::from_mins(6)).await;
        authorizer.set([Inhibited::Suspended]);
        fake.state().cancels.len()
    };
    let (finished, asked) = tokio::join!(trial.run(relocation(&[], &[])), suspend);
    let message = &finished.outcome.message;
    assert!(message.ends_with("the policy is suspended"), "{message}");
    assert!(asked > 1);
    assert_eq!(fake.state().cancels.len(), asked);
}

#[tokio::test(start_paused = true)]
async fn p9_a_cancel_that_may_have_been_done_is_looked_after_also_once_the_policy_is_suspended() {
    let trial = endless(Cancel::Silent);
    let (fake, authorizer) = (Arc::clone(&trial.fake), trial.authorizer.clone());
    let suspend = async {
        while fake.state().cancels.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        authorizer.set([Inhibited::Suspended]);
    };
    let (finished, ()) = tokio::join!(trial.run(relocation(&[], &[])), suspend);
    let message = &finished.outcome.message;
    assert!(
        message.ends_with("it lies on n-3, n-4, n-5 as before"),
        "{message}"
    );
    assert_eq!(fake.state().cancels.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn p9_a_cancel_that_is_not_read_back_leaves_the_move_to_the_servers_and_says_why() {
    let cases = [
        (Cancel::Ignore, "it was not back 18", Duration::from_mins(8)),
        (
            Cancel::Refuse,
            "stream move not in progress (10129)",
            Duration::from_mins(5),
        ),
        (Cancel::Deny, "may not publish", Duration::from_mins(5)),
    ];
    for (cancel, why, least) in cases {
        let trial = endless(cancel);
        let fake = Arc::clone(&trial.fake);
        let finished = trial.run(relocation(&[], &[])).await;
        let outcome = &finished.outcome;
        assert_eq!(outcome.result, ActionResult::TimedOut, "{cancel:?}");
        assert_eq!(outcome.reason, Some(FindingReason::MoveInProgress), "{cancel:?}");
        assert!(outcome.message.contains("left to the servers"), "{outcome:?}");
        assert!(outcome.message.contains(why), "{outcome:?}");
        assert!(
            (least..least + Duration::from_secs(5)).contains(&finished.duration()),
            "{cancel:?}"
        );
        assert_eq!(fake.state().cancels.len(), 1, "it is asked for once");
    }
}

#[tokio::test(start_paused = true)]
async fn p9_a_move_that_is_done_as_the_cancel_comes_is_a_success() {
    let finished = endless(Cancel::Late).run(relocation(&[], &[])).await;
    assert_eq!(finished.outcome.result, ActionResult::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn p7_a_cancel_that_changes_more_than_the_placement_fails() {
    let finished = endless(Cancel::Scramble).run(relocation(&[], &[])).await;
    assert_eq!(finished.outcome.result, ActionResult::Failed);
    assert_eq!(finished.outcome.reason, Some(FindingReason::Contested));
    assert!(finished.outcome.message.contains("max_age"), "{finished:?}");
}

#[tokio::test(start_paused = true)]
async fn p8_a_move_whose_policy_was_suspended_meanwhile_is_not_cancelled() {
    let trial = endless(Cancel::Obey);
    let (fake, authorizer) = (Arc::clone(&trial.fake), trial.authorizer.clone());
    let suspend = async {
        tokio::time::sleep(Duration::from_mins(2)).await;
        authorizer.set([Inhibited::Suspended]);
    };
    let (finished, ()) = tokio::join!(trial.run(relocation(&[], &[])), suspend);
    assert!(
        finished
            .outcome
            .message
            .ends_with("left to the servers, the policy is suspended")
    );
    assert_eq!(fake.state().cancels.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn p9_a_move_that_nobody_answers_for_or_that_is_done_is_never_cancelled() {
    let trial = endless(Cancel::Obey);
    let fake = Arc::clone(&trial.fake);
    let finished = trial.run(relocation(&[], &[]));
    let done = async {
        tokio::time::sleep(Duration::from_secs(290)).await;
        fake.state().failing_reads = 8;
        fake.settle("S", &["n-0", "n-1", "n-2"]);
    };
    let (finished, ()) = tokio::join!(finished, done);
    assert_eq!(finished.outcome.result, ActionResult::Succeeded, "{finished:?}");
    assert!(
        finished.duration() > Duration::from_mins(5),
        "its time was over before it was seen"
    );
    assert_eq!(fake.state().cancels.len(), 0);
}
