//! What the gates, the capacity and the proof need to see.

use std::time::Duration;

use anyhow::ensure;
use jiff::Timestamp;
use leeward_core::names::{AssetName, ConsumerName, StreamName};
use leeward_core::operation::{AssetInfo, Progress, Upstream};
use leeward_core::snapshot::AccountView;
use leeward_core::topology::Resource;
use leeward_core::topology::Storage;
use leeward_lab::nats::{Layout, NatsVersion, System, eventually, jetstream};
use leeward_nats::{AccountClient, SystemObserver, TenantObserver};
use serde_json::{Value, json};

use crate::act::{seen, stream_asset};
use crate::support::{INTERVAL, LIMIT, account_client, create_consumer, create_stream, system_config, view};

fn three_regions() -> Layout {
    Layout::stretched(&[("us-east", 1), ("eu-west", 1), ("ap-south", 1)])
}

async fn app(system: &System, location: &str) -> async_nats::Client {
    let credentials = system.credentials("APP", "app").unwrap();
    system.connect(location, credentials).await.unwrap()
}

fn consumer_asset(stream: &str, name: &str) -> AssetName {
    AssetName::consumer(StreamName::from(stream), ConsumerName::from(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_tell_what_room_there_is() {
    for version in [NatsVersion::Newest, NatsVersion::V2_11, NatsVersion::V2_10] {
        let begin = Timestamp::now();
        let builder = System::builder(three_regions()).unique_tag("region:");
        let system = builder.version(version).start().await.unwrap();
        let client = app(&system, "us-east").await;
        let reserving = json!({ "subjects": ["s"], "num_replicas": 3, "max_bytes": 50_000_000 });
        create_stream(&client, "S", reserving).await;
        let passing = json!({ "subjects": ["m"], "num_replicas": 1, "storage": "memory" });
        create_stream(&client, "M", passing).await;
        jetstream::publish(&client, "s", vec![b'x'; 10_000])
            .await
            .unwrap();

        let observer = SystemObserver::start(system_config(&system), INTERVAL);
        let has_room = |view: &AccountView| {
            let mut servers = view.topology.servers().iter();
            servers.all(|server| {
                let room = server.details.as_ref().and_then(|details| details.room.as_ref());
                room.is_some_and(|room| room.file.reserved == 50_000_000 && room.file.used > 10_000)
            })
        };
        let observed = view(&*observer, "APP", |view| view.gaps.is_empty() && has_room(view)).await;
        for server in observed.topology.servers() {
            let details = server.details.as_ref().unwrap();
            let room = details.room.as_ref().unwrap();
            assert_eq!(room.file.limit, 8 << 30, "{version:?}");
            let memory = Resource {
                limit: 256 << 20,
                ..Resource::default()
            };
            assert_eq!(room.memory, memory, "{version:?}");
            assert_eq!((room.ha_assets, room.max_ha_assets), (1, None), "{version:?}");
            assert_eq!(room.unique_tag.as_deref(), Some("region:"), "{version:?}");
            assert!(
                details.started.is_some_and(|started| started > begin),
                "{version:?}"
            );
        }
        let takes = |view: &AccountView, name: &str| {
            let stream = view.stream(&StreamName::from(name)).unwrap();
            (stream.storage, stream.max_bytes)
        };
        let tenant = TenantObserver::start(account_client(&system, "app").await, INTERVAL);
        let theirs = view(&*tenant, "APP", |view| {
            view.gaps.is_empty() && view.streams.len() == 2
        })
        .await;
        for seen in [&observed, &theirs] {
            assert_eq!(takes(seen, "S"), (Storage::File, Some(50_000_000)), "{version:?}");
            assert_eq!(takes(seen, "M"), (Storage::Memory, None), "{version:?}");
        }
        for server in theirs.topology.servers() {
            let details = server.details.as_ref().unwrap();
            assert_eq!(details.room, None, "a tenant does not see it");
            assert!(details.started.is_some_and(|first_seen| first_seen > begin));
        }
    }
}

/// The name of an asset's leader, and since when it leads.
fn led(view: &AccountView, asset: &AssetName) -> Option<(String, Option<Timestamp>)> {
    let group = view.group(asset)?;
    let leader = view.topology.get(group.leader?)?.name.to_string();
    Some((leader, group.leader_since))
}

/// nats-facts N68: between the regions of one cluster only routes measure.
#[tokio::test(flavor = "multi_thread")]
async fn routes_measure_round_trips_inside_a_cluster_whose_servers_differ() {
    const ONE_WAY: Duration = Duration::from_millis(10);
    for version in [NatsVersion::Newest, NatsVersion::V2_10] {
        let builder = System::builder(three_regions()).version(version).delay(ONE_WAY);
        let system = builder.start().await.unwrap();
        let observer = SystemObserver::start(system_config(&system), INTERVAL);
        let seen = view(&*observer, "APP", |view| view.topology.routes.len() == 6).await;
        let topology = &seen.topology;
        let pairs = [("us-east-0", "eu-west-0"), ("ap-south-0", "us-east-0")];
        for (one, other) in pairs.map(|(one, other)| (topology.find(one), topology.find(other))) {
            let measured = topology.round_trip(one.unwrap(), other.unwrap());
            assert!(
                measured.is_some_and(|rtt| rtt >= ONE_WAY * 2),
                "{version:?}: {measured:?}"
            );
        }
        observer.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_is_young_after_a_step_down_and_keeps_its_age() {
    for version in [NatsVersion::Newest, NatsVersion::V2_10] {
        let system = System::builder(three_regions())
            .version(version)
            .start()
            .await
            .unwrap();
        let client = app(&system, "us-east").await;
        create_stream(&client, "S", json!({ "subjects": ["s"], "num_replicas": 3 })).await;
        create_consumer(&client, "S", "C", json!({ "ack_policy": "explicit" })).await;
        create_stream(&client, "ONE", json!({ "subjects": ["one"], "num_replicas": 1 })).await;
        let observer = SystemObserver::start(system_config(&system), INTERVAL);
        let tenant = TenantObserver::start(account_client(&system, "app").await, INTERVAL);
        let assets = [stream_asset("S"), consumer_asset("S", "C")];
        for asset in &assets {
            let dated = |view: &AccountView| {
                view.gaps.is_empty() && led(view, asset).is_some_and(|(_, since)| since.is_some())
            };
            let (before, _) = led(&*view(&*observer, "APP", dated).await, asset).unwrap();
            view(&*tenant, "APP", dated).await;
            let asked = Timestamp::now();
            match &asset.consumer {
                None => jetstream::step_down(&client, "S", None).await,
                Some(_) => jetstream::step_down_consumer(&client, "S", "C", None).await,
            }
            .unwrap();
            let another = |view: &AccountView| {
                view.gaps.is_empty() && led(view, asset).is_some_and(|(leader, _)| leader != before)
            };
            for seen in [
                view(&*observer, "APP", another).await,
                view(&*tenant, "APP", another).await,
            ] {
                let (_, since) = led(&seen, asset).unwrap();
                assert!(since.is_some_and(|since| since >= asked), "{version:?} {since:?}");
            }
            let carried_over = |view: &AccountView| {
                let since = led(view, asset).and_then(|(_, since)| since);
                since.is_some_and(|since| since >= asked && since < view.observed_at)
            };
            view(&*observer, "APP", carried_over).await;
            view(&*tenant, "APP", carried_over).await;
        }
        let seen = view(&*observer, "APP", |view| view.gaps.is_empty()).await;
        assert_eq!(
            led(&seen, &stream_asset("ONE")).unwrap().1,
            None,
            "nobody was elected"
        );
    }
}

/// Pulls messages of a consumer, which are not acknowledged.
async fn pull(client: &async_nats::Client, consumer: &str, options: Value) -> async_nats::Subscriber {
    let inbox = client.new_inbox();
    let messages = client.subscribe(inbox.clone()).await.unwrap();
    let subject = format!("$JS.API.CONSUMER.MSG.NEXT.S.{consumer}");
    client
        .publish_with_reply(subject, inbox, options.to_string().into())
        .await
        .unwrap();
    client.flush().await.unwrap();
    messages
}

async fn progress_of(client: &AccountClient, name: &str, wanted: Progress) {
    eventually(LIMIT, "the consumer is read as it is used", || async {
        let AssetInfo { progress, .. } = seen(client, &consumer_asset("S", name)).await?;
        ensure!(progress.as_ref() == Some(&wanted), "{name}: {progress:?}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_consumers_are_and_who_uses_them_is_read_and_observed() {
    let system = System::builder(three_regions()).start().await.unwrap();
    let client = app(&system, "us-east").await;
    let account = account_client(&system, "app").await;
    create_stream(&client, "S", json!({ "subjects": ["s.>"], "num_replicas": 3 })).await;
    let explicit = |more: Value| {
        let mut config = json!({ "ack_policy": "explicit", "max_ack_pending": 7 });
        config
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        config
    };
    create_consumer(&client, "S", "PULL", explicit(json!({}))).await;
    create_consumer(
        &client,
        "S",
        "IDLE",
        explicit(json!({ "filter_subject": "s.none" })),
    )
    .await;
    let pushing = json!({ "deliver_subject": "to.push", "filter_subject": "s.none" });
    create_consumer(&client, "S", "PUSH", explicit(pushing)).await;
    create_consumer(
        &client,
        "S",
        "PAUSED",
        explicit(json!({ "pause_until": "2099-01-01T00:00:00Z" })),
    )
    .await;
    let pinning = json!({ "priority_groups": ["g"], "priority_policy": "pinned_client" });
    create_consumer(&client, "S", "PINNED", explicit(pinning)).await;
    for number in 0..3 {
        jetstream::publish(&client, &format!("s.{number}"), "x")
            .await
            .unwrap();
    }
    // As long as the test may take.
    let lasting = 600_000_000_000_u64;
    let _pulled = pull(&client, "PULL", json!({ "batch": 2, "expires": lasting })).await;
    let _waiting = pull(&client, "IDLE", json!({ "batch": 1, "expires": lasting })).await;
    let _pushed = client.subscribe("to.push").await.unwrap();
    let _pinned = pull(
        &client,
        "PINNED",
        json!({ "batch": 1, "expires": lasting, "group": "g" }),
    )
    .await;
    let limited = Progress {
        max_ack_pending: Some(7),
        ..Progress::default()
    };
    let pulled = Progress {
        delivered: 2,
        pending: 1,
        ack_pending: 2,
        ..limited.clone()
    };
    progress_of(&account, "PULL", pulled).await;
    progress_of(
        &account,
        "IDLE",
        Progress {
            waiting: 1,
            ..limited.clone()
        },
    )
    .await;
    progress_of(
        &account,
        "PUSH",
        Progress {
            push_bound: true,
            ..limited.clone()
        },
    )
    .await;
    let paused = Progress {
        paused: true,
        pending: 3,
        ..limited
    };
    progress_of(&account, "PAUSED", paused).await;

    let observer = SystemObserver::start(system_config(&system), INTERVAL);
    let tenant = TenantObserver::start(account, INTERVAL);
    let as_used = |view: &AccountView| {
        let stream = view.stream(&StreamName::from("S"));
        let consumers = stream.map(|stream| stream.consumers.iter()).into_iter().flatten();
        let seen: Vec<_> = consumers
            .map(|one| (one.name.as_str(), one.ack_pending, one.pinned))
            .collect();
        let expected = [
            ("IDLE", 0, false),
            ("PAUSED", 0, false),
            ("PINNED", 1, true),
            ("PULL", 2, false),
            ("PUSH", 0, false),
        ];
        view.gaps.is_empty() && seen == expected
    };
    view(&*observer, "APP", as_used).await;
    view(&*tenant, "APP", as_used).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrors_and_sources_are_seen_and_their_silence_grows_when_the_upstream_is_gone() {
    let layout = Layout::supercluster(&[("eu-west", 3), ("us-east", 1)]);
    let system = System::builder(layout).start().await.unwrap();
    let client = app(&system, "eu-west").await;
    let account = account_client(&system, "app").await;
    let up = json!({ "subjects": ["up"], "num_replicas": 1, "placement": { "cluster": "us-east" } });
    create_stream(&client, "UP", up).await;
    let here = json!({ "cluster": "eu-west" });
    let mirror = json!({ "num_replicas": 3, "placement": here, "mirror": { "name": "UP" } });
    create_stream(&client, "MIRROR", mirror).await;
    let other = json!({ "subjects": ["other"], "num_replicas": 1, "placement": here });
    create_stream(&client, "OTHER", other).await;
    let sourcing = json!({
        "num_replicas": 3, "placement": here,
        "sources": [{ "name": "UP", "filter_subject": "up" }, { "name": "OTHER" }],
    });
    create_stream(&client, "SOURCING", sourcing).await;
    let observer = SystemObserver::start(system_config(&system), INTERVAL);
    let tenant = TenantObserver::start(account.clone(), INTERVAL);
    let upstreams = |view: &AccountView, name: &str| {
        let stream = view.stream(&StreamName::from(name));
        stream.map(|stream| {
            stream
                .upstreams
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        })
    };
    let all = |view: &AccountView| {
        view.gaps.is_empty()
            && upstreams(view, "UP").is_some_and(|none| none.is_empty())
            && upstreams(view, "MIRROR").is_some_and(|one| one == ["UP"])
            && upstreams(view, "SOURCING").is_some_and(|two| two == ["OTHER", "UP"])
    };
    view(&*observer, "APP", all).await;
    view(&*tenant, "APP", all).await;

    let heard = |name: &'static str, wanted: fn(Duration) -> bool| {
        let account = &account;
        eventually(
            LIMIT,
            "the upstream was heard of as expected",
            move || async move {
                let reading = seen(account, &stream_asset(name)).await?;
                let up = reading.upstreams.iter().find(|one| one.stream.as_str() == "UP");
                let Some(Upstream {
                    last_active: Some(before),
                    ..
                }) = up
                else {
                    anyhow::bail!("{up:?}")
                };
                ensure!(wanted(*before), "{up:?}");
                Ok(())
            },
        )
    };
    let lately = |before: Duration| before < Duration::from_millis(2500);
    heard("MIRROR", lately).await.unwrap();
    heard("SOURCING", lately).await.unwrap();
    system.kill("us-east-0").await.unwrap();
    let not_lately = |before: Duration| before > Duration::from_millis(2500);
    heard("MIRROR", not_lately).await.unwrap();
    heard("SOURCING", not_lately).await.unwrap();
}
