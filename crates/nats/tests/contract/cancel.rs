//! A move that is cancelled: the stream stays where it was, with the configuration that it had.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, ensure};
use futures::StreamExt;
use leeward_core::names::{ClusterName, Location, ServerName, StreamName, Tag};
use leeward_core::snapshot::Placement;
use leeward_core::target::MoveTarget;
use leeward_engine::ports::{Act, ActError};
use leeward_lab::nats::gateways::may_sleep;
use leeward_lab::nats::{
    AccountSpec, Layout, NatsVersion, Permissions, System, UserSpec, eventually, jetstream,
};
use leeward_nats::{AccountClient, SystemObserver};
use serde_json::{Value, json};

use crate::act::{config_of, seen, stream_asset};
use crate::support::{LIMIT, acting_client, create_consumer, create_stream, permit, witnessed_client};

pub(crate) fn placement(cluster: &str) -> Placement {
    Placement {
        cluster: Some(ClusterName::from(cluster)),
        tags: vec![Tag::from(format!("region:{cluster}"))],
    }
}

pub(crate) fn target(replaces: Option<Placement>) -> MoveTarget {
    let server = |number| ServerName::from(format!("eu-west-{number}"));
    MoveTarget {
        location: Location::from("eu-west"),
        placement: placement("eu-west"),
        replaces,
        servers: (0..3).map(server).collect(),
        owner: None,
    }
}

/// A user of the account APP that may do what a reader may, and one that may also edit streams.
fn users() -> AccountSpec {
    let editor = [
        "$JS.API.STREAM.INFO.*",
        "$JS.API.STREAM.UPDATE.*",
        "$SYS.REQ.USER.INFO",
    ];
    AccountSpec::new("APP")
        .user(UserSpec::new("app"))
        .user(UserSpec::limited(
            "editor",
            Permissions::allow(&editor, &["_INBOX.>"]),
        ))
}

pub(crate) async fn clusters(
    version: NatsVersion,
) -> (
    System,
    async_nats::Client,
    Arc<AccountClient>,
    Arc<SystemObserver>,
) {
    // With the third one the meta group keeps its leader while one of the others is asleep.
    let clusters = [("us-east", 3), ("eu-west", 3), ("ap-south", 1)];
    let layout = Layout::supercluster(&clusters).tag("region:{location}");
    let builder = System::builder(layout).account(users()).version(version);
    let system = builder.start().await.unwrap();
    let credentials = system.credentials("APP", "app").unwrap();
    let client = system.connect("us-east", credentials).await.unwrap();
    let (account, observer) = witnessed_client(&system, "app").await;
    (system, client, account, observer)
}

/// Everything that a stream has, and where.
async fn whole(
    client: &async_nats::Client,
    account: &AccountClient,
) -> anyhow::Result<(Value, Vec<ServerName>)> {
    let reading = seen(account, &stream_asset("S")).await?;
    ensure!(!reading.moving && reading.leader.is_some(), "{reading:?}");
    let peers = reading.peers.into_iter().map(|peer| peer.server).collect();
    Ok((config_of(client, "S").await, peers))
}

/// The servers that hold a replica of a stream, by their own word.
async fn holders(system: &System, stream: &str) -> anyhow::Result<BTreeSet<ServerName>> {
    let answers = system
        .ping("JSZ", &json!({ "accounts": true, "streams": true }))
        .await?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let holds = |jsz: &Value| {
        let accounts = list(&jsz["account_details"]);
        let mut streams = accounts
            .iter()
            .flat_map(|account| list(&account["stream_detail"]));
        streams.any(|detail| detail["name"] == stream)
    };
    let holding = answers.iter().filter(|(_, jsz)| holds(jsz));
    Ok(holding
        .map(|(server, _)| ServerName::from(server.as_str()))
        .collect())
}

/// How many of the three new peers of a stream are asleep.
#[derive(Clone, Copy)]
enum Asleep {
    /// The stream keeps a leader.
    Two,
    /// Half of its six peers answer, which are too few for a leader.
    Three,
}

impl Asleep {
    async fn servers(self, system: &System) -> Vec<String> {
        match self {
            Self::Two => may_sleep(system, "us-east", "eu-west").await.unwrap(),
            Self::Three => system.servers_in("eu-west"),
        }
    }
}

/// Starts a move that cannot end, for its new peers are asleep; returns these.
async fn start_a_move_without_end(
    system: &System,
    account: &AccountClient,
    replaces: Option<Placement>,
    asleep: Asleep,
) -> Vec<String> {
    let stream = StreamName::from("S");
    let servers = asleep.servers(system).await;
    account.place(permit(), &stream, &target(replaces)).await.unwrap();
    for server in &servers {
        system.pause(server).await.unwrap();
    }
    eventually(LIMIT, "the stream moves", || async {
        let reading = seen(account, &stream_asset("S")).await?;
        ensure!(reading.moving || reading.peers.len() > 3, "{reading:?}");
        match asleep {
            Asleep::Two => {}
            Asleep::Three => ensure!(reading.leader.is_none(), "{reading:?}"),
        }
        Ok(())
    })
    .await
    .unwrap();
    servers
}

pub(crate) async fn create(client: &async_nats::Client, placement: Option<Placement>) {
    let mut config = json!({
        "subjects": ["s.>"], "num_replicas": 3, "max_age": 31_536_000_000_000_001_i64,
        "description": "a \"quoted\" text <&>", "metadata": { "owner.example/unknown": "kept" },
    });
    if let Some(placement) = placement {
        config["placement"] = serde_json::to_value(placement).unwrap();
    }
    create_stream(client, "S", config).await;
    create_consumer(client, "S", "C", json!({ "ack_policy": "explicit" })).await;
    for number in 0..100 {
        let payload = vec![b'x'; 1024];
        jetstream::publish(client, &format!("s.{number}"), payload)
            .await
            .unwrap();
    }
}

/// What becomes of who asked for the cancel.
#[derive(Clone, Copy)]
enum Caller {
    Waits,
    /// Once the request was sent.
    Leaves,
}

async fn cancel(
    client: &async_nats::Client,
    account: &AccountClient,
    target: &MoveTarget,
    caller: Caller,
) -> anyhow::Result<()> {
    let stream = StreamName::from("S");
    let mut requests = client.subscribe("$JS.API.*.STREAM.CANCEL_MOVE.>").await?;
    client.flush().await?;
    let cancelling = account.cancel_move(permit(), &stream, target);
    match caller {
        Caller::Waits => Ok(cancelling.await?),
        Caller::Leaves => tokio::select! {
            biased;
            _ = requests.next() => Ok(()),
            ended = cancelling => anyhow::bail!("it ended before the request was seen: {ended:?}"),
        },
    }
}

async fn cancelled(version: NatsVersion, stored: Option<Placement>, caller: Caller, asleep: Asleep) {
    let (system, client, account, _observer) = clusters(version).await;
    // The servers that are paused later must not lead the meta group.
    jetstream::lead_meta_group(&system, "us-east").await.unwrap();
    create(&client, stored.clone()).await;
    let before = eventually(LIMIT, "the stream stands", || whole(&client, &account))
        .await
        .unwrap();
    assert!(
        before
            .1
            .iter()
            .all(|server| server.as_str().starts_with("us-east"))
    );
    let sleeping = start_a_move_without_end(&system, &account, stored.clone(), asleep).await;

    let (stream, target) = (StreamName::from("S"), target(stored));
    // Servers lose the request while they elect a leader of the meta group; whoever asked then asks again. What was asked
    // for before may be complete only then.
    eventually(LIMIT * 4, "the stream is as it was", || async {
        let asked = cancel(&client, &account, &target, caller).await;
        eventually(LIMIT, "the cancel is complete", || async {
            let after = whole(&client, &account).await?;
            ensure!(after == before, "{after:?}\n{before:?}");
            Ok(())
        })
        .await
        .with_context(|| format!("asked: {asked:?}"))
    })
    .await
    .unwrap();
    for server in &sleeping {
        system.resume(server).await.unwrap();
    }
    // A server that slept answers with what it knew then, until it has read what the meta group decided meanwhile.
    eventually(LIMIT, "only its old peers hold the stream", || async {
        let held_by = holders(&system, "S").await?;
        ensure!(held_by == BTreeSet::from_iter(before.1.clone()), "{held_by:?}");
        Ok(())
    })
    .await
    .unwrap();
    let info = jetstream::stream_info(&client, "S").await.unwrap();
    assert_eq!(info["state"]["messages"], 100);
    let again = account.cancel_move(permit(), &stream, &target).await;
    assert!(matches!(again, Err(ActError::Changed { .. })), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_cancelled_move_leaves_nothing_behind() {
    cancelled(
        NatsVersion::Newest,
        Some(placement("us-east")),
        Caller::Waits,
        Asleep::Two,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_cancelled_move_leaves_nothing_behind_where_servers_keep_the_targets_placement() {
    cancelled(NatsVersion::V2_14, None, Caller::Waits, Asleep::Two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_a_cancel_is_completed_although_its_caller_is_gone() {
    cancelled(
        NatsVersion::V2_14,
        Some(placement("us-east")),
        Caller::Leaves,
        Asleep::Two,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_left_its_stream_without_a_leader_is_cancelled() {
    cancelled(
        NatsVersion::V2_14,
        Some(placement("us-east")),
        Caller::Waits,
        Asleep::Three,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_has_ended_cannot_be_cancelled_and_one_may_lack_the_right_to() {
    for version in [NatsVersion::Newest, NatsVersion::V2_10] {
        let (system, client, account, _observer) = clusters(version).await;
        let (stream, to) = (StreamName::from("S"), target(None));
        let config = json!({ "subjects": ["s.>"], "num_replicas": 1, "placement": to.placement });
        create_stream(&client, "S", config).await;
        let before = config_of(&client, "S").await;
        let ended = account.cancel_move(permit(), &stream, &to).await.unwrap_err();
        assert!(
            matches!(
                ended,
                ActError::Refused {
                    code: 10129,
                    reason: None,
                    ..
                }
            ),
            "{ended:?}"
        );
        assert!(!ended.may_have_acted());

        let editor = acting_client(&system, "editor").await;
        let denied = editor.cancel_move(permit(), &stream, &to).await.unwrap_err();
        let subject = match version {
            NatsVersion::Newest => "$JS.API.STREAM.CANCEL_MOVE.S",
            _ => "$JS.API.ACCOUNT.STREAM.CANCEL_MOVE.APP.S",
        };
        assert_eq!(
            denied,
            ActError::Denied {
                subject: subject.to_owned()
            }
        );
        assert_eq!(config_of(&client, "S").await, before, "{version:?}");
    }
}
