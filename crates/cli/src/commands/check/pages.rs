//! Pages of what the JetStream API replies: a list may come in several, and together they have to be all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::input::{Document, Problem};

/// What lists streams and consumers.
const LISTS: [&str; 2] = ["streams", "consumers"];
/// How many names a message shows.
const SHOWN: usize = 6;

/// Pages of one list: those of one folder that say the same of its length, and of one stream if they list consumers.
type Of<'d> = (Option<&'d Path>, &'static str, Option<&'d str>, u64);

struct Page<'d> {
    document: &'d Document,
    /// Where in the document it is.
    at: String,
    list: &'static str,
    total: u64,
    offset: u64,
    items: u64,
    /// What the servers know of and do not describe.
    missing: Vec<&'d str>,
    stream: Option<&'d str>,
}

/// What is not among the pages, said once for every list.
pub fn missing(documents: &[Document]) -> Vec<Problem> {
    let mut lists: BTreeMap<Of<'_>, Vec<Page<'_>>> = BTreeMap::new();
    for page in documents.iter().flat_map(pages) {
        let folder = Path::new(&page.document.file).parent();
        let of = (folder, page.list, page.stream, page.total);
        lists.entry(of).or_default().push(page);
    }
    lists.into_values().flat_map(of_list).collect()
}

fn pages(document: &Document) -> Vec<Page<'_>> {
    match &document.value {
        Value::Array(items) => {
            let page = |(at, item)| page(document, format!("/{at}"), item);
            items.iter().enumerate().filter_map(page).collect()
        }
        value => page(document, String::new(), value).into_iter().collect(),
    }
}

fn page<'d>(document: &'d Document, at: String, value: &'d Value) -> Option<Page<'d>> {
    let number = |name: &str| value.get(name).and_then(Value::as_u64);
    let (total, offset) = (number("total")?, number("offset")?);
    let (list, items) = LISTS.into_iter().find_map(|list| match value.get(list)? {
        Value::Null => Some((list, &[][..])),
        Value::Array(items) if items.iter().all(Value::is_object) => Some((list, items.as_slice())),
        Value::Array(_) | Value::Object(_) | Value::String(_) | Value::Number(_) | Value::Bool(_) => None,
    })?;
    let is_reply = value
        .get("type")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.starts_with("io.nats.jetstream.api"));
    if !is_reply && !items.iter().any(|item| item.get("config").is_some()) {
        return None;
    }
    let missing = value.get("missing").and_then(Value::as_array);
    let stream = items.first().and_then(|item| item.get("stream_name"));
    Some(Page {
        document,
        at,
        list,
        total,
        offset,
        items: items.len() as u64,
        missing: missing.into_iter().flatten().filter_map(Value::as_str).collect(),
        stream: stream.and_then(Value::as_str),
    })
}

fn of_list(mut pages: Vec<Page<'_>>) -> Vec<Problem> {
    pages.sort_by_key(|page| page.offset);
    let (mut seen, mut end) = (0_u64, 0_u64);
    for page in &pages {
        let after = page.offset.saturating_add(page.items + page.missing.len() as u64);
        seen += after.saturating_sub(page.offset.max(end));
        end = end.max(after);
    }
    let Some(first) = pages.first() else {
        return Vec::new();
    };
    let list = first.list;
    let said = |text: String| {
        let pointer = format!("{}/{list}", first.at);
        first.document.problem(&pointer, format!("{list}: {text}"))
    };
    let total = first.total;
    let other_pages = (seen < total).then(|| {
        said(format!(
            "these are {seen} of {total}: give the other pages too, in this folder or in one file"
        ))
    });
    let missing: BTreeSet<&str> = pages.iter().flat_map(|page| &page.missing).copied().collect();
    let unknown = (!missing.is_empty()).then(|| {
        let shown: Vec<&str> = missing.iter().take(SHOWN).copied().collect();
        let more = match missing.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        said(format!(
            "the servers did not describe {}{more}: ask for the list again",
            shown.join(", ")
        ))
    });
    other_pages.into_iter().chain(unknown).collect()
}
