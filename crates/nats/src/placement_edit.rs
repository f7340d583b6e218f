//! Edits of a stream's configuration that touch its placement and nothing else (P7).
//!
//! The text stays as the server wrote it: the value of `placement` is replaced in place, or added at the end, so that
//! every other byte survives, whatever fields and numbers a newer server has put there.

use std::collections::BTreeMap;
use std::fmt::Write;

use leeward_core::snapshot::Placement;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::reading::OWN_METADATA;

const PLACEMENT: &str = "placement";
type RawFields<'a> = BTreeMap<String, &'a RawValue>;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EditError {
    #[error("the configuration is not a JSON object: {0}")]
    NoObject(String),
    /// Servers up to 2.10 move a stream with an empty placement to the requester's cluster (nats-facts N20).
    #[error("a placement that names neither a cluster nor a tag is never written")]
    EmptyPlacement,
}

/// The configuration with another placement; fields of the stored one that are not known here stay.
pub(crate) fn with_placement(config: &str, placement: &Placement) -> Result<String, EditError> {
    if placement.cluster.is_none() && placement.tags.is_empty() {
        return Err(EditError::EmptyPlacement);
    }
    let stored = fields(config)?.get(PLACEMENT).copied();
    let stored = match stored.filter(|value| value.get() != "null") {
        Some(value) => fields(value.get())?,
        None => RawFields::new(),
    };
    replace(config, &placement_text(&stored, placement))
}

/// The configuration without a placement. `null` and an absent field are the same to the servers.
pub(crate) fn without_placement(config: &str) -> Result<String, EditError> {
    replace(config, "null")
}

/// The stored placement as the servers wrote it; an empty one is none.
pub(crate) fn stored_placement(config: &str) -> Result<Option<&str>, EditError> {
    let Some(stored) = fields(config)?.get(PLACEMENT).copied() else {
        return Ok(None);
    };
    let nothing = stored.get() == "null" || fields(stored.get())?.is_empty();
    Ok((!nothing).then(|| stored.get()))
}

/// The configuration with a previously stored placement, every byte of it.
pub(crate) fn with_stored(config: &str, placement: &str) -> Result<String, EditError> {
    replace(config, placement)
}

fn replace(config: &str, value: &str) -> Result<String, EditError> {
    let (start, end) = match fields(config)?.get(PLACEMENT) {
        Some(stored) => span(config, stored.get()),
        None => return append(config, value),
    };
    Ok([config.get(..start), Some(value), config.get(end..)]
        .into_iter()
        .flatten()
        .collect())
}

fn append(config: &str, value: &str) -> Result<String, EditError> {
    let end = config
        .rfind('}')
        .ok_or_else(|| EditError::NoObject(String::new()))?;
    let comma = if fields(config)?.is_empty() { "" } else { "," };
    let (head, tail) = config.split_at(end);
    Ok(format!("{head}{comma}\"{PLACEMENT}\":{value}{tail}"))
}

/// The range in a text of a value that was borrowed from it.
fn span(text: &str, part: &str) -> (usize, usize) {
    let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    (start, start.saturating_add(part.len()))
}

fn placement_text(stored: &RawFields<'_>, placement: &Placement) -> String {
    let mut entries = Vec::new();
    if let Some(cluster) = &placement.cluster {
        entries.push(("cluster", Value::from(cluster.as_str()).to_string()));
    }
    if !placement.tags.is_empty() {
        let tags: Vec<&str> = placement
            .tags
            .iter()
            .map(leeward_core::names::Tag::as_str)
            .collect();
        entries.push(("tags", Value::from(tags).to_string()));
    }
    let unknown = stored
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "cluster" | "tags"));
    entries.extend(unknown.map(|(key, value)| (key.as_str(), value.get().to_owned())));
    let mut text = String::from("{");
    for (key, value) in entries {
        let comma = if text.len() > 1 { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{}:{value}", Value::from(key));
    }
    text.push('}');
    text
}

/// The fields, except the placement, in which an answer's configuration differs from the one that was sent. Servers
/// leave out what is empty, and keep metadata of their own.
pub(crate) fn differences(sent: &str, stored: &str) -> Result<Vec<String>, EditError> {
    let (sent, stored) = (fields(sent)?, fields(stored)?);
    let mut names: Vec<&String> = sent.keys().chain(stored.keys()).collect();
    names.sort();
    names.dedup();
    let differs = |name: &&String| {
        let (sent, stored) = (sent.get(*name), stored.get(*name));
        match (sent, stored) {
            (Some(sent), Some(stored)) if sent.get() == stored.get() => false,
            _ => meaning(name, sent.copied()) != meaning(name, stored.copied()),
        }
    };
    Ok(names
        .into_iter()
        .filter(|name| *name != PLACEMENT)
        .filter(differs)
        .cloned()
        .collect())
}

/// A field's value without what makes no difference.
fn meaning(name: &str, raw: Option<&RawValue>) -> Value {
    let mut value = raw
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or(Value::Null);
    if let (Value::Object(entries), "metadata") = (&mut value, name) {
        entries.retain(|key, _| !key.starts_with(OWN_METADATA));
    }
    let empty = match &value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
    };
    if empty { Value::Null } else { value }
}

fn fields(text: &str) -> Result<RawFields<'_>, EditError> {
    serde_json::from_str(text).map_err(|error| EditError::NoObject(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use leeward_core::names::{ClusterName, Tag};
    use proptest::prelude::*;

    fn placement(cluster: Option<&str>, tags: &[&str]) -> Placement {
        Placement {
            cluster: cluster.map(ClusterName::from),
            tags: tags.iter().map(|tag| Tag::from(*tag)).collect(),
        }
    }

    #[test]
    fn p7_every_other_byte_stays() {
        let config = r#"{ "name":"A\u003eB", "max_age": 1.50e3,"placement" : {"cluster":"old","tags":["X"],"new":[1, 2]} ,"future":{"a":18446744073709551615,"a":1} }"#;
        let edited = with_placement(config, &placement(Some("eu"), &["region:eu", "ssd"])).unwrap();
        assert_eq!(
            edited,
            r#"{ "name":"A\u003eB", "max_age": 1.50e3,"placement" : {"cluster":"eu","tags":["region:eu","ssd"],"new":[1, 2]} ,"future":{"a":18446744073709551615,"a":1} }"#
        );
    }

    #[test]
    fn a_placement_is_added_where_none_is() {
        let target = placement(Some("eu"), &[]);
        assert_eq!(
            with_placement(r#"{"name":"A"}"#, &target).unwrap(),
            r#"{"name":"A","placement":{"cluster":"eu"}}"#
        );
        assert_eq!(
            with_placement("{}", &target).unwrap(),
            r#"{"placement":{"cluster":"eu"}}"#
        );
        assert_eq!(
            with_placement(r#"{"placement":null,"name":"A"}"#, &target).unwrap(),
            r#"{"placement":{"cluster":"eu"},"name":"A"}"#
        );
    }

    #[test]
    fn a_placement_inside_another_field_is_left_alone() {
        let config = r#"{"metadata":{"placement":"here"},"placement":{"tags":["a"]}}"#;
        assert_eq!(
            without_placement(config).unwrap(),
            r#"{"metadata":{"placement":"here"},"placement":null}"#
        );
    }

    #[test]
    fn a_stored_placement_is_put_back_as_it_was() {
        let config = r#"{"name":"A","placement":{"tags":["SSD"], "new":1.50}}"#;
        let stored = stored_placement(config).unwrap().unwrap();
        let bare = without_placement(config).unwrap();
        assert_eq!(stored_placement(&bare), Ok(None));
        assert_eq!(with_stored(&bare, stored).unwrap(), config);
        assert_eq!(stored_placement(r#"{"placement":{}}"#), Ok(None));
        assert_eq!(stored_placement("{}"), Ok(None));
    }

    #[test]
    fn an_empty_placement_is_never_written() {
        assert_eq!(
            with_placement("{}", &Placement::default()),
            Err(EditError::EmptyPlacement)
        );
    }

    #[test]
    fn differences_name_the_fields_that_changed_in_meaning() {
        let sent = r#"{"name":"A","max_age":0,"subjects":["a\u003e"],"metadata":{"_nats.ver":"1","t":"x"},"placement":{"cluster":"a"}}"#;
        let same = r#"{"name":"A","subjects":["a>"],"metadata":{"_nats.ver":"2","t":"x"},"sealed":false}"#;
        assert_eq!(differences(sent, same), Ok(vec![]));
        let other = r#"{"name":"A","subjects":["b"],"metadata":{"t":"y"},"sealed":true}"#;
        assert_eq!(
            differences(sent, other),
            Ok(vec!["metadata".into(), "sealed".into(), "subjects".into()])
        );
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            "[a-z\"\\\\>é{}]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z_.{}\"]{1,6}|placement", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// White space as JSON has it.
    const SPACES: &str = "[ \t\r\n]{0,3}";

    /// Text that is a JSON string, with characters escaped that need not be.
    fn string(letters: &'static str) -> impl Strategy<Value = String> {
        let escaped = |letter: &str, upper: bool| -> String {
            let unit = |unit: u16| {
                if upper {
                    format!("\\u{unit:04X}")
                } else {
                    format!("\\u{unit:04x}")
                }
            };
            letter.encode_utf16().map(unit).collect::<Vec<_>>().concat()
        };
        let letter = (letters, 0u8..4).prop_map(move |(letter, how)| match (letter.as_str(), how) {
            ("\"" | "\\", _) => format!("\\{letter}"),
            ("/", 0) => "\\/".to_owned(),
            (_, 1 | 2) => escaped(&letter, how == 1),
            _ => letter,
        });
        prop::collection::vec(letter, 1..7).prop_map(|letters| format!("\"{}\"", letters.concat()))
    }

    /// Text that is JSON, as no known writer would write it.
    fn odd_json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            prop::sample::select(vec!["null", "true", "false", "\"\"", "{ }", "[\n]"])
                .prop_map(str::to_owned),
            "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?",
            string("[a-z\"\\\\/>{}é😀]"),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            let entry = (
                SPACES,
                string("[a-z.{}]|placement"),
                SPACES,
                inner.clone(),
                SPACES,
            )
                .prop_map(|(before, key, colon, value, after)| {
                    format!("{before}{key}:{colon}{value}{after}")
                });
            prop_oneof![
                prop::collection::vec((SPACES, inner, SPACES), 0..4).prop_map(|items| {
                    let items = items
                        .into_iter()
                        .map(|(before, item, after)| before + &item + &after);
                    format!("[{}]", items.collect::<Vec<_>>().join(","))
                }),
                prop::collection::vec(entry, 0..4).prop_map(|entries| format!("{{{}}}", entries.join(","))),
            ]
        })
    }

    /// How many cases each property runs; `LEEWARD_PROPTEST_CASES` raises it.
    fn cases() -> u32 {
        let told = std::env::var("LEEWARD_PROPTEST_CASES").ok();
        told.and_then(|count| count.parse().ok()).unwrap_or(1000)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

        #[test]
        fn p7_every_byte_but_the_placement_stays_however_it_is_written(
            before in prop::collection::vec((string("[a-z_]"), odd_json()), 0..4),
            after in prop::collection::vec((string("[a-z_]"), odd_json()), 0..4),
            stored in prop::option::of(odd_json().prop_filter("a placement", |text| text == "null" || text.starts_with('{'))),
            spaces in prop::array::uniform4(SPACES),
            cluster in "[a-z]{1,6}",
        ) {
            let entry = |(key, value): &(String, String)| {
                format!("{}{key}{}:{value}{}", spaces[0], spaces[1], spaces[2])
            };
            let head: Vec<String> = before.iter().map(entry).collect();
            let tail: Vec<String> = after.iter().map(entry).collect();
            let key = format!("{}\"placement\"{}:{}", spaces[1], spaces[2], spaces[3]);
            let place = |value: &str| {
                let own = [format!("{key}{value}{}", spaces[0])];
                format!("{{{}}}{}", [head.as_slice(), &own, tail.as_slice()].concat().join(","), spaces[3])
            };
            let target = placement(Some(&cluster), &["t"]);
            let Some(stored) = stored else {
                let text = format!("{{{}}}{}", [head, tail].concat().join(","), spaces[3]);
                let edited = with_placement(&text, &target).unwrap();
                let (kept, end) = text.split_at(text.len() - spaces[3].len() - 1);
                let added = edited.strip_prefix(kept).and_then(|rest| rest.strip_suffix(end)).unwrap();
                let added = added.strip_prefix(',').unwrap_or(added);
                prop_assert_eq!(added, format!("\"placement\":{{\"cluster\":\"{cluster}\",\"tags\":[\"t\"]}}"));
                return Ok(());
            };
            let edited = with_placement(&place(&stored), &target).unwrap();
            let (kept, end) = place("|").split_once('|').map(|(kept, end)| (kept.to_owned(), end.to_owned())).unwrap();
            let written = edited.strip_prefix(&kept).and_then(|rest| rest.strip_suffix(&end));
            let read = fields(written.expect("the rest stays")).unwrap();
            prop_assert_eq!(read["cluster"].get(), format!("\"{cluster}\""));
            prop_assert_eq!(without_placement(&place(&stored)).unwrap(), place("null"));
            prop_assert_eq!(with_stored(&edited, &stored).unwrap(), place(&stored), "and back again");
        }

        #[test]
        fn p7_only_the_placement_changes(
            entries in prop::collection::btree_map("[a-z_{}\"]{1,8}", json(), 0..6),
            stored in prop::option::of(prop::collection::btree_map("cluster|tags|other", json(), 0..4)),
            cluster in "[a-z\"]{1,6}",
            pretty in any::<bool>(),
        ) {
            let mut config = Value::Object(entries.into_iter().filter(|(key, _)| key != PLACEMENT).collect());
            if let Some(stored) = stored {
                config[PLACEMENT] = Value::Object(stored.into_iter().collect());
            }
            let text = if pretty { format!("{config:#}") } else { config.to_string() };
            let edited = with_placement(&text, &placement(Some(&cluster), &["t"])).unwrap();
            let mut read: Value = serde_json::from_str(&edited).unwrap();
            prop_assert_eq!(&read[PLACEMENT]["cluster"], &Value::from(cluster));
            prop_assert_eq!(&read[PLACEMENT]["other"], &config[PLACEMENT]["other"]);
            prop_assert_eq!(differences(&text, &edited).unwrap(), Vec::<String>::new());
            for value in [&mut read, &mut config] {
                value.as_object_mut().unwrap().remove(PLACEMENT);
            }
            prop_assert_eq!(read, config);
        }
    }
}
