use serde_json::{Value, json};

use super::*;

const NASTY: &str = "a\u{202e}b\u{200f}c\u{7f}d\u{9b}e\u{1b}[31m\u{2066}é\n";

#[test]
fn json_escapes_what_steers_a_terminal_and_says_the_same() {
    let document = json!({"name": NASTY, "b\u{202a}": [NASTY]});
    let text = json(&document).unwrap();
    assert!(text.chars().all(is_safe), "{text:?}");
    assert!(text.contains("a\\u202eb") && text.contains('é'), "{text}");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
}

#[test]
fn yaml_has_nothing_that_steers_a_terminal() {
    let text = yaml(&json!({"name": NASTY, "plain": "a\u{202e}b"})).unwrap();
    assert!(text.chars().all(is_safe), "{text:?}");
    assert!(text.contains("a\u{fffd}b"), "{text}");
    serde_saphyr::from_str::<Value>(&text).unwrap();
}
