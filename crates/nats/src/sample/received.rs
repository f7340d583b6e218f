//! From the reply subjects of sampled messages to the connections that wait there.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leeward_core::usage::SampledClient;
use tokio::time::Instant;

use super::Receivers;
use super::batch_size::BatchSize;
use crate::connection_name::random_digits;

/// Messages of one client within this time are sent at once.
const AT_ONCE: Duration = Duration::from_millis(20);
/// What the replies begin with that servers give to requests from importing accounts: nobody is listed there (nats-facts N80).
const IMPORTED: &str = "_R_.";
/// Inboxes that are looked for where all messages of a time are taken.
const MOST_INBOXES: usize = 32;
/// The least length of other tokens that they draw.
const DRAWN: usize = 6;
/// The length of the identifiers that client libraries put into their inboxes.
const NUID: usize = 22;

/// What was received during one sample.
#[derive(Default)]
pub(super) struct Received {
    /// All messages of a time are taken, and their clients are looked for afterwards, by inbox.
    is_whole: bool,
    pub(super) messages: u32,
    /// Messages that were not looked at.
    pub(super) skipped: u32,
    /// Of each message with a known inbox.
    replies: Vec<AwaitedReply>,
    /// Messages that requests ask for.
    pub(super) asked_by_all: u64,
    /// Some ask for nobody knows how many.
    pub(super) is_uncounted: bool,
    /// More came than are taken.
    pub(super) is_cut: bool,
    /// A reply subject of each inbox whose receivers are not looked up yet, and how many messages it is of.
    later: BTreeMap<Inbox, (String, u32)>,
    /// Who receives what is sent to a subject; asked for at once, while the request is still waiting. `None` where not all
    /// are known.
    pub(super) receivers: BTreeMap<String, Receivers>,
    /// Messages from other accounts.
    pub(super) imported: u32,
    /// For how long it listened.
    pub(super) span: Duration,
    /// Subjects that the user may not subscribe to.
    pub(super) denied: BTreeSet<String>,
}

/// Where the reply to a message is waited for.
struct AwaitedReply {
    inbox: Inbox,
    subject: String,
    /// When the message was received.
    at: Instant,
    /// How many messages it asks for.
    asked: u64,
}

/// The replies to one connection, as far as its reply subjects show it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Inbox {
    /// What its subjects begin with, up to the token of the connection, if there is one; else the subject.
    prefix: String,
    /// What the subjects of other connections begin with, too.
    beginning: String,
    /// How many tokens its subjects have.
    tokens: usize,
}

impl Received {
    /// All messages of a time, of however many.
    pub(super) fn whole() -> Self {
        Self {
            is_whole: true,
            ..Self::default()
        }
    }

    /// Counts a message; returns the subjects whose receivers have to be looked up now, each with a name for them.
    pub(super) fn note(&mut self, reply: Option<&str>, asks: BatchSize) -> Vec<(String, String)> {
        self.messages = self.messages.saturating_add(1);
        self.is_uncounted |= asks == BatchSize::Uncounted;
        let asked = match asks {
            BatchSize::Messages(asked) => asked,
            BatchSize::One | BatchSize::Uncounted => 0,
        };
        self.asked_by_all = self.asked_by_all.saturating_add(asked);
        let Some(reply) = reply else {
            return Vec::new();
        };
        if reply.starts_with(IMPORTED) {
            self.imported = self.imported.saturating_add(1);
            return Vec::new();
        }
        // Who listens at a subject that nobody drew may be anybody.
        let Some(inbox) = Inbox::of(reply) else {
            return Vec::new();
        };
        let mut wanted = Vec::new();
        if self.is_whole {
            let (_, count) = self.later.entry(inbox.clone()).or_insert((reply.to_owned(), 0));
            *count = count.saturating_add(1);
        } else {
            wanted = self.want(&inbox, reply);
            // Of each inbox one reply, for which its client may wait alone.
            if !wanted.is_empty() {
                wanted.extend(self.want_one(reply.to_owned(), reply.to_owned()));
            }
        }
        self.replies.push(AwaitedReply {
            inbox,
            subject: reply.to_owned(),
            at: Instant::now(),
            asked,
        });
        wanted
    }

    /// The subjects whose receivers have to be looked up afterwards: of the inboxes of most messages.
    pub(super) fn later(&mut self) -> Vec<(String, String)> {
        let mut later: Vec<(Inbox, (String, u32))> = std::mem::take(&mut self.later).into_iter().collect();
        later.sort_by_key(|(_, (_, count))| Reverse(*count));
        later.truncate(MOST_INBOXES);
        let each = later.into_iter();
        each.flat_map(|(inbox, (reply, _))| self.want(&inbox, &reply))
            .collect()
    }

    fn want(&mut self, inbox: &Inbox, reply: &str) -> Vec<(String, String)> {
        let own = self.want_one(inbox.prefix.clone(), inbox.subject(reply));
        let unused = self.want_one(inbox.unused_name(), inbox.unused_subject());
        own.into_iter().chain(unused).collect()
    }

    fn want_one(&mut self, name: String, subject: String) -> Option<(String, String)> {
        if self.receivers.contains_key(&name) {
            return None;
        }
        self.receivers.insert(name.clone(), None);
        Some((name, subject))
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

    /// The messages that they ask for, likewise.
    pub(super) fn asked(&self) -> BTreeMap<SampledClient, u64> {
        let mut clients = BTreeMap::new();
        for (client, reply) in self.known().filter(|(_, reply)| reply.asked > 0) {
            let sum: &mut u64 = clients.entry(client.clone()).or_default();
            *sum = sum.saturating_add(reply.asked);
        }
        clients
    }

    /// How many of those tell something of their own: what one client sends at once is one of them.
    pub(super) fn independent(&self) -> u32 {
        let (mut count, mut begun) = (0_u32, BTreeMap::<&SampledClient, Instant>::new());
        for (client, AwaitedReply { at, .. }) in self.known() {
            let is_of_last = |since: &Instant| at.saturating_duration_since(*since) < AT_ONCE;
            if !begun.get(client).is_some_and(is_of_last) {
                count = count.saturating_add(1);
                begun.insert(client, *at);
            }
        }
        count
    }

    /// The messages for whose reply exactly one connection waits: at all of an inbox, or at this subject. Those that receive
    /// anybody's replies, such as that of `nats sub '>'`, do not count.
    fn known(&self) -> impl Iterator<Item = (&SampledClient, &AwaitedReply)> {
        let receivers = |name: &str| Some(&self.receivers.get(name)?.as_ref()?.clients);
        self.replies.iter().filter_map(move |reply| {
            let AwaitedReply { inbox, subject, .. } = reply;
            let listeners = receivers(&inbox.unused_name())?;
            let of_inbox = receivers(&inbox.prefix)?;
            if let Some(client) = only(of_inbox.difference(listeners)) {
                return Some((client, reply));
            }
            let others = |client: &&SampledClient| !listeners.contains(client) && !of_inbox.contains(client);
            Some((only(receivers(subject)?.iter().filter(others))?, reply))
        })
    }
}

fn only<'c>(mut clients: impl Iterator<Item = &'c SampledClient>) -> Option<&'c SampledClient> {
    let first = clients.next();
    first.filter(|_| clients.next().is_none())
}

impl Inbox {
    /// `None` where no token is one that a client library drew.
    fn of(reply: &str) -> Option<Self> {
        let tokens: Vec<&str> = reply.split('.').collect();
        let joined = |end: usize| tokens.get(..end).unwrap_or_default().join(".");
        let last = tokens.len().saturating_sub(1);
        let is = |at: usize, kind: fn(&str) -> bool| tokens.get(at).is_some_and(|token| kind(token));
        let mut identifiers = (1..tokens.len()).rev().filter(|at| is(*at, is_identifier));
        // The last may be the request's; those before the connection's are of a prefix that many share.
        let of_connection = match (identifiers.next(), identifiers.next()) {
            (Some(at), Some(before)) if at == last => Some(before),
            (Some(at), _) => Some(at),
            (None, _) => last.checked_sub(1).filter(|at| *at > 0 && is(*at, is_drawn)),
        };
        if of_connection.is_none() && !is(last, is_drawn) {
            return None;
        }
        Some(Self {
            prefix: of_connection.map_or_else(|| reply.to_owned(), |at| joined(at.saturating_add(1))),
            beginning: joined(of_connection.unwrap_or(last)),
            tokens: tokens.len(),
        })
    }

    /// A subject that who waits for all replies of this inbox receives, and nobody else: one that nobody asked for.
    fn subject(&self, reply: &str) -> String {
        if self.prefix == reply {
            reply.to_owned()
        } else {
            self.padded(&self.prefix)
        }
    }

    /// The name of who receives the replies to any such inbox.
    fn unused_name(&self) -> String {
        format!("{}.* ({})", self.beginning, self.tokens)
    }

    /// A subject like those of its replies that nobody uses.
    fn unused_subject(&self) -> String {
        self.padded(&self.beginning)
    }

    /// As many tokens as its subjects have, the first of them given.
    fn padded(&self, beginning: &str) -> String {
        let beginning = beginning.split('.').filter(|token| !token.is_empty());
        let beginning = beginning.map(str::to_owned);
        let tokens = beginning
            .chain(std::iter::repeat_with(random_digits))
            .take(self.tokens);
        tokens.collect::<Vec<_>>().join(".")
    }
}

/// Whether a token is one that a client library drew for a connection that has no identifier, as Go's asynchronous publishers do.
fn is_drawn(token: &str) -> bool {
    token.len() >= DRAWN
        && token.bytes().all(|one| one.is_ascii_alphanumeric())
        && token
            .bytes()
            .any(|one| one.is_ascii_digit() || one.is_ascii_uppercase())
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

    use super::super::receivers::MatchingConnections;
    use super::*;

    const NUID: &str = "QwErTyUiOpAsDfGhJkLzXc";

    fn client(connection: u64) -> SampledClient {
        SampledClient {
            server: ServerName::from("n"),
            connection,
            user: None,
            name: None,
        }
    }

    fn matching(connections: &[u64]) -> MatchingConnections {
        MatchingConnections {
            clients: connections.iter().copied().map(client).collect(),
            leaf_nodes: BTreeSet::new(),
        }
    }

    #[test]
    fn of_all_messages_of_a_time_the_clients_are_looked_for_by_inbox() {
        let mut received = Received::whole();
        let parents = ["_INBOX.aB3dE9", "_INBOX.zZ9xX1"];
        for number in 0..40 {
            assert_eq!(
                received.note(Some(&format!("{}.{number}", parents[0])), BatchSize::One),
                []
            );
        }
        received.note(Some(&format!("{}.1", parents[1])), BatchSize::One);
        received.note(Some(&format!("_INBOX.{NUID}.1")), BatchSize::One);
        let later = received.later();
        let names: Vec<&str> = later.iter().map(|(name, _)| name.as_str()).collect();
        let nuid = format!("_INBOX.{NUID}");
        assert_eq!(names[..2], ["_INBOX.aB3dE9", "_INBOX.* (3)"], "the most first");
        assert!(names.contains(&"_INBOX.zZ9xX1") && names.contains(&nuid.as_str()));
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(later[0].1.starts_with("_INBOX.aB3dE9.") && later[0].1 != "_INBOX.aB3dE9.39");
        received
            .receivers
            .insert("_INBOX.aB3dE9".to_owned(), Some(matching(&[1])));
        received
            .receivers
            .insert("_INBOX.zZ9xX1".to_owned(), Some(matching(&[])));
        received.receivers.insert(nuid, Some(matching(&[1, 2])));
        received
            .receivers
            .insert("_INBOX.* (3)".to_owned(), Some(matching(&[2])));
        assert_eq!(received.clients(), BTreeMap::from([(client(1), 41)]));
        assert_eq!((received.messages, received.independent()), (42, 1));
    }

    #[test]
    fn the_replies_of_one_connection_are_in_one_inbox() {
        let of = |reply: &str| {
            let inbox = Inbox::of(reply).unwrap();
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
        let drawn = ("_INBOX.aB3dE9".to_owned(), "_INBOX".to_owned());
        assert_eq!(of("_INBOX.aB3dE9.x1y2z3"), drawn);
        // One inbox per message, below what all clients of an application share.
        let shared = ("c.d.x1y2z3".to_owned(), "c.d".to_owned());
        assert_eq!(of("c.d.x1y2z3"), shared);
        let application = "svc.orderprocessingbackend";
        let own = format!("{application}.{NUID}");
        for reply in [format!("{own}.{NUID}"), format!("{own}.x1y2z3")] {
            assert_eq!(of(&reply), (own.clone(), application.to_owned()), "{reply}");
        }
        for reply in ["replies", "acks.one", "orders.done.eu"] {
            assert_eq!(
                Inbox::of(reply),
                None,
                "who listens at {reply} need not be who sends"
            );
        }
    }

    #[test]
    fn an_unused_subject_has_the_same_beginning_and_as_many_tokens() {
        let unused = Inbox::of(&format!("_INBOX.{NUID}.1")).unwrap().unused_subject();
        assert!(
            unused.starts_with("_INBOX.") && unused.split('.').count() == 3,
            "{unused}"
        );
        assert_eq!(unused_like("deliver.here").split('.').count(), 2);
        assert_ne!(random_digits(), random_digits());
    }

    #[test]
    fn one_connection_that_waits_is_the_sender_and_who_receives_everything_is_not() {
        let mut received = Received::default();
        let reply = format!("_INBOX.{NUID}.1");
        let wanted = received.note(Some(&reply), BatchSize::Messages(7));
        assert_eq!(wanted.len(), 3);
        assert_eq!(
            received.note(Some(&format!("_INBOX.{NUID}.2")), BatchSize::Messages(5)),
            []
        );
        assert_eq!(received.note(None, BatchSize::Messages(3)).len(), 0);
        assert_eq!(received.messages, 3);
        received
            .receivers
            .insert(wanted[0].0.clone(), Some(matching(&[1, 2])));
        assert_eq!(
            received.clients(),
            BTreeMap::new(),
            "who receives everything is not known yet"
        );
        received
            .receivers
            .insert(wanted[1].0.clone(), Some(matching(&[2])));
        assert_eq!(received.clients(), BTreeMap::from([(client(1), 2)]));
        assert_eq!(received.asked(), BTreeMap::from([(client(1), 12)]));
        assert_eq!(received.asked_by_all, 15);
    }
}
