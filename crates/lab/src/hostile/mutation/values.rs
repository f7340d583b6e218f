//! Random changes of a value, or of a whole answer, and what may result from them.

use fastrand::Rng;
use serde_json::Value;

use super::Effect;
use crate::hostile::script::{Body, Change};

/// Keys that servers omit when empty (`omitempty`), or that old versions do not know.
const LEFT_OUT: &str = "account_details account_name authorized_user cluster connection consumer_detail desired domain \
    durable_name gateways jetstream lag leader leader_since leafs limits max_ack_pending max_ha_assets metadata mirror name now \
    offline outbound_gateways placement replicas routes rtt sources start stream_detail tags team";
/// Lists that come with their number of elements.
const COUNTED: &str = "connections consumers streams";
/// Objects whose keys are names, so that a new one is no field of a later version.
const MAPS: &str = "metadata outbound_gateways";
/// Numbers that may be negative.
const SIGNED: &str = "max_age max_bytes max_memory max_storage max_ack_pending sync_interval";

/// Invalid JSON.
const BROKEN: &str = "NaN Infinity - 0x10 'a' \u{0} tru { ] \"\\ud800\" \"\\x\"";
/// Numbers that no server has, or that are invalid.
const BEYOND: &str = "1e999 -1e999 18446744073709551616 -9223372036854775809 1e308 0.5 -0.0 00 +1 1e .5";

fn is_one_of(key: &str, keys: &str) -> bool {
    keys.split(' ').any(|one| one == key)
}

/// A change of a whole answer.
pub(super) fn whole(chance: &mut Rng) -> (Body, Effect) {
    match chance.u8(..8) {
        0 | 1 => (Body::Cut(chance.usize(..1000)), Effect::Noticeable),
        2 => {
            let never = [0, 1, 0xff, 0xc0];
            let byte = never[chance.usize(..never.len())];
            (
                Body::Byte {
                    at: chance.usize(..1000),
                    byte,
                },
                Effect::Noticeable,
            )
        }
        3 => (
            Body::Byte {
                at: chance.usize(..1000),
                byte: chance.u8(..),
            },
            Effect::Plausible,
        ),
        4 => {
            let bytes: Vec<u8> = (0..chance.usize(..64)).map(|_| chance.u8(..)).collect();
            (Body::Bytes(bytes), Effect::Noticeable)
        }
        5 => (Body::Snappy, Effect::None),
        6 => {
            let names = ["snappy", "s2", "gzip", "br", "SNAPPY", "identity"];
            (
                Body::Misnamed(names[chance.usize(..names.len())]),
                Effect::Noticeable,
            )
        }
        _ => (Body::Nested(chance.usize(1..100_000)), Effect::Noticeable),
    }
}

pub(super) fn change(chance: &mut Rng, path: &[String], value: &Value) -> (Change, Effect) {
    let key = path.last().map_or("", String::as_str);
    let left_out = if is_one_of(key, LEFT_OUT) {
        Effect::Plausible
    } else {
        Effect::Noticeable
    };
    let in_list = key.parse::<usize>().is_ok();
    let counted = path.iter().rev().take(2).any(|key| is_one_of(key, COUNTED));
    match chance.u8(..12) {
        0 if in_list && !counted => (Change::Remove, Effect::Plausible),
        0 => (Change::Remove, left_out),
        1 => (Change::Raw("null".to_owned()), left_out),
        2 if in_list => (Change::Twice, Effect::Noticeable),
        2 => (Change::Again(value.to_string()), Effect::Noticeable),
        3 if !in_list => (Change::Again(other_type(chance, value)), Effect::Noticeable),
        4 => nested(chance),
        5..=8 if counted && value.is_array() => (Change::Raw("[]".to_owned()), Effect::Noticeable),
        5..=8 => same_type(chance, key, value),
        _ => (Change::Raw(other_type(chance, value)), Effect::Noticeable),
    }
}

fn nested(chance: &mut Rng) -> (Change, Effect) {
    let depth = chance.usize(1..20_000);
    let (open, close, inside, effect) = if chance.bool() {
        ("[", "]", "", Effect::Noticeable)
    } else {
        // An object of unknown fields, where others may be left out.
        (r#"{"a":"#, "}", "1", Effect::Plausible)
    };
    let text = format!("{}{inside}{}", open.repeat(depth), close.repeat(depth));
    (Change::Raw(text), effect)
}

/// JSON of another type, or invalid JSON.
fn other_type(chance: &mut Rng, value: &Value) -> String {
    let texts = [r#""text""#, r#""""#, r#""7""#];
    let numbers = ["7", "0", "1.5"];
    let booleans = ["true", "false"];
    let compound = ["[]", "{}", "[[]]", r#"{"name":"x"}"#, r#"["x",7]"#];
    let broken: Vec<&str> = BROKEN.split(' ').collect();
    let all: Vec<&str> = match value {
        Value::String(_) => [&numbers[..], &booleans, &compound, &broken].concat(),
        Value::Bool(_) => [&numbers[..], &texts, &compound, &broken].concat(),
        Value::Number(_) | Value::Null => [&texts[..], &booleans, &compound, &broken].concat(),
        Value::Array(_) | Value::Object(_) => [&texts[..], &numbers, &booleans, &broken].concat(),
    };
    all[chance.usize(..all.len())].to_owned()
}

fn same_type(chance: &mut Rng, key: &str, value: &Value) -> (Change, Effect) {
    match value {
        Value::Number(_) => number(chance, key),
        Value::String(_) => text(chance),
        Value::Bool(is) => (Change::Set(Value::Bool(!is)), Effect::Plausible),
        Value::Array(_) => (Change::Raw("[]".to_owned()), Effect::Plausible),
        Value::Object(_) => {
            let more = serde_json::json!({"of_tomorrow": [1, {"a": null}]});
            let effect = if is_one_of(key, MAPS) {
                Effect::Noticeable
            } else {
                Effect::None
            };
            (Change::Merge(more), effect)
        }
        Value::Null => (Change::Remove, Effect::Plausible),
    }
}

fn number(chance: &mut Rng, key: &str) -> (Change, Effect) {
    let beyond: Vec<&str> = BEYOND.split(' ').collect();
    match chance.u8(..6) {
        0 => {
            let text = beyond[chance.usize(..beyond.len())];
            (Change::Raw(text.to_owned()), Effect::Noticeable)
        }
        1 => {
            let bits = chance.u8(1..63);
            let negative = -chance.i64(1..1 << bits);
            let effect = if is_one_of(key, SIGNED) {
                Effect::Plausible
            } else {
                Effect::Noticeable
            };
            (Change::Set(negative.into()), effect)
        }
        2..=4 => {
            let edges = [
                0,
                1,
                u64::from(u32::MAX),
                i64::MAX.unsigned_abs(),
                1 << 63,
                u64::MAX - 1,
                u64::MAX,
                u64::MAX,
            ];
            (
                Change::Set(edges[chance.usize(..edges.len())].into()),
                Effect::Plausible,
            )
        }
        _ => {
            let bits = chance.u8(1..63);
            (Change::Set(chance.u64(..1 << bits).into()), Effect::Plausible)
        }
    }
}

fn text(chance: &mut Rng) -> (Change, Effect) {
    let texts = [
        "",
        " ",
        ".",
        "*",
        ">",
        "A.*.>",
        "us-0",
        "eu-0",
        "ORDERS",
        "LEDGER",
        "APP",
        "\r\nPUB a 0\r\n\r\n",
        "\u{0}\u{ffff}",
        "\u{1b}[31m",
        "\u{202e}",
        "9999-12-30T22:00:00Z",
        "-009999-01-02T01:59:59Z",
        "yesterday",
        "-1ns",
        "9e99h",
        "2.15",
        "-",
        "18446744073709551616",
        "ß\u{301}",
        "%s%n",
        "{{.}}",
    ];
    let change = if chance.u8(..4) == 0 {
        Change::Letters(1 << chance.u8(5..19))
    } else {
        Change::Set(texts[chance.usize(..texts.len())].into())
    };
    (change, Effect::Plausible)
}
