//! Subjects that the servers refused, learnt from their error events.
//!
//! A refused publish is not answered: the request would wait for its time limit (nats-facts N75). So a request waits
//! for its subject's denial as well as for its answer.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::{Event, ServerError};
use tokio::sync::broadcast;

/// Denials that a waiting request may lag behind.
const CAPACITY: usize = 256;
const MOST_REMEMBERED: usize = 64;
/// Refusals of one connection that are logged.
const MOST_LOGGED: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    Publish(String),
    Subscribe(String),
}

impl Denial {
    /// Reads `Permissions Violation for Publish to "subject"`, with whatever follows it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text
            .trim_matches('\'')
            .strip_prefix("Permissions Violation for ")?;
        let quoted = |rest: &str| Some(rest.split('"').nth(1)?.to_owned());
        if rest.starts_with("Publish") {
            quoted(rest).map(Self::Publish)
        } else if rest.starts_with("Subscription") {
            quoted(rest).map(Self::Subscribe)
        } else {
            None
        }
    }
}

/// Passes denials on to waiting requests. Clones share their state.
#[derive(Clone, Debug)]
pub(crate) struct Denials {
    sender: broadcast::Sender<Denial>,
    subscriptions: Arc<Mutex<BTreeSet<String>>>,
    recorded: Arc<AtomicUsize>,
}

impl Denials {
    pub(crate) fn new() -> Self {
        Self {
            sender: broadcast::Sender::new(CAPACITY),
            subscriptions: Arc::default(),
            recorded: Arc::default(),
        }
    }

    /// Records an error event's text; anything but a permissions violation is ignored.
    pub(crate) fn record(&self, text: &str) {
        let Some(denial) = Denial::parse(text) else { return };
        if self.recorded.fetch_add(1, Ordering::Relaxed) < MOST_LOGGED {
            tracing::warn!(?denial, "the server refused a subject");
        }
        if let Denial::Subscribe(subject) = &denial {
            let mut known = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() < MOST_REMEMBERED {
                known.insert(subject.clone());
            }
        }
        // No receiver is fine.
        let _ = self.sender.send(denial);
    }

    /// Forgets what an earlier connection was refused.
    pub(crate) fn reset(&self) {
        self.recorded.store(0, Ordering::Relaxed);
        self.subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// The refused subscription on which the answers to requests would have arrived, if it was refused.
    pub(crate) fn refused_inbox(&self, prefix: &str) -> Option<String> {
        let known = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        let is_below = |subject: &&String| {
            let rest = subject.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        known.iter().find(is_below).cloned()
    }

    /// To be called before the request is sent.
    pub(crate) fn listen(&self) -> Listener {
        Listener(self.sender.subscribe())
    }
}

/// Receives denials from its creation on.
pub(crate) struct Listener(broadcast::Receiver<Denial>);

impl Listener {
    /// Waits until `subject` may not be published to, or a subscription that begins with `inbox` is refused; gives the
    /// refused subject.
    pub(crate) async fn refused(&mut self, subject: &str, inbox: &str) -> String {
        self.next(|denial| match denial {
            Denial::Publish(denied) => denied == subject,
            Denial::Subscribe(denied) => denied.starts_with(inbox),
        })
        .await
    }

    /// Waits until one of these subscriptions is refused; gives its subject.
    pub(crate) async fn subscription_of(&mut self, subjects: &[String]) -> String {
        self.next(|denial| match denial {
            Denial::Publish(_) => false,
            Denial::Subscribe(denied) => subjects.contains(denied),
        })
        .await
    }

    /// The subject of the next denial that is wanted.
    async fn next(&mut self, wanted: impl Fn(&Denial) -> bool) -> String {
        loop {
            match self.0.recv().await {
                Ok(denial) if wanted(&denial) => {
                    let (Denial::Publish(subject) | Denial::Subscribe(subject)) = denial;
                    return subject;
                }
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

/// What one connection was refused does not apply to the next, whose subscriptions are requested anew.
pub(crate) fn note(denials: &Denials, event: &Event) {
    match event {
        Event::Connected => denials.reset(),
        Event::ServerError(error) => denials.record(&server_error_text(error)),
        _ => {}
    }
}

pub(crate) fn server_error_text(error: &ServerError) -> String {
    match error {
        ServerError::AuthorizationViolation => "Authorization Violation".to_owned(),
        ServerError::Other(text) => text.clone(),
        ServerError::SlowConsumer(subscription) => format!("Slow Consumer {subscription}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reconnect_forgets_what_was_refused_before() {
        let denials = Denials::new();
        let words = "Permissions Violation for Subscription to \"_INBOX.abc.*\"";
        note(&denials, &Event::ServerError(ServerError::Other(words.into())));
        assert!(denials.refused_inbox("_INBOX").is_some());
        note(&denials, &Event::Connected);
        assert_eq!(denials.refused_inbox("_INBOX"), None);
    }

    #[test]
    fn violations_are_read() {
        let read = Denial::parse;
        assert_eq!(
            read("Permissions Violation for Publish to \"$JS.API.INFO\""),
            Some(Denial::Publish("$JS.API.INFO".into()))
        );
        assert_eq!(
            read("Permissions Violation for Subscription to \"a.>\" using queue \"q\""),
            Some(Denial::Subscribe("a.>".into()))
        );
        assert_eq!(read("Authorization Violation"), None);
        assert_eq!(read("Permissions Violation for Publish to "), None);
    }

    #[tokio::test]
    async fn a_listener_hears_of_its_own_subject_only() {
        let denials = Denials::new();
        let mut listener = denials.listen();
        denials.record("Permissions Violation for Publish to \"other\"");
        denials.record("Permissions Violation for Publish to \"mine\"");
        assert_eq!(listener.refused("mine", "_INBOX").await, "mine");
    }

    #[test]
    fn refused_inboxes_are_remembered_until_the_next_connection() {
        let denials = Denials::new();
        denials.record("Permissions Violation for Subscription to \"_INBOX.abc.*\"");
        assert_eq!(denials.refused_inbox("_INBOX").as_deref(), Some("_INBOX.abc.*"));
        denials.reset();
        assert_eq!(denials.refused_inbox("_INBOX"), None);
    }
}
