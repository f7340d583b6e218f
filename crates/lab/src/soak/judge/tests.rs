use super::*;

const RULES: SoakRules = SoakRules {
    max_concurrent: 2,
    moves: 1,
    cooldown: Duration::from_secs(20),
    budget: 3,
    per: Duration::from_mins(1),
    largest_status: 1000,
};

fn at(seconds: u64) -> Elapsed {
    Duration::from_secs(seconds)
}

fn step_down(stream: &str, seconds: u64) -> RecordedRequest {
    RecordedRequest {
        at: at(seconds),
        account: "APP".to_owned(),
        subject: format!("$JS.API.STREAM.LEADER.STEPDOWN.{stream}"),
        first_half: false,
    }
}

fn evidence(requests: Vec<RecordedRequest>) -> Recording {
    Recording {
        account: "APP".to_owned(),
        requests,
        ..Recording::default()
    }
}

fn broken(evidence: &Recording) -> Vec<&'static str> {
    judge(evidence, &RULES)
        .iter()
        .map(|violation| violation.invariant)
        .collect()
}

#[test]
fn what_keeps_to_the_rules_is_no_violation() {
    let requests = vec![
        step_down("A", 1),
        step_down("B", 2),
        step_down("C", 3),
        step_down("A", 70),
    ];
    let mut seen = evidence(requests);
    seen.suspended.push(Span {
        from: at(10),
        to: at(60),
    });
    seen.statuses.push(StatusSeen {
        at: at(4),
        bytes: 900,
        operations: 2,
        moves: 1,
    });
    seen.done = Some(at(71));
    assert_eq!(judge(&seen, &RULES), []);
}

#[test]
fn a_request_while_suspended_or_after_all_is_in_place_is_one() {
    let mut seen = evidence(vec![step_down("A", 15)]);
    seen.suspended.push(Span {
        from: at(10),
        to: at(20),
    });
    assert_eq!(broken(&seen), ["P8"]);
    let mut seen = evidence(vec![step_down("A", 15)]);
    seen.done = Some(at(14));
    assert_eq!(broken(&seen), ["P2"]);
}

#[test]
fn one_more_than_the_budget_within_its_span_is_one_unless_a_kill_took_the_memory_along() {
    let mut seen = evidence(["A", "B", "C", "D"].map(|stream| step_down(stream, 30)).to_vec());
    for (second, request) in seen.requests.iter_mut().enumerate() {
        request.at = at(30 + second as u64);
    }
    assert_eq!(broken(&seen), ["P3"]);
    seen.kills.push(at(32));
    assert_eq!(judge(&seen, &RULES), []);
    seen.kills[0] = at(100);
    assert_eq!(broken(&seen), ["P3"], "a later kill explains nothing");
}

#[test]
fn a_second_request_within_the_cooldown_is_one_unless_the_first_was_never_written_down() {
    let mut seen = evidence(vec![step_down("A", 10), step_down("A", 25)]);
    assert_eq!(broken(&seen), ["P5"]);
    seen.kills.push(at(20));
    assert_eq!(broken(&seen), ["P5"], "there was time to write it down");
    seen.without_kube.push(Span {
        from: at(9),
        to: at(14),
    });
    assert_eq!(judge(&seen, &RULES), [], "there was nobody to write it down");
}

#[test]
fn one_attempt_asks_at_most_three_times_soon_one_after_the_other() {
    let attempt = |seconds: &[u64]| seconds.iter().map(|at| step_down("A", *at)).collect();
    assert_eq!(judge(&evidence(attempt(&[10, 12, 18])), &RULES), []);
    assert_eq!(broken(&evidence(attempt(&[10, 12, 14, 16]))), ["P5"], "a fourth");
    assert_eq!(
        broken(&evidence(attempt(&[10, 12, 19]))),
        ["P5"],
        "too late for the same attempt"
    );
    let mut killed = evidence(attempt(&[19, 25]));
    assert_eq!(judge(&killed, &RULES), []);
    killed.kills.push(at(25));
    assert_eq!(broken(&killed), ["P5"], "the next process knows of it");
    let mut moves: Vec<RecordedRequest> = attempt(&[10, 12]);
    for request in &mut moves {
        request.subject = "$JS.API.STREAM.UPDATE.A".to_owned();
    }
    assert_eq!(broken(&evidence(moves)), ["P5"], "a placement is edited once");
}

#[test]
fn the_two_halves_of_a_repair_are_one() {
    let mut halves = evidence(vec![step_down("A", 10), step_down("A", 11)]);
    for request in &mut halves.requests {
        request.subject = "$JS.API.STREAM.UPDATE.A".to_owned();
    }
    assert_eq!(broken(&halves), ["P5"]);
    halves.requests[0].first_half = true;
    assert_eq!(judge(&halves, &RULES), []);
}

#[test]
fn step_downs_of_what_moves_are_part_of_the_move_three_times_at_most() {
    let transfer = |asset: &str, seconds| RecordedRequest {
        subject: format!("$JS.API.CONSUMER.LEADER.STEPDOWN.{asset}"),
        ..step_down("", seconds)
    };
    let mut edit = step_down("A", 10);
    edit.subject = "$JS.API.STREAM.UPDATE.A".to_owned();
    let mut requests = vec![edit, step_down("A", 11)];
    requests.extend([12, 14, 16].map(|at| transfer("A.c", at)));
    assert_eq!(judge(&evidence(requests.clone()), &RULES), []);
    requests.extend([18, 19].map(|at| transfer("A.c", at)));
    assert_eq!(
        broken(&evidence(requests.clone())),
        ["P5"],
        "a fourth and a fifth"
    );
    requests[0].subject = "$JS.API.STREAM.UPDATE.B".to_owned();
    let broken = broken(&evidence(requests));
    assert!(
        broken.contains(&"P5") && broken.contains(&"P3"),
        "another stream moves"
    );
}

#[test]
fn too_much_at_once_and_too_large_a_status_are_ones() {
    let mut seen = evidence(Vec::new());
    seen.statuses.push(StatusSeen {
        operations: 3,
        ..StatusSeen::default()
    });
    seen.statuses.push(StatusSeen {
        operations: 2,
        moves: 2,
        ..StatusSeen::default()
    });
    seen.statuses.push(StatusSeen {
        bytes: 1001,
        ..StatusSeen::default()
    });
    assert_eq!(broken(&seen), ["P3", "P3", "P12"]);
}

#[test]
fn another_account_and_another_kind_of_request_are_ones() {
    let mut foreign = step_down("A", 1);
    foreign.account = "OTHER".to_owned();
    let mut delete = step_down("A", 1);
    delete.subject = "$JS.API.STREAM.DELETE.A".to_owned();
    assert_eq!(broken(&evidence(vec![foreign, delete])), ["P7", "P11"]);
}

#[test]
fn every_request_to_act_is_one_that_may_be_sent() {
    for subject in crate::rights::to_act() {
        assert!(may_be_sent(&subject), "{subject}");
    }
}
