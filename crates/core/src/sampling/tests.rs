use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::decide::decide;
use crate::fixtures::{at, clients, consumer, context, ix, policy, stream, supercluster, view};
use crate::history::History;
use crate::names::ServerName;
use crate::policy::Policy;
use crate::snapshot::AccountView;
use crate::topology::{Topology, TopologyKey};
use crate::usage::{AccountUse, Sampled, SampledClient, StreamSampling, UseKind, UseSample, WarmUp};

const US: [&str; 3] = ["us-east-0", "us-east-1", "us-east-2"];
const EU: [&str; 3] = ["eu-west-0", "eu-west-1", "eu-west-2"];

/// Nine clients in us-east, four in eu-west, and these streams with their rates of messages.
fn world(streams: &[(&str, [&str; 3], f32)]) -> AccountView {
    let topology = supercluster();
    let clients = vec![
        clients(ix(&topology, "us-east-0"), 9),
        clients(ix(&topology, "eu-west-0"), 4),
    ];
    let streams = streams.iter().map(|(name, servers, rate)| {
        let mut stream = stream(&topology, name, servers);
        stream.message_rate = Some(*rate);
        stream
    });
    let streams = streams.collect();
    view(topology, clients, streams)
}

fn by_cluster(view: &AccountView) -> LocationMap {
    LocationMap::new(&view.topology, &TopologyKey::Cluster { tag_prefix: None })
}

fn enforcing(window: &str) -> Policy {
    policy(json!({"mode": "Enforce", "home": {"stabilizationWindow": window}}))
}

/// As often as samplings are kept.
fn sampled(usage: &mut AccountUse, stream: &str, seconds: u64, from: Option<&str>) {
    for _ in 0..4 {
        sampled_once(usage, stream, seconds, from);
    }
}

fn sampled_once(usage: &mut AccountUse, stream: &str, seconds: u64, from: Option<&str>) {
    let client = |server: &str| SampledClient {
        server: ServerName::from(server),
        connection: 1,
        user: None,
        name: None,
    };
    let samples = vec![UseSample {
        kind: UseKind::Publish,
        consumer: None,
        span: std::time::Duration::from_millis(1),
        messages: if from.is_some() { 16 } else { 0 },
        independent: if from.is_some() { 16 } else { 0 },
        clients: from.map_or_else(BTreeMap::new, |server| BTreeMap::from([(client(server), 16)])),
        asked: BTreeMap::new(),
        asked_by_all: 0,
        is_denied: false,
        is_cut: false,
        is_uncounted: false,
    }];
    let sampled = Sampled {
        samples,
        ..Sampled::default()
    };
    usage.add(stream.into(), StreamSampling::new(at(seconds), sampled, false));
}

fn due(view: &AccountView, policy: &Policy, usage: &AccountUse, seconds: u64) -> Vec<String> {
    chosen(next_samplings, view, policy, usage, seconds)
}

fn chosen(
    choose: impl Fn(&DecisionContext<'_>, &Evaluation) -> Vec<Sampling>,
    view: &AccountView,
    policy: &Policy,
    usage: &AccountUse,
    seconds: u64,
) -> Vec<String> {
    let mut view = view.clone();
    view.observed_at = at(seconds);
    let history = History::default();
    let mut context = context(&view, policy, &history, at(seconds));
    context.usage = Some(usage);
    let decision = decide(&context);
    let chosen = choose(&context, &decision.evaluation);
    chosen
        .into_iter()
        .map(|sampling| sampling.stream.to_string())
        .collect()
}

#[test]
fn the_misplaced_come_first_then_the_new_and_of_those_the_busiest() {
    let view = world(&[
        ("AWAY", EU, 1.0),
        ("BUSY", EU, 50.0),
        ("HOME", US, 90.0),
        ("SEEN", US, 99.0),
    ]);
    let policy = enforcing("0s");
    let mut usage = AccountUse::default();
    assert_eq!(due(&view, &policy, &usage, 0), ["BUSY", "AWAY", "SEEN", "HOME"]);
    sampled(&mut usage, "SEEN", 0, Some("us-east-0"));
    sampled(&mut usage, "BUSY", 0, Some("us-east-0"));
    assert_eq!(due(&view, &policy, &usage, 29), ["AWAY", "HOME"]);
    assert_eq!(due(&view, &policy, &usage, 30), ["AWAY", "BUSY", "HOME", "SEEN"]);
}

#[test]
fn what_is_misplaced_is_sampled_a_few_times_at_once_unless_it_is_idle() {
    let view = world(&[("AWAY", EU, 10.0), ("HOME", US, 10.0)]);
    let policy = enforcing("10m");
    let mut usage = AccountUse::default();
    for name in ["AWAY", "HOME"] {
        sampled_once(&mut usage, name, 0, Some("us-east-0"));
    }
    // Its 16 messages take 4.8 s of 200 a minute, and others get as much.
    assert!(due(&view, &policy, &usage, 9).is_empty());
    assert_eq!(due(&view, &policy, &usage, 10), ["AWAY"]);
    let costly = Sampled {
        samples: usage.samples(&"AWAY".into()),
        skipped: 384,
        ..Sampled::default()
    };
    usage.add("AWAY".into(), StreamSampling::new(at(0), costly, false));
    assert!(due(&view, &policy, &usage, 239).is_empty());
    assert_eq!(due(&view, &policy, &usage, 240), ["AWAY"]);
    let mut usage = AccountUse::default();
    let nothing = StreamSampling::new(at(0), Sampled::default(), true);
    usage.add("AWAY".into(), nothing);
    sampled_once(&mut usage, "HOME", 0, Some("us-east-0"));
    assert!(due(&view, &policy, &usage, 59).is_empty());
}

#[test]
fn a_single_look_samples_again_at_once_what_would_move_until_enough_is_kept() {
    let view = world(&[
        ("AWAY", EU, 10.0),
        ("HOME", US, 10.0),
        ("IDLE", EU, 0.0),
        ("NEW", EU, 1.0),
    ]);
    let policy = enforcing("0s");
    let mut usage = AccountUse::default();
    let again = |usage: &AccountUse| chosen(unconfirmed, &view, &policy, usage, 0);
    assert!(again(&usage).is_empty(), "what comes first is no confirmation");
    for name in ["AWAY", "HOME"] {
        sampled_once(&mut usage, name, 0, Some("us-east-0"));
    }
    usage.add(
        "IDLE".into(),
        StreamSampling::new(at(0), Sampled::default(), true),
    );
    assert_eq!(again(&usage), ["AWAY"]);
    sampled(&mut usage, "AWAY", 0, Some("us-east-0"));
    assert!(again(&usage).is_empty());
}

#[test]
fn a_home_that_is_not_settled_is_sampled_at_the_end_of_its_window() {
    let view = world(&[("S", EU, 10.0)]);
    let policy = enforcing("4m");
    let mut usage = AccountUse::default();
    sampled(&mut usage, "S", 0, Some("us-east-0"));
    assert!(due(&view, &policy, &usage, 119).is_empty());
    // Half a window later, as always.
    assert_eq!(due(&view, &policy, &usage, 120), ["S"]);
}

#[test]
fn what_contradicts_is_sampled_again_soon() {
    let policy = enforcing("1h");
    let view = world(&[("S", US, 1_000_000.0)]);
    let mut usage = AccountUse::default();
    sampled(&mut usage, "S", 0, Some("eu-west-0"));
    assert!(due(&view, &policy, &usage, 59).is_empty());
    assert_eq!(due(&view, &policy, &usage, 60), ["S"]);
    // What was seen agrees with the account's home, and is too little.
    let view = world(&[("S", EU, 1_000_000.0)]);
    let mut usage = AccountUse::default();
    sampled(&mut usage, "S", 0, Some("us-east-0"));
    assert!(due(&view, &policy, &usage, 59).is_empty());
    assert_eq!(due(&view, &policy, &usage, 60), ["S"]);
}

#[test]
fn nothing_is_sampled_where_it_decides_nothing_or_would_keep_clients_waiting() {
    let policy = enforcing("0s");
    let usage = AccountUse::default();
    let mut one_place = world(&[("S", EU, 1.0)]);
    one_place.clients.truncate(1);
    assert!(due(&one_place, &policy, &usage, 0).is_empty());
    let mut leaderless = world(&[("S", EU, 1.0)]);
    leaderless.streams[0].group.leader = None;
    assert!(due(&leaderless, &policy, &usage, 0).is_empty());
    let view = world(&[("S", EU, 1.0)]);
    for home in [
        json!({"scope": "Account"}),
        json!({"sampling": {"enabled": false}}),
        json!({"strategy": "Preferred", "preferences": ["us-east"]}),
    ] {
        let policy = crate::fixtures::policy(json!({"home": home}));
        assert!(due(&view, &policy, &usage, 0).is_empty());
    }
}

fn names(sampling: &Sampling) -> Vec<&str> {
    let consumers = sampling.consumers.iter();
    consumers.map(|consumer| consumer.name.as_str()).collect()
}

#[test]
fn consumers_that_were_not_sampled_yet_come_before_busier_ones() {
    let mut view = world(&[("S", EU, 1.0)]);
    let topology = view.topology.clone();
    let consumer = |name: &str, rate: f32| {
        let mut consumer = consumer(&topology, name, &EU);
        consumer.message_rate = Some(rate);
        consumer
    };
    view.streams[0].consumers = vec![consumer("calm", 1.0), consumer("quick", 9.0)];
    let known = UseSample {
        kind: UseKind::Pull,
        consumer: Some("quick".into()),
        span: std::time::Duration::ZERO,
        messages: 0,
        independent: 0,
        clients: BTreeMap::new(),
        asked: BTreeMap::new(),
        asked_by_all: 0,
        is_denied: false,
        is_cut: false,
        is_uncounted: false,
    };
    let sampling = Sampling::after(&view, &by_cluster(&view), &view.streams[0], &[known], None);
    assert_eq!(names(&sampling), ["calm", "quick"]);
}

#[test]
fn consumers_without_a_leader_are_left_out_and_the_busiest_come_first() {
    let mut view = world(&[("S", EU, 1.0)]);
    let topology = view.topology.clone();
    let consumer = |name: &str, rate: f32| {
        let mut consumer = consumer(&topology, name, &EU);
        consumer.message_rate = Some(rate);
        consumer
    };
    let mut leaderless = consumer("leaderless", 99.0);
    leaderless.group.leader = None;
    view.streams[0].consumers = vec![consumer("calm", 1.0), leaderless, consumer("quick", 9.0)];
    let sampling = Sampling::new(&view, &by_cluster(&view), &view.streams[0]);
    assert_eq!(names(&sampling), ["quick", "calm"]);
    assert_eq!(sampling.servers.len(), 6);
}

#[test]
fn next_to_a_leader_are_its_servers_location_or_itself_where_its_cluster_spans_several() {
    let names = |names: &[&str]| names.iter().map(|name| ServerName::from(*name)).collect();
    let near = |view: &AccountView, key: &TopologyKey| {
        let locations = LocationMap::new(&view.topology, key);
        Sampling::new(view, &locations, &view.streams[0]).near
    };
    let mut view = world(&[("S", EU, 1.0)]);
    let cluster = TopologyKey::Cluster { tag_prefix: None };
    assert_eq!(near(&view, &cluster), names(&EU));

    let region = TopologyKey::ServerTag {
        prefix: "region:".to_owned(),
    };
    let tagged = |tag: fn(&str) -> String| {
        let mut servers = supercluster().servers().to_vec();
        for server in &mut servers {
            let tag = tag(server.name.as_str());
            server.details.as_mut().unwrap().tags = vec![tag.as_str().into()];
        }
        Topology::new(servers, BTreeMap::new())
    };
    view.topology = tagged(|_| "region:one".to_owned()).into();
    assert_eq!(near(&view, &region), names(&EU));
    view.topology = tagged(|name| format!("region:{name}")).into();
    assert_eq!(near(&view, &region), names(&["eu-west-0"]));
    view.topology = tagged(|_| String::new()).into();
    assert_eq!(near(&view, &region), names(&["eu-west-0"]));
    view.streams[0].group.leader = None;
    assert_eq!(near(&view, &region), names(&[]));
}

#[test]
fn what_may_come_first_follows_the_rate_and_is_less_next_to_the_leader() {
    let sampling = |rate: f32| {
        let view = world(&[("S", EU, rate)]);
        Sampling::new(&view, &by_cluster(&view), &view.streams[0])
    };
    let busy = sampling(50_000.0);
    assert!(busy.near_warm_up.time < busy.warm_up.time);
    let expected = |warm_up: WarmUp| warm_up.time.as_secs_f32() * 50_000.0;
    for warm_up in [busy.near_warm_up, busy.warm_up] {
        let off = expected(warm_up) - f32::from(u16::try_from(warm_up.messages).unwrap());
        assert!(off.abs() <= 1.0, "{warm_up:?}");
    }
    let (idle, slow) = (sampling(0.0), sampling(1.0));
    assert!(idle.near_warm_up.messages > 24, "messages come in bursts");
    assert_eq!(idle.near_warm_up, slow.near_warm_up);
}
