use serde_json::json;

use super::*;
use crate::fixtures::{clients, consumer, ix, policy, stream, supercluster, view};
use crate::topology::TopologyKey;

const EU: [&str; 3] = ["eu-west-0", "eu-west-1", "eu-west-2"];

fn client(server: &str, connection: u64) -> SampledClient {
    SampledClient {
        server: ServerName::from(server),
        connection,
        user: None,
        name: None,
    }
}

/// `found` are the messages whose clients were found.
fn sample(kind: UseKind, of: Option<&str>, messages: u32, found: &[(&str, u64, u32)]) -> UseSample {
    let clients: BTreeMap<SampledClient, u32> = found
        .iter()
        .map(|(server, connection, messages)| (client(server, *connection), *messages))
        .collect();
    let is_pull = kind == UseKind::Pull;
    let asked = clients.iter().filter(|_| is_pull);
    UseSample {
        kind,
        consumer: of.map(ConsumerName::from),
        span: Duration::from_millis(1),
        messages,
        independent: messages,
        asked: asked
            .map(|(client, requests)| (client.clone(), u64::from(*requests)))
            .collect(),
        asked_by_all: if is_pull { u64::from(messages) } else { 0 },
        clients,
        is_denied: false,
        is_cut: false,
        is_uncounted: false,
    }
}

/// A stream with this rate of publishes, and a consumer `c` with this rate of deliveries.
fn used(published: Option<f32>, delivered: Option<f32>, samples: &[UseSample]) -> StreamUse {
    used_by(&policy(json!({})).clients, published, delivered, samples)
}

fn used_by(
    selector: &ClientSelector,
    published: Option<f32>,
    delivered: Option<f32>,
    samples: &[UseSample],
) -> StreamUse {
    let topology = supercluster();
    let mut stream = stream(&topology, "S", &EU);
    stream.message_rate = published;
    stream.consumers = vec![consumer(&topology, "c", &EU)];
    stream.consumers[0].message_rate = delivered;
    let clients = vec![clients(ix(&topology, "us-east-0"), 9)];
    let view = view(topology, clients, vec![stream.clone()]);
    let locations = LocationMap::new(&view.topology, &TopologyKey::Cluster { tag_prefix: None });
    StreamUse::new(&view, &stream, &locations, selector, samples, stream.message_rate)
}

fn shares(used: &StreamUse) -> Vec<(&str, u32, u8)> {
    let rows = used.locations.iter();
    rows.map(|(location, row)| (location.as_str(), row.connections, row.percent))
        .collect()
}

#[test]
fn shares_are_of_the_measured_rates_and_not_of_the_sampled_messages() {
    let samples = [
        sample(
            UseKind::Publish,
            None,
            10,
            &[("us-east-0", 1, 5), ("eu-west-0", 1, 5)],
        ),
        sample(UseKind::Pull, Some("c"), 2, &[("eu-west-1", 7, 2)]),
    ];
    let used = used(Some(10.0), Some(90.0), &samples);
    assert_eq!(shares(&used), [("eu-west", 2, 95), ("us-east", 1, 5)]);
    assert_eq!(used.coverage_percent, Some(100));
    assert_eq!(used.majority().map(Location::as_str), Some("eu-west"));
    let eu = &used.locations[&Location::from("eu-west")];
    assert_eq!(
        eu.rates,
        Rates::from([(UseKind::Publish, 5.0), (UseKind::Pull, 90.0)])
    );
}

#[test]
fn what_was_seen_without_a_client_lowers_the_coverage_and_counts_for_nobody() {
    let samples = [
        sample(UseKind::Publish, None, 16, &[("eu-west-0", 1, 4)]),
        sample(UseKind::Pull, Some("c"), 0, &[]),
    ];
    let busy = used(Some(30.0), Some(10.0), &samples);
    // A quarter of 30 of 40.
    assert_eq!(busy.coverage_percent, Some(18));
    assert_eq!(shares(&busy), [("eu-west", 1, 100)]);
    // Nothing was requested and nothing delivered: there is nothing to explain.
    assert_eq!(used(Some(30.0), Some(0.0), &samples).coverage_percent, Some(25));
    // Traffic that no sample shows is unexplained.
    let unseen = [sample(UseKind::Publish, None, 0, &[])];
    assert_eq!(used(Some(1.0), None, &unseen).coverage_percent, Some(0));
}

#[test]
fn traffic_that_was_not_sampled_is_unexplained() {
    let samples = [sample(UseKind::Publish, None, 2, &[("us-east-0", 1, 2)])];
    assert_eq!(used(Some(25.0), Some(75.0), &samples).coverage_percent, Some(25));
    assert_eq!(used(Some(25.0), Some(75.0), &[]).coverage_percent, Some(0));
    // Direct gets are no publishes.
    let gets = [UseSample {
        span: Duration::from_secs(2),
        ..sample(UseKind::DirectGet, None, 2, &[("us-east-0", 1, 2)])
    }];
    assert_eq!(used(Some(3.0), None, &gets).coverage_percent, Some(25));
}

#[test]
fn without_traffic_and_without_clients_nothing_is_known() {
    let nothing = [
        sample(UseKind::Publish, None, 0, &[]),
        sample(UseKind::Pull, Some("c"), 0, &[]),
    ];
    let used = used(Some(0.0), None, &nothing);
    assert_eq!(used, StreamUse::default());
    assert_eq!(used.majority(), None);
}

#[test]
fn clients_that_wait_for_an_idle_consumer_are_its_users() {
    let waiting = [
        sample(UseKind::Publish, None, 0, &[]),
        sample(UseKind::Pull, Some("c"), 1, &[("eu-west-0", 3, 1)]),
    ];
    let idle = used(Some(0.0), Some(0.0), &waiting);
    assert_eq!(shares(&idle), [("eu-west", 1, 100)]);
    assert_eq!(idle.coverage_percent, Some(100));
    // Beside real traffic they weigh nothing.
    let busy = [
        sample(UseKind::Publish, None, 4, &[("us-east-0", 1, 4)]),
        waiting[1].clone(),
    ];
    let busy = used(Some(1.0), Some(0.0), &busy);
    assert_eq!(shares(&busy), [("eu-west", 1, 0), ("us-east", 1, 99)]);
}

#[test]
fn what_a_stream_stores_besides_what_was_seen_is_unexplained() {
    // It sources 80 messages a second, and one is published.
    let mut published = sample(UseKind::Publish, None, 2, &[("eu-west-0", 1, 2)]);
    published.span = Duration::from_secs(2);
    let used = used(Some(80.0), None, &[published]);
    assert_eq!(used.coverage_percent, Some(1));
    let eu = &used.locations[&Location::from("eu-west")];
    assert_eq!(eu.rates, Rates::from([(UseKind::Publish, 1.25)]));
}

#[test]
fn direct_gets_have_the_rate_of_their_sample() {
    let samples = [
        sample(UseKind::Publish, None, 4, &[("us-east-0", 1, 4)]),
        UseSample {
            span: Duration::from_secs(2),
            ..sample(UseKind::DirectGet, None, 6, &[("eu-west-0", 2, 6)])
        },
    ];
    assert_eq!(
        shares(&used(Some(1.0), None, &samples)),
        [("eu-west", 1, 75), ("us-east", 1, 25)]
    );
}

#[test]
fn clients_that_the_policy_leaves_out_are_explained_and_count_for_no_location() {
    let clients = policy(json!({"clients": {"excludeUsers": ["backup"]}})).clients;
    let mut backup = sample(UseKind::Publish, None, 2, &[("us-east-0", 1, 1)]);
    let by_backup = SampledClient {
        user: Some("backup".into()),
        ..client("eu-west-0", 2)
    };
    backup.clients.insert(by_backup, 1);
    let used = used_by(&clients, Some(2.0), None, &[backup]);
    assert_eq!(shares(&used), [("us-east", 1, 100)]);
    assert_eq!(used.coverage_percent, Some(100));
}

#[test]
fn a_server_that_the_view_does_not_show_is_no_location() {
    let samples = [sample(UseKind::Publish, None, 2, &[("gone", 1, 2)])];
    let used = used(Some(2.0), None, &samples);
    assert_eq!(shares(&used), []);
    assert_eq!(used.coverage_percent, Some(0));
    assert_eq!(used.majority(), None);
}

#[test]
fn equal_shares_are_no_majority() {
    let samples = [sample(
        UseKind::Publish,
        None,
        4,
        &[("us-east-0", 1, 2), ("eu-west-0", 1, 2)],
    )];
    assert_eq!(used(Some(2.0), None, &samples).majority(), None);
}

/// Requests of a consumer, in five seconds, by two clients: so many each, for so many messages.
fn pulled(us: (u32, u64), eu: (u32, u64)) -> UseSample {
    let (us_client, eu_client) = (client("us-east-0", 1), client("eu-west-0", 2));
    UseSample {
        span: Duration::from_secs(5),
        asked: BTreeMap::from([(us_client, us.1), (eu_client, eu.1)]),
        asked_by_all: us.1 + eu.1,
        ..sample(
            UseKind::Pull,
            Some("c"),
            us.0 + eu.0,
            &[("us-east-0", 1, us.0), ("eu-west-0", 2, eu.0)],
        )
    }
}

#[test]
fn requests_explain_no_more_messages_than_they_ask_for_and_weigh_as_many() {
    // Five single fetches do not explain ten messages a second: others wait from before.
    let polled = pulled((5, 5), (0, 0));
    assert_eq!(used(None, Some(10.0), &[polled]).coverage_percent, Some(12));
    let both = used(None, Some(10.0), &[pulled((2, 20), (3, 60))]);
    assert_eq!(shares(&both), [("eu-west", 1, 75), ("us-east", 1, 25)]);
    assert!(!both.is_partly_unmeasured);
}

#[test]
fn who_asks_often_and_who_asks_for_much_may_not_be_told_apart() {
    for (us, eu) in [((5, 5), (1, 200)), ((2, 20), (2, 60))] {
        assert!(
            used(None, Some(1.0), &[pulled(us, eu)]).is_partly_unmeasured,
            "{us:?} {eu:?}"
        );
    }
    assert!(!used(None, Some(1.0), &[pulled((5, 5), (0, 0))]).is_partly_unmeasured);
    let idle = used(Some(9.0), Some(0.0), &[pulled((5, 5), (1, 200))]);
    assert!(!idle.is_partly_unmeasured, "an idle consumer weighs nothing");
}

#[test]
fn gets_of_many_messages_are_measured_by_nobody_unless_all_come_from_one_location() {
    let gets = |found: &[(&str, u64, u32)]| UseSample {
        is_uncounted: true,
        ..sample(UseKind::DirectGet, None, 6, found)
    };
    let is_unmeasured =
        |found: &[(&str, u64, u32)]| used(Some(1.0), None, &[gets(found)]).is_partly_unmeasured;
    assert!(!is_unmeasured(&[("eu-west-0", 1, 4), ("eu-west-1", 1, 2)]));
    assert!(is_unmeasured(&[("eu-west-0", 1, 5), ("us-east-0", 1, 1)]));
    assert!(is_unmeasured(&[("eu-west-0", 1, 5)]), "one is of nobody known");
}
