//! Kubernetes events: a bounded queue in front of one shared recorder.
//!
//! Publishing never blocks acting: when the API is slow the queue fills, and what does not fit is logged and dropped.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube_runtime::events::{Event, EventType, Recorder, Reporter};
use leeward_api::vocabulary::EventReason;
use leeward_engine::policy_event::PolicyEvent;
use tokio::sync::mpsc;
use tracing::warn;

use crate::error::chain;

const CONTROLLER: &str = "leeward.dev/operator";
const QUEUE: usize = 1024;
const LIMIT: Duration = Duration::from_secs(10);
/// The API refuses notes of 1 KiB and more.
const MAX_NOTE: usize = 900;

/// The content of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventNote {
    /// Its reason, which decides its type.
    pub reason: EventReason,
    /// For people.
    pub note: String,
    /// What it is about, besides the object: events about one thing are counted as one series.
    pub subject: String,
}

impl EventNote {
    /// The Kubernetes event of a policy event, where it has one.
    pub fn of(policy_event: &PolicyEvent) -> Option<Self> {
        let (reason, note) = policy_event.event()?;
        let subject = match policy_event {
            PolicyEvent::HomeChanged {
                asset: Some(asset), ..
            }
            | PolicyEvent::Contested { asset } => asset.to_string(),
            PolicyEvent::HomeChanged { asset: None, to, .. } => format!("location {to}"),
            PolicyEvent::ObservationIncomplete { .. }
            | PolicyEvent::PlanCompleted(_)
            | PolicyEvent::BreakerOpened { .. }
            | PolicyEvent::BreakerClosed => String::new(),
            PolicyEvent::Started { action }
            | PolicyEvent::Requested { action }
            | PolicyEvent::AttemptsExhausted { action, .. } => action.asset.to_string(),
            PolicyEvent::Ended(finished) => finished.action.asset.to_string(),
        };
        Some(Self {
            reason,
            note,
            subject,
        })
    }
}

/// Where events are queued.
#[derive(Clone, Debug)]
pub struct EventSink {
    queue: mpsc::Sender<(ObjectReference, EventNote)>,
}

impl EventSink {
    /// Queues an event.
    pub fn publish(&self, object: &ObjectReference, event_note: EventNote) {
        if let Err(error) = self.queue.try_send((object.clone(), event_note)) {
            let (_, event_note) = error.into_inner();
            warn!(reason = %event_note.reason, note = %event_note.note, "event dropped, the queue is full");
        }
    }
}

/// Writes events.
pub struct EventRecorder {
    recorder: Recorder,
    queue: mpsc::Receiver<(ObjectReference, EventNote)>,
}

impl EventRecorder {
    /// A publisher with its queue; `instance` names this process.
    pub fn new(client: Client, instance: Option<String>) -> (Self, EventSink) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let reporter = Reporter {
            controller: CONTROLLER.into(),
            instance,
        };
        let recorder = Recorder::new(client, reporter);
        (Self { recorder, queue }, EventSink { queue: sender })
    }

    /// Writes until every sender is gone.
    pub async fn run(&mut self) {
        while let Some((object, event_note)) = self.queue.recv().await {
            self.write(&object, &event_note).await;
        }
    }

    async fn write(&self, object: &ObjectReference, event_note: &EventNote) {
        let event = event(object, event_note);
        let problem = match tokio::time::timeout(LIMIT, self.recorder.publish(&event, object)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => chain(&error),
            Err(_) => format!("no answer in {} s", LIMIT.as_secs()),
        };
        warn!(reason = %event_note.reason, note = %event_note.note, error = %problem, "event could not be written");
    }
}

fn event(object: &ObjectReference, event_note: &EventNote) -> Event {
    let related = (!event_note.subject.is_empty()).then(|| ObjectReference {
        field_path: Some(event_note.subject.clone()),
        ..object.clone()
    });
    Event {
        type_: if event_note.reason.warning() {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: event_note.reason.to_string(),
        note: Some(shortened(&event_note.note)),
        action: event_note.reason.to_string(),
        secondary: related,
    }
}

fn shortened(note: &str) -> String {
    let end = (0..=MAX_NOTE.min(note.len()))
        .rev()
        .find(|end| note.is_char_boundary(*end))
        .unwrap_or(0);
    note.split_at(end).0.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_about_two_assets_are_two_series_and_notes_stay_short() {
        let object = ObjectReference::default();
        let event_note = |subject: &str| EventNote {
            reason: EventReason::LeaderMoved,
            note: "é".repeat(2000),
            subject: subject.into(),
        };
        let one = event(&object, &event_note("stream A"));
        let other = event(&object, &event_note("stream B"));
        assert_ne!(one.secondary, other.secondary);
        assert!(one.note.unwrap().len() <= MAX_NOTE);
        assert_eq!(one.type_, EventType::Normal);
    }
}
