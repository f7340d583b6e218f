//! In which parts that decide two views of one account differ.

use leeward_core::snapshot::AccountView;
use serde_json::Value;

/// What depends on when it was looked at, and round trips, which are told by whoever knows them.
const BESIDE: [&str; 8] = [
    "observed_at",
    "gaps",
    "started",
    "leader_since",
    "message_rate",
    "traffic",
    "messages",
    "round_trips",
];
/// What may be unknown in a complete view: it stops what it would decide by itself.
const MAY_BE_UNKNOWN: [&str; 2] = ["room", "leader"];

/// The first difference of a view from the truth, if there is one.
pub(crate) fn differs(view: &AccountView, truth: &AccountView) -> Option<String> {
    difference("", &value(view), &value(truth))
}

fn value(view: &AccountView) -> Value {
    let mut view = view.clone();
    for group in &mut view.clients {
        (group.messages, group.bytes) = (None, None);
    }
    serde_json::to_value(view).unwrap()
}

fn difference(path: &str, seen: &Value, truth: &Value) -> Option<String> {
    let key = path.rsplit('/').next().unwrap_or_default();
    if BESIDE.contains(&key) || seen.is_null() && MAY_BE_UNKNOWN.contains(&key) {
        return None;
    }
    match (seen, truth) {
        (Value::Object(seen), Value::Object(truth)) if seen.keys().eq(truth.keys()) => {
            let mut pairs = seen.iter().zip(truth.values());
            pairs.find_map(|((key, seen), truth)| difference(&format!("{path}/{key}"), seen, truth))
        }
        (Value::Array(seen), Value::Array(truth)) if seen.len() == truth.len() => {
            let mut pairs = seen.iter().zip(truth).enumerate();
            pairs.find_map(|(index, (seen, truth))| difference(&format!("{path}/{index}"), seen, truth))
        }
        _ if seen == truth => None,
        _ => {
            let shown = |value: &Value| value.to_string().chars().take(300).collect::<String>();
            Some(format!("{path} is {} and not {}", shown(seen), shown(truth)))
        }
    }
}
