//! What the account's user does.

use leeward_api::vocabulary::FindingReason;
use leeward_core::action::Successor;
use leeward_core::names::{AssetName, ClusterName, ConsumerName, Location, ServerName, StreamName, Tag};
use leeward_core::operation::{AssetInfo, ReadResult};
use leeward_core::snapshot::Placement;
use leeward_core::target::MoveTarget;
use leeward_engine::permit::{Authorizer, Inhibited};
use leeward_engine::ports::{Act, ActError};
use leeward_lab::nats::{
    AccountSpec, Layout, NatsVersion, Permissions, System, UserSpec, eventually, jetstream,
};
use leeward_nats::AccountClient;
use serde_json::{Value, json};

use crate::support::{
    LIMIT, account_client, acting_client, create_consumer, create_stream, permit, witnessed_client,
};

pub(crate) async fn seen(client: &AccountClient, asset: &AssetName) -> anyhow::Result<AssetInfo> {
    match client.read(asset).await? {
        ReadResult::Seen(reading) => Ok(reading),
        other => anyhow::bail!("{asset}: {other:?}"),
    }
}

pub(crate) fn stream_asset(name: &str) -> AssetName {
    AssetName::stream(StreamName::from(name))
}

pub(crate) fn consumer_asset(stream: &str, name: &str) -> AssetName {
    AssetName::consumer(StreamName::from(stream), ConsumerName::from(name))
}

async fn stretched(version: NatsVersion) -> (System, std::sync::Arc<AccountClient>) {
    let layout = Layout::stretched(&[("us-east", 1), ("eu-west", 1), ("ap-south", 1)]);
    let system = System::builder(layout).version(version).start().await.unwrap();
    let client = system
        .connect("us-east", system.credentials("APP", "app").unwrap())
        .await
        .unwrap();
    create_stream(&client, "S", json!({ "subjects": ["s.>"], "num_replicas": 3 })).await;
    create_consumer(&client, "S", "C", json!({ "ack_policy": "explicit" })).await;
    let account = acting_client(&system, "app").await;
    (system, account)
}

/// A peer that is caught up and does not lead.
async fn follower(client: &AccountClient, asset: &AssetName) -> ServerName {
    eventually(LIMIT, "all peers are caught up", || async {
        let reading = seen(client, asset).await?;
        anyhow::ensure!(
            reading.leader.is_some() && reading.peers.len() == 3,
            "{reading:?}"
        );
        anyhow::ensure!(
            reading.peers.iter().all(|peer| peer.current && !peer.offline),
            "{reading:?}"
        );
        let mut peers = reading.peers.into_iter().map(|peer| peer.server);
        Ok(peers
            .find(|server| reading.leader.as_ref() != Some(server))
            .unwrap())
    })
    .await
    .unwrap()
}

/// A step-down does not say who leads.
fn anybody() -> ServerName {
    ServerName::from("anybody")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aimed_step_down_moves_a_stream_and_a_consumer_in_a_stretched_cluster() {
    for version in [NatsVersion::Newest, NatsVersion::V2_11] {
        let (_system, client) = stretched(version).await;
        for asset in [stream_asset("S"), consumer_asset("S", "C")] {
            let target = follower(&client, &asset).await;
            client
                .step_down(permit(), &asset, &anybody(), &Successor::Peer(target.clone()))
                .await
                .unwrap();
            eventually(LIMIT, "the target leads", || async {
                let leader = seen(&client, &asset).await?.leader;
                anyhow::ensure!(leader.as_ref() == Some(&target), "{leader:?}");
                Ok(())
            })
            .await
            .unwrap();
            let again = client
                .step_down(permit(), &asset, &anybody(), &Successor::Peer(target))
                .await
                .unwrap_err();
            assert!(
                matches!(
                    again,
                    ActError::Refused {
                        code: 10005,
                        reason: None,
                        ..
                    }
                ),
                "{again:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_before_2_11_refuse_an_aim_and_take_a_plain_step_down() {
    let (_system, client) = stretched(NatsVersion::V2_10).await;
    for asset in [stream_asset("S"), consumer_asset("S", "C")] {
        let target = follower(&client, &asset).await;
        let before = seen(&client, &asset).await.unwrap().leader;
        let refused = client
            .step_down(permit(), &asset, &anybody(), &Successor::Peer(target))
            .await
            .unwrap_err();
        assert_eq!(refused.reason(), Some(FindingReason::ServerTooOld), "{refused}");
        client
            .step_down(permit(), &asset, &anybody(), &Successor::Anyone)
            .await
            .unwrap();
        eventually(LIMIT, "another one leads", || async {
            let leader = seen(&client, &asset).await?.leader;
            anyhow::ensure!(leader.is_some() && leader != before, "{leader:?}");
            Ok(())
        })
        .await
        .unwrap();
    }
}

/// nats-facts N65: the servers choose the other peer, and what the consumer knows goes with it.
#[tokio::test(flavor = "multi_thread")]
async fn an_evacuated_consumer_of_one_replica_goes_on_from_another_peer_of_its_stream() {
    let (system, client) = stretched(NatsVersion::Newest).await;
    let credentials = system.credentials("APP", "app").unwrap();
    let admin = system.connect("us-east", credentials).await.unwrap();
    let config = json!({"ack_policy": "explicit", "num_replicas": 1});
    create_consumer(&admin, "S", "ONE", config).await;
    let asset = consumer_asset("S", "ONE");
    let peers = seen(&client, &stream_asset("S")).await.unwrap().peers;
    for _ in 0..2 {
        let from = seen(&client, &asset).await.unwrap().leader.unwrap();
        client
            .step_down(permit(), &asset, &from, &Successor::OtherServer)
            .await
            .unwrap();
        let reading = eventually(LIMIT, "it is on another server", || async {
            let reading = seen(&client, &asset).await?;
            anyhow::ensure!(reading.leader.as_ref().is_some_and(|leader| *leader != from));
            anyhow::ensure!(!reading.is_moving(), "{reading:?}");
            Ok(reading)
        })
        .await
        .unwrap();
        let leader = reading.leader.unwrap();
        assert!(peers.iter().any(|peer| peer.server == leader), "{leader}");
    }
    let elsewhere = ServerName::from("elsewhere");
    let refused = client
        .step_down(permit(), &asset, &elsewhere, &Successor::OtherServer)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, ActError::Refused { code: 10040, .. }),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_without_a_permit_that_holds() {
    let (_system, client) = stretched(NatsVersion::Newest).await;
    let asset = stream_asset("S");
    let target = follower(&client, &asset).await;
    let authorizer = Authorizer::new([]);
    let permit = authorizer.issue(jiff::Timestamp::now()).unwrap();
    authorizer.set([Inhibited::NotActive]);
    let refused = client
        .step_down(permit, &asset, &anybody(), &Successor::Peer(target.clone()))
        .await;
    assert_eq!(refused, Err(ActError::PermitExpired));
    assert_ne!(seen(&client, &asset).await.unwrap().leader, Some(target));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_is_read_with_its_streams_replicas_and_an_absent_asset_is_gone() {
    let (system, client) = stretched(NatsVersion::Newest).await;
    let reading = seen(&client, &consumer_asset("S", "C")).await.unwrap();
    assert_eq!(
        (reading.replicas, reading.peers.len(), reading.moving),
        (3, 3, false)
    );
    assert_eq!(client.read(&stream_asset("NONE")).await, Ok(ReadResult::Gone));
    assert_eq!(
        client.read(&consumer_asset("S", "NONE")).await,
        Ok(ReadResult::Gone)
    );
    let leader = seen(&client, &stream_asset("S")).await.unwrap().leader.unwrap();
    let others = system
        .server_names()
        .into_iter()
        .filter(|name| *name != leader.as_str());
    for name in others
        .filter(|name| !name.starts_with("us-east"))
        .chain([leader.to_string()])
        .take(2)
    {
        if !name.starts_with("us-east") {
            system.kill(&name).await.unwrap();
        }
    }
    let unanswered = eventually(LIMIT, "nobody answers for it", || async {
        let read_result = client.read(&stream_asset("S")).await?;
        let leaderless = match &read_result {
            ReadResult::Unanswered => true,
            ReadResult::Seen(reading) => reading.leader.is_none(),
            ReadResult::Gone => panic!("an absence was made up"),
        };
        anyhow::ensure!(leaderless, "{read_result:?}");
        Ok(())
    });
    unanswered.await.unwrap();
}

fn placement(cluster: &str, tags: &[&str]) -> Placement {
    Placement {
        cluster: Some(ClusterName::from(cluster)),
        tags: tags.iter().map(|tag| Tag::from(*tag)).collect(),
    }
}

fn target(to: Placement, from: Option<Placement>) -> MoveTarget {
    let cluster = to.cluster.clone().unwrap();
    MoveTarget {
        location: Location::from(cluster.as_str()),
        placement: to,
        replaces: from,
        servers: vec![ServerName::from(format!("{cluster}-0"))],
        owner: None,
    }
}

async fn two_clusters(version: NatsVersion) -> (System, async_nats::Client, std::sync::Arc<AccountClient>) {
    let layout = Layout::supercluster(&[("us-east", 1), ("eu-west", 1)]);
    let layout = layout.tag("ssd").tag("region:{location}");
    let system = System::builder(layout).version(version).start().await.unwrap();
    let client = system
        .connect("us-east", system.credentials("APP", "app").unwrap())
        .await
        .unwrap();
    let account = acting_client(&system, "app").await;
    (system, client, account)
}

/// A configuration with odd values everywhere.
fn odd_config() -> Value {
    json!({
        "subjects": ["odd.*.>", "ex\"ot<ic>&"],
        "description": "a \"quoted\" text <&> with ünïcode",
        "retention": "limits",
        "discard": "new",
        "discard_new_per_subject": true,
        "max_msgs_per_subject": 7,
        "max_consumers": 17,
        "max_msgs": 123_456_789_012_345_i64,
        "max_bytes": 9_007_199,
        "max_age": 31_536_000_000_000_001_i64,
        "max_msg_size": 65_537,
        "duplicate_window": 77_000_000_007_i64,
        "num_replicas": 1,
        "allow_direct": true,
        "allow_rollup_hdrs": true,
        "deny_delete": true,
        "compression": "s2",
        "consumer_limits": { "max_ack_pending": 11, "inactive_threshold": 3_600_000_000_000_i64 },
        "republish": { "src": "odd.a.>", "dest": "copy.a.>", "headers_only": true },
        "subject_transform": { "src": "odd.*.x", "dest": "odd.{{wildcard(1)}}.y" },
        "placement": { "cluster": "us-east", "tags": ["SSD", "region:us-east"] },
        "metadata": { "owner.example/unknown": "kept", "leeward.dev/note": "a\"b" },
    })
}

pub(crate) async fn config_of(client: &async_nats::Client, stream: &str) -> Value {
    let mut config = jetstream::stream_info(client, stream).await.unwrap()["config"].clone();
    if let Some(metadata) = config["metadata"].as_object_mut() {
        metadata.retain(|key, _| !key.starts_with("_nats."));
    }
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_placement_edit_keeps_every_other_field() {
    for version in [
        NatsVersion::Newest,
        NatsVersion::V2_14,
        NatsVersion::V2_11,
        NatsVersion::V2_10,
    ] {
        let (system, client, _) = two_clusters(version).await;
        let (account, _observer) = witnessed_client(&system, "app").await;
        create_stream(&client, "ODD", odd_config()).await;
        create_consumer(&client, "ODD", "C", json!({ "ack_policy": "explicit" })).await;
        let mut before = config_of(&client, "ODD").await;
        let stream = StreamName::from("ODD");
        let from = placement("us-east", &["SSD", "region:us-east"]);
        let to = placement("eu-west", &["SSD", "region:eu-west"]);

        let other = target(to.clone(), Some(placement("us-east", &["ssd"])));
        let changed = account.place(permit(), &stream, &other).await.unwrap_err();
        assert!(matches!(changed, ActError::Changed { .. }), "{changed:?}");
        assert_eq!(config_of(&client, "ODD").await, before, "nothing was sent");

        account
            .place(permit(), &stream, &target(to.clone(), Some(from)))
            .await
            .unwrap();
        let reading = eventually(LIMIT, "the stream has moved", || async {
            let reading = seen(&account, &stream_asset("ODD")).await?;
            let there = |server: &ServerName| server.as_str() == "eu-west-0";
            anyhow::ensure!(
                reading.peers.len() == 1 && reading.leader.as_ref().is_some_and(there),
                "{reading:?}"
            );
            anyhow::ensure!(!reading.moving, "{reading:?}");
            Ok(reading)
        })
        .await
        .unwrap();
        assert_eq!(reading.placement, Some(to));
        let mut after = config_of(&client, "ODD").await;
        for config in [&mut before, &mut after] {
            config.as_object_mut().unwrap().remove("placement");
        }
        assert_eq!(after, before, "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_writes_the_placement_anew_and_nowhere_loses_it() {
    for version in [NatsVersion::Newest, NatsVersion::V2_11, NatsVersion::V2_10] {
        let (_system, client, account) = two_clusters(version).await;
        create_stream(&client, "ODD", odd_config()).await;
        let before = config_of(&client, "ODD").await;
        let stored = placement("us-east", &["SSD", "region:us-east"]);
        let repair = target(stored.clone(), Some(stored));
        assert!(repair.is_repair());
        account
            .place(permit(), &StreamName::from("ODD"), &repair)
            .await
            .unwrap();
        assert_eq!(config_of(&client, "ODD").await, before, "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_placement_that_nothing_fits_is_refused_for_lack_of_capacity() {
    let (_system, client, account) = two_clusters(NatsVersion::Newest).await;
    create_stream(&client, "S", json!({ "subjects": ["s"] })).await;
    let nowhere = target(placement("nowhere", &[]), None);
    let refused = account
        .place(permit(), &StreamName::from("S"), &nowhere)
        .await
        .unwrap_err();
    assert_eq!(refused.reason(), Some(FindingReason::NoCapacity), "{refused}");
    assert_eq!(seen(&account, &stream_asset("S")).await.unwrap().placement, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_request_fails_as_denied_instead_of_waiting_for_an_answer() {
    let user = UserSpec::limited(
        "reader",
        Permissions::allow(&["$JS.API.STREAM.INFO.*", "$SYS.REQ.USER.INFO"], &["_INBOX.>"]),
    );
    let mute = UserSpec::limited("mute", Permissions::allow(&["$JS.API.>"], &["elsewhere.>"]));
    let account = AccountSpec::new("APP")
        .user(UserSpec::new("app"))
        .user(user)
        .user(mute);
    let layout = Layout::supercluster(&[("us-east", 1)]);
    let system = System::builder(layout).account(account).start().await.unwrap();
    let client = system
        .connect("us-east", system.credentials("APP", "app").unwrap())
        .await
        .unwrap();
    create_stream(&client, "S", json!({ "subjects": ["s"] })).await;

    let reader = acting_client(&system, "reader").await;
    seen(&reader, &stream_asset("S")).await.unwrap();
    let denied = reader
        .step_down(permit(), &stream_asset("S"), &anybody(), &Successor::Anyone)
        .await;
    let subject = "$JS.API.STREAM.LEADER.STEPDOWN.S".to_owned();
    assert_eq!(denied, Err(ActError::Denied { subject }));

    let mute = account_client(&system, "mute").await;
    let unknown = mute
        .step_down(permit(), &stream_asset("S"), &anybody(), &Successor::Anyone)
        .await;
    assert_eq!(unknown, Err(ActError::Disconnected), "its account is not known");
    for _ in 0..2 {
        let denied = mute.read(&stream_asset("S")).await.unwrap_err();
        assert!(
            matches!(&denied, ActError::Denied { subject } if subject.starts_with("_INBOX.")),
            "{denied:?}"
        );
    }
}
