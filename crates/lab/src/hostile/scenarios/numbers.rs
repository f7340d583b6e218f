//! Numbers and moments that no server has.

use serde_json::json;

use super::{FIRST, Scenario, edits, of_first, set};
use crate::hostile::question::Call::{Connz, ConsumerList, Gatewayz, Jsz, Statsz, Statz, StreamList};
use crate::hostile::script::{Change, Edit};

const HUGE: u64 = u64::MAX;
const LARGEST: i64 = i64::MAX;
const LAST_YEAR: &str = "9999-12-30T22:00:00Z";
const FIRST_YEAR: &str = "-009999-01-02T01:59:59Z";
/// The server that LEDGER is on, which would have to move.
const FAR: usize = 3;

pub(super) fn all() -> Vec<Scenario> {
    [
        of_servers(),
        of_connections(),
        of_streams(),
        of_lists(),
        of_moves(),
        over_time(),
    ]
    .concat()
}

fn of_servers() -> Vec<Scenario> {
    let used = json!({"memory": HUGE, "storage": HUGE, "reserved_memory": HUGE, "reserved_storage": HUGE, "ha_assets": HUGE});
    vec![
        edits(
            "statsz-connections-u32max",
            "each server has u32::MAX connections",
            [set(Statsz, "/statsz/connections", u32::MAX)],
        ),
        edits(
            "statsz-connections-negative",
            "each server has fewer than no connections",
            [set(Statsz, "/statsz/connections", -1)],
        ),
        edits(
            "statsz-active-servers-max",
            "servers count u32::MAX servers",
            [set(Statsz, "/statsz/active_servers", u32::MAX)],
        ),
        edits(
            "statsz-active-servers-0",
            "servers count no servers",
            [set(Statsz, "/statsz/active_servers", 0)],
        ),
        edits(
            "statsz-start-year-9999",
            "servers start in the last year",
            [set(Statsz, "/statsz/start", LAST_YEAR)],
        ),
        edits(
            "statsz-start-year-minus",
            "servers started in the first year",
            [set(Statsz, "/statsz/start", FIRST_YEAR)],
        ),
        edits(
            "statsz-start-nonsense",
            "servers started at no time",
            [set(Statsz, "/statsz/start", "yesterday")],
        ),
        edits(
            "statsz-storage-u64max",
            "servers store u64::MAX bytes and assets",
            [
                set(Statsz, "/statsz/jetstream/stats", used),
                set(
                    Statsz,
                    "/statsz/jetstream/config",
                    json!({"max_memory": LARGEST, "max_storage": LARGEST}),
                ),
            ],
        ),
        edits(
            "gatewayz-rtt-huge",
            "a round trip of 400 digits",
            [rtt_of_both(&format!("{}h", "9".repeat(400)), "25ms")],
        ),
        edits(
            "gatewayz-rtt-292-years",
            "round trips of geological ages",
            [rtt_of_both("2562047h47m16s", "5000000000000000h")],
        ),
    ]
}

fn rtt_of_both(eu: &str, us: &str) -> Edit {
    let gateways = json!({"eu": {"connection": {"rtt": eu}}, "us": {"connection": {"rtt": us}}});
    set(Gatewayz, "/data/outbound_gateways", gateways)
}

fn of_connections() -> Vec<Scenario> {
    let each = |fields| Edit::new(Connz, "/data/connections/*", Change::Merge(fields));
    let part = json!({"msgs": HUGE, "bytes": HUGE});
    let both = |path: &str, value: serde_json::Value| {
        ["sent", "received"].map(|way| {
            set(
                Statz,
                &format!("/data/account_statz/0/{way}/{path}"),
                value.clone(),
            )
        })
    };
    let [sent_leafs, received_leafs] = both("leafs", part.clone());
    vec![
        edits(
            "connz-counters-u64max",
            "each client moved u64::MAX messages",
            [each(
                json!({"in_msgs": HUGE, "out_msgs": HUGE, "in_bytes": HUGE, "out_bytes": HUGE}),
            )],
        ),
        edits(
            "connz-counters-negative",
            "clients moved fewer than no messages",
            [each(json!({"in_msgs": -1}))],
        ),
        edits(
            "connz-counters-float",
            "clients moved 1e308 messages",
            [each(json!({"in_msgs": 1e308}))],
        ),
        edits(
            "connz-counters-text",
            "clients moved NaN messages",
            [each(json!({"in_msgs": "NaN"}))],
        ),
        edits(
            "connz-total-u64max",
            "there are u64::MAX clients",
            [set(Connz, "/data/total", HUGE)],
        ),
        edits(
            "connz-total-negative",
            "there are fewer than no clients",
            [set(Connz, "/data/total", -5)],
        ),
        edits(
            "connz-lists-fewer",
            "a client is counted and not listed",
            [Edit::new(Connz, "/data/connections/0", Change::Remove)],
        )
        .shown("list"),
        edits(
            "connz-start-year-9999",
            "clients connect in the last year, seen in the first",
            [
                each(json!({"start": LAST_YEAR})),
                set(Connz, "/data/now", FIRST_YEAR),
            ],
        ),
        edits(
            "connz-now-year-9999",
            "it is the last year",
            [set(Connz, "/data/now", LAST_YEAR)],
        ),
        edits(
            "statz-bytes-u64max",
            "the account moved twice u64::MAX bytes",
            both("bytes", json!(HUGE)),
        ),
        edits(
            "statz-parts-u64max",
            "twice u64::MAX bytes crossed gateways",
            both("gateways", part),
        ),
        edits(
            "statz-leafs-u64max",
            "u32::MAX leaf nodes moved twice u64::MAX bytes",
            [
                set(Statz, "/data/account_statz/0/leafnodes", u32::MAX),
                sent_leafs,
                received_leafs,
            ],
        ),
        edits(
            "statz-conns-u32max",
            "the account has u32::MAX connections",
            [set(Statz, "/data/account_statz/0/conns", u32::MAX)],
        ),
    ]
}

fn of_streams() -> Vec<Scenario> {
    let peers = |fields| of_first("/cluster/replicas/*", Change::Merge(fields));
    let state = |fields| of_first("/state", Change::Merge(fields));
    let sequences = json!({"consumer_seq": HUGE, "stream_seq": HUGE});
    let consumers = json!({"delivered": sequences, "ack_floor": sequences, "num_ack_pending": HUGE, "num_pending": HUGE,
        "num_waiting": HUGE});
    vec![
        edits(
            "jsz-bytes-u64max",
            "a stream of u64::MAX bytes",
            [state(json!({"bytes": HUGE, "last_seq": HUGE}))],
        ),
        edits(
            "jsz-lag-u64max",
            "peers lag by u64::MAX",
            [peers(json!({"lag": HUGE, "active": HUGE, "current": false}))],
        ),
        edits(
            "jsz-active-negative",
            "peers are heard of in the future",
            [peers(json!({"active": -5}))],
        ),
        edits(
            "jsz-consumer-u64max",
            "a consumer is at u64::MAX in everything",
            [of_first("/consumer_detail/*", Change::Merge(consumers))],
        ),
        edits(
            "jsz-replicas-0",
            "a stream without replicas",
            [set(Jsz, &format!("{FIRST}/config/num_replicas"), 0)],
        ),
        edits(
            "jsz-replicas-255",
            "a stream of 255 replicas",
            [set(Jsz, &format!("{FIRST}/config/num_replicas"), 255)],
        ),
        edits(
            "jsz-max-bytes-min",
            "a stream whose limit is i64::MIN",
            [set(Jsz, &format!("{FIRST}/config/max_bytes"), i64::MIN)],
        ),
        edits(
            "jsz-leader-since-9999",
            "a leader from the last year on",
            [set(Jsz, &format!("{FIRST}/cluster/leader_since"), LAST_YEAR)],
        ),
        edits(
            "jsz-leader-since-minus",
            "a leader since the first year",
            [set(Jsz, &format!("{FIRST}/cluster/leader_since"), FIRST_YEAR)],
        ),
        edits(
            "jsz-no-state",
            "a stream without state",
            [of_first("/state", Change::Remove)],
        )
        .shown("came without its state"),
        edits(
            "jsz-no-config",
            "a stream without configuration",
            [of_first("/config", Change::Remove)],
        )
        .shown("came without its configuration"),
        edits(
            "jsz-storage-unknown",
            "a stream on tape",
            [set(Jsz, &format!("{FIRST}/config/storage"), "tape")],
        )
        .shown("storage"),
    ]
}

fn of_lists() -> Vec<Scenario> {
    let of = |call, fields| Edit::new(call, "", Change::Merge(fields));
    vec![
        edits(
            "list-limit-0",
            "pages of no streams",
            [of(StreamList, json!({"limit": 0, "total": 5}))],
        ),
        edits(
            "list-limit-1-total-max",
            "pages of one stream, u64::MAX of them",
            [of(StreamList, json!({"limit": 1, "total": HUGE}))],
        ),
        edits(
            "list-total-negative",
            "fewer than no streams",
            [of(StreamList, json!({"total": -1}))],
        ),
        edits(
            "list-lists-nothing",
            "streams are counted and none is listed",
            [of(StreamList, json!({"streams": []}))],
        )
        .shown("of them and lists"),
        edits(
            "list-lists-one-twice",
            "a stream is listed twice",
            [Edit::new(StreamList, "/streams/0", Change::Twice)],
        ),
        edits(
            "consumer-list-limit-overflow",
            "pages of 2^63 consumers, u64::MAX of them",
            [of(ConsumerList, json!({"limit": 1_u64 << 63, "total": HUGE}))],
        ),
    ]
}

/// LEDGER has to move, with odd numbers.
fn of_moves() -> Vec<Scenario> {
    let ledger = |path: &str, fields| Edit {
        only: Some(FAR),
        ..of_first(path, Change::Merge(fields))
    };
    let used = |fields| Edit::new(Statsz, "/statsz/jetstream/stats", Change::Merge(fields));
    let limits = |fields| Edit::new(Statsz, "/statsz/jetstream/config", Change::Merge(fields));
    let half = 1_u64 << 63;
    vec![
        edits(
            "move",
            "nothing is wrong: a stream of one replica has to be moved",
            [],
        ),
        edits(
            "move-limit-i64max",
            "its limit is i64::MAX bytes",
            [ledger("/config", json!({"max_bytes": LARGEST}))],
        ),
        edits(
            "move-room-sum",
            "used, reserved and the stream add up to more than u64::MAX",
            [
                ledger("/state", json!({"bytes": half})),
                used(json!({"storage": half, "reserved_storage": half})),
                limits(json!({"max_storage": LARGEST})),
            ],
        ),
        edits(
            "move-room-negative",
            "the servers' limit is negative",
            [limits(json!({"max_storage": -1}))],
        ),
        edits(
            "move-ha-max",
            "servers have u64::MAX assets of as many",
            [
                used(json!({"ha_assets": HUGE})),
                set(
                    Statsz,
                    "/statsz/jetstream/limits",
                    json!({"max_ha_assets": LARGEST}),
                ),
            ],
        ),
        edits("move-rtt-0", "a round trip of nothing", [rtt_of_both("0s", "0s")]),
        edits(
            "move-rtt-years",
            "a round trip of a geological age",
            [rtt_of_both("5000000000000000h", "5000000000000000h")],
        ),
        edits(
            "move-seq-u64max",
            "its last sequence is u64::MAX",
            [ledger("/state", json!({"last_seq": HUGE}))],
        ),
    ]
}

fn over_time() -> Vec<Scenario> {
    let jump = |to: u64| Change::Series(vec![json!(0), json!(to)]);
    let connections = ["in_msgs", "out_msgs", "in_bytes", "out_bytes"]
        .map(|field| Edit::new(Connz, &format!("/data/connections/*/{field}"), jump(HUGE / 2)));
    let falling = (0..32).map(|look| json!(1_000_000_000_u64 >> look)).collect();
    vec![
        edits(
            "connz-traffic-jumps",
            "counters of every client rise from 0 to half of u64::MAX between two looks",
            connections,
        ),
        edits(
            "statz-traffic-jumps",
            "volumes rise from 0 to u64::MAX between two looks, on every server",
            [
                Edit::new(Statz, "/data/account_statz/0/sent/bytes", jump(HUGE)),
                set(Statz, "/data/account_statz/0/received/bytes", 0),
            ],
        ),
        edits(
            "counters-go-back",
            "the last sequence falls with each look",
            [of_first("/state/last_seq", Change::Series(falling))],
        ),
    ]
}
