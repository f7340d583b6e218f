use std::collections::BTreeMap;

use super::*;
use crate::fixtures::{at, stream, supercluster, view};
use crate::names::ServerName;
use crate::snapshot::Gap;
use crate::usage::SampledClient;

const WINDOW: Duration = Duration::from_mins(10);

fn sample(kind: UseKind, consumer: Option<&str>, messages: u32, connection: u64) -> UseSample {
    let client = SampledClient {
        server: ServerName::from("us-east-0"),
        connection,
        user: None,
        name: None,
    };
    UseSample {
        kind,
        consumer: consumer.map(ConsumerName::from),
        span: Duration::from_secs(1),
        messages,
        independent: messages,
        clients: BTreeMap::from([(client, messages)]),
        asked: BTreeMap::new(),
        asked_by_all: 0,
        is_denied: false,
        is_cut: false,
        is_uncounted: false,
    }
}

fn sampling(seconds: u64, samples: Vec<UseSample>) -> StreamSampling {
    StreamSampling {
        at: at(seconds),
        samples,
        problem: None,
        is_blind: false,
        skipped: 0,
        is_idle: false,
    }
}

#[test]
fn samples_of_one_kind_and_consumer_are_one_whose_rate_is_not_counted_twice() {
    let mut usage = AccountUse::default();
    let stream = StreamName::from("S");
    let first = vec![
        sample(UseKind::Publish, None, 10, 1),
        sample(UseKind::Pull, Some("a"), 2, 2),
    ];
    usage.add(stream.clone(), sampling(0, first));
    let second = vec![
        sample(UseKind::Publish, None, 30, 1),
        sample(UseKind::Pull, Some("b"), 4, 2),
    ];
    usage.add(stream.clone(), sampling(60, second));
    let samples = usage.samples(&stream);
    assert_eq!(samples.len(), 3);
    let published = &samples[0];
    assert_eq!((published.kind, published.messages), (UseKind::Publish, 40));
    assert_eq!(published.span, Duration::from_secs(2), "20 a second, as before");
    assert_eq!(published.clients.values().copied().collect::<Vec<_>>(), [40]);
}

#[test]
fn only_the_last_few_samplings_of_a_stream_count() {
    let mut usage = AccountUse::default();
    let stream = StreamName::from("S");
    for number in 0..11 {
        let samples = vec![sample(UseKind::Publish, None, 1, number)];
        usage.add(stream.clone(), sampling(number, samples));
    }
    let samples = usage.samples(&stream);
    let connections: Vec<u64> = samples[0]
        .clients
        .keys()
        .map(|client| client.connection)
        .collect();
    assert_eq!(connections, [7, 8, 9, 10]);
    assert_eq!(usage.last(&stream).unwrap().at, at(10));
}

#[test]
fn what_is_old_or_of_a_stream_that_is_gone_is_forgotten() {
    let topology = supercluster();
    let streams = vec![stream(&topology, "KEPT", &["us-east-0"])];
    let mut view = view(topology, Vec::new(), streams);
    let mut usage = AccountUse::default();
    for name in ["KEPT", "GONE"] {
        usage.add(name.into(), sampling(0, Vec::new()));
    }
    view.gaps.push(Gap::WarmingUp);
    usage.observe(WINDOW, &view, at(60));
    assert_eq!(
        usage.streams().count(),
        2,
        "from an incomplete view nothing follows"
    );
    view.gaps.clear();
    usage.observe(WINDOW, &view, at(60));
    assert_eq!(usage.streams().collect::<Vec<_>>(), [&StreamName::from("KEPT")]);
    let kept = kept_for(WINDOW).as_secs();
    usage.observe(WINDOW, &view, at(kept));
    assert!(!usage.is_empty());
    usage.observe(WINDOW, &view, at(kept + 1));
    assert!(usage.is_empty());
}

#[test]
fn a_stream_is_sampled_twice_in_a_window_within_bounds() {
    let seconds = |window: u64| sampling_interval(Duration::from_secs(window)).as_secs();
    assert_eq!(
        [seconds(0), seconds(60), seconds(600), seconds(86_400)],
        [30, 30, 300, 600]
    );
}

#[test]
fn between_batches_a_stream_stores_as_much_as_on_average() {
    let topology = supercluster();
    let mut seen = view(
        topology.clone(),
        Vec::new(),
        vec![stream(&topology, "S", &["us-east-0"])],
    );
    let mut usage = AccountUse::default();
    usage.add("S".into(), StreamSampling::new(at(0), Sampled::default(), false));
    for (seconds, rate) in [(0, 5.0), (10, 5.0), (20, 65.0), (30, 5.0)] {
        seen.observed_at = at(seconds);
        seen.streams[0].message_rate = Some(rate);
        usage.observe(WINDOW, &seen, at(seconds));
        // Another round by the same look tells nothing new.
        usage.observe(WINDOW, &seen, at(seconds));
    }
    assert_eq!(usage.stored(&seen.streams[0]), Some(20.0));
    seen.streams[0].message_rate = Some(30.0);
    assert_eq!(usage.stored(&seen.streams[0]), Some(30.0));
    seen.streams[0].message_rate = None;
    assert_eq!(usage.stored(&seen.streams[0]), None, "not measured");
    seen.streams[0].message_rate = Some(5.0);
    let later = at(kept_for(WINDOW).as_secs() + 21);
    seen.observed_at = later;
    usage.add("S".into(), StreamSampling::new(later, Sampled::default(), false));
    usage.observe(WINDOW, &seen, later);
    assert_eq!(usage.stored(&seen.streams[0]), Some(5.0), "the batch is long ago");
}

#[test]
fn who_creates_consumers_is_remembered_for_as_long_as_anything() {
    let mut usage = AccountUse::default();
    let stream = StreamName::from("S");
    let created = sample(UseKind::Create, None, 1, 7);
    usage.add(stream.clone(), sampling(0, vec![created]));
    for second in 1..=10 {
        let published = sample(UseKind::Publish, None, 9, 1);
        usage.add(stream.clone(), sampling(second * 60, vec![published]));
    }
    let kinds = |usage: &AccountUse| {
        let samples = usage.samples(&stream).into_iter();
        samples
            .map(|sample| (sample.kind, sample.messages))
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds(&usage), [(UseKind::Publish, 36), (UseKind::Create, 1)]);
    let topology = supercluster();
    let servers = ["us-east-0", "us-east-1", "us-east-2"];
    let streams = vec![crate::fixtures::stream(&topology, "S", &servers)];
    let view = view(topology, Vec::new(), streams);
    usage.observe(WINDOW, &view, at(kept_for(WINDOW).as_secs() + 1));
    assert_eq!(kinds(&usage), [(UseKind::Publish, 36)]);
}

#[test]
fn gets_of_which_more_came_at_one_time_and_fewer_at_others_are_not_counted() {
    let is_uncounted = |cut: [bool; 2]| {
        let mut usage = AccountUse::default();
        for (is_cut, second) in cut.into_iter().zip([0, 60]) {
            let gets = UseSample {
                is_cut,
                ..sample(UseKind::Get, None, 9, 1)
            };
            usage.add("S".into(), sampling(second, vec![gets]));
        }
        usage.samples(&"S".into())[0].is_uncounted
    };
    let all = [[false, false], [true, true], [true, false], [false, true]];
    assert_eq!(all.map(is_uncounted), [false, false, true, true]);
}
