use crate::decide::decide;
use crate::evaluate::evaluate;
use crate::plan::plan;
use crate::policy::Policy;
use crate::snapshot::AccountView;

use serde_json::{Value, json};

use super::*;
use crate::asset::asset_name;
use crate::demand::Challenger;
use crate::fixtures::{asset, at, clients, context, ix, policy, stream, stretched, supercluster, view};
use crate::history::{AssetHistory, History};
use leeward_api::vocabulary::ActionType;

const STALE_AFTER: Duration = Duration::from_secs(90);

/// Streams led from eu-west with peers in both regions; all clients are in us-east.
fn astray(streams: usize) -> AccountView {
    let topology = stretched();
    let streams =
        (0..streams).map(|number| stream(&topology, &format!("S{number:02}"), &["n-3", "n-0", "n-1"]));
    let streams = streams.collect();
    let clients = vec![clients(ix(&topology, "n-0"), 20)];
    view(topology, clients, streams)
}

/// Streams in another cluster than all clients.
fn abroad(names: &[&str]) -> AccountView {
    let topology = supercluster();
    let peers = ["us-east-0", "us-east-1", "us-east-2"];
    let streams = names.iter().map(|name| stream(&topology, name, &peers)).collect();
    let clients = vec![clients(ix(&topology, "eu-west-0"), 20)];
    view(topology, clients, streams)
}

#[expect(clippy::needless_pass_by_value, reason = "literals are given")]
fn by_region(disruption: Value) -> Policy {
    policy(json!({
        "topology": {"key": "ServerTag", "tagPrefix": "region:"},
        "home": {"stabilizationWindow": "0s"},
        "disruption": disruption,
    }))
}

#[expect(clippy::needless_pass_by_value, reason = "literals are given")]
fn by_cluster(disruption: Value) -> Policy {
    policy(json!({
        "home": {"stabilizationWindow": "0s"},
        "actions": {"streamPlacement": {"enabled": true}},
        "disruption": disruption,
    }))
}

fn foretold_with(view: &AccountView, policy: &Policy, history: &History) -> Forecast {
    let context = context(view, policy, history, at(0));
    let decision = decide(&context);
    let forecast = forecast(&context, &decision);
    let planned = plan(&context, &evaluate(&context)).actions;
    if !planned.is_empty() {
        assert_eq!(planned, forecast.waves[0].actions);
        assert_eq!(at(0), forecast.waves[0].at);
    }
    forecast
}

fn foretold(view: &AccountView, policy: &Policy) -> Forecast {
    foretold_with(view, policy, &History::default())
}

/// Seconds from now, and how many actions.
fn sizes(forecast: &Forecast) -> Vec<(i64, usize)> {
    let seconds = |wave: &ActionBatch| wave.at.duration_since(at(0)).as_secs();
    let waves = forecast.waves.iter();
    waves.map(|wave| (seconds(wave), wave.actions.len())).collect()
}

fn names(forecast: &Forecast) -> Vec<Vec<String>> {
    let of = |wave: &ActionBatch| {
        wave.actions
            .iter()
            .map(|action| action.asset.stream.to_string())
            .collect()
    };
    forecast.waves.iter().map(of).collect()
}

fn never(view: &AccountView, forecast: &Forecast) -> Vec<(String, FindingReason)> {
    let named = |(asset, reason): &(AssetIx, FindingReason)| {
        (asset_name(view, *asset).unwrap().stream.to_string(), *reason)
    };
    forecast.never.iter().map(named).collect()
}

#[test]
fn a_budget_of_ten_percent_in_ten_minutes_takes_ten_waves() {
    let budget = json!({"budgets": [{"name": "pace", "max": "10%", "per": "10m"}]});
    let forecast = foretold(&astray(30), &by_region(budget));
    let expected: Vec<(i64, usize)> = (0..10).map(|wave| (wave * 600, 3)).collect();
    assert_eq!(expected, sizes(&forecast));
    assert_eq!((true, None), (forecast.never.is_empty(), forecast.cut));
}

#[test]
fn what_a_history_has_spent_frees_when_it_would() {
    let budget = json!({"budgets": [{"name": "pace", "max": 2, "per": "10m"}]});
    let mut history = History::default();
    history.begin(&asset("GONE"), ActionType::StreamStepDown);
    history
        .ledger
        .end(&asset("GONE"), true, at(0) - Duration::from_mins(4));
    let forecast = foretold_with(&astray(3), &by_region(budget), &history);
    assert_eq!(vec![(0, 1), (360, 1), (600, 1)], sizes(&forecast));
}

#[test]
fn a_budget_of_what_is_in_flight_gives_waves_that_follow_at_once() {
    let budget = json!({"budgets": [{"name": "few", "max": 2}]});
    assert_eq!(
        vec![(0, 2), (0, 2), (0, 1)],
        sizes(&foretold(&astray(5), &by_region(budget)))
    );
}

#[test]
fn a_budget_of_nothing_lets_nothing_go_ever() {
    let view = astray(2);
    let budget = json!({"budgets": [{"name": "none", "max": 0, "per": "10m"}]});
    let forecast = foretold(&view, &by_region(budget));
    assert!(forecast.waves.is_empty() && forecast.cut.is_none());
    let expected = ["S00", "S01"].map(|name| (name.to_owned(), FindingReason::BudgetExhausted));
    assert_eq!(expected.to_vec(), never(&view, &forecast));
}

#[test]
fn a_deny_window_delays_until_it_closes() {
    let windows =
        json!({"budgets": [], "windows": [{"kind": "Deny", "schedule": "0 11 * * *", "duration": "2h"}]});
    assert_eq!(vec![(3600, 3)], sizes(&foretold(&astray(3), &by_region(windows))));
}

#[test]
fn a_window_beyond_the_horizon_cuts_the_forecast() {
    let windows =
        json!({"budgets": [], "windows": [{"kind": "Allow", "schedule": "0 0 1 6 *", "duration": "2h"}]});
    let forecast = foretold(&astray(1), &by_region(windows));
    assert!(forecast.waves.is_empty() && forecast.never.is_empty());
    let cut = forecast.cut.unwrap();
    assert_eq!(at(0) + HORIZON, cut.at);
    assert_eq!(
        vec![(AssetIx::Stream(0), FindingReason::OutsideWindow)],
        cut.waiting
    );
}

#[test]
fn more_waves_than_are_told_cut_the_forecast_and_what_is_left_waits() {
    let budget = json!({"budgets": [{"name": "slow", "max": 1, "per": "1m"}]});
    let forecast = foretold(&astray(MOST_WAVES + 3), &by_region(budget));
    assert_eq!(MOST_WAVES, forecast.waves.len());
    assert_eq!(Some(3), forecast.cut.map(|cut| cut.waiting.len()));
    assert!(forecast.never.is_empty());
}

#[test]
fn a_leader_that_was_just_elected_is_left_alone_until_it_is_quiet() {
    let mut view = astray(2);
    view.streams[1].group.leader_since = Some(at(0) - Duration::from_secs(20));
    let gates = json!({"budgets": [], "gates": {"quietAfterLeaderChange": "1m"}});
    assert_eq!(vec![(0, 1), (40, 1)], sizes(&foretold(&view, &by_region(gates))));
}

#[test]
fn gates_that_open_one_after_the_other_are_looked_at_every_ten_seconds() {
    let mut view = astray(40);
    for (stream, number) in view.streams.iter_mut().zip(0..) {
        stream.group.leader_since = Some(at(0) - Duration::from_secs(number));
    }
    let gates = json!({"budgets": [], "gates": {"quietAfterLeaderChange": "1m"}});
    let forecast = foretold(&view, &by_region(gates));
    assert_eq!(
        vec![(21, 1), (31, 10), (41, 10), (51, 10), (61, 9)],
        sizes(&forecast)
    );
}

#[test]
fn a_server_that_just_started_delays_what_only_it_could_lead() {
    let mut view = astray(1);
    let mut servers = view.topology.servers().to_vec();
    for server in servers.iter_mut().take(2) {
        server.details.as_mut().unwrap().started = Some(at(0) - Duration::from_mins(1));
    }
    view.topology = crate::topology::Topology::new(servers, std::collections::BTreeMap::new()).into();
    let gates = json!({"budgets": [], "gates": {"quietAfterServerStart": "5m"}});
    assert_eq!(vec![(240, 1)], sizes(&foretold(&view, &by_region(gates))));
}

#[test]
fn an_asset_that_was_acted_on_rests_for_its_cooldown() {
    let mut history = History::default();
    let past = AssetHistory {
        attempts: 0,
        last: at(0) - Duration::from_mins(10),
        undone: 0,
        moved_to: None,
    };
    history.assets.insert(asset("S01"), past);
    let rest = by_region(json!({"budgets": [], "cooldown": "30m"}));
    let forecast = foretold_with(&astray(2), &rest, &history);
    assert_eq!(vec![(0, 1), (1200, 1)], sizes(&forecast));
}

#[test]
fn a_breaker_that_is_open_lets_one_through_and_then_all() {
    let mut history = History::default();
    history.breaker.opened = Some(at(0));
    let rules = by_region(json!({"budgets": [], "circuitBreaker": {"openFor": "30m"}}));
    assert_eq!(
        vec![(1800, 1), (1800, 3)],
        sizes(&foretold_with(&astray(4), &rules, &history))
    );
}

#[test]
fn a_home_that_is_not_settled_settles_although_it_takes_longer_than_a_look_stays_fresh() {
    let rules = policy(json!({
        "topology": {"key": "ServerTag", "tagPrefix": "region:"},
        "home": {"stabilizationWindow": "10m"},
        "disruption": {"budgets": []},
    }));
    let mut history = History::default();
    history.home.challenger = Some(Challenger {
        location: "region:us-east".into(),
        since: at(0) - Duration::from_mins(4),
        confirmed: at(0),
    });
    assert_eq!(
        vec![(360, 2)],
        sizes(&foretold_with(&astray(2), &rules, &history))
    );
}

#[test]
fn streams_that_read_from_each_other_move_one_after_the_other_as_long_as_a_move_takes() {
    let mut view = abroad(&["A", "B", "C"]);
    view.streams[1].upstreams = vec!["A".into()];
    view.streams[2].upstreams = vec!["B".into()];
    view.streams[0].bytes = 10 << 20;
    let forecast = foretold(&view, &by_cluster(json!({"budgets": [], "maxPayback": "0s"})));
    assert_eq!(vec![vec!["A"], vec!["B"], vec!["C"]], names(&forecast));
    // Five seconds for a move, and one for each 10 MiB.
    assert_eq!(vec![(0, 1), (6, 1), (11, 1)], sizes(&forecast));
}

#[test]
fn nothing_to_do_is_no_wave() {
    let mut view = astray(1);
    view.streams[0].group.leader = view.topology.find("n-0");
    assert_eq!(Forecast::default(), foretold(&view, &by_region(json!({}))));
}

#[test]
fn from_an_incomplete_or_stale_view_nothing_is_told() {
    let mut view = astray(1);
    view.gaps = vec![crate::snapshot::Gap::WarmingUp];
    assert_eq!(Forecast::default(), foretold(&view, &by_region(json!({}))));
    view.gaps.clear();
    view.observed_at = at(0) - STALE_AFTER - Duration::from_secs(1);
    assert_eq!(Forecast::default(), foretold(&view, &by_region(json!({}))));
}

#[test]
fn what_only_a_person_could_change_is_told_beside_the_waves() {
    let mut view = astray(1);
    let topology = stretched();
    let mut single = stream(&topology, "SINGLE", &["n-4"]);
    single.replicas = 1;
    view.streams.push(single);
    view.normalize();
    let mut still = by_region(json!({"budgets": []}));
    still.actions.stream_placement = None;
    let forecast = foretold(&view, &still);
    assert_eq!(vec![(0, 1)], sizes(&forecast));
    assert_eq!(
        vec![("SINGLE".to_owned(), FindingReason::SinglePeer)],
        never(&view, &forecast)
    );
}

#[test]
fn the_mode_of_a_policy_does_not_matter() {
    let view = astray(3);
    let with = |mode| Policy {
        mode,
        ..by_region(json!({}))
    };
    let enforced = foretold(&view, &with(crate::policy::Mode::Enforce));
    assert!(!enforced.waves.is_empty());
    for mode in [crate::policy::Mode::Observe, crate::policy::Mode::Suspended] {
        assert_eq!(enforced, foretold(&view, &with(mode)));
    }
}

#[test]
fn an_action_that_cannot_be_carried_out_is_not_planned_again_and_spends_its_budget() {
    let mut view = astray(2);
    let topology = stretched();
    // Out of order, so that the model does not find them.
    let consumer = |name| crate::fixtures::consumer(&topology, name, &["n-3", "n-0", "n-1"]);
    view.streams[0].consumers = vec![consumer("c"), consumer("b"), consumer("a")];
    let budget = by_region(json!({"budgets": [{"name": "pace", "max": 3, "per": "10m"}]}));
    let forecast = foretold(&view, &budget);
    assert_eq!(vec![(0, 3), (600, 2)], sizes(&forecast));
    assert!(forecast.never.is_empty() && forecast.cut.is_none());
}
