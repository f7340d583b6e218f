//! An account's streams and consumers from the lists of the JetStream API, page by page (nats-facts N44).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use leeward_core::snapshot::Gap;
use serde_json::json;

use crate::act::AccountClient;
use crate::gaps::{gap, unreadable};
use crate::reading::{ConsumerReading, StreamReading};
use crate::wire;
use crate::wire::api::Answer;
use crate::wire::assets::{ApiPage, WireText};

/// Consumers are listed per stream.
const STREAMS_AT_ONCE: usize = 8;
/// A server that makes a list waits 4 s for those that hold its assets (`jsClusteredStreamListRequest`), and then names
/// the assets without an answer.
const LIST_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of all pages that one look reads: some 80 000 streams and consumers.
const MOST_TOGETHER: usize = 64 << 20;
/// Pages of one list; servers put 256 on each.
const MOST_PAGES: usize = 1024;
/// Names that a gap lists.
const MOST_NAMED: usize = 5;

/// Everything that could be listed.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) streams: Vec<StreamReading>,
    pub(super) gaps: Vec<Gap>,
}

pub(super) async fn all(client: &AccountClient) -> Lists {
    let read = |page: &ApiPage<'_>| {
        let streams = page.streams.iter().flatten();
        streams.map(|stream| StreamReading::new(stream, None)).collect()
    };
    let rest = &AtomicUsize::new(MOST_TOGETHER);
    let (mut streams, mut gaps) = pages(client, "STREAM.LIST", rest, &read).await;
    first_of_each(&mut streams, |stream| &stream.name);
    let mut with_consumers = futures::stream::iter(streams)
        .map(|mut stream: StreamReading| async move {
            let read = |page: &ApiPage<'_>| {
                let consumers = page.consumers.iter().flatten();
                consumers
                    .map(|consumer| ConsumerReading::new(consumer, None))
                    .collect()
            };
            let call = format!("CONSUMER.LIST.{}", stream.name);
            let (mut consumers, gaps) = pages(client, &call, rest, &read).await;
            first_of_each(&mut consumers, |consumer: &ConsumerReading| &consumer.name);
            stream.consumers = consumers;
            (stream, gaps)
        })
        .buffer_unordered(STREAMS_AT_ONCE);
    let mut lists = Lists::default();
    while let Some((stream, more)) = with_consumers.next().await {
        lists.streams.push(stream);
        gaps.extend(more);
    }
    Lists { gaps, ..lists }
}

/// Pages overlap when assets are created in between.
fn first_of_each<T>(items: &mut Vec<T>, name: impl Fn(&T) -> &String) {
    let mut names = BTreeSet::new();
    items.retain(|item| names.insert(name(item).clone()));
}

type ReadPage<'a, T> = &'a (dyn Fn(&ApiPage<'_>) -> Result<Vec<T>, String> + Send + Sync);

/// Reads all pages of a list; stops at the first that fails, with a gap.
async fn pages<T>(
    client: &AccountClient,
    call: &str,
    rest: &AtomicUsize,
    read: ReadPage<'_, T>,
) -> (Vec<T>, Vec<Gap>) {
    let (mut items, mut gaps) = (Vec::new(), Vec::new());
    let read = read_pages(client, call, rest, read, (&mut items, &mut gaps)).await;
    gaps.extend(read.err());
    (items, gaps)
}

async fn read_pages<T>(
    client: &AccountClient,
    call: &str,
    rest: &AtomicUsize,
    read: ReadPage<'_, T>,
    (items, gaps): (&mut Vec<T>, &mut Vec<Gap>),
) -> Result<(), Gap> {
    let subject = client.subject(call);
    let mut offset = 0_usize;
    for _ in 0..MOST_PAGES {
        let from = json!({ "offset": offset }).to_string();
        let answer = client.link().request(&subject, from, LIST_LIMIT).await;
        let answer = answer.map_err(gap)?;
        if !take(rest, answer.len()) {
            return Err(unreadable(format!(
                "the account's streams and consumers fill more than {} MiB of lists, which is more than is read: \
                 nothing is done in an account as large as this",
                MOST_TOGETHER >> 20
            )));
        }
        let part = part(&answer, read).map_err(|message| unreadable(format!("{subject}: {message}")))?;
        // The stream was deleted since it was listed.
        let Some(part) = part else { return Ok(()) };
        if !part.missing.is_empty() {
            let missing = &part.missing;
            let message = format!("no server that holds {missing} answered ({call}): bring its servers back");
            gaps.push(unreadable(message));
        }
        let counted = part.total.saturating_sub(offset).min(part.limit);
        let listed = part.items.len();
        if listed < counted && part.missing.is_empty() {
            let message = format!("{call} counts {counted} of them and lists {listed}");
            gaps.push(unreadable(message));
        }
        items.extend(part.items);
        offset = offset.saturating_add(part.limit);
        if offset >= part.total {
            return Ok(());
        }
        if listed == 0 {
            let total = part.total;
            let message = format!("{call} tells of {total} and lists nothing after {offset}");
            return Err(unreadable(message));
        }
    }
    Err(unreadable(format!("{call} has more than {MOST_PAGES} pages")))
}

struct ListPart<T> {
    items: Vec<T>,
    /// How many there are on all pages.
    total: usize,
    /// How many fit on one.
    limit: usize,
    /// The names of the assets that did not answer the server that made the list, for display.
    missing: String,
}

fn part<T>(answer: &[u8], read: ReadPage<'_, T>) -> Result<Option<ListPart<T>>, String> {
    match wire::read::<Answer>(answer)?.error {
        Some(error) if error.is_gone() => return Ok(None),
        Some(error) => return Err(format!("{} ({})", error.description, error.err_code)),
        None => {}
    }
    let page = wire::read::<ApiPage<'_>>(answer)?;
    Ok(Some(ListPart {
        limit: limit(&page)?,
        items: read(&page)?,
        total: page.total,
        missing: named(page.missing.as_deref().unwrap_or_default()),
    }))
}

/// How many fit on a page; at least as many as are on it, or pages would overlap without end.
fn limit(page: &ApiPage<'_>) -> Result<usize, String> {
    let limit = page.limit.filter(|limit| *limit > 0);
    let limit = limit.ok_or("a page came without its size")?;
    let streams = page.streams.as_ref().map_or(0, Vec::len);
    let there = streams.max(page.consumers.as_ref().map_or(0, Vec::len));
    if there > limit {
        return Err(format!("a page for {limit} came with {there}"));
    }
    Ok(limit)
}

fn named(missing: &[WireText<'_>]) -> String {
    let shown: Vec<&str> = missing.iter().take(MOST_NAMED).map(|name| &**name).collect();
    match missing.len().saturating_sub(MOST_NAMED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Takes that many from the rest; false if it is less.
fn take(rest: &AtomicUsize, bytes: usize) -> bool {
    let taken = rest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |rest| {
        rest.checked_sub(bytes)
    });
    taken.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<ListPart<String>>, String> {
        let names = |page: &ApiPage<'_>| {
            let consumers = page.consumers.iter().flatten();
            Ok(consumers.map(|consumer| consumer.name.to_string()).collect())
        };
        part(text.as_bytes(), &names)
    }

    #[test]
    fn a_page_whose_size_does_not_fit_what_is_on_it_is_not_read() {
        let two = r#""consumers":[{"name":"a"},{"name":"b"}]"#;
        let page = |limit: &str| read(&format!(r#"{{"total":9,{limit}{two}}}"#));
        assert_eq!(page(r#""limit":2,"#).unwrap().unwrap().items, ["a", "b"]);
        for limit in [r#""limit":1,"#, r#""limit":0,"#, ""] {
            assert!(page(limit).is_err(), "{limit}");
        }
        assert!(page(r#""limit":18446744073709551615,"#).is_ok());
    }

    #[test]
    fn of_many_that_are_missing_a_few_are_named() {
        let names: Vec<String> = (0..100_000).map(|number| format!("\"s{number}\"")).collect();
        let page = format!(r#"{{"total":0,"limit":256,"missing":[{}]}}"#, names.join(","));
        let missing = read(&page).unwrap().unwrap().missing;
        assert_eq!(missing, "s0, s1, s2, s3, s4 and 99995 more");
    }

    #[test]
    fn a_look_reads_so_many_bytes_and_no_more() {
        let rest = AtomicUsize::new(10);
        assert!(take(&rest, 6) && !take(&rest, 5) && take(&rest, 4) && !take(&rest, 1));
    }
}
