//! Guards the promises of `nats`: what is asked for is what the servers report, links behave, and servers come back.

use std::time::{Duration, Instant};

use anyhow::ensure;
use async_nats::Client;
use leeward_lab::nats::gateways::{gateways_to, may_sleep};
use leeward_lab::nats::{
    AccountSpec, Auth, Credentials, Layout, NatsVersion, Permissions, SYSTEM_ACCOUNT, SYSTEM_USER, System,
    UserSpec, eventually, jetstream,
};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_mins(2);
const DELAY: Duration = Duration::from_millis(20);
/// Twice the delay, less what clocks may disagree on.
const ROUND_TRIP: Duration = Duration::from_millis(38);

async fn app_at(system: &System, location: &str) -> Client {
    system
        .connect(location, system.credentials("APP", "app").unwrap())
        .await
        .unwrap()
}

/// The shortest of a few acknowledged publishes: the others had to wait for this machine.
async fn fastest_ack(client: &Client, subject: &str) -> Duration {
    // The servers near the client may not know yet that somebody far away listens.
    let first = || jetstream::publish(client, subject, "first");
    eventually(LIMIT, "the stream takes messages", first)
        .await
        .unwrap();
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let begin = Instant::now();
        jetstream::publish(client, subject, "hello").await.unwrap();
        fastest = fastest.min(begin.elapsed());
    }
    fastest
}

#[tokio::test]
async fn a_supercluster_has_the_delay_that_was_asked_for_between_its_clusters_and_none_inside() {
    let layout = Layout::supercluster(&[("us-east", 3), ("eu-west", 3)]);
    let begin = Instant::now();
    let system = System::builder(layout).delay(DELAY).start().await.unwrap();
    println!("supercluster 2x3 ready after {:?}", begin.elapsed());
    assert_eq!(system.locations(), ["us-east", "eu-west"]);
    assert_eq!(
        system.servers_in("eu-west"),
        ["eu-west-0", "eu-west-1", "eu-west-2"]
    );
    for (from, to) in [("us-east", "eu-west"), ("eu-west", "us-east")] {
        let rtt = eventually(LIMIT, "a round trip time", || system.gateway_rtt(from, to))
            .await
            .unwrap();
        println!("gateway {from} -> {to}: {rtt:?}");
        assert!(rtt >= ROUND_TRIP, "{rtt:?}");
    }

    let gateways = gateways_to(&system, "us-east", "eu-west").await.unwrap();
    assert!(gateways.keys().all(|name| name.starts_with("eu-west-")));
    assert_eq!(
        gateways.values().sum::<usize>(),
        3,
        "one of each server: {gateways:?}"
    );
    let may_sleep = may_sleep(&system, "us-east", "eu-west").await.unwrap();
    let awake = gateways.iter().filter(|(name, _)| !may_sleep.contains(name));
    let reached: Vec<usize> = awake.map(|(_, count)| *count).collect();
    assert_eq!(reached, [*gateways.values().max().unwrap()]);

    let (near, far) = (app_at(&system, "us-east").await, app_at(&system, "eu-west").await);
    let config = json!({ "subjects": ["orders"], "num_replicas": 3, "placement": { "cluster": "us-east" } });
    let info = jetstream::create_stream(&near, "ORDERS", config).await.unwrap();
    assert_eq!(info["cluster"]["name"], "us-east");
    let (near_ack, far_ack) = (
        fastest_ack(&near, "orders").await,
        fastest_ack(&far, "orders").await,
    );
    println!("ack inside {near_ack:?}, across {far_ack:?}");
    assert!(
        far_ack >= ROUND_TRIP && near_ack < far_ack / 2,
        "{near_ack:?} {far_ack:?}"
    );

    system.wan().set_delay("eu-west", "us-east", DELAY * 3).unwrap();
    let slower_ack = fastest_ack(&far, "orders").await;
    assert!(
        slower_ack >= ROUND_TRIP * 3,
        "the delay can be changed while servers run: {slower_ack:?}"
    );

    // Another program sees the same.
    system.wan().set_delay_everywhere(Duration::ZERO);
    let context = system.nats_context("APP", "app", "eu-west").unwrap();
    let seen = system
        .nats_cli_text(&context, &["stream", "info", "ORDERS", "--json"])
        .await
        .unwrap();
    let seen: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen["state"]["messages"], 18);
}

#[tokio::test]
async fn a_stretched_cluster_is_fast_inside_a_region_and_slow_across() {
    let layout = Layout::stretched(&[("us-east", 3), ("eu-west", 3)]);
    let begin = Instant::now();
    let system = System::builder(layout).delay(DELAY).start().await.unwrap();
    println!("stretched 2x3 ready after {:?}", begin.elapsed());

    let near = app_at(&system, "us-east").await;
    let config = json!({ "subjects": ["s"], "num_replicas": 3, "placement": { "tags": ["region:us-east"] } });
    let info = jetstream::create_stream(&near, "S", config).await.unwrap();
    let peers = jetstream::peers_in(&info);
    assert!(
        peers.len() == 3 && peers.iter().all(|peer| peer.starts_with("us-east-")),
        "{peers:?}"
    );
    let far = app_at(&system, "eu-west").await;
    let (near_ack, far_ack) = (fastest_ack(&near, "s").await, fastest_ack(&far, "s").await);
    println!("ack inside {near_ack:?}, across {far_ack:?}");
    assert!(
        far_ack >= ROUND_TRIP && near_ack < far_ack / 2,
        "{near_ack:?} {far_ack:?}"
    );

    let names = system.server_names();
    for from in &names {
        for to in names.iter().filter(|to| *to != from) {
            let rtt = eventually(LIMIT, "a round trip time", || system.route_rtt(from, to))
                .await
                .unwrap();
            let across = system.location_of(from).unwrap() != system.location_of(to).unwrap();
            assert_eq!(rtt >= ROUND_TRIP, across, "{from} -> {to}: {rtt:?}");
        }
    }

    // A restart keeps the ports and the relays.
    let url = system.url("eu-west-1").unwrap();
    system.restart("eu-west-1").await.unwrap();
    system.ready(LIMIT).await.unwrap();
    assert_eq!(system.url("eu-west-1").unwrap(), url);
    let rtt = || system.route_rtt("eu-west-1", "us-east-1");
    assert!(eventually(LIMIT, "a round trip time", rtt).await.unwrap() >= ROUND_TRIP);
}

#[tokio::test]
async fn each_link_has_its_own_delay_and_can_be_cut_and_healed_alone() {
    let layout = Layout::supercluster(&[("a", 1), ("b", 1), ("c", 1)]);
    let system = System::builder(layout).start().await.unwrap();
    let wan = system.wan();
    let pairs = [("a", "b", 5), ("a", "c", 20), ("b", "c", 40)];
    for (one, other, millis) in pairs {
        wan.set_delay(one, other, Duration::from_millis(millis)).unwrap();
    }
    assert!(wan.set_delay("a", "nowhere", DELAY).is_err());
    for (one, other, millis) in pairs {
        let (asking, serving) = (app_at(&system, one).await, app_at(&system, other).await);
        let subject = format!("echo.{one}.{other}");
        let rtt = echo_round_trip(&asking, &serving, &subject).await;
        println!("{one} - {other}: {rtt:?}");
        assert!(
            rtt >= Duration::from_millis(2 * millis - 1),
            "{one} - {other}: {rtt:?}"
        );
    }

    wan.set_delay_everywhere(Duration::ZERO);
    wan.cut("b", "a").unwrap();
    // Asked from c: the servers at a and b no longer hear each other.
    let from_c = system
        .connect("c", system.system_credentials().unwrap())
        .await
        .unwrap();
    eventually(LIMIT, "a and b are separated, c reaches both", || async {
        let seen = leeward_lab::nats::ping(&from_c, "GATEWAYZ", &Value::Null, 3).await?;
        let outbound = |server: &str| -> Vec<String> {
            let found = seen
                .get(server)
                .and_then(|data| data["outbound_gateways"].as_object());
            found
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone())
                .collect()
        };
        let all = (outbound("a-0"), outbound("b-0"), outbound("c-0"));
        ensure!(all.0 == ["c"] && all.1 == ["c"] && all.2 == ["a", "b"], "{all:?}");
        Ok(())
    })
    .await
    .unwrap();

    wan.heal("a", "b").unwrap();
    system.ready(LIMIT).await.unwrap();
}

async fn echo_round_trip(asking: &Client, serving: &Client, subject: &str) -> Duration {
    use futures::StreamExt;
    let mut requests = serving.subscribe(subject.to_owned()).await.unwrap();
    serving.flush().await.unwrap();
    let answering = async {
        while let Some(request) = requests.next().await {
            serving.publish(request.reply.unwrap(), "".into()).await.unwrap();
        }
    };
    let asking = eventually(LIMIT, "an echo", || async {
        let begin = Instant::now();
        asking.request(subject.to_owned(), "".into()).await?;
        Ok(begin.elapsed())
    });
    tokio::select! {
        () = answering => panic!("the subscription has ended"),
        rtt = asking => rtt.unwrap(),
    }
}

#[tokio::test]
async fn a_killed_server_comes_back_in_its_place_with_its_streams() {
    let system = System::builder(Layout::supercluster(&[("a", 3)]))
        .start()
        .await
        .unwrap();
    let client = app_at(&system, "a").await;
    let config = json!({ "subjects": ["s"], "num_replicas": 3 });
    jetstream::create_stream(&client, "S", config).await.unwrap();
    // Other servers learn a moment later that somebody listens.
    eventually(LIMIT, "the stream takes messages", || {
        jetstream::publish(&client, "s", "before")
    })
    .await
    .unwrap();
    let leader = jetstream::leader_of(&client, "S").await.unwrap().unwrap();
    let (url, id) = (
        system.url(&leader).unwrap(),
        system.process_id(&leader).await.unwrap(),
    );

    system.kill(&leader).await.unwrap();
    assert!(
        system
            .connect_to(&leader, system.system_credentials().unwrap())
            .await
            .is_err()
    );
    let next = eventually(LIMIT, "another server leads", || async {
        let now = jetstream::leader_of(&client, "S").await?;
        now.filter(|name| *name != leader)
            .ok_or_else(|| anyhow::anyhow!("none yet"))
    })
    .await
    .unwrap();

    system.restart(&leader).await.unwrap();
    system.ready(LIMIT).await.unwrap();
    assert_eq!(system.url(&leader).unwrap(), url);
    assert_ne!(system.process_id(&leader).await.unwrap(), id);
    // A step-down in favour of a peer that has not caught up yet is answered with success and goes to another.
    eventually(LIMIT, "the restarted server leads again", || async {
        let now = jetstream::leader_of(&client, "S").await?;
        if now.as_ref() != Some(&leader) {
            jetstream::step_down(&client, "S", Some(&leader)).await?;
        }
        ensure!(
            now.as_ref() == Some(&leader),
            "{now:?} leads, before it was {next}"
        );
        Ok(())
    })
    .await
    .unwrap();
    let sequence = eventually(LIMIT, "the stream takes messages", || {
        jetstream::publish(&client, "s", "after")
    })
    .await;
    assert!(sequence.unwrap() >= 2);

    // Paused, the server keeps its connections but does not answer.
    system.pause(&leader).await.unwrap();
    let silent = system
        .connect_to(&leader, system.system_credentials().unwrap())
        .await;
    assert!(silent.is_err());
    system.resume(&leader).await.unwrap();
    system.ready(LIMIT).await.unwrap();
}

#[tokio::test]
async fn users_connect_with_jwts_over_tls_and_are_held_to_their_permissions() {
    let ship = AccountSpec::new("SHIP")
        .user(UserSpec::new("captain"))
        .user(UserSpec::limited(
            "passenger",
            Permissions::allow(&["talk"], &["_INBOX.>"]),
        ));
    let dry = AccountSpec::new("DRY")
        .user(UserSpec::new("walker"))
        .without_jetstream();
    let system = System::builder(Layout::supercluster(&[("a", 3)]))
        .auth(Auth::Operator)
        .tls()
        .account(ship)
        .account(dry)
        .start()
        .await
        .unwrap();
    assert!(system.urls("a").unwrap().starts_with("tls://127.0.0.1:"));
    assert!(system.ca_pem().unwrap().contains("BEGIN CERTIFICATE"));
    assert!(system.account_id("SHIP").unwrap().starts_with('A'));

    let captain = system.credentials("SHIP", "captain").unwrap();
    assert!(matches!(captain, Credentials::Creds(_)));
    let client = system.connect("a", captain).await.unwrap();
    let config = json!({ "subjects": ["s"], "num_replicas": 3 });
    jetstream::create_stream(&client, "S", config).await.unwrap();
    jetstream::create_consumer(&client, "S", "C", json!({ "ack_policy": "explicit" }))
        .await
        .unwrap();
    let leader = eventually(LIMIT, "a consumer leader", || async {
        jetstream::leader_of_consumer(&client, "S", "C")
            .await?
            .ok_or_else(|| anyhow::anyhow!("none yet"))
    });
    assert!(system.server_names().contains(&leader.await.unwrap()));

    let passenger = system
        .connect("a", system.credentials("SHIP", "passenger").unwrap())
        .await
        .unwrap();
    let refused = passenger.request("$JS.API.STREAM.INFO.S", "".into());
    assert!(
        tokio::time::timeout(Duration::from_millis(300), refused)
            .await
            .is_err()
    );
    let walker = system
        .connect("a", system.credentials("DRY", "walker").unwrap())
        .await
        .unwrap();
    let without_jetstream = jetstream::request(&walker, "$JS.API.STREAM.INFO.S", &Value::Null);
    assert!(without_jetstream.await.is_err());

    let context = system.nats_context("SHIP", "captain", "a").unwrap();
    assert!(
        system
            .nats_cli_text(&context, &["stream", "ls", "--names"])
            .await
            .unwrap()
            .contains('S')
    );
    let context = system.nats_context(SYSTEM_ACCOUNT, SYSTEM_USER, "a").unwrap();
    // The command takes what arrives within a moment.
    eventually(LIMIT, "all servers are listed", || async {
        let list = system.nats_cli_text(&context, &["server", "ls", "3"]).await?;
        ensure!(list.contains("a-2"), "{list}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn servers_have_the_versions_and_tags_that_were_asked_for() {
    let limited = UserSpec::limited(
        "looker",
        Permissions::allow(&["$SYS.REQ.SERVER.PING.STATSZ"], &["_INBOX.>"]),
    );
    let system = System::builder(Layout::supercluster(&[("a", 3)]).tag("ocean:atlantic"))
        .server_version("a-1", NatsVersion::V2_11)
        .server_version("a-2", NatsVersion::V2_10)
        .server_tag("a-1", "az:one")
        .system_user(limited)
        .monitoring()
        .start()
        .await
        .unwrap();
    assert_eq!(system.version("a-2").await.unwrap(), NatsVersion::V2_10);
    let looker = system.credentials(SYSTEM_ACCOUNT, "looker").unwrap();
    let client = system.connect_to("a-2", looker).await.unwrap();
    assert!(client.server_info().version.starts_with("2.10."));

    let varz = system.ping("VARZ", &Value::Null).await.unwrap();
    assert!(
        varz["a-1"]["version"].as_str().unwrap().starts_with("2.11."),
        "{}",
        varz["a-1"]["version"]
    );
    assert_eq!(varz["a-0"]["tags"], json!(["ocean:atlantic"]));
    assert_eq!(varz["a-1"]["tags"], json!(["ocean:atlantic", "az:one"]));
    assert!(system.monitoring_url("a-0").unwrap().is_some());

    system.restart_as("a-2", NatsVersion::Newest).await.unwrap();
    system.ready(LIMIT).await.unwrap();
    let varz = system.ping("VARZ", &Value::Null).await.unwrap();
    assert_eq!(varz["a-2"]["version"], varz["a-0"]["version"]);
}

#[tokio::test]
async fn a_server_alone_runs_jetstream_without_a_cluster() {
    let begin = Instant::now();
    let system = System::builder(Layout::supercluster(&[("a", 1)]))
        .start()
        .await
        .unwrap();
    println!("one server ready after {:?}", begin.elapsed());
    let client = app_at(&system, "a").await;
    jetstream::create_stream(&client, "S", json!({ "subjects": ["s"] }))
        .await
        .unwrap();
    assert_eq!(jetstream::publish(&client, "s", "hello").await.unwrap(), 1);
}
