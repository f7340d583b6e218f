//! Pages of JetStream API replies: a list may come in several, which together must be complete.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::notes::SHOWN;
use crate::input::{Document, Problem};
use crate::output::amount;

/// What lists streams and consumers.
const LISTS: [&str; 2] = ["streams", "consumers"];

/// Pages of one list: those of one file or folder with the same total, and of one stream if they list consumers.
type ListIdentity<'d> = (Option<&'d Path>, &'static str, Option<&'d str>, u64);

struct ListPage<'d> {
    document: &'d Document,
    /// Where in the document it is.
    at: String,
    list: &'static str,
    total: u64,
    offset: u64,
    items: u64,
    names: Vec<&'d str>,
    /// What the servers list as missing.
    missing: Vec<&'d str>,
    stream: Option<&'d str>,
}

/// Findings about pages.
#[derive(Debug, Default)]
pub struct Pages {
    /// What is missing or contradictory, once for every list.
    pub wrong: Vec<Problem>,
    /// Pages of several files that were taken for one list.
    pub notes: Vec<Problem>,
}

/// Pages name no account. Those of one file are of one list; a list that is incomplete in its file may continue in
/// others of its folder.
pub fn read(documents: &[Document]) -> Pages {
    let mut found = Pages::default();
    let of_files = lists(documents.iter().flat_map(pages), Some);
    let (whole, parts): (Vec<_>, Vec<_>) = of_files
        .into_iter()
        .partition(|pages| seen(pages) >= total(pages));
    let of_folders = lists(parts.into_iter().flatten(), Path::parent);
    for pages in whole.into_iter().chain(of_folders) {
        if let Some(text) = contradiction(&pages) {
            found.wrong.extend(page_problem(&pages, &text));
            continue;
        }
        let files: BTreeSet<&str> = pages.iter().map(|page| page.document.file.as_str()).collect();
        if files.len() > 1 {
            let text = format!(
                "the pages in {} are taken for one list: if they are of several accounts, give each account a folder of its own",
                amount::names(files, SHOWN)
            );
            found.notes.extend(page_problem(&pages, &text));
        }
        found.wrong.extend(of_list(&pages));
    }
    found
}

fn lists<'d>(
    pages: impl Iterator<Item = ListPage<'d>>,
    place: impl Fn(&'d Path) -> Option<&'d Path>,
) -> Vec<Vec<ListPage<'d>>> {
    let mut lists: BTreeMap<ListIdentity<'d>, Vec<ListPage<'d>>> = BTreeMap::new();
    for page in pages {
        let of = (
            place(Path::new(&page.document.file)),
            page.list,
            page.stream,
            page.total,
        );
        lists.entry(of).or_default().push(page);
    }
    let mut lists: Vec<Vec<ListPage<'d>>> = lists.into_values().collect();
    for pages in &mut lists {
        pages.sort_by_key(|page| page.offset);
    }
    lists
}

/// Why pages cannot be of one list: it has one name at each offset, and each name at one offset.
fn contradiction(pages: &[ListPage<'_>]) -> Option<String> {
    let mut names: BTreeMap<u64, &str> = BTreeMap::new();
    let mut places: BTreeMap<&str, u64> = BTreeMap::new();
    for page in pages {
        for (place, name) in (page.offset..).zip(page.names.iter().copied()) {
            let is_same =
                *names.entry(place).or_insert(name) == name && *places.entry(name).or_insert(place) == place;
            if !is_same {
                let text = "these are pages of several lists: give each account a folder of its own, and pages of one time";
                return Some(text.to_owned());
            }
        }
    }
    None
}

fn total(pages: &[ListPage<'_>]) -> u64 {
    pages.first().map_or(0, |page| page.total)
}

/// How much of a list its sorted pages cover.
fn seen(pages: &[ListPage<'_>]) -> u64 {
    let (mut seen, mut end) = (0_u64, 0_u64);
    for page in pages {
        let after = page.offset.saturating_add(page.items + page.missing.len() as u64);
        seen += after.saturating_sub(page.offset.max(end));
        end = end.max(after);
    }
    seen
}

fn page_problem(pages: &[ListPage<'_>], text: &str) -> Option<Problem> {
    let first = pages.first()?;
    let pointer = format!("{}/{}", first.at, first.list);
    Some(
        first
            .document
            .problem(&pointer, format!("{}: {text}", first.list)),
    )
}

fn pages(document: &Document) -> Vec<ListPage<'_>> {
    match &document.value {
        Value::Array(items) => {
            let page = |(at, item)| page(document, format!("/{at}"), item);
            items.iter().enumerate().filter_map(page).collect()
        }
        value => page(document, String::new(), value).into_iter().collect(),
    }
}

fn page<'d>(document: &'d Document, at: String, value: &'d Value) -> Option<ListPage<'d>> {
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
    let name = |item: &'d Value| {
        let pointers = ["/config/name", "/name"];
        pointers
            .iter()
            .find_map(|pointer| item.pointer(pointer)?.as_str())
    };
    Some(ListPage {
        document,
        names: items.iter().filter_map(name).collect(),
        at,
        list,
        total,
        offset,
        items: items.len() as u64,
        missing: missing.into_iter().flatten().filter_map(Value::as_str).collect(),
        stream: stream.and_then(Value::as_str),
    })
}

fn of_list(pages: &[ListPage<'_>]) -> Vec<Problem> {
    let (seen, total) = (seen(pages), total(pages));
    let other_pages = (seen < total).then(|| {
        format!("these are {seen} of {total}: give the other pages too, in this folder or in one file")
    });
    let missing: BTreeSet<&str> = pages.iter().flat_map(|page| &page.missing).copied().collect();
    let unknown = (!missing.is_empty()).then(|| {
        let names = amount::names(missing, SHOWN);
        format!("the servers did not describe {names}: ask for the list again")
    });
    let texts = other_pages.into_iter().chain(unknown);
    texts.filter_map(|text| page_problem(pages, &text)).collect()
}
