//! Who uses a stream is sampled before anything is done about it, at the pace of the policy.

#![expect(clippy::unnecessary_wraps, reason = "what the system does may also fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leeward_api::vocabulary::FindingReason;
use leeward_core::names::ServerName;
use leeward_core::snapshot::AccountView;
use leeward_core::usage::{Sampled, SampledClient, Sampling, UseKind, UseSample};
use leeward_engine::policy_event::PolicyEvent;
use leeward_engine::ports::ActError;
use serde_json::json;

use crate::bench::Bench;
use crate::worlds::{policy, stream_asset, supercluster};

/// A few clients in eu-west besides those of us-east; streams lie in eu-west and store something.
fn two_locations(names: &[&str]) -> AccountView {
    let mut view = supercluster(names, 0);
    let mut few = view.clients[0].clone();
    few.server = view.topology.find("n-3").unwrap();
    few.connections = 4;
    view.clients.push(few);
    for stream in &mut view.streams {
        stream.message_rate = Some(10.0);
    }
    view
}

fn by_use(changes: &serde_json::Value) -> serde_json::Value {
    let mut home = json!({"stabilizationWindow": "0s", "scope": "Stream"});
    for (key, value) in changes.as_object().unwrap() {
        home[key] = value.clone();
    }
    json!({"topology": {"key": "Cluster"}, "home": home})
}

fn publishers(server: &str) -> Sampled {
    let client = SampledClient {
        server: ServerName::from(server),
        connection: 7,
        user: None,
        name: None,
    };
    Sampled {
        samples: vec![UseSample {
            kind: UseKind::Publish,
            consumer: None,
            span: Duration::from_secs(1),
            messages: 10,
            independent: 10,
            clients: BTreeMap::from([(client, 10)]),
            asked: BTreeMap::new(),
            asked_by_all: 0,
            is_denied: false,
            is_cut: false,
            is_uncounted: false,
        }],
        ..Sampled::default()
    }
}

/// `EU…` is used from eu-west, all others from us-east.
fn each_by_its_name(sampling: &Sampling) -> Result<Sampled, ActError> {
    let eu = sampling.stream.as_str().starts_with("EU");
    Ok(publishers(if eu { "n-3" } else { "n-0" }))
}

#[tokio::test(start_paused = true)]
async fn each_stream_goes_where_its_own_clients_are_and_none_moves_before_it_was_sampled() {
    let bench = Bench::new(two_locations(&["EU1", "EU2", "US1", "US2"]));
    bench.fake.state().on_sample = Some(each_by_its_name);
    let running = bench.start(&policy(by_use(&json!({}))));
    running.until_home().await;
    let state = bench.fake.state();
    let moved: BTreeSet<_> = state.writes.iter().map(|write| write.asset.clone()).collect();
    assert_eq!(moved, BTreeSet::from(["US1", "US2"].map(stream_asset)));
    for write in &state.writes {
        let sampled = state
            .samplings
            .iter()
            .find(|(at, sampling)| sampling.stream == write.asset.stream && *at <= write.at);
        assert!(sampled.is_some(), "{write:?} was not sampled before");
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_is_sampled_than_the_policy_allows_in_a_minute() {
    let names: Vec<String> = (0..40).map(|number| format!("US{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let bench = Bench::new(two_locations(&names));
    bench.fake.state().on_sample = Some(each_by_its_name);
    let home = by_use(&json!({"sampling": {"messagesPerMinute": 60}}));
    let running = bench.start(&policy(home));
    running.until_home().await;
    let state = bench.fake.state();
    // Ten messages each: six samplings a minute, and those that begin at once.
    for (from, _) in &state.samplings {
        let within = |at: &Duration| *at >= *from && *at < *from + Duration::from_mins(10);
        let count = state.samplings.iter().filter(|(at, _)| within(at)).count();
        assert!(
            count <= 60 + 4,
            "{count} samplings in the ten minutes from {from:?}"
        );
    }
    assert!(state.samplings.len() >= 40);
}

#[tokio::test(start_paused = true)]
async fn more_streams_than_can_be_sampled_in_their_windows_come_home_one_after_the_other() {
    let names: Vec<String> = (0..60).map(|number| format!("US{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let bench = Bench::new(two_locations(&names));
    bench.fake.state().on_sample = Some(each_by_its_name);
    let pace = json!({"stabilizationWindow": "5m", "sampling": {"messagesPerMinute": 40}});
    let running = bench.start(&policy(by_use(&pace)));
    running.until_home().await;
    assert_eq!(bench.fake.writes(), 60);
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_sample_the_account_decides_and_the_condition_says_so() {
    fn denied(_: &Sampling) -> Result<Sampled, ActError> {
        let subject = "$JS.API.CONSUMER.MSG.NEXT.EU.c".to_owned();
        Ok(Sampled {
            denied: BTreeSet::from([subject]),
            ..Sampled::default()
        })
    }
    let bench = Bench::new(two_locations(&["EU", "US"]));
    bench.fake.state().on_sample = Some(denied);
    let running = bench.start(&policy(by_use(&json!({}))));
    let policy_state = running.until_home().await;
    assert_eq!(bench.fake.writes(), 2, "both go to the account's home");
    let (_, text) = &policy_state.report.observed;
    assert!(
        text.contains("may not subscribe to $JS.API.CONSUMER.MSG.NEXT.EU.c"),
        "{text}"
    );
    assert!(text.contains("nor of 1 other streams"), "said once: {text}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_sampled_stays_and_is_tried_again() {
    fn fails(_: &Sampling) -> Result<Sampled, ActError> {
        Err(ActError::Disconnected)
    }
    let bench = Bench::new(two_locations(&["US"]));
    bench.fake.state().on_sample = Some(fails);
    let running = bench.start(&policy(by_use(&json!({}))));
    bench.pass(Duration::from_mins(30)).await;
    assert_eq!(bench.fake.writes(), 0, "no evidence is no use");
    let finding = running.policy_state().report.findings[0].clone();
    assert_eq!(finding.reason, Some(FindingReason::UseUnknown));
    let tries = bench.fake.state().samplings.len();
    assert!((4..=6).contains(&tries), "{tries} tries in half an hour");
    bench.fake.state().on_sample = Some(each_by_its_name);
    running.until_home().await;
    assert_eq!(bench.fake.writes(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_home_by_use_settles_after_its_window_and_a_restart_waits_again() {
    let bench = Bench::new(two_locations(&["US"]));
    bench.fake.state().on_sample = Some(each_by_its_name);
    let policy = policy(by_use(&json!({"stabilizationWindow": "20m"})));
    let running = bench.start(&policy);
    bench.pass(Duration::from_mins(19)).await;
    assert_eq!(bench.fake.writes(), 0);
    let status = crate::bench::status_of(&running.policy_state());
    drop(running);
    // Another process knows the account's home, and not the stream's.
    let running = bench.start_with(crate::bench::input(&policy, []), &status);
    bench.pass(Duration::from_mins(15)).await;
    assert_eq!(bench.fake.writes(), 0, "its window began anew");
    running.until_home().await;
    assert_eq!(bench.fake.writes(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_home_that_follows_its_clients_is_an_event_and_one_that_becomes_known_is_none() {
    fn now_elsewhere(_: &Sampling) -> Result<Sampled, ActError> {
        Ok(publishers("n-3"))
    }
    let bench = Bench::new(two_locations(&["US"]));
    bench.fake.state().on_sample = Some(each_by_its_name);
    let mut running = bench.start(&policy(by_use(&json!({}))));
    running.until_home().await;
    let changes = |events: Vec<PolicyEvent>| {
        let change = |event: &PolicyEvent| match event {
            PolicyEvent::HomeChanged { asset: Some(_), .. } => event.event().map(|(_, note)| note),
            _ => None,
        };
        events.iter().filter_map(change).collect::<Vec<_>>()
    };
    assert_eq!(changes(running.happened()), Vec::<String>::new());
    bench.fake.state().on_sample = Some(now_elsewhere);
    bench.pass(Duration::from_hours(1)).await;
    let expected = "home of stream US is eu-west (75 % of its use, 1 connections), before: us-east";
    assert_eq!(changes(running.happened()), [expected]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sampled_where_it_decides_nothing() {
    for home in [
        json!({"scope": "Account"}),
        json!({"sampling": {"enabled": false}}),
        json!({"strategy": "Preferred", "preferences": ["us-east"]}),
    ] {
        let bench = Bench::new(two_locations(&["EU"]));
        let running = bench.start(&policy(by_use(&home)));
        running.until_home().await;
        assert_eq!(bench.fake.writes(), 1);
        assert!(bench.fake.state().samplings.is_empty());
    }
    // Whoever uses it is where all clients are.
    let bench = Bench::new(supercluster(&["EU"], 0));
    let running = bench.start(&policy(by_use(&json!({}))));
    running.until_home().await;
    assert!(bench.fake.state().samplings.is_empty());
}
