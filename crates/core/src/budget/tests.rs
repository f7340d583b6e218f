use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use leeward_api::vocabulary::ActionType::{self, ConsumerStepDown, StreamPlacement, StreamStepDown};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{
    Allowance, Budget, BudgetLimit, BudgetState, Ledger, MAX_KEPT, MAX_SPENT, Selected, SpentEntry, states,
};
use crate::action_set::ActionSet;
use crate::names::{AssetName, StreamName};
use crate::schedule::Schedule;

const MINUTE: Duration = Duration::from_mins(1);
const SELECTED: Selected = Selected {
    streams: 40,
    consumers: 105,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn asset(number: usize) -> AssetName {
    AssetName::stream(StreamName::from(format!("S{number}")))
}

fn budget(name: &str, actions: &[ActionType], max: BudgetLimit, per: Option<Duration>) -> Budget {
    Budget {
        name: name.to_owned(),
        actions: ActionSet::of(actions),
        max,
        per,
        schedule: None,
    }
}

/// The ledger after these actions ended, in seconds.
fn after(ended: &[(ActionType, i64)]) -> Ledger {
    let mut ledger = Ledger::default();
    for (action, seconds) in ended {
        ledger.begin(&asset(0), *action);
        ledger.end(&asset(0), true, at(*seconds));
    }
    ledger
}

fn state(budget: &Budget, ledger: &Ledger, now: Timestamp) -> BudgetState {
    states(std::slice::from_ref(budget), ledger, SELECTED, now).remove(0)
}

fn allowed(actions: &[ActionType], max: BudgetLimit) -> u32 {
    state(&budget("b", actions, max, None), &Ledger::default(), at(0)).allowed
}

#[test]
fn a_percentage_is_of_what_its_actions_act_on_and_rounds_up() {
    assert_eq!(allowed(&[StreamStepDown], BudgetLimit::Percent(10)), 4);
    assert_eq!(
        allowed(&[StreamStepDown, StreamPlacement], BudgetLimit::Percent(11)),
        5
    );
    assert_eq!(allowed(&[ConsumerStepDown], BudgetLimit::Percent(10)), 11);
    assert_eq!(allowed(&[], BudgetLimit::Percent(10)), 15);
    assert_eq!(allowed(&[], BudgetLimit::Percent(1)), 2);
    assert_eq!(allowed(&[], BudgetLimit::Percent(100)), 145);
    assert_eq!(allowed(&[], BudgetLimit::Percent(255)), 145);
    assert_eq!(allowed(&[], BudgetLimit::Percent(0)), 0);
    assert_eq!(allowed(&[], BudgetLimit::Count(7)), 7);
}

#[test]
fn a_percentage_of_nothing_allows_nothing_and_one_of_very_many_does_not_overflow() {
    let percent = budget("b", &[], BudgetLimit::Percent(100), None);
    let of = |streams, consumers| {
        let selected = Selected { streams, consumers };
        states(
            std::slice::from_ref(&percent),
            &Ledger::default(),
            selected,
            at(0),
        )[0]
        .allowed
    };
    assert_eq!(of(0, 0), 0);
    assert_eq!(of(u32::MAX, u32::MAX), u32::MAX);
}

#[test]
fn what_ended_counts_until_the_span_is_over() {
    let budget = budget("b", &[], BudgetLimit::Count(3), Some(10 * MINUTE));
    let ledger = after(&[(StreamStepDown, 0), (StreamPlacement, 60)]);
    let seen = |seconds| {
        let state = state(&budget, &ledger, at(seconds));
        (state.used, state.resets)
    };
    assert_eq!(seen(60), (2, Some(at(600))));
    assert_eq!(seen(599), (2, Some(at(600))));
    assert_eq!(seen(600), (1, Some(at(660))));
    assert_eq!(seen(660), (0, None));
}

#[test]
fn what_is_in_flight_counts_with_and_without_a_span_and_only_where_it_is_covered() {
    let mut ledger = Ledger::default();
    ledger.begin(&asset(1), StreamPlacement);
    ledger.begin(&asset(1), StreamPlacement);
    ledger.begin(&asset(2), ConsumerStepDown);
    assert_eq!(ledger.in_flight(), 2);
    let used = |actions: &[ActionType], per| {
        state(&budget("b", actions, BudgetLimit::Count(1), per), &ledger, at(0)).used
    };
    assert_eq!(used(&[], None), 2);
    assert_eq!(used(&[], Some(MINUTE)), 2);
    assert_eq!(used(&[StreamPlacement], Some(MINUTE)), 1);
    assert_eq!(used(&[StreamStepDown], None), 0);
}

#[test]
fn an_operation_that_sent_no_request_leaves_no_trace() {
    let mut ledger = Ledger::default();
    ledger.begin(&asset(1), StreamPlacement);
    ledger.end(&asset(1), false, at(5));
    assert_eq!(ledger, Ledger::default());
    ledger.end(&asset(9), true, at(5));
    assert_eq!(ledger, Ledger::default(), "nothing was known of it");
}

#[test]
fn a_budget_without_a_span_forgets_what_ended() {
    let at_once = budget("b", &[], BudgetLimit::Count(1), None);
    assert_eq!(state(&at_once, &after(&[(StreamStepDown, 0)]), at(0)).used, 0);
}

#[test]
fn all_budgets_hold_and_the_tightest_of_those_used_up_is_named() {
    let budgets = [
        budget("wide", &[], BudgetLimit::Count(3), Some(MINUTE)),
        budget("moves", &[StreamPlacement], BudgetLimit::Count(1), Some(MINUTE)),
        budget(
            "streams",
            &[StreamPlacement, StreamStepDown],
            BudgetLimit::Count(2),
            None,
        ),
    ];
    let mut allowance = Allowance::new(&budgets, &Ledger::default(), SELECTED, at(0));
    assert_eq!(allowance.take(StreamPlacement), Ok(()));
    assert_eq!(allowance.take(StreamPlacement), Err("moves".into()));
    assert_eq!(allowance.take(StreamStepDown), Ok(()));
    assert_eq!(allowance.take(StreamStepDown), Err("streams".into()));
    assert_eq!(allowance.take(ConsumerStepDown), Ok(()));
    assert_eq!(allowance.take(ConsumerStepDown), Err("wide".into()));
    assert_eq!(
        allowance.take(StreamPlacement),
        Err("moves".into()),
        "all three are used up"
    );
}

#[test]
fn what_was_not_taken_is_left_to_others() {
    let budgets = [
        budget("all", &[], BudgetLimit::Count(1), None),
        budget("moves", &[StreamPlacement], BudgetLimit::Count(0), None),
    ];
    let mut allowance = Allowance::new(&budgets, &Ledger::default(), SELECTED, at(0));
    assert_eq!(allowance.take(StreamPlacement), Err("moves".into()));
    assert_eq!(allowance.take(StreamStepDown), Ok(()));
}

#[test]
fn a_budget_of_zero_allows_nothing_and_no_budget_limits_nothing() {
    let none = [budget("none", &[], BudgetLimit::Count(0), None)];
    let mut allowance = Allowance::new(&none, &Ledger::default(), SELECTED, at(0));
    assert_eq!(allowance.take(ConsumerStepDown), Err("none".into()));
    let mut free = Allowance::new(&[], &Ledger::default(), SELECTED, at(0));
    assert!((0..1000).all(|_| free.take(ConsumerStepDown).is_ok()));
}

#[test]
fn a_schedule_says_when_a_budget_applies_and_its_next_change_is_told() {
    let mut nightly = budget("night", &[], BudgetLimit::Count(0), Some(10 * MINUTE));
    nightly.schedule = Some(Schedule::parse("0 22 * * *", None, 60 * MINUTE).unwrap());
    let noon = at(12 * 3600);
    let opens = at(22 * 3600);
    let by_day = state(&nightly, &Ledger::default(), noon);
    assert_eq!((by_day.active, by_day.resets), (false, Some(opens)));
    let budgets = [nightly.clone()];
    let take = |now| Allowance::new(&budgets, &Ledger::default(), SELECTED, now).take(StreamStepDown);
    assert_eq!(take(noon), Ok(()));
    assert_eq!(take(opens), Err("night".into()));
    let spent = after(&[(StreamStepDown, 12 * 3600)]);
    let frees = state(&nightly, &spent, noon);
    assert_eq!((frees.used, frees.resets), (1, Some(at(12 * 3600 + 600))));
}

#[test]
fn a_budget_that_became_tighter_than_what_was_done_allows_nothing_until_enough_is_over() {
    let budgets = [budget("b", &[], BudgetLimit::Count(1), Some(MINUTE))];
    let ledger = after(&[(StreamStepDown, 0), (StreamStepDown, 10), (StreamStepDown, 20)]);
    let take = |seconds| Allowance::new(&budgets, &ledger, SELECTED, at(seconds)).take(StreamStepDown);
    assert!(take(30).is_err() && take(60).is_err() && take(79).is_err());
    assert_eq!(take(80), Ok(()));
}

#[test]
fn pruning_drops_only_what_no_budget_looks_back_to() {
    let mut ledger = after(&[(StreamStepDown, 0), (StreamStepDown, 10)]);
    ledger.prune(MINUTE, at(60));
    assert_eq!(ledger, after(&[(StreamStepDown, 10)]));
    ledger.prune(Duration::MAX, at(1_000_000));
    assert_eq!(ledger.spent().len(), 1);
}

#[test]
fn a_status_tells_whole_seconds_and_never_an_earlier_one() {
    let mut ledger = Ledger::default();
    for milliseconds in [1200, 1900, 2000, 2001] {
        ledger.begin(&asset(0), StreamStepDown);
        ledger.end(
            &asset(0),
            true,
            Timestamp::from_millisecond(milliseconds).unwrap(),
        );
    }
    let entry = |seconds, count| SpentEntry {
        at: at(seconds),
        action: StreamStepDown,
        count,
    };
    assert_eq!(ledger.spent(), [entry(2, 3), entry(3, 1)]);
}

#[test]
fn too_many_entries_are_told_as_fewer_younger_ones_of_the_same_action() {
    let mut ended: Vec<(ActionType, i64)> = (0..150).map(|second| (StreamStepDown, second)).collect();
    ended.push((StreamPlacement, 1));
    let spent = after(&ended).spent();
    assert_eq!(spent.len(), MAX_SPENT);
    let entry = |action, seconds, count| SpentEntry {
        at: at(seconds),
        action,
        count,
    };
    assert_eq!(spent[0], entry(StreamPlacement, 1, 1));
    assert_eq!(spent[1], entry(StreamStepDown, 51, 52));
    assert_eq!(spent.iter().map(|entry| entry.count).sum::<u32>(), 151);
}

#[test]
fn a_ledger_that_is_never_pruned_stays_bounded() {
    let entries: Vec<SpentEntry> = (0..5000)
        .map(|seconds| SpentEntry {
            at: at(seconds),
            action: StreamStepDown,
            count: 1,
        })
        .collect();
    let ledger = Ledger::restore(&entries);
    assert_eq!(ledger.spent.len(), MAX_KEPT);
    let whole = budget("b", &[], BudgetLimit::Count(1), Some(100_000 * MINUTE));
    assert_eq!(state(&whole, &ledger, at(5000)).used, 5000);
}

#[test]
fn it_is_remembered_as_text() {
    let mut ledger = after(&[(StreamStepDown, 0), (ConsumerStepDown, 10)]);
    ledger.begin(&asset(3), StreamPlacement);
    let text = serde_json::to_string(&ledger).unwrap();
    assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
}

fn any_action() -> impl Strategy<Value = ActionType> {
    select(vec![ConsumerStepDown, StreamStepDown, StreamPlacement])
}

fn any_budget() -> impl Strategy<Value = Budget> {
    let actions = subsequence(vec![ConsumerStepDown, StreamStepDown, StreamPlacement], 0..=3);
    let max = prop_oneof![
        (0_u32..8).prop_map(BudgetLimit::Count),
        (0_u8..12).prop_map(BudgetLimit::Percent)
    ];
    let per = proptest::option::of((0_u64..600).prop_map(Duration::from_secs));
    let cron = select(vec!["*/7 * * * *", "0 * * * *"]);
    let schedule = proptest::option::weighted(0.3, (cron, 1_u64..20));
    ("[a-c]", actions, max, per, schedule).prop_map(|(name, actions, max, per, schedule)| Budget {
        schedule: schedule
            .map(|(cron, minutes)| Schedule::parse(cron, None, Duration::from_secs(minutes * 60)).unwrap()),
        ..budget(&name, &actions, max, per)
    })
}

#[derive(Clone, Debug)]
enum Step {
    /// Takes for so many operations from one allowance and begins those that were given.
    Begin(Vec<ActionType>),
    End(usize, bool),
    Wait(i64),
    /// The process restarts with nothing in flight.
    Restart,
    Prune,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => proptest::collection::vec(any_action(), 1..6).prop_map(Step::Begin),
        6 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(which, counted)| Step::End(which, counted)),
        5 => (0_i64..200_000).prop_map(Step::Wait),
        1 => Just(Step::Restart),
        1 => Just(Step::Prune),
    ];
    proptest::collection::vec(step, 0..80)
}

/// What was really done, with everything kept.
#[derive(Default)]
struct Truth {
    flying: Vec<(AssetName, ActionType)>,
    ended: Vec<(Timestamp, ActionType)>,
}

impl Truth {
    fn used(&self, budget: &Budget, now: Timestamp) -> usize {
        let covers = |action: &ActionType| budget.actions.contains(*action);
        let flying = self.flying.iter().filter(|(_, action)| covers(action)).count();
        let Some(per) = budget.per else { return flying };
        let per = SignedDuration::try_from(per).unwrap();
        let recent =
            |(time, action): &&(Timestamp, ActionType)| covers(action) && now.duration_since(*time) < per;
        flying + self.ended.iter().filter(recent).count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn p3_never_more_in_flight_and_ended_within_the_span_than_any_budget_that_applies_allows(
        budgets in proptest::collection::vec(any_budget(), 0..4),
        steps in steps(),
    ) {
        let longest = budgets.iter().filter_map(|budget| budget.per).max().unwrap_or_default();
        let (mut ledger, mut truth, mut now) = (Ledger::default(), Truth::default(), at(0));
        let mut begun = 0;
        for step in steps {
            match step {
                Step::Begin(actions) => {
                    let mut allowance = Allowance::new(&budgets, &ledger, SELECTED, now);
                    for action in actions {
                        let fits = |budget: &&Budget| {
                            let applies = budget.schedule.as_ref().is_none_or(|schedule| schedule.is_open(now));
                            !applies || !budget.actions.contains(action)
                                || truth.used(budget, now) < allowed(&budget.actions.iter().collect::<Vec<_>>(), budget.max) as usize
                        };
                        let all_fit = budgets.iter().all(|budget| fits(&budget));
                        match allowance.take(action) {
                            Ok(()) => {
                                prop_assert!(all_fit, "{} was given although a budget is used up", action);
                                begun += 1;
                                ledger.begin(&asset(begun), action);
                                truth.flying.push((asset(begun), action));
                            }
                            Err(name) => prop_assert!(budgets.iter().any(|budget| budget.name == name)),
                        }
                    }
                }
                Step::End(which, counted) if !truth.flying.is_empty() => {
                    let (asset, action) = truth.flying.remove(which % truth.flying.len());
                    ledger.end(&asset, counted, now);
                    truth.ended.extend(counted.then_some((now, action)));
                }
                Step::End(..) => {}
                Step::Wait(milliseconds) => now += SignedDuration::from_millis(milliseconds),
                Step::Restart => {
                    ledger = Ledger::restore(&ledger.spent());
                    truth.flying.clear();
                }
                Step::Prune => ledger.prune(longest, now),
            }
            prop_assert_eq!(ledger.in_flight(), truth.flying.len());
            for (budget, state) in budgets.iter().zip(states(&budgets, &ledger, SELECTED, now)) {
                prop_assert!(state.used as usize >= truth.used(budget, now));
                if budget.schedule.is_none() {
                    prop_assert!(truth.used(budget, now) <= state.allowed as usize);
                }
            }
        }
    }

    #[test]
    fn p3_a_restored_ledger_never_allows_more_than_the_original(
        budget in any_budget(),
        ended in proptest::collection::vec((any_action(), 0_i64..400_000), 0..200),
        looks in proptest::collection::vec(0_i64..1_200_000, 10),
    ) {
        let mut ledger = Ledger::default();
        for (action, milliseconds) in ended {
            ledger.begin(&asset(0), action);
            ledger.end(&asset(0), true, Timestamp::from_millisecond(milliseconds).unwrap());
        }
        let spent = ledger.spent();
        prop_assert!(spent.len() <= MAX_SPENT);
        let restored = Ledger::restore(&spent);
        prop_assert_eq!(restored.spent(), spent, "and a second restart changes nothing more");
        for milliseconds in looks {
            let now = Timestamp::from_millisecond(milliseconds).unwrap();
            prop_assert!(state(&budget, &restored, now).used >= state(&budget, &ledger, now).used);
        }
    }

    #[test]
    fn p3_the_order_of_entries_does_not_matter(
        (ended, shuffled) in proptest::collection::vec((any_action(), 0_i64..2_000), 0..100)
            .prop_flat_map(|ended| (Just(ended.clone()), Just(ended).prop_shuffle())),
    ) {
        prop_assert_eq!(after(&ended), after(&shuffled));
        let entries = |ended: &[(ActionType, i64)]| -> Vec<SpentEntry> {
            ended.iter().map(|(action, seconds)| SpentEntry { at: at(*seconds), action: *action, count: 1 }).collect()
        };
        prop_assert_eq!(Ledger::restore(&entries(&ended)), Ledger::restore(&entries(&shuffled)));
        prop_assert_eq!(Ledger::restore(&entries(&ended)), after(&shuffled));
    }
}
