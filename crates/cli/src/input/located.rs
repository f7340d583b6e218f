//! Text → values, each with the place that it was read from.

use std::fmt;
use std::thread;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{MessageFormatter as _, Span, Spanned};

use super::bounds::Bounds;
use super::document::{CompactPosition, Fields, Parts};
use super::{Document, Problem, TextPosition, comments, helm, template};

/// No value may be nested deeper; schemas of custom resources are nested deep.
const MAX_DEPTH: usize = 128;
/// Bytes of the reader's stack, of which only what is used is taken.
const STACK: usize = 64 * 1024 * 1024;

/// A value with the positions of its parts.
#[derive(Clone, Debug)]
struct LocatedNode {
    mark: CompactPosition,
    /// Where in the bytes of the text it is.
    bytes: Option<(u64, u64)>,
    kind: NodeKind,
}

#[derive(Clone, Debug)]
enum NodeKind {
    /// With its text in the file, if it is a number or a word such as `NO` that has another.
    Scalar(Value, Option<Box<str>>),
    Items(Vec<LocatedNode>),
    Fields(Vec<Field>),
}

impl From<Value> for NodeKind {
    fn from(scalar: Value) -> Self {
        Self::Scalar(scalar, None)
    }
}

#[derive(Clone, Debug)]
struct Field {
    name: String,
    mark: CompactPosition,
    node: LocatedNode,
}

fn render(kind: NodeKind) -> (Value, Parts) {
    match kind {
        NodeKind::Scalar(value, text) => (value, Parts::Scalar(text)),
        NodeKind::Items(items) => {
            let item = |node: LocatedNode| {
                let (value, parts) = render(node.kind);
                (value, (node.mark, parts))
            };
            let (values, parts): (Vec<Value>, Vec<_>) = items.into_iter().map(item).unzip();
            (Value::Array(values), Parts::Items(parts))
        }
        NodeKind::Fields(fields) => {
            let mut values = Map::new();
            let mut places = Vec::with_capacity(fields.len());
            for Field { name, mark, node } in fields {
                let (value, parts) = render(node.kind);
                places.push((name.as_str().into(), mark, parts));
                values.insert(name, value);
            }
            (Value::Object(values), Parts::Fields(Fields::of(places)))
        }
    }
}

impl LocatedNode {
    /// Its field of this name.
    fn field(&self, name: &str) -> Option<&NodeKind> {
        let NodeKind::Fields(fields) = &self.kind else {
            return None;
        };
        let mut fields = fields.iter();
        Some(&fields.find(|field| field.name == name)?.node.kind)
    }

    /// How many values it has, itself included.
    fn values(&self) -> usize {
        match &self.kind {
            NodeKind::Scalar(..) => 1,
            NodeKind::Items(items) => 1 + items.iter().map(Self::values).sum::<usize>(),
            NodeKind::Fields(fields) => 1 + fields.iter().map(|field| field.node.values()).sum::<usize>(),
        }
    }

    /// Keeps numbers and words such as `NO` as written in the text.
    fn keep_texts(&mut self, text: &str) {
        match &mut self.kind {
            NodeKind::Items(items) => items.iter_mut().for_each(|item| item.keep_texts(text)),
            NodeKind::Fields(fields) => fields.iter_mut().for_each(|field| field.node.keep_texts(text)),
            NodeKind::Scalar(value, text_in_file) if value.is_number() || value.is_boolean() => {
                let written = self.bytes.and_then(|(start, length)| {
                    let start = usize::try_from(start).ok()?;
                    text.get(start..start.checked_add(usize::try_from(length).ok()?)?)
                });
                let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "+-._:".contains(letter);
                let written = written.map(str::trim_end).unwrap_or_default();
                let usual = value.to_string();
                if !written.is_empty() && written.chars().all(is_plain) && written != usual {
                    *text_in_file = Some(written.into());
                }
            }
            NodeKind::Scalar(..) => {}
        }
    }

    fn shift(&mut self, start: TextPosition) {
        self.mark = self.mark.behind(start);
        match &mut self.kind {
            NodeKind::Scalar(..) => {}
            NodeKind::Items(items) => items.iter_mut().for_each(|item| item.shift(start)),
            NodeKind::Fields(fields) => fields.iter_mut().for_each(|field| {
                field.mark = field.mark.behind(start);
                field.node.shift(start);
            }),
        }
    }
}

/// A text that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Why it cannot be read.
    pub problem: Problem,
    /// Whether it may be a template.
    pub is_template: bool,
}

impl From<Problem> for Unreadable {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            is_template: false,
        }
    }
}

/// The documents of one text; lists are unpacked, empty documents left out.
pub fn parse(file: &str, text: &str, bounds: &mut Bounds) -> Result<Vec<Document>, Unreadable> {
    let text = comments::blanked(text.trim_start_matches('\u{feff}'));
    let nodes = match nodes(&text, bounds) {
        Ok(nodes) => nodes,
        Err(error) => match several_values(&text) {
            Some(parts) => nodes_of_values(file, &text, &parts, bounds)?,
            None => return Err(unreadable(file, &text, &error, bounds)),
        },
    };
    let mut documents = Vec::new();
    for node in nodes {
        bounds.take_values(file, node.values())?;
        unpack(file, node, &mut documents);
    }
    bounds.take_documents(file, documents.len())?;
    Ok(documents)
}

/// The parser recurses for every level, so it has its own stack, deep enough for the deepest.
fn nodes(text: &str, bounds: &Bounds) -> Result<Vec<LocatedNode>, Box<serde_saphyr::Error>> {
    thread::scope(|scope| {
        let reader = thread::Builder::new().stack_size(STACK);
        match reader.spawn_scoped(scope, || nodes_here(text, bounds)) {
            Ok(reader) => reader
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // If no thread starts, usual texts fit on this one.
            Err(_) => nodes_here(text, bounds),
        }
    })
}

fn nodes_here(text: &str, bounds: &Bounds) -> Result<Vec<LocatedNode>, Box<serde_saphyr::Error>> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_documents: bounds.documents(),
            max_nodes: bounds.values(),
            // The values bound these as well.
            max_events: usize::MAX,
            flow_nesting_limit: MAX_DEPTH,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: bounds.values(),
        },
        // Comments are not kept, so there may be any number of them.
        emit_comments: false,
        with_snippet: false,
    };
    let mut nodes: Vec<LocatedNode> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(Box::new)?;
    for node in &mut nodes {
        node.keep_texts(text);
    }
    Ok(nodes)
}

/// The ranges of a text's values, if it has several in sequence, as `jq` and `kubectl` read them.
fn several_values(text: &str) -> Option<Vec<std::ops::Range<usize>>> {
    if !text.trim_start().starts_with(['{', '[']) {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(value) = values.next() {
        value.ok()?;
        let end = values.byte_offset();
        found.push(start..end);
        start = end;
    }
    (found.len() > 1).then_some(found)
}

fn nodes_of_values(
    file: &str,
    text: &str,
    values: &[std::ops::Range<usize>],
    bounds: &mut Bounds,
) -> Result<Vec<LocatedNode>, Unreadable> {
    if values.len() > bounds.documents() {
        return Err(bounds.too_many_documents(file).into());
    }
    let mut start = TextPosition { line: 1, column: 1 };
    let mut found = Vec::new();
    for range in values {
        let value = text.get(range.clone()).unwrap_or_default();
        let mut nodes = nodes(value, bounds).map_err(|error| unreadable(file, value, &error, bounds))?;
        for node in &mut nodes {
            node.shift(start);
        }
        found.extend(nodes);
        start = end_of(value, start);
    }
    Ok(found)
}

/// Where a text ends that begins at a place.
fn end_of(text: &str, start: TextPosition) -> TextPosition {
    let lines = text.matches('\n').count() as u64;
    let last = text.rsplit('\n').next().unwrap_or_default().chars().count() as u64;
    TextPosition {
        line: start.line + lines,
        column: if lines == 0 { start.column + last } else { last + 1 },
    }
}

fn unreadable(file: &str, text: &str, error: &serde_saphyr::Error, bounds: &mut Bounds) -> Unreadable {
    let words = serde_saphyr::DefaultMessageFormatter.format_message(error);
    if words.contains("Nodes {") || words.contains("replay") {
        return bounds.too_many_values(file).into();
    }
    if words.contains("Documents {") {
        return bounds.too_many_documents(file).into();
    }
    let chart = helm::of(file).map_or_else(|| "…".to_owned(), |chart| chart.display().to_string());
    let hint = template::hint(text, &chart);
    let is_template = hint.is_some();
    let snippet = format!(
        "this is not YAML or JSON that can be read: {}{}",
        for_people(&words),
        hint.map_or_else(String::new, |hint| format!("; {hint}"))
    );
    let without_controls = |letter: char| if letter.is_control() { ' ' } else { letter };
    Unreadable {
        problem: Problem {
            file: file.to_owned(),
            place: error
                .location()
                .map(|location| CompactPosition::of(location).place()),
            text: snippet.chars().map(without_controls).collect(),
        },
        is_template,
    }
}

/// The parser's message, without hints for its caller.
fn for_people(words: &str) -> String {
    if words.contains("null into string") {
        return "a field has no name here: ~ and null are none, so write one, or quote it".to_owned();
    }
    if words.contains("Depth {") {
        return format!("it is nested deeper than {MAX_DEPTH} levels");
    }
    words
        .rsplit_once(", set ")
        .map_or(words, |(words, _)| words)
        .to_owned()
}

fn unpack(file: &str, node: LocatedNode, documents: &mut Vec<Document>) {
    match list_items(node) {
        Ok(items) => items.into_iter().for_each(|item| unpack(file, item, documents)),
        Err(node) if is_empty(&node.kind) => {}
        Err(node) => {
            let (value, parts) = render(node.kind);
            documents.push(Document::of(file, value, node.mark, parts));
        }
    }
}

fn is_empty(kind: &NodeKind) -> bool {
    match kind {
        NodeKind::Scalar(value, _) => value.is_null(),
        NodeKind::Items(items) => items.is_empty(),
        NodeKind::Fields(fields) => fields.is_empty(),
    }
}

/// The items of a Kubernetes list of any kind, or of an array that has objects of Kubernetes; or the node as it was.
fn list_items(node: LocatedNode) -> Result<Vec<LocatedNode>, Box<LocatedNode>> {
    let is_object = |item: &LocatedNode| item.field("kind").is_some();
    let is_list = match node.field("kind") {
        Some(NodeKind::Scalar(Value::String(kind), _)) => kind.ends_with("List"),
        Some(_) | None => false,
    };
    let has_items = match node.field("items") {
        Some(NodeKind::Items(_) | NodeKind::Scalar(Value::Null, _)) => is_list,
        Some(_) | None => false,
    };
    match node.kind {
        NodeKind::Items(items) if items.iter().any(is_object) => Ok(items),
        NodeKind::Fields(fields) if has_items => {
            let items = fields.into_iter().find(|field| field.name == "items");
            Ok(items.map_or_else(Vec::new, |field| match field.node.kind {
                NodeKind::Items(items) => items,
                NodeKind::Scalar(..) | NodeKind::Fields(_) => Vec::new(),
            }))
        }
        kind => Err(Box::new(LocatedNode { kind, ..node })),
    }
}

impl<'de> Deserialize<'de> for LocatedNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<NodeKind>::deserialize(deserializer)?;
        Ok(Self {
            mark: CompactPosition::of(spanned.referenced),
            bytes: bytes_of(&spanned.defined.span()),
            kind: spanned.value,
        })
    }
}

fn bytes_of(span: &Span) -> Option<(u64, u64)> {
    Some((span.byte_offset()?, span.byte_len()?))
}

impl<'de> Deserialize<'de> for NodeKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyKind)
    }
}

struct AnyKind;

impl<'de> Visitor<'de> for AnyKind {
    type Value = NodeKind;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<NodeKind, E> {
        Ok(Value::Bool(value).into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<NodeKind, E> {
        Ok(Value::from(value).into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<NodeKind, E> {
        Ok(Value::from(value).into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<NodeKind, E> {
        Number::from_f64(value)
            .map(|number| Value::Number(number).into())
            .ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<NodeKind, E> {
        Ok(Value::from(value).into())
    }

    fn visit_unit<E: Error>(self) -> Result<NodeKind, E> {
        Ok(Value::Null.into())
    }

    fn visit_none<E: Error>(self) -> Result<NodeKind, E> {
        Ok(Value::Null.into())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<NodeKind, D::Error> {
        NodeKind::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<NodeKind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(NodeKind::Items(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<NodeKind, A::Error> {
        let mut fields = Vec::new();
        while let Some((name, node)) = access.next_entry::<Spanned<String>, LocatedNode>()? {
            fields.push(Field {
                mark: CompactPosition::of(name.referenced),
                name: name.value,
                node,
            });
        }
        Ok(NodeKind::Fields(fields))
    }
}
