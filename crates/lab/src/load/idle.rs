//! Idle connections: they give a location the majority of an account's clients.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use anyhow::Context;
use async_nats::Client;
use futures::future::BoxFuture;

use crate::nats::{DEFAULT_ACCOUNT, DEFAULT_USER, System};

/// Connects to a location under a client name.
pub type Connect = Arc<dyn Fn(String, String) -> BoxFuture<'static, anyhow::Result<Client>> + Send + Sync>;

/// A number of connections to one location, all with the same client name. Dropping it closes them.
pub struct IdleClients {
    connect: Connect,
    name: String,
    location: String,
    clients: Vec<Client>,
}

impl IdleClients {
    pub async fn start(connect: Connect, location: &str, name: &str, count: usize) -> anyhow::Result<Self> {
        let mut idle = Self {
            connect,
            name: name.to_owned(),
            location: location.to_owned(),
            clients: Vec::new(),
        };
        idle.clients = idle.connected(location, count).await?;
        Ok(idle)
    }

    /// Clients of a system, as the user of its default account.
    pub async fn in_system(
        system: &System,
        location: &str,
        name: &str,
        count: usize,
    ) -> anyhow::Result<Self> {
        let options = system.connect_options(system.credentials(DEFAULT_ACCOUNT, DEFAULT_USER)?)?;
        let mut urls = BTreeMap::new();
        for location in system.locations() {
            urls.insert(location.clone(), system.urls(&location)?);
        }
        let connect: Connect = Arc::new(move |location, name| {
            let (urls, options) = (urls.get(&location).cloned(), options.clone().name(name));
            Box::pin(async move {
                let urls = urls.with_context(|| format!("there is no location {location}"))?;
                Ok(options.connect(urls.split(',').collect::<Vec<_>>()).await?)
            })
        });
        Self::start(connect, location, name, count).await
    }

    pub fn location(&self) -> &str {
        &self.location
    }

    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// Connects as many clients to the new location, then closes the old ones: the account always has some.
    pub async fn move_to(&mut self, location: &str) -> anyhow::Result<()> {
        let arrived = self.connected(location, self.clients.len()).await?;
        let left = std::mem::replace(&mut self.clients, arrived);
        location.clone_into(&mut self.location);
        close(left).await
    }

    pub async fn resize(&mut self, count: usize) -> anyhow::Result<()> {
        let surplus = self.clients.split_off(count.min(self.clients.len()));
        let arrived = self.connected(&self.location, count - self.clients.len()).await?;
        self.clients.extend(arrived);
        close(surplus).await
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        close(self.clients).await
    }

    async fn connected(&self, location: &str, count: usize) -> anyhow::Result<Vec<Client>> {
        let connecting = (0..count).map(|_| (self.connect)(location.to_owned(), self.name.clone()));
        futures::future::try_join_all(connecting)
            .await
            .with_context(|| format!("{count} idle clients {} in {location}", self.name))
    }
}

async fn close(clients: Vec<Client>) -> anyhow::Result<()> {
    for client in clients {
        client.drain().await.context("an idle client did not close")?;
    }
    Ok(())
}

impl fmt::Debug for IdleClients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connect: _,
            name,
            location,
            clients,
        } = self;
        write!(formatter, "{} idle clients {name} in {location}", clients.len())
    }
}
