use super::*;
use crate::fixtures::{consumer, stream, supercluster};

const MIB: u64 = 1 << 20;

fn cost(replicas: u8, bytes: u64, lowest: Option<Version>, rate: Option<u64>) -> MoveCost {
    let mut stream = stream(&supercluster(), "S", &["eu-west-0"]);
    (stream.replicas, stream.bytes) = (replicas, bytes);
    MoveCost::estimate(&stream, lowest, rate)
}

#[test]
fn a_message_saves_the_round_trip_that_it_no_longer_takes() {
    let milliseconds = Duration::from_millis;
    assert!((saved_milliseconds(milliseconds(42), milliseconds(2)) - 40.0).abs() < 0.001);
    assert!((saved_milliseconds(milliseconds(2), milliseconds(42)) + 40.0).abs() < 0.001);
}

#[test]
fn a_move_makes_wait_for_its_time_and_publishers_for_its_stall() {
    let waiting = |stall, rate| {
        let cost = MoveCost {
            bytes: 0,
            time: Duration::from_secs(20),
            stall: Duration::from_secs(stall),
        };
        cost.waiting_milliseconds(rate)
    };
    assert!((waiting(0, 1000.0) - 20_000.0).abs() < 0.1);
    // Ten messages a second for ten seconds, each for five of them.
    assert!((waiting(10, 10.0) - 520_000.0).abs() < 1.0);
}

#[test]
fn every_move_costs_more_than_any_step_down_and_more_with_every_byte_and_replica() {
    let weight = |replicas, bytes| cost(replicas, bytes, None, None).weight();
    assert!(weight(1, 0) > STEP_DOWN_COST);
    assert!(weight(1, 1 << 30) > weight(1, 1 << 20));
    assert!(weight(3, 1 << 30) > weight(1, 1 << 30));
    assert!(weight(5, u64::MAX).is_finite());
}

#[test]
fn a_move_copies_every_replica_and_blocks_writes_only_on_old_servers_and_of_replicated_streams() {
    let seconds = Duration::from_secs;
    let new = cost(3, 100 * MIB, Some(Version::new(2, 15, 0)), None);
    let expected = MoveCost {
        bytes: 300 * MIB,
        time: seconds(15),
        stall: Duration::ZERO,
    };
    assert_eq!(new, expected);
    let old = cost(3, 100 * MIB, Some(Version::new(2, 14, 99)), None);
    assert_eq!((old.time, old.stall), (seconds(15), seconds(10)));
    let unknown = cost(3, 100 * MIB, None, None);
    assert_eq!(
        unknown.stall,
        seconds(10),
        "the worst is expected of unknown servers"
    );
    let single = cost(1, 100 * MIB, Some(Version::new(2, 10, 0)), None);
    assert_eq!((single.bytes, single.stall), (100 * MIB, Duration::ZERO));
}

#[test]
fn a_move_takes_longer_with_every_consumer() {
    let topology = supercluster();
    let mut stream = stream(&topology, "S", &["eu-west-0"]);
    stream.consumers = vec![consumer(&topology, "C", &["eu-west-0"]); 2000];
    let time = MoveCost::estimate(&stream, None, None).time;
    let none = cost(1, 0, None, None).time;
    assert_eq!(time, none + Duration::from_secs(40));
}

#[test]
fn a_measured_rate_replaces_the_assumed_one() {
    let measured = cost(3, 100 * MIB, None, Some(40 * MIB));
    assert_eq!(measured.stall, Duration::from_millis(2500));
    assert_eq!(measured.time, Duration::from_millis(7500));
    let crawling = cost(3, u64::MAX, None, Some(0));
    assert_eq!(crawling.stall, Duration::from_secs(u64::MAX));
}
