use super::*;

type Change = fn(&mut Progress);

fn busy() -> Progress {
    Progress {
        delivered: 1000,
        ack_floor: 900,
        pending: 50,
        ack_pending: 5,
        max_ack_pending: Some(1000),
        waiting: 2,
        push_bound: false,
        paused: false,
    }
}

fn changed(change: impl FnOnce(&mut Progress)) -> Progress {
    let mut progress = busy();
    change(&mut progress);
    progress
}

fn consumer(leader: &str, progress: Progress) -> ReadResult {
    seen(|reading| {
        reading.leader = Some(leader.into());
        reading.progress = Some(progress);
    })
}

fn home() -> Vec<ServerName> {
    vec!["us-0".into(), "us-1".into()]
}

/// Looks at a consumer that was seen so before and is led by us-0 since, at these seconds.
fn looks(before: &Progress, looks: &[(u64, Progress)]) -> ResumeResult {
    let mut proof = ResumeCheck::of(before).expect("somebody uses it");
    let mut last = ResumeResult::NotYet;
    for (second, progress) in looks {
        assert_eq!(last, ResumeResult::NotYet, "before second {second}");
        let read_result = consumer("us-0", progress.clone());
        last = proof.look(Some(&read_result), &home(), Duration::from_secs(*second));
    }
    last
}

#[test]
fn of_a_consumer_that_nobody_uses_or_that_is_paused_nothing_is_to_be_proven() {
    let unused = changed(|progress| (progress.waiting, progress.ack_pending) = (0, 0));
    let paused = changed(|progress| progress.paused = true);
    assert!(ResumeCheck::of(&unused).is_none());
    assert!(ResumeCheck::of(&paused).is_none());
    assert_eq!(
        progress_since(&busy(), &busy(), &paused),
        ConsumerProgress::NothingToProve
    );
    let uses: [Change; 3] = [
        |progress| progress.waiting = 1,
        |progress| progress.push_bound = true,
        |progress| progress.ack_pending = 1,
    ];
    for used in uses {
        let mut progress = unused.clone();
        used(&mut progress);
        assert!(ResumeCheck::of(&progress).is_some(), "{progress:?}");
    }
}

#[test]
fn a_consumer_goes_on_when_anything_is_delivered_or_acknowledged_under_its_new_leader() {
    let signs: [Change; 4] = [
        |progress| progress.delivered += 1,
        |progress| progress.ack_floor += 1,
        |progress| progress.ack_pending -= 1,
        |progress| progress.ack_pending += 1,
    ];
    for sign in signs {
        assert_eq!(
            progress_since(&busy(), &busy(), &changed(sign)),
            ConsumerProgress::Yes
        );
        let proven = looks(&busy(), &[(0, busy()), (1, changed(sign))]);
        assert_eq!(proven, ResumeResult::Resumed);
    }
    assert_eq!(
        progress_since(&busy(), &busy(), &busy()),
        ConsumerProgress::NotYet
    );
}

#[test]
fn p9_what_the_old_leader_delivered_up_to_the_end_proves_nothing_of_the_new_one() {
    let restored = changed(|progress| (progress.delivered, progress.ack_floor) = (1400, 1300));
    assert_eq!(
        looks(&busy(), &[(0, restored.clone()), (3, restored.clone())]),
        ResumeResult::NotYet
    );
    // A new leader may know of less than the old one did.
    let behind = changed(|progress| progress.delivered = 990);
    let proven = looks(&busy(), &[(0, behind.clone()), (1, behind)]);
    assert_eq!(proven, ResumeResult::NotYet);
}

#[test]
fn the_state_of_yet_another_leader_proves_nothing_by_being_different() {
    let mut proof = ResumeCheck::of(&busy()).unwrap();
    let mut look = |leader: &str, delivered, second| {
        let progress = changed(|progress| progress.delivered = delivered);
        let read_result = consumer(leader, progress);
        proof.look(Some(&read_result), &home(), Duration::from_secs(second))
    };
    assert_eq!(look("us-0", 1000, 0), ResumeResult::NotYet);
    assert_eq!(look("us-1", 1001, 1), ResumeResult::NotYet);
    assert_eq!(look("us-1", 1001, 2), ResumeResult::NotYet);
    assert_eq!(look("us-1", 1002, 3), ResumeResult::Resumed);
}

#[test]
fn clients_that_wait_while_nothing_is_pending_show_that_it_goes_on() {
    let idle = |waiting, push_bound| {
        changed(|progress| {
            (progress.pending, progress.waiting, progress.push_bound) = (0, waiting, push_bound);
        })
    };
    assert_eq!(looks(&busy(), &[(0, idle(1, false))]), ResumeResult::Resumed);
    assert_eq!(looks(&busy(), &[(0, idle(0, true))]), ResumeResult::Resumed);
    assert_eq!(
        looks(&busy(), &[(0, idle(0, false)), (4, idle(0, false))]),
        ResumeResult::NotYet
    );
}

#[test]
fn clients_that_do_not_come_back_while_nothing_is_pending_are_no_stall() {
    let gone = changed(|progress| (progress.pending, progress.waiting) = (0, 0));
    let ResumeResult::Quiet(words) = looks(&busy(), &[(0, gone.clone()), (5, gone)]) else {
        panic!("quiet after five seconds");
    };
    assert_eq!(words, "no message is pending");
    let left_over = changed(|progress| progress.waiting = 0);
    let drained = changed(|progress| (progress.pending, progress.waiting, progress.ack_pending) = (0, 0, 0));
    assert_eq!(looks(&left_over, &[(0, drained)]), ResumeResult::Resumed);
}

#[test]
fn pending_messages_that_nobody_gets_for_a_minute_are_a_stall() {
    let stuck = changed(|progress| (progress.pending, progress.waiting) = (123, 0));
    let proven = looks(
        &busy(),
        &[
            (0, stuck.clone()),
            (5, stuck.clone()),
            (59, stuck.clone()),
            (60, stuck),
        ],
    );
    let words = "123 messages pending, none delivered or acknowledged for 60 s since us-0 leads it";
    assert_eq!(proven, ResumeResult::Stalled(words.to_owned()));
}

#[test]
fn a_pull_that_comes_after_the_old_one_expired_is_soon_enough() {
    let lost = changed(|progress| progress.waiting = 0);
    let served = changed(|progress| progress.delivered += 10);
    let proven = looks(&busy(), &[(0, lost.clone()), (30, lost), (31, served)]);
    assert_eq!(proven, ResumeResult::Resumed);
}

#[test]
fn slow_clients_that_ask_for_no_more_are_no_stall() {
    let working = changed(|progress| progress.waiting = 0);
    let ResumeResult::Quiet(words) = looks(&working, &[(0, working.clone()), (5, working.clone())]) else {
        panic!("nobody asks");
    };
    assert_eq!(words, "its clients hold 5 messages and ask for no more");
    let full = changed(|progress| progress.max_ack_pending = Some(5));
    let proven = looks(&busy(), &[(0, full.clone()), (4, full.clone())]);
    assert_eq!(proven, ResumeResult::NotYet);
    assert!(matches!(
        looks(&busy(), &[(0, full.clone()), (6, full)]),
        ResumeResult::Quiet(_)
    ));
    let boundless = changed(|progress| progress.max_ack_pending = None);
    let proven = looks(
        &busy(),
        &[(0, boundless.clone()), (6, boundless.clone()), (61, boundless)],
    );
    assert!(
        matches!(proven, ResumeResult::Stalled(_)),
        "it could deliver more: {proven:?}"
    );
}

#[test]
fn clients_that_ask_only_now_have_to_be_served() {
    let working = changed(|progress| progress.waiting = 0);
    let proven = looks(
        &working,
        &[(0, working.clone()), (4, busy()), (59, busy()), (61, busy())],
    );
    assert!(matches!(proven, ResumeResult::Stalled(_)), "{proven:?}");
}

#[test]
fn a_leader_outside_home_is_seen_at_once() {
    let mut proof = ResumeCheck::of(&busy()).unwrap();
    let back = consumer("eu-0", changed(|progress| progress.delivered += 1));
    let proven = proof.look(Some(&back), &home(), Duration::ZERO);
    assert_eq!(proven, ResumeResult::Left("eu-0".into()));
}

#[test]
fn p6_a_consumer_that_cannot_be_looked_at_is_neither_proven_nor_stalled() {
    let mut proof = ResumeCheck::of(&busy()).unwrap();
    let mut look = |read_result: Option<&ReadResult>, seconds| {
        let waited = Duration::from_secs(seconds);
        proof.look(read_result, &home(), waited)
    };
    let leaderless = seen(|reading| reading.leader = None);
    let blank = seen(|reading| reading.leader = Some("us-0".into()));
    for read_result in [
        None,
        Some(&ReadResult::Unanswered),
        Some(&leaderless),
        Some(&blank),
    ] {
        assert_eq!(look(read_result, 59), ResumeResult::NotYet);
    }
    assert_eq!(look(None, 60), ResumeResult::Unseen);
    assert_eq!(look(Some(&blank), 60), ResumeResult::Unseen);
    let words = "nobody answered for it for 60 s".to_owned();
    assert_eq!(
        look(Some(&ReadResult::Unanswered), 60),
        ResumeResult::Stalled(words)
    );
    let words = "it had no leader for 61 s".to_owned();
    assert_eq!(look(Some(&leaderless), 61), ResumeResult::Stalled(words));
    assert_eq!(look(Some(&ReadResult::Gone), 1), ResumeResult::Resumed);
}

#[test]
fn the_end_of_a_hand_over_says_what_became_of_the_consumer() {
    let cases = [
        (
            ResumeResult::Resumed,
            ActionResult::Succeeded,
            "us-0 leads it now",
        ),
        (
            ResumeResult::Quiet("no message is pending".into()),
            ActionResult::Succeeded,
            "us-0 leads it now, no message is pending",
        ),
        (
            ResumeResult::Stalled("7 messages pending".into()),
            ActionResult::Stalled,
            "us-0 leads it now, but 7 messages pending",
        ),
        (
            ResumeResult::Unseen,
            ActionResult::TimedOut,
            "us-0 leads it now, but whether it goes on could not be seen",
        ),
    ];
    for (proven, result, message) in cases {
        let outcome = proven_step_down(led_by("us-0"), &proven);
        assert_eq!((outcome.result, outcome.message.as_str()), (result, message));
        assert_eq!(outcome.to, Some("us-0".into()));
        assert_eq!(outcome.reason, None);
    }
    let left = proven_step_down(led_by("us-0"), &ResumeResult::Left("eu-0".into()));
    assert_eq!(
        (left.result, left.to),
        (ActionResult::Missed, Some("eu-0".into()))
    );
    assert_eq!(left.message, "us-0 leads it now, but eu-0 took over after that");
}

#[test]
fn the_end_of_a_move_names_the_consumers_that_do_not_go_on() {
    let fine = ("fine".into(), ResumeResult::Resumed);
    let quiet = (
        "quiet".into(),
        ResumeResult::Quiet("no message is pending".into()),
    );
    let stuck = ("stuck".into(), ResumeResult::Stalled("7 messages pending".into()));
    let left = ("left".into(), ResumeResult::Left("eu-0".into()));
    let unseen = ("unseen".into(), ResumeResult::Unseen);
    assert_eq!(
        proven_move(led_by("us-0"), &[fine.clone(), quiet]),
        led_by("us-0")
    );
    let outcome = proven_move(led_by("us-0"), &[fine.clone(), unseen.clone()]);
    assert_eq!(outcome.result, ActionResult::TimedOut);
    assert!(
        outcome.message.ends_with("could not be seen: unseen"),
        "{outcome:?}"
    );
    let outcome = proven_move(led_by("us-0"), &[fine, stuck, unseen, left]);
    assert_eq!(outcome.result, ActionResult::Stalled);
    let words = "us-0 leads it now, but these consumers do not go on: \
        stuck (7 messages pending), left (it is led by eu-0)";
    assert_eq!(outcome.message, words);
}
