//! The lab's honest answers have the shape of real ones: the same keys with values of the same types.

use std::collections::BTreeSet;

use leeward_lab::hostile::honest;
use leeward_lab::hostile::question::{Call, Question};
use serde_json::{Value, json};

/// Told by the lab and not by the captured replies: their client gave no name, and the lab's replies are larger than one.
const MORE: [&str; 1] = ["/data/connections/*/name string"];
/// Keys of these are names.
const MAPS: [&str; 2] = ["outbound_gateways", "metadata"];

fn real(name: &str) -> String {
    let path = format!("{}/tests/fixtures/2.15.1/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn shape(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    found.insert(format!("{path} {kind}"));
    match value {
        Value::Array(list) => list
            .iter()
            .for_each(|one| shape(one, &format!("{path}/*"), found)),
        Value::Object(fields) => {
            let named = MAPS.iter().any(|map| path.ends_with(map));
            for (key, value) in fields {
                let key = if named { "*" } else { key.as_str() };
                shape(value, &format!("{path}/{key}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn shapes(values: impl IntoIterator<Item = Value>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for value in values {
        shape(&value, "", &mut found);
    }
    found
}

#[test]
fn honest_answers_have_the_shape_of_captured_ones() {
    let table = [
        (Call::Statsz, "statsz"),
        (Call::Connz, "connz"),
        (Call::Gatewayz, "gatewayz"),
        (Call::Statz, "statz"),
        (Call::Jsz, "jsz"),
        (Call::UserInfo, "user_info"),
        (Call::StreamList, "stream_list"),
        (Call::StreamInfo, "stream_info"),
        (Call::ConsumerInfo, "consumer_info"),
    ];
    for (call, name) in table {
        let question = Question {
            stream: "ORDERS".into(),
            consumer: "dur".into(),
            options: json!({"acc": "APP", "account": "APP"}),
            privileged: true,
            ..Question::plain(call)
        };
        let answers = honest::answers(&question, honest::SYSTEM_USER, &[]).unwrap();
        let captured = real(name);
        let captured = captured.lines().filter(|line| !line.is_empty());
        let captured = shapes(captured.map(|line| serde_json::from_str(line).unwrap()));
        let mut ours = shapes(answers);
        ours.retain(|one| !MORE.contains(&one.as_str()));
        let missing: Vec<_> = captured.difference(&ours).collect();
        let made_up: Vec<_> = ours.difference(&captured).collect();
        assert!(
            missing.is_empty() && made_up.is_empty(),
            "{name}: without {missing:?}, made up {made_up:?}"
        );
    }
}
