//! Requests over a [`Link`]: one answer, or the answers of many servers, each with a time limit.
//!
//! A request whose subject is refused fails at once instead of at its limit, and so does one whose connection is lost.
//! Nothing is repeated here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Read as _;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, Request, StatusCode};
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::timeout_at;

use crate::connect::{ConnectionState, Link};
use crate::denials::Listener;
use crate::moments::ahead;
use crate::request_error::RequestError;
use crate::requests::{count, most_bytes};
use crate::wire::text::{MAX_DISPLAY, cut};

/// A request to one server or to the JetStream API.
pub(crate) const REQUEST_LIMIT: Duration = Duration::from_secs(3);
/// The most replies that one request may collect, and what they may unpack to together.
const MAX_REPLIES: usize = 4096;
const MOST_TOGETHER: usize = 64 << 20;

/// Checked right before a request is passed to async-nats; `false` keeps it back.
pub(crate) type Guard<'a> = &'a (dyn Fn() -> bool + Send + Sync);

impl Link {
    pub(crate) async fn request(
        &self,
        subject: &str,
        payload: impl Into<Bytes>,
        limit: Duration,
    ) -> Result<Bytes, RequestError> {
        self.request_if(&|| true, subject, payload, limit).await
    }

    /// One answer to a request that is sent only if `guard` allows it at the last moment (P8).
    pub(crate) async fn request_if(
        &self,
        guard: Guard<'_>,
        subject: &str,
        payload: impl Into<Bytes>,
        limit: Duration,
    ) -> Result<Bytes, RequestError> {
        let answer = self.ask(guard, subject, payload.into(), limit).await;
        let answer = answer.and_then(Packed::unpack);
        count(subject, &answer);
        answer
    }

    /// One answer as received, for callers that unpack it where that blocks nothing.
    pub(crate) async fn request_packed(
        &self,
        subject: &str,
        payload: impl Into<Bytes>,
        limit: Duration,
    ) -> Result<Packed, RequestError> {
        let answer = self.ask(&|| true, subject, payload.into(), limit).await;
        count(subject, &answer);
        answer
    }

    async fn ask(
        &self,
        guard: Guard<'_>,
        subject: &str,
        payload: Bytes,
        limit: Duration,
    ) -> Result<Packed, RequestError> {
        if let Some(subject) = self.denials().refused_inbox(self.inbox_prefix()) {
            return Err(RequestError::Denied { subject });
        }
        let mut denied = self.denials().listen();
        let mut state = self.state();
        let request = Request::new()
            .payload(payload)
            .headers(accept())
            .timeout(Some(limit));
        let client = self.connected().ok_or(RequestError::Disconnected)?;
        if !guard() {
            return Err(RequestError::Withheld {
                subject: subject.to_owned(),
            });
        }
        let answer = tokio::select! {
            biased;
            answer = client.send_request(subject.to_owned(), request) => answer,
            subject = denied.refused(subject, self.inbox_prefix()) => return Err(RequestError::Denied { subject }),
            _ = state.wait_for(|state: &ConnectionState| !state.is_connected()) => {
                return Err(RequestError::Interrupted { subject: subject.to_owned() });
            }
        };
        answer
            .map_err(|error| failure(subject, &error))
            .and_then(|message| Packed::new(subject, message))
    }

    /// The answers of many servers; see [`Gather`].
    pub(crate) async fn gather<K: Ord, T>(
        &self,
        gather: Gather<'_, K, T>,
    ) -> Result<Gathered<K, T>, RequestError> {
        let subject = gather.subject;
        let mut denied = self.denials().listen();
        let mut state = self.state();
        let client = self.connected().ok_or(RequestError::Disconnected)?;
        let gathered = tokio::select! {
            biased;
            gathered = collect(&client, gather, &mut denied) => gathered,
            _ = state.wait_for(|state: &ConnectionState| !state.is_connected()) => {
                Err(RequestError::Interrupted { subject: subject.to_owned() })
            }
        };
        count(subject, &gathered);
        gathered
    }
}

/// Reads an answer and its sender; `None` for one that does not count, such as of a server that was not asked.
pub(crate) type ReadAnswer<'a, K, T> = &'a (dyn Fn(&[u8]) -> Result<Option<(K, T)>, String> + Send + Sync);

/// Whether a later answer of the same server counts instead of an earlier one.
pub(crate) type Prefer<'a, T> = &'a (dyn Fn(&T, &T) -> bool + Send + Sync);

/// The first answer of a server counts.
pub(crate) fn first<T>(_earlier: &T, _later: &T) -> bool {
    false
}

/// A request that many answer. It is over when `enough` returns so, or at the limit; no answer at all is
/// [`RequestError::Timeout`].
pub(crate) struct Gather<'a, K, T> {
    pub(crate) subject: &'a str,
    pub(crate) payload: String,
    pub(crate) limit: Duration,
    /// Reads an answer and its sender.
    pub(crate) read: ReadAnswer<'a, K, T>,
    /// Which of two answers of one server counts.
    pub(crate) prefer: Prefer<'a, T>,
    /// Checks the answers so far, whenever no more are queued: it may take time in proportion to them.
    pub(crate) enough: &'a (dyn Fn(&BTreeMap<K, T>) -> Enough + Send + Sync),
}

/// Whether to wait for more answers.
pub(crate) enum Enough {
    /// All are there.
    Yes,
    /// Up to the limit.
    No,
    /// Only if none comes for this long.
    IfQuietFor(Duration),
}

/// The answers of many servers, one of each (nats-facts N41).
#[derive(Debug)]
pub(crate) struct Gathered<K, T> {
    pub(crate) replies: BTreeMap<K, T>,
    /// What was wrong with answers that could not be read.
    pub(crate) unreadable: Vec<String>,
}

async fn collect<K: Ord, T>(
    client: &Client,
    gather: Gather<'_, K, T>,
    denied: &mut Listener,
) -> Result<Gathered<K, T>, RequestError> {
    let Gather {
        subject,
        payload,
        limit,
        read,
        prefer,
        enough,
    } = gather;
    let deadline = ahead(limit);
    let unsendable = |message: String| RequestError::Unsendable {
        subject: subject.to_owned(),
        message,
    };
    let inbox = client.new_inbox();
    let mut answers = client
        .subscribe(inbox.clone())
        .await
        .map_err(|error| unsendable(error.to_string()))?;
    client
        .publish_with_reply_and_headers(subject.to_owned(), inbox.clone(), accept(), payload.into())
        .await
        .map_err(|error| unsendable(error.to_string()))?;
    let mut gathered = Gathered {
        replies: BTreeMap::new(),
        unreadable: Vec::new(),
    };
    let (mut until, mut together, mut judged) = (deadline, 0_usize, true);
    while gathered.replies.len().saturating_add(gathered.unreadable.len()) < MAX_REPLIES {
        let come = answers.next().now_or_never();
        if come.is_none() && !std::mem::replace(&mut judged, true) {
            match enough(&gathered.replies) {
                Enough::Yes => break,
                Enough::No => until = deadline,
                Enough::IfQuietFor(quiet) => until = deadline.min(ahead(quiet)),
            }
        }
        let next = if come.is_some() {
            come
        } else {
            tokio::select! {
                next = timeout_at(until, answers.next()) => next.ok(),
                subject = denied.refused(subject, &inbox) => return Err(RequestError::Denied { subject }),
            }
        };
        let message = match next {
            Some(Some(message)) => message,
            // Its connection has ended: others might have answered.
            Some(None) => {
                return Err(RequestError::Interrupted {
                    subject: subject.to_owned(),
                });
            }
            None => break,
        };
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(RequestError::NoResponders {
                subject: subject.to_owned(),
            });
        }
        let payload = Packed::new(subject, message)
            .and_then(Packed::unpack)
            .map_err(|error| error.to_string());
        if let Ok(payload) = &payload {
            together = together.saturating_add(payload.len());
        }
        if together > MOST_TOGETHER {
            let message = format!("{subject}: the answers have more than {MOST_TOGETHER} bytes together");
            gathered.unreadable.push(message);
            break;
        }
        match payload.and_then(|payload| read(&payload)) {
            Ok(Some((key, reply))) => match gathered.replies.entry(key) {
                Entry::Vacant(place) => drop(place.insert(reply)),
                Entry::Occupied(mut place) if prefer(place.get(), &reply) => drop(place.insert(reply)),
                Entry::Occupied(_) => {}
            },
            Ok(None) => {}
            Err(message) => gathered.unreadable.push(format!("{subject}: {message}")),
        }
        judged = false;
    }
    if gathered.replies.is_empty() && gathered.unreadable.is_empty() {
        return Err(RequestError::Timeout {
            subject: subject.to_owned(),
        });
    }
    Ok(gathered)
}

/// Servers compress monitoring replies with S2 when asked; the API ignores it (nats-facts N44).
fn accept() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Accept-Encoding", "s2");
    headers
}

/// An answer as received.
#[derive(Debug)]
pub(crate) struct Packed {
    subject: String,
    message: Message,
}

impl Packed {
    fn new(subject: &str, message: Message) -> Result<Self, RequestError> {
        let (subject, most) = (subject.to_owned(), most_bytes(subject));
        let bytes = message.payload.len();
        if bytes > most {
            let message = format!("it has {bytes} bytes, more than the {most} that are read");
            return Err(RequestError::Unpackable { subject, message });
        }
        Ok(Self { subject, message })
    }

    /// Its size in bytes before it is unpacked.
    pub(crate) fn len(&self) -> usize {
        self.message.payload.len()
    }

    /// Asked for `s2`, servers reply with `snappy` and send framed Snappy without S2's extensions, which `snap` reads.
    pub(crate) fn unpack(self) -> Result<Bytes, RequestError> {
        let Self { subject, message } = self;
        let encoding = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get("Content-Encoding"));
        match encoding.map(async_nats::HeaderValue::as_str) {
            None | Some("") => Ok(message.payload),
            Some("snappy" | "s2") => unsnap(&message.payload, most_bytes(&subject))
                .map_err(|message| RequestError::Unpackable { subject, message }),
            Some(other) => Err(RequestError::Unpackable {
                subject,
                message: format!("its encoding is {}", cut(other, MAX_DISPLAY)),
            }),
        }
    }
}

fn unsnap(packed: &[u8], most: usize) -> Result<Bytes, String> {
    let mut plain = Vec::with_capacity(packed.len().saturating_mul(8).min(most));
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    let mut decoder = snap::read::FrameDecoder::new(packed);
    let read = decoder.by_ref().take(limit).read_to_end(&mut plain);
    // The excess is read elsewhere: one more byte in a full vector would double its memory.
    let more = read.and_then(|_| decoder.read(&mut [0]));
    if more.map_err(|error| error.to_string())? > 0 {
        return Err(format!("it has more than the {most} bytes that are read"));
    }
    Ok(plain.into())
}

fn failure(subject: &str, error: &async_nats::RequestError) -> RequestError {
    let subject = subject.to_owned();
    match error.kind() {
        async_nats::RequestErrorKind::TimedOut => RequestError::Timeout { subject },
        async_nats::RequestErrorKind::NoResponders => RequestError::NoResponders { subject },
        async_nats::RequestErrorKind::InvalidSubject | async_nats::RequestErrorKind::MaxPayloadExceeded => {
            RequestError::Unsendable {
                subject,
                message: error.to_string(),
            }
        }
        async_nats::RequestErrorKind::Other => RequestError::Interrupted { subject },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn message(payload: Bytes) -> Message {
        let mut headers = HeaderMap::new();
        headers.insert("Content-Encoding", "snappy");
        Message {
            subject: "_INBOX.a".into(),
            reply: None,
            length: payload.len(),
            payload,
            headers: Some(headers),
            status: None,
            description: None,
        }
    }

    fn packed(subject: &str, bytes: usize) -> Packed {
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(&vec![b' '; bytes]).unwrap();
        Packed {
            subject: subject.to_owned(),
            message: message(encoder.into_inner().unwrap().into()),
        }
    }

    #[test]
    fn an_answer_unpacks_to_no_more_than_its_kind_may_have() {
        let most = most_bytes("$SYS.REQ.USER.INFO");
        assert_eq!(packed("$SYS.REQ.USER.INFO", most).unpack().unwrap().len(), most);
        let error = packed("$SYS.REQ.USER.INFO", 100 << 20).unpack().unwrap_err();
        assert!(error.to_string().contains("more than the 65536 bytes"), "{error}");
        assert!(packed("$SYS.REQ.SERVER.N.JSZ", most + 1).unpack().is_ok());
    }

    #[test]
    fn what_is_too_large_to_be_read_says_how_large_it_is() {
        let large = message(vec![0; 5 << 20].into());
        let error = Packed::new("$JS.API.STREAM.INFO.S", large).unwrap_err();
        assert!(error.to_string().contains("it has 5242880 bytes"), "{error}");
    }
}
