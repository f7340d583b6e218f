//! Push workers: a subscription on the consumer's deliver subject, with flow control answered.

use async_nats::{Client, Message, StatusCode};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::intake::{Acknowledge, Intake};
use super::ledger::MessageLedger;
use super::meter::LatencyMeter;

/// In a heartbeat it names the subject that unblocks a consumer waiting for flow control.
const STALLED: &str = "Nats-Consumer-Stalled";

/// A worker for a push consumer, which has to exist. Several workers share one through its deliver group.
#[derive(Clone, Debug)]
pub struct PushWorker {
    pub client: Client,
    /// Where its latencies are counted.
    pub location: String,
    pub stream: String,
    pub consumer: String,
    pub deliver_subject: String,
    pub queue: Option<String>,
    pub acknowledge: Acknowledge,
}

impl PushWorker {
    /// No queue, plain acknowledgements.
    pub fn new(client: Client, location: &str, stream: &str, consumer: &str, deliver_subject: &str) -> Self {
        Self {
            client,
            location: location.to_owned(),
            stream: stream.to_owned(),
            consumer: consumer.to_owned(),
            deliver_subject: deliver_subject.to_owned(),
            queue: None,
            acknowledge: Acknowledge::Plain,
        }
    }

    pub(super) async fn run(self, ledger: MessageLedger, meter: LatencyMeter, stop: CancellationToken) {
        let subject = self.deliver_subject;
        let subscribed = match self.queue {
            Some(queue) => self.client.queue_subscribe(subject, queue).await,
            None => self.client.subscribe(subject).await,
        };
        let mut messages = match subscribed {
            Ok(messages) => messages,
            Err(error) => return ledger.failed(format!("subscription for {}: {error}", self.consumer)),
        };
        let consumer = (self.stream, self.consumer);
        let mut intake = Intake::new(self.client, consumer, self.acknowledge, ledger, meter);
        while let Some(Some(message)) = stop.run_until_cancelled(messages.next()).await {
            match message.status {
                Some(StatusCode::IDLE_HEARTBEAT) => answer_flow_control(&intake, message).await,
                Some(_) => {}
                None => {
                    intake.take(message).await;
                }
            }
        }
        let _ = messages.unsubscribe().await;
        intake.finish().await;
    }
}

async fn answer_flow_control(intake: &Intake, message: Message) {
    let stalled = message
        .headers
        .as_ref()
        .and_then(|headers| headers.get(STALLED))
        .map(ToString::to_string);
    let Some(subject) = message.reply.map(|reply| reply.to_string()).or(stalled) else {
        return;
    };
    if let Err(error) = intake.client.publish(subject, "".into()).await {
        intake
            .ledger
            .failed(format!("flow control of {}: {error}", intake.consumer));
    }
}
