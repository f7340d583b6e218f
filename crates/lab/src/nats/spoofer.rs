//! A client of an account that answers requests in the servers' place.
//!
//! NATS delivers a request to every subscriber of its subject in the account, besides the servers. The nearer of them answers
//! first; where a mapping of the account leads the subject elsewhere, only the client answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use async_nats::Client;
use futures::StreamExt;
use tokio::task::JoinHandle;

use super::accounts::Credentials;
use super::system::System;

/// Answers as long as it lives.
#[derive(Debug)]
pub struct Spoofer {
    client: Client,
    tasks: Vec<JoinHandle<()>>,
    answered: Arc<AtomicUsize>,
}

impl Drop for Spoofer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Spoofer {
    /// Connects to one server as a user of the account.
    pub async fn connect(system: &System, server: &str, credentials: &Credentials) -> anyhow::Result<Self> {
        Ok(Self {
            client: system.connect_to(server, credentials).await?,
            tasks: Vec::new(),
            answered: Arc::default(),
        })
    }

    /// Answers every request to a subject with this.
    pub async fn answer(&mut self, subject: &str, with: impl Into<bytes::Bytes>) -> anyhow::Result<()> {
        let with = with.into();
        let client = self.client.clone();
        let mut requests = client.subscribe(subject.to_owned()).await?;
        client
            .flush()
            .await
            .context("the servers do not take the subscription")?;
        let answered = Arc::clone(&self.answered);
        self.tasks.push(tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let Some(reply) = request.reply else { continue };
                // Without a connection no request is answered.
                if client.publish(reply, with.clone()).await.is_ok() {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
        Ok(())
    }

    /// How many requests it has answered.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }
}
