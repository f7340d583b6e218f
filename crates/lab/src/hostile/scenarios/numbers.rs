//! Numbers and moments that no server has.

use serde_json::json;

use super::{Scenario, lie, of_first, set};
use crate::hostile::question::Call::{Connz, ConsumerList, Gatewayz, Statsz, Statz, StreamList};
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
        lie("statsz-connections-u32max")
            .describes("each server has u32::MAX connections")
            .set(Statsz, "/statsz/connections", u32::MAX),
        lie("statsz-connections-negative")
            .describes("each server has fewer than no connections")
            .set(Statsz, "/statsz/connections", -1),
        lie("statsz-active-servers-max")
            .describes("servers count u32::MAX servers")
            .set(Statsz, "/statsz/active_servers", u32::MAX),
        lie("statsz-active-servers-0")
            .describes("servers count no servers")
            .set(Statsz, "/statsz/active_servers", 0),
        lie("statsz-start-year-9999")
            .describes("servers start in the last year")
            .set(Statsz, "/statsz/start", LAST_YEAR),
        lie("statsz-start-year-minus")
            .describes("servers started in the first year")
            .set(Statsz, "/statsz/start", FIRST_YEAR),
        lie("statsz-start-nonsense")
            .describes("servers started at no time")
            .set(Statsz, "/statsz/start", "yesterday"),
        lie("statsz-storage-u64max")
            .describes("servers store u64::MAX bytes and assets")
            .set(Statsz, "/statsz/jetstream/stats", used)
            .set(
                Statsz,
                "/statsz/jetstream/config",
                json!({"max_memory": LARGEST, "max_storage": LARGEST}),
            ),
        lie("gatewayz-rtt-huge")
            .describes("a round trip of 400 digits")
            .edits([rtt_of_both(&format!("{}h", "9".repeat(400)), "25ms")]),
        lie("gatewayz-rtt-292-years")
            .describes("round trips of geological ages")
            .edits([rtt_of_both("2562047h47m16s", "5000000000000000h")]),
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
    vec![
        lie("connz-counters-u64max")
            .describes("each client moved u64::MAX messages")
            .edits([each(
                json!({"in_msgs": HUGE, "out_msgs": HUGE, "in_bytes": HUGE, "out_bytes": HUGE}),
            )]),
        lie("connz-counters-negative")
            .describes("clients moved fewer than no messages")
            .edits([each(json!({"in_msgs": -1}))]),
        lie("connz-counters-float")
            .describes("clients moved 1e308 messages")
            .edits([each(json!({"in_msgs": 1e308}))]),
        lie("connz-counters-text")
            .describes("clients moved NaN messages")
            .edits([each(json!({"in_msgs": "NaN"}))]),
        lie("connz-total-u64max")
            .describes("there are u64::MAX clients")
            .set(Connz, "/data/total", HUGE),
        lie("connz-total-negative")
            .describes("there are fewer than no clients")
            .set(Connz, "/data/total", -5),
        lie("connz-lists-fewer")
            .describes("a client is counted and not listed")
            .edit(Connz, "/data/connections/0", Change::Remove)
            .shown("list"),
        lie("connz-start-year-9999")
            .describes("clients connect in the last year, seen in the first")
            .edits([each(json!({"start": LAST_YEAR}))])
            .set(Connz, "/data/now", FIRST_YEAR),
        lie("connz-now-year-9999")
            .describes("it is the last year")
            .set(Connz, "/data/now", LAST_YEAR),
        lie("statz-bytes-u64max")
            .describes("the account moved twice u64::MAX bytes")
            .edits(both("bytes", json!(HUGE))),
        lie("statz-parts-u64max")
            .describes("twice u64::MAX bytes crossed gateways")
            .edits(both("gateways", part.clone())),
        lie("statz-leafs-u64max")
            .describes("u32::MAX leaf nodes moved twice u64::MAX bytes")
            .set(Statz, "/data/account_statz/0/leafnodes", u32::MAX)
            .edits(both("leafs", part)),
        lie("statz-conns-u32max")
            .describes("the account has u32::MAX connections")
            .set(Statz, "/data/account_statz/0/conns", u32::MAX),
    ]
}

fn of_streams() -> Vec<Scenario> {
    let peers = |fields| of_first("/cluster/replicas/*", Change::Merge(fields));
    let state = |fields| of_first("/state", Change::Merge(fields));
    let sequences = json!({"consumer_seq": HUGE, "stream_seq": HUGE});
    let consumers = json!({"delivered": sequences, "ack_floor": sequences, "num_ack_pending": HUGE, "num_pending": HUGE,
        "num_waiting": HUGE});
    vec![
        lie("jsz-bytes-u64max")
            .describes("a stream of u64::MAX bytes")
            .edits([state(json!({"bytes": HUGE, "last_seq": HUGE}))]),
        lie("jsz-lag-u64max")
            .describes("peers lag by u64::MAX")
            .edits([peers(json!({"lag": HUGE, "active": HUGE, "current": false}))]),
        lie("jsz-active-negative")
            .describes("peers are heard of in the future")
            .edits([peers(json!({"active": -5}))]),
        lie("jsz-consumer-u64max")
            .describes("a consumer is at u64::MAX in everything")
            .edit_first("/consumer_detail/*", Change::Merge(consumers)),
        lie("jsz-replicas-0")
            .describes("a stream without replicas")
            .set_first("/config/num_replicas", 0),
        lie("jsz-replicas-255")
            .describes("a stream of 255 replicas")
            .set_first("/config/num_replicas", 255),
        lie("jsz-max-bytes-min")
            .describes("a stream whose limit is i64::MIN")
            .set_first("/config/max_bytes", i64::MIN),
        lie("jsz-leader-since-9999")
            .describes("a leader from the last year on")
            .set_first("/cluster/leader_since", LAST_YEAR),
        lie("jsz-leader-since-minus")
            .describes("a leader since the first year")
            .set_first("/cluster/leader_since", FIRST_YEAR),
        lie("jsz-no-state")
            .describes("a stream without state")
            .edit_first("/state", Change::Remove)
            .shown("came without its state"),
        lie("jsz-no-config")
            .describes("a stream without configuration")
            .edit_first("/config", Change::Remove)
            .shown("came without its configuration"),
        lie("jsz-storage-unknown")
            .describes("a stream on tape")
            .set_first("/config/storage", "tape")
            .shown("storage"),
    ]
}

fn of_lists() -> Vec<Scenario> {
    let of = |call, fields| Edit::new(call, "", Change::Merge(fields));
    vec![
        lie("list-limit-0")
            .describes("pages of no streams")
            .edits([of(StreamList, json!({"limit": 0, "total": 5}))]),
        lie("list-limit-1-total-max")
            .describes("pages of one stream, u64::MAX of them")
            .edits([of(StreamList, json!({"limit": 1, "total": HUGE}))]),
        lie("list-total-negative")
            .describes("fewer than no streams")
            .edits([of(StreamList, json!({"total": -1}))]),
        lie("list-lists-nothing")
            .describes("streams are counted and none is listed")
            .edits([of(StreamList, json!({"streams": []}))])
            .shown("of them and lists"),
        lie("list-lists-one-twice")
            .describes("a stream is listed twice")
            .edit(StreamList, "/streams/0", Change::Twice),
        lie("consumer-list-limit-overflow")
            .describes("pages of 2^63 consumers, u64::MAX of them")
            .edits([of(ConsumerList, json!({"limit": 1_u64 << 63, "total": HUGE}))]),
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
        lie("move").describes("nothing is wrong: a stream of one replica has to be moved"),
        lie("move-limit-i64max")
            .describes("its limit is i64::MAX bytes")
            .edits([ledger("/config", json!({"max_bytes": LARGEST}))]),
        lie("move-room-sum")
            .describes("used, reserved and the stream add up to more than u64::MAX")
            .edits([
                ledger("/state", json!({"bytes": half})),
                used(json!({"storage": half, "reserved_storage": half})),
                limits(json!({"max_storage": LARGEST})),
            ]),
        lie("move-room-negative")
            .describes("the servers' limit is negative")
            .edits([limits(json!({"max_storage": -1}))]),
        lie("move-ha-max")
            .describes("servers have u64::MAX assets of as many")
            .edits([used(json!({"ha_assets": HUGE}))])
            .set(
                Statsz,
                "/statsz/jetstream/limits",
                json!({"max_ha_assets": LARGEST}),
            ),
        lie("move-rtt-0")
            .describes("a round trip of nothing")
            .edits([rtt_of_both("0s", "0s")]),
        lie("move-rtt-years")
            .describes("a round trip of a geological age")
            .edits([rtt_of_both("5000000000000000h", "5000000000000000h")]),
        lie("move-seq-u64max")
            .describes("its last sequence is u64::MAX")
            .edits([ledger("/state", json!({"last_seq": HUGE}))]),
    ]
}

fn over_time() -> Vec<Scenario> {
    let jump = |to: u64| Change::Series(vec![json!(0), json!(to)]);
    let connections = ["in_msgs", "out_msgs", "in_bytes", "out_bytes"]
        .map(|field| Edit::new(Connz, &format!("/data/connections/*/{field}"), jump(HUGE / 2)));
    let falling = (0..32).map(|look| json!(1_000_000_000_u64 >> look)).collect();
    vec![
        lie("connz-traffic-jumps")
            .describes("counters of every client rise from 0 to half of u64::MAX between two looks")
            .edits(connections),
        lie("statz-traffic-jumps")
            .describes("volumes rise from 0 to u64::MAX between two looks, on every server")
            .edit(Statz, "/data/account_statz/0/sent/bytes", jump(HUGE))
            .set(Statz, "/data/account_statz/0/received/bytes", 0),
        lie("counters-go-back")
            .describes("the last sequence falls with each look")
            .edit_first("/state/last_seq", Change::Series(falling)),
    ]
}
