//! Clients that share no code with the ones that Leeward is built and tested with are seen as well: Watermelon, which answers all its
//! requests below one inbox, pulls with requests of its own and knows no direct gets, so that those are sent by hand.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use anyhow::ensure;
use futures::StreamExt as _;
use leeward_core::names::ServerName;
use leeward_core::usage::UseKind;
use leeward_engine::ports::Act as _;
use leeward_lab::nats::{Credentials, System, eventually};
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;
use watermelon::core::{AuthenticationMethod, Client};
use watermelon::jetstream::JetstreamClient;
use watermelon::proto::{ServerAddr, Subject};

use crate::sample::{clusters, connect, of, sampling, servers};
use crate::support::{LIMIT, acting_client, create_consumer, create_stream};

const LOCATION: &str = "eu-west";
const SERVER: &str = "eu-west-0";
const PAUSE: Duration = Duration::from_millis(20);

async fn other_client(system: &System) -> JetstreamClient {
    let Credentials::UserPassword { user, password } = system.credentials("APP", "app").unwrap() else {
        panic!("the lab's users have passwords");
    };
    let authentication = AuthenticationMethod::UserAndPassword {
        username: user.clone(),
        password: password.clone(),
    };
    let address: ServerAddr = system.urls(LOCATION).unwrap().parse().unwrap();
    let client = Client::builder().authentication_method(Some(authentication));
    JetstreamClient::new(client.connect(address).await.unwrap())
}

fn subject(text: &'static str) -> Subject {
    Subject::from_static(text)
}

fn publishes(client: JetstreamClient) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            // The next one shows whether it goes on.
            let _ = client
                .publish(subject("carts"))
                .payload("x".into())
                .publish()
                .await;
            tokio::time::sleep(PAUSE).await;
        }
    }))
}

/// As a worker does: a request after the other, each for a few messages.
fn pulls(client: JetstreamClient, name: &'static str) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let consumer = client.consumer("CARTS", name).await.unwrap().unwrap();
        let mut messages = pin!(client.consumer_stream(consumer, Duration::from_secs(1), 5));
        while let Some(message) = messages.next().await {
            let _ = message.unwrap().ack().await;
        }
    }))
}

fn gets(client: JetstreamClient) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let request = client.client().request(subject("$JS.API.DIRECT.GET.CARTS"));
            if let Ok(answer) = request.payload(r#"{"last_by_subj":"carts"}"#.into()).await {
                let _ = answer.await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_another_library_are_found_by_all_that_they_do() {
    let system = clusters().await;
    let client = connect(&system, "us-east").await;
    let config = json!({"subjects": ["carts"], "num_replicas": 1, "allow_direct": true});
    create_stream(&client, "CARTS", config).await;
    create_consumer(&client, "CARTS", "worker", json!({"ack_policy": "explicit"})).await;
    let other = other_client(&system).await;
    let _publishes = publishes(other.clone());
    let _pulls = pulls(other.clone(), "worker");
    let _gets = gets(other);
    let account = acting_client(&system, "app").await;
    eventually(LIMIT, "each kind of use is found", || async {
        let sampled = account
            .sample_use(&sampling("CARTS", "carts", &["worker"]))
            .await?;
        for kind in [UseKind::Publish, UseKind::Pull, UseKind::DirectGet] {
            let seen = of(&sampled.samples, kind);
            let found = BTreeMap::from([(ServerName::from(SERVER), seen.messages)]);
            ensure!(seen.messages > 0 && servers(&seen) == found, "{seen:?}");
        }
        Ok(())
    })
    .await
    .unwrap();
}
