//! Answers as they are sent: the honest ones, changed as a script defines.

use serde_json::Value;

use super::honest;
use super::packed;
use super::question::Call;
use super::script::{Body, Change, ClientLoad, Edit, Script};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `Content-Encoding`, if there is one.
    pub encoding: Option<&'static str>,
    pub body: Vec<u8>,
}

/// Changes a server's answer to the n-th request of a call, counted from 0.
pub fn changed(script: &Script, call: Call, server: usize, asked: usize, honest: Value) -> Reply {
    let mut work = Work {
        value: honest,
        asked,
        raw: Vec::new(),
        body: None,
    };
    let about = |edit: &&Edit| edit.of.covers(call) && edit.only.is_none_or(|only| only == server);
    for edit in script.edits.iter().filter(about) {
        if let Change::Body(body) = &edit.change {
            work.body = Some(body.clone());
        } else {
            let mut whole = std::mem::take(&mut work.value);
            work.descend(&mut whole, &edit.path, &edit.change);
            work.value = whole;
        }
    }
    work.finish()
}

/// The answers of the crowd's nonexistent servers, made from one of a real server.
pub fn crowd(
    crowd: &ClientLoad,
    asked: usize,
    honest: impl Fn(usize) -> Value,
) -> impl Iterator<Item = (usize, Value)> {
    let (cluster, counted, servers) = (crowd.cluster, crowd.counted, crowd.servers);
    (0..servers).map(move |number| {
        let mut answer = honest(number % honest::servers());
        let server = &mut answer["server"];
        if number >= honest::servers() {
            server["name"] = format!("s{number}").into();
            server["id"] = honest::server_id(number).into();
            server["jetstream"] = false.into();
        }
        if let Some(pattern) = cluster {
            let name = pattern.replace("{n}", &number.to_string());
            server["cluster"] = name.replace("{look}", &asked.to_string()).into();
        }
        if counted && answer.get("statsz").is_some() {
            answer["statsz"]["active_servers"] = servers.into();
        }
        (number, answer)
    })
}

struct Work {
    value: Value,
    asked: usize,
    /// Text that replaces the marks, which are its indices.
    raw: Vec<String>,
    body: Option<Body>,
}

/// Around the number of a text that is invalid JSON, and before a key that exists already.
const RAW: &str = "\u{f8ff}raw";
const AGAIN: &str = "\u{f8ff}again";

impl Work {
    fn descend(&mut self, value: &mut Value, path: &[String], change: &Change) {
        match path {
            [] => self.change(value, change),
            [last] if last != "*" => self.change_in(value, last, change),
            [step, rest @ ..] if step == "*" => {
                let elements: Vec<&mut Value> = match value {
                    Value::Array(list) => list.iter_mut().collect(),
                    Value::Object(fields) => fields.values_mut().collect(),
                    _ => Vec::new(),
                };
                for element in elements {
                    self.descend(element, rest, change);
                }
            }
            [step, rest @ ..] => {
                let below = match value {
                    Value::Array(list) => step.parse().ok().and_then(|index: usize| list.get_mut(index)),
                    Value::Object(fields) => fields.get_mut(step),
                    _ => None,
                };
                if let Some(below) = below {
                    self.descend(below, rest, change);
                }
            }
        }
    }

    fn change_in(&mut self, parent: &mut Value, key: &str, change: &Change) {
        match (parent, change) {
            (Value::Object(fields), Change::Remove) => {
                fields.remove(key);
            }
            (Value::Object(fields), Change::Again(text)) => {
                let mark = self.mark(text.clone());
                fields.insert(format!("{AGAIN}{key}"), mark);
            }
            (Value::Object(fields), _) => {
                let mut value = fields.remove(key).unwrap_or(Value::Null);
                self.change(&mut value, change);
                fields.insert(key.to_owned(), value);
            }
            (Value::Array(list), _) => {
                let Some(index) = key.parse().ok().filter(|index: &usize| *index < list.len()) else {
                    return;
                };
                match change {
                    Change::Remove => {
                        list.remove(index);
                    }
                    Change::Twice => {
                        let same = list.get(index).cloned();
                        list.extend(same);
                    }
                    _ => {
                        if let Some(value) = list.get_mut(index) {
                            self.change(value, change);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn change(&mut self, value: &mut Value, change: &Change) {
        match change {
            Change::Set(new) => *value = new.clone(),
            Change::Merge(more) => {
                if let (Value::Object(fields), Value::Object(more)) = (&mut *value, more) {
                    fields.extend(more.clone());
                }
            }
            Change::Series(values) => {
                *value = values
                    .get(self.asked)
                    .or(values.last())
                    .cloned()
                    .unwrap_or_default();
            }
            Change::Numbered(pattern) => *value = pattern.replace("{n}", &self.asked.to_string()).into(),
            Change::Letters(count) => *value = "n".repeat(*count).into(),
            Change::Raw(text) => *value = self.mark(text.clone()),
            Change::Copies { count, numbered } => {
                if let Value::Array(list) = &*value {
                    let text = list.first().map(Value::to_string).unwrap_or_default();
                    let copies =
                        (0..*count).map(|number| text.replace(numbered, &format!("{numbered}{number}")));
                    let list = copies.collect::<Vec<_>>().join(",");
                    *value = self.mark(format!("[{list}]"));
                }
            }
            Change::Remove => *value = Value::Null,
            Change::Again(_) | Change::Twice | Change::Body(_) => {}
        }
    }

    fn mark(&mut self, text: String) -> Value {
        self.raw.push(text);
        format!("{RAW}{}{RAW}", self.raw.len() - 1).into()
    }

    fn finish(self) -> Reply {
        let mut text = self.value.to_string();
        for (number, raw) in self.raw.iter().enumerate() {
            text = text.replacen(&format!("\"{RAW}{number}{RAW}\""), raw, 1);
        }
        let text = text.replace(AGAIN, "").into_bytes();
        let (encoding, body) = match self.body {
            None => (None, text),
            Some(Body::Bytes(bytes)) => (None, bytes),
            Some(Body::Nested(depth)) => (None, nested(depth).into_bytes()),
            Some(Body::Blank(megabytes)) => (None, with_blanks(text, megabytes)),
            Some(Body::Packed(megabytes)) => (Some("snappy"), packed::blanks(megabytes)),
            Some(Body::Snappy) => (Some("snappy"), packed::compressed(&text)),
            Some(Body::Encoded { encoding, bytes }) => (Some(encoding), bytes),
            Some(Body::Misnamed(encoding)) => (Some(encoding), text),
            Some(Body::Cut(thousandths)) => {
                let length = text.len() * thousandths.min(1000) / 1000;
                (None, text[..length].to_vec())
            }
            Some(Body::Byte { at, byte }) => (None, with_byte(text, at, byte)),
        };
        Reply { encoding, body }
    }
}

fn nested(depth: usize) -> String {
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    format!(r#"{{"server":{{"name":"us-0","id":"N1","ver":"2.15.1"}},"data":{open}{close}}}"#)
}

fn with_blanks(mut body: Vec<u8>, megabytes: usize) -> Vec<u8> {
    body.pop();
    body.resize(body.len() + (megabytes << 20), b' ');
    body.push(b'}');
    body
}

fn with_byte(mut body: Vec<u8>, thousandths: usize, byte: u8) -> Vec<u8> {
    let position = body.len().saturating_sub(1) * thousandths.min(1000) / 1000;
    if let Some(there) = body.get_mut(position) {
        *there = byte;
    }
    body
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(path: &str, change: Change) -> String {
        let honest = json!({"data": {"list": [{"a": 1}, {"a": 2}], "x": "y"}});
        let script = Script::edits([Edit::new(Call::Connz, path, change)]);
        let body = changed(&script, Call::Connz, 0, 1, honest).body;
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn a_change_is_made_where_its_path_leads() {
        let whole = r#"{"data":{"list":[{"a":1},{"a":2}],"x":"y"}}"#;
        assert_eq!(
            told("/data/list/*/a", Change::Set(json!(7))),
            whole.replace(['1', '2'], "7")
        );
        assert_eq!(told("/data/x", Change::Remove), whole.replace(r#","x":"y""#, ""));
        assert_eq!(
            told("/data/x", Change::Raw("1e999".into())),
            whole.replace(r#""y""#, "1e999")
        );
        assert_eq!(
            told("/data/x", Change::Again("-".into())),
            r#"{"data":{"list":[{"a":1},{"a":2}],"x":"y","x":-}}"#
        );
        assert_eq!(
            told("/data/list/0", Change::Remove),
            whole.replace(r#"{"a":1},"#, "")
        );
        assert_eq!(
            told("/data/list/0", Change::Twice),
            whole.replace("2}]", r#"2},{"a":1}]"#)
        );
        assert_eq!(
            told("/data/z", Change::Numbered("{n}")),
            whole.replace("}}", r#","z":"1"}}"#)
        );
        assert_eq!(told("", Change::Body(Body::Cut(500))), &whole[..whole.len() / 2]);
        assert_eq!(told("/data/nowhere/x", Change::Remove), whole);
    }
}
