use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{Breaker, BreakerPhase, BreakerRules};

const RULES: BreakerRules = BreakerRules {
    failures: 3,
    within: Duration::from_mins(30),
    open_for: Duration::from_hours(1),
};

fn at(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
}

fn opened_at(minutes: i64) -> Breaker {
    let mut breaker = Breaker::default();
    assert!(!breaker.failed(&RULES, at(minutes)));
    assert!(!breaker.failed(&RULES, at(minutes)));
    assert!(breaker.failed(&RULES, at(minutes)));
    breaker
}

#[test]
fn it_opens_at_the_last_failure_that_is_within_the_span_and_says_until_when() {
    let mut breaker = Breaker::default();
    assert_eq!(breaker.phase(&RULES, at(0)), BreakerPhase::Closed);
    assert!(!breaker.failed(&RULES, at(0)));
    assert!(!breaker.failed(&RULES, at(20)));
    assert_eq!(breaker.phase(&RULES, at(20)), BreakerPhase::Closed);
    assert!(breaker.failed(&RULES, at(30)), "the span's end is within it");
    assert_eq!(
        breaker.phase(&RULES, at(30)),
        BreakerPhase::Open { until: at(90) }
    );
    assert_eq!(breaker.failures, [at(0), at(20), at(30)]);
}

#[test]
fn failures_that_are_further_apart_do_not_open_it() {
    let mut breaker = Breaker::default();
    for round in 0..50 {
        assert!(!breaker.failed(&RULES, at(round * 16)));
    }
    assert_eq!(breaker.failures.len(), 2);
}

#[test]
fn a_success_in_between_does_not_forget_failures() {
    let mut breaker = Breaker::default();
    assert!(!breaker.failed(&RULES, at(0)));
    assert!(!breaker.failed(&RULES, at(1)));
    assert!(!breaker.succeeded(&RULES, at(2)));
    assert!(breaker.failed(&RULES, at(3)));
}

#[test]
fn a_late_success_or_failure_of_what_was_in_flight_changes_nothing_while_it_is_open() {
    let mut breaker = opened_at(0);
    let before = breaker.clone();
    assert!(!breaker.succeeded(&RULES, at(59)));
    assert!(!breaker.failed(&RULES, at(59)));
    assert_eq!(breaker, before);
}

#[test]
fn half_open_a_success_closes_it_and_forgets_the_failures() {
    let mut breaker = opened_at(0);
    assert_eq!(breaker.phase(&RULES, at(60)), BreakerPhase::HalfOpen);
    assert!(breaker.succeeded(&RULES, at(60)));
    assert_eq!(breaker, Breaker::default());
    assert!(!breaker.failed(&RULES, at(61)));
}

#[test]
fn half_open_one_failure_opens_it_again_for_the_whole_time() {
    let mut breaker = opened_at(0);
    assert!(breaker.failed(&RULES, at(200)));
    assert_eq!(
        breaker.phase(&RULES, at(259)),
        BreakerPhase::Open { until: at(260) }
    );
    assert_eq!(breaker.failures, [at(200)]);
}

#[test]
fn a_person_can_close_it_at_any_time() {
    let mut breaker = opened_at(0);
    breaker.reset();
    assert_eq!(breaker.phase(&RULES, at(1)), BreakerPhase::Closed);
    assert!(breaker.failures.is_empty());
}

#[test]
fn a_limit_of_zero_is_one_and_a_clock_that_went_back_leaves_it_open() {
    let rules = BreakerRules { failures: 0, ..RULES };
    let mut breaker = Breaker::default();
    assert!(breaker.failed(&rules, at(100)));
    assert_eq!(
        breaker.phase(&rules, at(10)),
        BreakerPhase::Open { until: at(160) }
    );
}

#[test]
fn an_endless_time_open_ends_with_time_itself() {
    let rules = BreakerRules {
        open_for: Duration::MAX,
        ..RULES
    };
    let breaker = opened_at(0);
    let until = Timestamp::MAX;
    assert_eq!(breaker.phase(&rules, at(0)), BreakerPhase::Open { until });
}

#[test]
fn it_is_remembered_as_text() {
    let breaker = opened_at(5);
    let text = serde_json::to_string(&breaker).unwrap();
    assert_eq!(serde_json::from_str::<Breaker>(&text).unwrap(), breaker);
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u32),
    Fail,
    Succeed,
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_u32..40).prop_map(Step::Wait),
        6 => Just(Step::Fail),
        3 => Just(Step::Succeed),
        1 => Just(Step::Reset),
    ];
    proptest::collection::vec(step, 0..120)
}

fn rules() -> impl Strategy<Value = BreakerRules> {
    (1_u32..5, 0_u64..60, 0_u64..90).prop_map(|(failures, within, open_for)| BreakerRules {
        failures,
        within: Duration::from_secs(within * 60),
        open_for: Duration::from_secs(open_for * 60),
    })
}

proptest! {
    /// Failures since the last closing are counted by hand.
    #[test]
    fn enough_failures_within_the_span_never_leave_it_closed(rules in rules(), steps in steps()) {
        let mut breaker = Breaker::default();
        let mut now = at(0);
        let mut failures: Vec<Timestamp> = Vec::new();
        for step in steps {
            let before = breaker.phase(&rules, now);
            match step {
                Step::Wait(minutes) => now += SignedDuration::from_mins(i64::from(minutes)),
                Step::Fail => {
                    if before == BreakerPhase::Closed {
                        failures.push(now);
                    }
                    let opened = breaker.failed(&rules, now);
                    prop_assert_eq!(opened, before != breaker.phase(&rules, now) || before == BreakerPhase::HalfOpen);
                }
                Step::Succeed => {
                    let closed = breaker.succeeded(&rules, now);
                    prop_assert_eq!(closed, before == BreakerPhase::HalfOpen);
                    if closed {
                        failures.clear();
                    }
                }
                Step::Reset => {
                    breaker.reset();
                    failures.clear();
                }
            }
            let span = SignedDuration::try_from(rules.within).unwrap();
            let recent = failures.iter().filter(|failure| now.duration_since(**failure) <= span).count();
            let closed = breaker.phase(&rules, now) == BreakerPhase::Closed;
            prop_assert!(!closed || recent < rules.failures as usize, "{} failures, and closed", recent);
            prop_assert!(breaker.failures.len() <= rules.failures as usize);
        }
    }

    #[test]
    fn nothing_but_a_reset_closes_it_before_its_time(rules in rules(), steps in steps()) {
        let mut breaker = Breaker::default();
        let mut now = at(0);
        for step in steps {
            let before = breaker.phase(&rules, now);
            match step {
                Step::Wait(minutes) => now += SignedDuration::from_mins(i64::from(minutes)),
                Step::Fail => _ = breaker.failed(&rules, now),
                Step::Succeed => _ = breaker.succeeded(&rules, now),
                Step::Reset => breaker.reset(),
            }
            if let BreakerPhase::Open { until } = before
                && now < until
                && !matches!(step, Step::Reset)
            {
                prop_assert_eq!(breaker.phase(&rules, now), before);
            }
        }
    }
}
