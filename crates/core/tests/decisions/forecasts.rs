//! Properties of forecasts over generated worlds and limits.

use leeward_core::decide::decide;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::ActionType;
use leeward_core::admission::selected;
use leeward_core::asset::asset_name;
use leeward_core::budget::{Budget, BudgetLimit};
use leeward_core::demand::Home;
use leeward_core::evaluate::evaluate;
use leeward_core::forecast::{ActionBatch, Forecast, forecast};
use leeward_core::names::AssetName;
use leeward_core::plan::plan;
use proptest::prelude::*;

use crate::properties::cases;
use crate::sketch::sketch;
use crate::worlds::{World, policy_from};

fn foretold(world: &World) -> Forecast {
    let context = world.context();
    forecast(&context, &decide(&context))
}

/// Limits by the day, the minute and the moment.
fn limits() -> impl Strategy<Value = String> {
    let budget = prop_oneof![
        Just("{name: pace, max: \"10%\", per: 10m}"),
        Just("{name: pace, max: 2, per: 1h}, {name: moves, actions: [StreamPlacement], max: 1, per: 30m}"),
        Just("{name: few, max: 2}"),
        Just("{name: none, max: 0}"),
    ];
    let windows = prop_oneof![
        2 => Just(""),
        1 => Just("{kind: Deny, schedule: \"0 11 * * *\", duration: 2h}"),
        1 => Just("{kind: Allow, schedule: \"0 22 * * *\", duration: 1h, actions: [StreamPlacement]}"),
    ];
    (budget, windows).prop_map(|(budgets, windows)| {
        format!("{{disruption: {{budgets: [{budgets}], windows: [{windows}]}}}}")
    })
}

/// Budgets and windows as given, all else as the world has it.
fn limited(world: &mut World, limits: &str) {
    let policy = policy_from(limits);
    world.policy.disruption.budgets = policy.disruption.budgets;
    world.policy.disruption.windows = policy.disruption.windows;
}

fn covered(budget: &Budget, wave: &ActionBatch) -> usize {
    let kinds = wave.actions.iter().map(leeward_core::action::Action::action_type);
    kinds.filter(|kind| budget.actions.contains(*kind)).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn a_forecast_begins_with_the_plan_acts_once_on_an_asset_and_is_the_same_twice(
        sketch in sketch(), limits in limits(),
    ) {
        let mut world = sketch.world();
        limited(&mut world, &limits);
        let forecast = foretold(&world);
        let context = world.context();
        let planned = plan(&context, &evaluate(&context)).actions;
        let now = forecast.waves.first().filter(|wave| wave.at == world.now);
        prop_assert_eq!(&planned, &now.map(|wave| wave.actions.clone()).unwrap_or_default());
        let mut acted: BTreeSet<AssetName> = BTreeSet::new();
        for action in forecast.waves.iter().flat_map(|wave| &wave.actions) {
            prop_assert!(acted.insert(action.asset.clone()), "{} twice", action.asset);
        }
        prop_assert!(forecast.waves.iter().all(|wave| !wave.actions.is_empty()));
        prop_assert!(forecast.waves.is_sorted_by_key(|wave| wave.at));
        let waiting = forecast.cut.iter().flat_map(|cut| &cut.waiting);
        for (asset, _) in forecast.never.iter().chain(waiting) {
            prop_assert!(!acted.contains(&asset_name(&world.view, *asset).unwrap()));
        }
        prop_assert_eq!(forecast, foretold(&world));
    }

    #[test]
    fn every_misplaced_asset_is_in_a_wave_follows_its_stream_or_has_a_reason(
        sketch in sketch(), limits in limits(),
    ) {
        let mut world = sketch.world();
        limited(&mut world, &limits);
        let forecast = foretold(&world);
        let evaluation = evaluate(&world.context());
        // Another home would be another judgement.
        let settled = matches!(evaluation.homes.account(), Some(Home::Settled { .. }));
        if !settled {
            return Ok(());
        }
        let waiting = forecast.cut.iter().flat_map(|cut| &cut.waiting);
        let told: BTreeSet<AssetName> = forecast
            .never
            .iter()
            .chain(waiting)
            .filter_map(|(asset, _)| asset_name(&world.view, *asset))
            .collect();
        let actions: Vec<_> = forecast.waves.iter().flat_map(|wave| &wave.actions).collect();
        let acted: BTreeSet<&AssetName> = actions.iter().map(|action| &action.asset).collect();
        let moved: BTreeSet<_> = actions
            .iter()
            .filter(|action| action.action_type() == ActionType::StreamPlacement)
            .map(|action| &action.asset.stream)
            .collect();
        for finding in &evaluation.findings {
            let asset = asset_name(&world.view, finding.asset).unwrap();
            let cared_for = acted.contains(&asset) || moved.contains(&asset.stream) || told.contains(&asset);
            prop_assert!(cared_for, "nothing is told of {}: {:?}", asset, finding.verdict);
        }
    }

    #[test]
    fn no_span_of_a_budget_sees_more_actions_than_it_allows(sketch in sketch(), limits in limits()) {
        let mut world = sketch.world();
        limited(&mut world, &limits);
        let evaluation = evaluate(&world.context());
        let selected = selected(&evaluation);
        let waves = foretold(&world).waves;
        for budget in &world.policy.disruption.budgets {
            let all = selected.streams + selected.consumers;
            let most = match budget.max {
                BudgetLimit::Count(count) => count,
                BudgetLimit::Percent(percent) => (all * u32::from(percent)).div_ceil(100),
            };
            // What is done at one moment counts against a budget of what is in flight wave by wave.
            let mut by_span: BTreeMap<usize, usize> = BTreeMap::new();
            for (nth, first) in waves.iter().enumerate() {
                let within = |at: Timestamp| budget.per.is_some_and(|per: Duration| at < first.at + per);
                let seen = waves.iter().enumerate().skip(nth).filter(|(at, wave)| *at == nth || within(wave.at));
                by_span.insert(nth, seen.map(|(_, wave)| covered(budget, wave)).sum());
            }
            prop_assert!(by_span.values().all(|count| *count <= most as usize), "{:?}: {:?}", budget.name, by_span);
        }
    }
}
