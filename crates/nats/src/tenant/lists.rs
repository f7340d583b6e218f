//! An account's streams and consumers by the lists of the JetStream API, page by page (NATS.md N44).

use futures::StreamExt;
use leeward_core::snapshot::Gap;
use serde_json::json;

use crate::act::AccountClient;
use crate::observe::sweep::gap;
use crate::reading::{ConsumerReading, StreamReading};
use crate::request::REQUEST_LIMIT;
use crate::wire;
use crate::wire::api::Answer;
use crate::wire::assets::Page;

/// Consumers are listed one stream a request.
const STREAMS_AT_ONCE: usize = 8;
/// A bound on what one look reads, far above what one account's user can be expected to have.
const MOST_PAGES: usize = 4096;

/// All that could be listed.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) streams: Vec<StreamReading>,
    pub(super) gaps: Vec<Gap>,
}

/// Lists everything.
pub(super) async fn all(client: &AccountClient) -> Lists {
    let read = |page: &Page<'_>| {
        let streams = page.streams.iter().flatten();
        streams.map(|stream| StreamReading::new(stream, None)).collect()
    };
    let (streams, mut gaps) = pages(client, "STREAM.LIST", &read).await;
    let mut with_consumers = futures::stream::iter(streams)
        .map(|mut stream: StreamReading| async move {
            let read = |page: &Page<'_>| {
                let consumers = page.consumers.iter().flatten();
                consumers
                    .map(|consumer| ConsumerReading::new(consumer, None))
                    .collect()
            };
            let (consumers, gaps) = pages(client, &format!("CONSUMER.LIST.{}", stream.name), &read).await;
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

type Read<'a, T> = &'a (dyn Fn(&Page<'_>) -> Result<Vec<T>, String> + Send + Sync);

/// Reads all pages of a list; stops at the first that fails, with a gap.
async fn pages<T>(client: &AccountClient, call: &str, read: Read<'_, T>) -> (Vec<T>, Vec<Gap>) {
    let subject = client.subject(call);
    let (mut items, mut gaps) = (Vec::new(), Vec::new());
    let mut offset = 0_usize;
    for _ in 0..MOST_PAGES {
        let from = json!({ "offset": offset }).to_string();
        let answer = match client.link().request(&subject, from, REQUEST_LIMIT).await {
            Ok(answer) => answer,
            Err(error) => {
                gaps.push(gap(error));
                return (items, gaps);
            }
        };
        let part = match part(&answer, read) {
            Ok(Some(part)) => part,
            // The stream was deleted since it was listed.
            Ok(None) => return (items, gaps),
            Err(message) => {
                gaps.push(Gap::Unreadable {
                    message: format!("{subject}: {message}"),
                });
                return (items, gaps);
            }
        };
        if !part.missing.is_empty() {
            let message = format!("nobody answered {call} for {}", part.missing.join(", "));
            gaps.push(Gap::Unreadable { message });
        }
        items.extend(part.items);
        offset = offset.saturating_add(part.limit);
        if offset >= part.total {
            return (items, gaps);
        }
    }
    gaps.push(Gap::Unreadable {
        message: format!("{call} has more than {MOST_PAGES} pages"),
    });
    (items, gaps)
}

/// One page.
struct Part<T> {
    items: Vec<T>,
    /// How many there are on all pages.
    total: usize,
    /// How many fit on one.
    limit: usize,
    /// Names of those that did not answer the server that made the list.
    missing: Vec<String>,
}

fn part<T>(answer: &[u8], read: Read<'_, T>) -> Result<Option<Part<T>>, String> {
    match wire::read::<Answer>(answer)?.error {
        Some(error) if error.is_gone() => return Ok(None),
        Some(error) => return Err(format!("{} ({})", error.description, error.err_code)),
        None => {}
    }
    let page = wire::read::<Page<'_>>(answer)?;
    Ok(Some(Part {
        items: read(&page)?,
        total: page.total,
        limit: page
            .limit
            .filter(|limit| *limit > 0)
            .ok_or("a page came without its size")?,
        missing: page
            .missing
            .iter()
            .flatten()
            .map(|name| name.to_string())
            .collect(),
    }))
}
