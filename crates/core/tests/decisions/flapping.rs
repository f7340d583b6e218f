//! Flapping: an account whose clients swing between locations, look by look for days, under Leeward and under the naive
//! rule (P3, P5). What is promised of the number of acts is checked here, and the table shows what that costs and brings.

mod estate;
mod patterns;
mod promises;
mod rules;
mod table;

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;

use self::estate::Deployment;
use self::patterns::{LOCATIONS, Pattern, Weather};
use self::promises::{acts_per_asset, rest_after, why_broken};
use self::rules::{Leeward, Naive};
use crate::properties::cases;

const LOOK: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

const STREAMS: usize = 6;
const CONSUMERS: usize = 2;
const DEFAULTS: &str = "";
const DEPLOYMENTS: [Deployment; 2] = [Deployment::Stretched, Deployment::Supercluster];

/// Leeward over some looks.
fn leeward(deployment: Deployment, policy: &str, weather: &[Weather]) -> Leeward {
    let world = deployment.world(STREAMS, CONSUMERS, policy);
    let mut leeward = Leeward::new(deployment, world, LOOK, 100);
    for weather in weather {
        leeward.look(weather);
    }
    leeward
}

fn square_wave(period: Duration) -> Pattern {
    Pattern::SquareWave { period }
}

fn patterns() -> Vec<Pattern> {
    let mut all: Vec<Pattern> = [1, 5, 19, 21, 60, 360]
        .map(|minutes| square_wave(minutes * MINUTE))
        .to_vec();
    all.extend([1, 2].map(|seed| Pattern::RandomWalk { seed }));
    all.extend([5, 30].map(|lasts| Pattern::RegionFails {
        every: 4 * HOUR,
        lasts: lasts * MINUTE,
    }));
    all.extend([5, 30].map(|lasts| Pattern::ClientsFlee {
        every: 4 * HOUR,
        lasts: lasts * MINUTE,
    }));
    all.push(Pattern::RollingDeploy { every: 2 * HOUR });
    all
}

#[test]
fn p5_clients_that_swing_faster_than_the_window_move_nothing() {
    let swings = [
        square_wave(MINUTE),
        square_wave(5 * MINUTE),
        square_wave(19 * MINUTE),
        Pattern::ClientsFlee {
            every: HOUR,
            lasts: 5 * MINUTE,
        },
        Pattern::RollingDeploy { every: HOUR },
    ];
    for deployment in DEPLOYMENTS {
        for pattern in swings {
            let leeward = leeward(deployment, DEFAULTS, &pattern.play(DAY / 4, LOOK));
            assert_eq!(leeward.acts, [], "{deployment:?}, {}", pattern.name());
            assert_eq!(leeward.homes, [], "home was settled before and stays");
        }
    }
}

#[test]
fn p5_clients_that_stay_are_followed_once_by_every_asset() {
    for deployment in DEPLOYMENTS {
        let away = Weather::of([6, 90, 4]);
        let leeward = leeward(deployment, DEFAULTS, &vec![away; 2 * 60 * 4]);
        let each = match deployment {
            Deployment::Stretched => STREAMS * (1 + CONSUMERS),
            // Consumers follow their streams.
            Deployment::Supercluster => STREAMS,
        };
        assert_eq!(leeward.acts.len(), each);
        assert_eq!(acts_per_asset(&leeward.acts).values().max(), Some(&1));
        let (there, all) = leeward.estate.led_from(1);
        assert_eq!(there, all);
    }
}

#[test]
fn p5_once_clients_rest_everything_is_in_place_within_window_cooldown_and_budget() {
    for deployment in DEPLOYMENTS {
        for pattern in patterns() {
            let mut leeward = leeward(deployment, DEFAULTS, &pattern.play(DAY / 8, LOOK));
            let rest = rest_after(&leeward);
            for _ in 0..rest.as_secs().div_ceil(LOOK.as_secs()) {
                leeward.look(&Weather::of([4, 8, 88]));
            }
            let (there, all) = leeward.estate.led_from(2);
            assert_eq!(there, all, "{deployment:?}, {}: after {rest:?}", pattern.name());
        }
    }
}

#[test]
fn p1_the_same_clients_make_the_same_acts() {
    for deployment in DEPLOYMENTS {
        let pattern = Pattern::RandomWalk { seed: 7 };
        let once = leeward(deployment, DEFAULTS, &pattern.play(DAY / 4, LOOK));
        let again = leeward(deployment, DEFAULTS, &pattern.play(DAY / 4, LOOK));
        assert_eq!(once.acts, again.acts);
        assert_eq!(once.world.history, again.world.history);
        assert_eq!(once.estate.view, again.estate.view);
    }
}

#[test]
fn p5_in_every_pattern_the_promises_hold_and_leeward_acts_less_than_the_naive_rule() {
    let table = table::of_all();
    println!("{table}");
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("leeward_beside_the_naive_rule", table);
    });
}

/// Clients that stay somewhere for a while, again and again; sometimes a location is down.
fn spells() -> impl Strategy<Value = Vec<Weather>> {
    let clients = prop_oneof![
        4 => select(vec![[90, 6, 4], [6, 90, 4], [4, 6, 90], [60, 38, 2], [38, 60, 2]]),
        1 => prop::array::uniform3(0u32..100),
    ];
    let down = prop::option::weighted(0.1, 0..LOCATIONS);
    let spell =
        (clients, down, 1usize..20).prop_map(|(clients, down, looks)| vec![Weather { clients, down }; looks]);
    prop::collection::vec(spell, 1..7).prop_map(|spells| spells.concat())
}

prop_compose! {
    fn policies()(
        window in select(vec!["0s", "1m", "10m"]),
        hysteresis in select(vec![0, 10, 30]),
        cooldown in select(vec!["0s", "5m", "30m"]),
        budgets in prop::collection::vec(budget(), 0..3),
        concurrent in 1u32..6,
    ) -> String {
        let named = budgets.iter().enumerate().map(|(nth, budget)| format!("{{name: b{nth}, {budget}}}"));
        let budgets: Vec<String> = named.collect();
        format!(
            "home: {{stabilizationWindow: {window}, hysteresisPercent: {hysteresis}}}\n\
             disruption: {{cooldown: {cooldown}, maxConcurrent: {concurrent}, budgets: [{}]}}",
            budgets.join(", ")
        )
    }
}

fn budget() -> impl Strategy<Value = String> {
    let most = prop_oneof![
        (0u32..6).prop_map(|count| count.to_string()),
        (1u32..60).prop_map(|percent| format!("\"{percent}%\"")),
    ];
    let per = select(vec!["", ", per: 1m", ", per: 10m", ", per: 1h"]);
    let kinds = select(vec![
        "",
        ", actions: [StreamStepDown]",
        ", actions: [ConsumerStepDown, StreamPlacement]",
    ]);
    (most, per, kinds).prop_map(|(most, per, kinds)| format!("max: {most}{per}{kinds}"))
}

fn watched(deployment: Deployment, policy: &str, spells: &[Weather], look: Duration, luck: u32) -> Leeward {
    let mut leeward = Leeward::new(deployment, deployment.world(3, 1, policy), look, luck);
    for weather in spells {
        leeward.look(weather);
    }
    leeward
}

fn watched_with_restarts(deployment: Deployment, policy: &str, spells: &[Weather], every: usize) -> Leeward {
    let mut leeward = Leeward::new(deployment, deployment.world(3, 1, policy), LOOK, 90);
    for (number, weather) in spells.iter().enumerate() {
        leeward.look(weather);
        if number % every == every - 1 {
            leeward.restart();
        }
    }
    leeward
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn p5_however_clients_swing_window_cooldown_and_budget_bound_the_acts(
        deployment in select(DEPLOYMENTS.to_vec()),
        policy in policies(),
        spells in spells(),
        look in select(vec![10, 30, 60]),
    ) {
        let leeward = watched(deployment, &policy, &spells, Duration::from_secs(look), 100);
        prop_assert_eq!(why_broken(&leeward), None);
    }

    #[test]
    fn p3_no_budget_is_exceeded_at_any_instant_whatever_fails(
        deployment in select(DEPLOYMENTS.to_vec()),
        policy in policies(),
        spells in spells(),
        look in 5u64..90,
        luck in 0u32..100,
    ) {
        let leeward = watched(deployment, &policy, &spells, Duration::from_secs(look), luck);
        prop_assert_eq!(why_broken(&leeward), None);
    }

    #[test]
    fn p10_killed_again_and_again_it_keeps_cooldowns_and_budgets(
        deployment in select(DEPLOYMENTS.to_vec()),
        policy in policies(),
        spells in spells(),
        every in 1usize..30,
    ) {
        let leeward = watched_with_restarts(deployment, &policy, &spells, every);
        prop_assert_eq!(why_broken(&leeward), None);
    }
}

#[test]
fn generated_swings_give_leeward_something_to_do() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let busy = (0..100).filter(|number| {
        let (spells, policy) = (spells(), policies()).new_tree(&mut runner).unwrap().current();
        let deployment = DEPLOYMENTS[number % 2];
        !watched(deployment, &policy, &spells, LOOK, 100).acts.is_empty()
    });
    let busy = busy.count();
    assert!(
        busy >= 30,
        "only {busy} of 100: the properties would hold for want of trying"
    );
}
