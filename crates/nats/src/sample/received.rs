//! From the reply subjects of sampled messages to the connections that wait there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leeward_core::usage::SampledClient;
use tokio::time::Instant;

use super::Receivers;
use crate::connection_name::random_digits;

/// Messages of one client within this time are sent at once.
const AT_ONCE: Duration = Duration::from_millis(20);
/// The length of the identifiers that client libraries put into their inboxes.
const NUID: usize = 22;

/// What was received during one sample.
#[derive(Default)]
pub(super) struct Received {
    /// Nobody is looked for.
    is_counting: bool,
    pub(super) messages: u32,
    /// Messages that were not looked at.
    pub(super) skipped: u32,
    /// The inboxes that wait for replies to messages, and when those were received.
    inboxes: Vec<(Inbox, Instant)>,
    /// Who receives what is sent to a subject; asked for at once, while the request is still waiting. `None` where not all
    /// are known.
    pub(super) receivers: BTreeMap<String, Receivers>,
    /// For how long it listened.
    pub(super) span: Duration,
    /// Subjects that the user may not subscribe to.
    pub(super) denied: BTreeSet<String>,
}

/// The replies to one connection, as far as its reply subjects show it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Inbox {
    /// What its subjects begin with, up to the identifier of the connection, if there is one.
    prefix: String,
    /// What the subjects of all inboxes begin with.
    beginning: String,
    /// How many tokens its subjects have.
    tokens: usize,
}

impl Received {
    /// Messages whose clients are not looked for.
    pub(super) fn counting() -> Self {
        Self {
            is_counting: true,
            ..Self::default()
        }
    }

    /// Counts a message; returns the subjects whose receivers have to be looked up, each with a name for them.
    pub(super) fn note(&mut self, reply: Option<&str>) -> impl Iterator<Item = (String, String)> + use<> {
        self.messages = self.messages.saturating_add(1);
        let mut wanted = Vec::new();
        if let Some(reply) = reply.filter(|_| !self.is_counting) {
            let inbox = Inbox::of(reply);
            let mut want = |name: String, subject: String| {
                if !self.receivers.contains_key(&name) {
                    self.receivers.insert(name.clone(), None);
                    wanted.push((name, subject));
                }
            };
            want(inbox.prefix.clone(), reply.to_owned());
            want(inbox.unused_name(), inbox.unused_subject());
            self.inboxes.push((inbox, Instant::now()));
        }
        wanted.into_iter()
    }

    /// Messages by client, of those whose client is known.
    pub(super) fn clients(&self) -> BTreeMap<SampledClient, u32> {
        let mut clients = BTreeMap::new();
        for (client, _) in self.known() {
            let count: &mut u32 = clients.entry(client.clone()).or_default();
            *count = count.saturating_add(1);
        }
        clients
    }

    /// How many of those tell something of their own: what one client sends at once is one of them.
    pub(super) fn independent(&self) -> u32 {
        let (mut count, mut last) = (0_u32, None);
        for (client, at) in self.known() {
            let is_of_last = |(of, since): (&SampledClient, Instant)| {
                of == client && at.saturating_duration_since(since) < AT_ONCE
            };
            if !last.is_some_and(is_of_last) {
                count = count.saturating_add(1);
                last = Some((client, at));
            }
        }
        count
    }

    /// The messages for whose reply exactly one connection waits. Those that receive anybody's replies, such as that of `nats
    /// sub '>'`, do not count.
    fn known(&self) -> impl Iterator<Item = (&SampledClient, Instant)> {
        let receivers = |name: &str| self.receivers.get(name).and_then(Option::as_ref);
        self.inboxes.iter().filter_map(move |(inbox, at)| {
            let listeners = receivers(&inbox.unused_name())?;
            let mut waiting = receivers(&inbox.prefix)?.difference(listeners);
            match (waiting.next(), waiting.next()) {
                (Some(client), None) => Some((client, *at)),
                _ => None,
            }
        })
    }
}

impl Inbox {
    fn of(reply: &str) -> Self {
        let tokens: Vec<&str> = reply.split('.').collect();
        let joined = |end: usize| tokens.get(..end).unwrap_or_default().join(".");
        let mut later = tokens.iter().enumerate().skip(1);
        let identifier = later.find(|(_, token)| is_identifier(token)).map(|(at, _)| at);
        // Without one, client libraries draw the last two tokens.
        let drawn = || tokens.len().saturating_sub(2);
        Self {
            prefix: identifier.map_or_else(|| reply.to_owned(), |at| joined(at.saturating_add(1))),
            beginning: joined(identifier.unwrap_or_else(drawn)),
            tokens: tokens.len(),
        }
    }

    /// The name of who receives the replies to any such inbox.
    fn unused_name(&self) -> String {
        format!("{}.* ({})", self.beginning, self.tokens)
    }

    /// A subject like those of its replies that nobody uses.
    fn unused_subject(&self) -> String {
        let beginning = self.beginning.split('.').filter(|token| !token.is_empty());
        let beginning = beginning.map(str::to_owned);
        let tokens = beginning
            .chain(std::iter::repeat_with(random_digits))
            .take(self.tokens);
        tokens.collect::<Vec<_>>().join(".")
    }
}

/// Whether a token is one that a client library drew for a connection, or for a request.
fn is_identifier(token: &str) -> bool {
    token.len() == NUID && token.bytes().all(|one| one.is_ascii_alphanumeric())
}

/// A subject of as many tokens as another one that nobody uses.
pub(super) fn unused_like(subject: &str) -> String {
    let tokens = subject.split('.').map(|_| random_digits());
    tokens.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use leeward_core::names::ServerName;

    use super::*;

    const NUID: &str = "QwErTyUiOpAsDfGhJkLzXc";

    #[test]
    fn the_replies_of_one_connection_are_in_one_inbox() {
        let of = |reply: &str| {
            let inbox = Inbox::of(reply);
            (inbox.prefix, inbox.beginning)
        };
        let all = format!("_INBOX.{NUID}");
        assert_eq!(
            of(&format!("_INBOX.{NUID}.1")),
            (all.clone(), "_INBOX".to_owned())
        );
        assert_eq!(of(&all), (all.clone(), "_INBOX".to_owned()));
        let prefix = format!("_INBOX_{NUID}-and-more");
        let own = format!("{prefix}.{NUID}");
        assert_eq!(
            of(&format!("{own}.1")),
            (own, prefix),
            "what many connections share is no identifier"
        );
        // As Go's asynchronous publishers have them.
        let drawn = ("_INBOX.aB3dE9.x1y2z3".to_owned(), "_INBOX".to_owned());
        assert_eq!(of("_INBOX.aB3dE9.x1y2z3"), drawn);
        assert_eq!(of("replies"), ("replies".to_owned(), String::new()));
    }

    #[test]
    fn an_unused_subject_has_the_same_beginning_and_as_many_tokens() {
        let unused = Inbox::of(&format!("_INBOX.{NUID}.1")).unused_subject();
        assert!(
            unused.starts_with("_INBOX.") && unused.split('.').count() == 3,
            "{unused}"
        );
        assert_eq!(Inbox::of("replies").unused_subject().split('.').count(), 1);
        assert_eq!(unused_like("deliver.here").split('.').count(), 2);
        assert_ne!(random_digits(), random_digits());
    }

    #[test]
    fn one_connection_that_waits_is_the_sender_and_who_receives_everything_is_not() {
        let client = |connection| SampledClient {
            server: ServerName::from("n"),
            connection,
            user: None,
            name: None,
        };
        let mut received = Received::default();
        let reply = format!("_INBOX.{NUID}.1");
        let wanted: Vec<_> = received.note(Some(&reply)).collect();
        assert_eq!(wanted.len(), 2);
        assert_eq!(received.note(Some(&format!("_INBOX.{NUID}.2"))).count(), 0);
        assert_eq!(received.note(None).count(), 0);
        assert_eq!(received.messages, 3);
        received
            .receivers
            .insert(wanted[0].0.clone(), Some([client(1), client(2)].into()));
        assert_eq!(
            received.clients(),
            BTreeMap::new(),
            "who receives everything is not known yet"
        );
        received
            .receivers
            .insert(wanted[1].0.clone(), Some([client(2)].into()));
        assert_eq!(received.clients(), BTreeMap::from([(client(1), 2)]));
    }
}
