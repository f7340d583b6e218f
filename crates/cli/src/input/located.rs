//! Text → values, each with the place that it was read from.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, MessageFormatter as _, Spanned};

use super::{Place, Problem};

/// No file may have more, items of lists included.
const MAX_DOCUMENTS: usize = 10_000;
/// No value may be nested deeper.
const MAX_DEPTH: usize = 32;
/// No file may have more values, those that aliases repeat included.
const MAX_VALUES: usize = 1_000_000;

/// One document, or one item of a `List`.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The file, as it was named.
    pub file: String,
    /// What it says.
    pub value: Value,
    /// Where it begins.
    pub start: Place,
    /// JSON pointers of its fields and items: where a field's name is, where an item begins.
    places: BTreeMap<String, Place>,
}

impl Document {
    /// The text at a JSON pointer.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.value.pointer(pointer).and_then(Value::as_str)
    }

    /// Where the field or item at a JSON pointer is, or what it would be in.
    pub fn place(&self, pointer: &str) -> Place {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.places.get(pointer) {
                return *place;
            }
            match pointer.rfind('/') {
                Some(end) => pointer = &pointer[..end],
                None => return self.start,
            }
        }
    }

    /// Something that is wrong at a JSON pointer.
    pub fn problem(&self, pointer: &str, text: impl Into<String>) -> Problem {
        Problem {
            file: self.file.clone(),
            place: Some(self.place(pointer)),
            text: text.into(),
        }
    }

    /// The same at a path such as `spec.disruption.budgets[0].max`, which the text begins with.
    pub fn problem_at_path(&self, path: &str, text: &str) -> Problem {
        self.problem(&pointer(path), format!("{path}: {text}"))
    }

    fn of(file: &str, node: &Spanned<Node>) -> Self {
        let mut places = BTreeMap::new();
        let value = lay_out(node, "", &mut places);
        Self {
            file: file.to_owned(),
            value,
            start: place(node.referenced),
            places,
        }
    }
}

/// A path such as `spec.disruption.budgets[0].max` as a JSON pointer.
pub fn pointer(path: &str) -> String {
    let parts = path.split(['.', '[']).filter(|part| !part.is_empty());
    parts.fold(String::new(), |pointer, part| {
        pointer + "/" + part.trim_end_matches(']')
    })
}

fn place(location: Location) -> Place {
    Place {
        line: location.line().max(1),
        column: location.column().max(1),
    }
}

/// A value whose parts know where they are.
#[derive(Clone, Debug)]
enum Node {
    Scalar(Value),
    Items(Vec<Spanned<Node>>),
    Fields(Vec<(Spanned<String>, Spanned<Node>)>),
}

fn lay_out(node: &Spanned<Node>, pointer: &str, places: &mut BTreeMap<String, Place>) -> Value {
    match &node.value {
        Node::Scalar(value) => value.clone(),
        Node::Items(items) => {
            let item = |(at, item): (usize, &Spanned<Node>)| {
                let pointer = format!("{pointer}/{at}");
                places.insert(pointer.clone(), place(item.referenced));
                lay_out(item, &pointer, places)
            };
            Value::Array(items.iter().enumerate().map(item).collect())
        }
        Node::Fields(fields) => {
            let field = |(name, field): &(Spanned<String>, Spanned<Node>)| {
                let pointer = format!("{pointer}/{}", escaped(&name.value));
                places.insert(pointer.clone(), place(name.referenced));
                (name.value.clone(), lay_out(field, &pointer, places))
            };
            Value::Object(fields.iter().map(field).collect::<Map<_, _>>())
        }
    }
}

/// A name as a part of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The documents of one text; lists are unpacked, empty documents left out.
pub fn parse(file: &str, text: &str) -> Result<Vec<Document>, Problem> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_documents: MAX_DOCUMENTS,
            max_nodes: MAX_VALUES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_VALUES,
        },
        with_snippet: false,
    };
    let parsed: Vec<Spanned<Node>> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| syntax_problem(file, &error))?;
    let mut documents = Vec::new();
    for node in &parsed {
        unpack(file, node, &mut documents);
    }
    if documents.len() > MAX_DOCUMENTS {
        let text = format!("has more than {MAX_DOCUMENTS} documents: split it");
        return Err(Problem {
            file: file.to_owned(),
            place: None,
            text,
        });
    }
    Ok(documents)
}

fn syntax_problem(file: &str, error: &serde_saphyr::Error) -> Problem {
    let words = serde_saphyr::DefaultMessageFormatter.format_message(error);
    // What follows is for who calls the reader.
    let words = words.rsplit_once(", set ").map_or(&*words, |(words, _)| words);
    let words: String = words
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    Problem {
        file: file.to_owned(),
        place: error.location().map(place),
        text: format!("this is not YAML or JSON that can be read: {words}"),
    }
}

fn unpack(file: &str, node: &Spanned<Node>, documents: &mut Vec<Document>) {
    match list_items(&node.value) {
        Some(items) => items.iter().for_each(|item| unpack(file, item, documents)),
        None if matches!(&node.value, Node::Scalar(Value::Null)) => {}
        None => documents.push(Document::of(file, node)),
    }
}

/// The items of a Kubernetes list of any kind.
fn list_items(node: &Node) -> Option<&[Spanned<Node>]> {
    let Node::Fields(fields) = node else {
        return None;
    };
    let field = |name: &str| fields.iter().find(|(key, _)| key.value == name);
    let (_, kind) = field("kind")?;
    let (_, items) = field("items")?;
    match (&kind.value, &items.value) {
        (Node::Scalar(Value::String(kind)), Node::Items(items)) if kind.ends_with("List") => Some(items),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(Value::from(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(Value::from(value)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Number::from_f64(value)
            .map(|number| Node::Scalar(Value::Number(number)))
            .ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(Value::from(value)))
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::Items(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = access.next_entry()? {
            fields.push(field);
        }
        Ok(Node::Fields(fields))
    }
}
