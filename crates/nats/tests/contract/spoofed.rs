//! A client of the account answers in the servers' place: nothing that decides is believed of it.

use std::sync::Arc;

use anyhow::ensure;
use leeward_core::names::{AssetName, ClusterName, ConsumerName, Location, ServerName, StreamName};
use leeward_core::operation::{AssetInfo, ReadResult};
use leeward_core::snapshot::Placement;
use leeward_core::target::MoveTarget;
use leeward_engine::ports::{Act, ActError};
use leeward_lab::nats::{AccountSpec, Layout, NatsVersion, Spoofer, System, UserSpec, eventually, jetstream};
use leeward_nats::{AccountClient, AccountInfo, AccountProblem, SystemObserver};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::act::{seen, stream_asset};
use crate::support::{
    INTERVAL, LIMIT, account_client, config, create_consumer, create_stream, permit, system_config, until,
    witnessed_client,
};

const VERSIONS: [NatsVersion; 4] = [
    NatsVersion::Newest,
    NatsVersion::V2_14,
    NatsVersion::V2_11,
    NatsVersion::V2_10,
];
const USER_INFO: &str = "$SYS.REQ.USER.INFO";

fn account(name: &str) -> AccountSpec {
    AccountSpec::new(name).user(UserSpec::new("app"))
}

fn forged_user_info() -> String {
    json!({
        "server": { "name": "us-east-0", "id": "N", "ver": "2.15.1" },
        "data": { "user": "app", "account": "VICTIM", "account_name": "VICTIM" },
    })
    .to_string()
}

/// What became known of the user's account.
async fn learnt(client: &AccountClient) -> Result<AccountInfo, String> {
    let (mut account, mut problem) = (client.account(), client.account_problem());
    let told = |problem: &Option<AccountProblem>| matches!(problem, Some(AccountProblem::Unconfirmed { .. }));
    let known = async {
        tokio::select! {
            Ok(info) = account.wait_for(Option::is_some) => Ok(info.clone().unwrap()),
            Ok(problem) = problem.wait_for(told) => Err(problem.clone().unwrap()),
        }
    };
    let known = tokio::time::timeout(LIMIT, known).await.unwrap();
    known.map_err(|problem| match problem {
        AccountProblem::Unconfirmed { message } => message,
        other => panic!("{other:?}"),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn p11_an_account_is_not_what_a_client_of_it_says() {
    for version in VERSIONS {
        let certain = account("CERTAIN").mapping(USER_INFO, "forged.user.info");
        let builder = System::builder(Layout::supercluster(&[("us-east", 1)]))
            .account(account("TENANT"))
            .account(certain)
            .account(account("VICTIM"));
        let system = builder.version(version).start().await.unwrap();
        let observer = SystemObserver::start(system_config(&system), INTERVAL);
        until(&mut observer.status(), |status| status.observed_at.is_some()).await;
        let connect = |account: &str| {
            let config = config(&system, "us-east", system.credentials(account, "app").unwrap());
            AccountClient::connect_witnessed(config, None, observer.witness())
        };
        for account in ["TENANT", "VICTIM"] {
            let info = learnt(&connect(account)).await.unwrap();
            assert_eq!(
                (info.id.as_str(), info.name.as_str()),
                (account, account),
                "{version:?}"
            );
        }

        let mut spoofers = Vec::new();
        for (account, subject) in [("TENANT", USER_INFO), ("CERTAIN", "forged.user.info")] {
            let credentials = system.credentials(account, "app").unwrap();
            let mut spoofer = Spoofer::connect(&system, "us-east-0", credentials).await.unwrap();
            spoofer.answer(subject, forged_user_info()).await.unwrap();
            spoofers.push(spoofer);
        }
        for account in ["TENANT", "CERTAIN"] {
            let info = learnt(&connect(account)).await.unwrap();
            assert_eq!(info.id.as_str(), account, "{version:?}");
        }
        let tenant = config(&system, "us-east", system.credentials("TENANT", "app").unwrap());
        let said = learnt(&AccountClient::connect(tenant, None)).await.unwrap_err();
        assert!(said.contains("2 times"), "{version:?} {said}");
        assert!(spoofers[0].answered() > 0);
    }
}

/// A stream far from where requests are made, in an account that keeps INFO for S from the servers.
struct Scene {
    system: System,
    admin: async_nats::Client,
}

impl Scene {
    async fn new(version: NatsVersion) -> Self {
        let account = account("APP").mapping("$JS.API.STREAM.INFO.S", "forged.S");
        let layout = Layout::supercluster(&[("us-east", 1), ("eu-west", 1)]);
        let builder = System::builder(layout).account(account).version(version);
        let system = builder.start().await.unwrap();
        let credentials = system.credentials("APP", "app").unwrap();
        let admin = system.connect("us-east", credentials).await.unwrap();
        for stream in ["S", "T"] {
            let config =
                json!({ "subjects": [stream], "num_replicas": 1, "placement": { "cluster": "eu-west" } });
            create_stream(&admin, stream, config).await;
            for _ in 0..8 {
                jetstream::publish(&admin, stream, "x").await.unwrap();
            }
        }
        Self { system, admin }
    }

    /// A stream as the servers list it, which nobody forges here.
    async fn listed(&self, stream: &str) -> Value {
        let found = eventually(LIMIT, "the stream is listed", || async {
            let list = jetstream::request(&self.admin, "$JS.API.STREAM.LIST", &Value::Null).await?;
            let streams = list["streams"].as_array().cloned().unwrap_or_default();
            let found = streams.into_iter().find(|one| one["config"]["name"] == stream);
            found.ok_or_else(|| anyhow::anyhow!("{list}"))
        });
        found.await.unwrap()
    }

    async fn spoofer(&self) -> Spoofer {
        let credentials = self.system.credentials("APP", "app").unwrap();
        Spoofer::connect(&self.system, "us-east-0", credentials)
            .await
            .unwrap()
    }
}

fn to_us_east() -> MoveTarget {
    let placement = |cluster: &str| Placement {
        cluster: Some(ClusterName::from(cluster)),
        tags: Vec::new(),
    };
    MoveTarget {
        location: Location::from("us-east"),
        placement: placement("us-east"),
        replaces: Some(placement("eu-west")),
        servers: vec![ServerName::from("us-east-0")],
        owner: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_configuration_that_a_client_of_the_account_hands_out_is_never_written() {
    for version in VERSIONS {
        let scene = Scene::new(version).await;
        let mut spoofer = scene.spoofer().await;
        for (stream, subject) in [("S", "forged.S"), ("T", "$JS.API.STREAM.INFO.T")] {
            let mut forged = scene.listed(stream).await;
            forged["config"]["max_msgs"] = json!(1);
            forged["config"]["description"] = json!("PWNED");
            spoofer.answer(subject, forged.to_string()).await.unwrap();
        }
        let (client, _observer) = witnessed_client(&scene.system, "app").await;
        // Without a witness only the second answer gives it away.
        let alone = account_client(&scene.system, "app").await;
        until(&mut alone.account(), Option::is_some).await;
        for (client, streams) in [(&client, vec!["S", "T"]), (&alone, vec!["T"])] {
            for stream in streams {
                let (name, to) = (StreamName::from(stream), to_us_east());
                let refused = eventually(LIMIT, "the edit is refused", || async {
                    let refused = client.place(permit(), &name, &to).await.unwrap_err();
                    ensure!(matches!(refused, ActError::AnswersDiffer { .. }), "{refused:?}");
                    Ok(refused)
                })
                .await
                .unwrap();
                assert!(!refused.may_have_acted(), "{refused}");
                let kept = scene.listed(stream).await;
                let config = &kept["config"];
                assert_eq!(
                    (
                        &config["max_msgs"],
                        &config["description"],
                        &config["placement"]["cluster"]
                    ),
                    (&json!(-1), &Value::Null, &json!("eu-west")),
                    "{version:?} {stream}"
                );
                assert_eq!(kept["state"]["messages"], 8, "{version:?} {stream}");
            }
        }
    }
}

async fn confirmed(client: &AccountClient, asset: &AssetName, reading: &AssetInfo) -> Option<AssetInfo> {
    match client.confirm(asset, reading, Instant::now()).await {
        Ok(Some(ReadResult::Seen(reading))) => Some(reading),
        Ok(Some(ReadResult::Gone | ReadResult::Unanswered)) | Err(ActError::AnswersDiffer { .. }) => None,
        Ok(None) => panic!("there is a witness"),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_p9_a_leader_that_a_client_of_the_account_names_is_not_confirmed() {
    for version in VERSIONS {
        let layout = Layout::stretched(&[("us-east", 1), ("eu-west", 1), ("ap-south", 1)]);
        let account = account("APP").mapping("$JS.API.STREAM.INFO.S", "forged.S");
        let builder = System::builder(layout).account(account).version(version);
        let system = builder.start().await.unwrap();
        let admin = system
            .connect("us-east", system.credentials("APP", "app").unwrap())
            .await
            .unwrap();
        for stream in ["S", "T"] {
            create_stream(&admin, stream, json!({ "subjects": [stream], "num_replicas": 3 })).await;
            create_consumer(&admin, stream, "C", json!({ "ack_policy": "explicit" })).await;
        }
        let (client, _observer) = witnessed_client(&system, "app").await;
        let consumer = AssetName::consumer(StreamName::from("T"), ConsumerName::from("C"));
        for asset in [stream_asset("T"), consumer] {
            let (read, told) = eventually(LIMIT, "both say the same", || async {
                let read = seen(&client, &asset).await?;
                ensure!(read.leader.is_some() && read.peers.len() == 3, "{read:?}");
                let told = confirmed(&client, &asset, &read).await;
                let told = told.ok_or_else(|| anyhow::anyhow!("not confirmed"))?;
                ensure!(told.peers.iter().all(|peer| peer.current), "{told:?}");
                Ok((read, told))
            })
            .await
            .unwrap();
            let names = |reading: &AssetInfo| -> Vec<ServerName> {
                reading.peers.iter().map(|peer| peer.server.clone()).collect()
            };
            assert_eq!(
                (&told.leader, names(&told)),
                (&read.leader, names(&read)),
                "{version:?}"
            );
            assert_eq!(
                (told.replicas, &told.progress),
                (read.replicas, &read.progress),
                "{version:?}"
            );
            assert_eq!(told.placement, read.placement);
        }

        let mut forged = jetstream::stream_info(&admin, "T").await.unwrap();
        let leader = jetstream::leader_in(&forged).unwrap();
        let other = jetstream::peers_in(&forged)
            .into_iter()
            .find(|peer| *peer != leader)
            .unwrap();
        forged["cluster"]["leader"] = json!(other);
        for replica in forged["cluster"]["replicas"].as_array_mut().unwrap() {
            if replica["name"] == other.as_str() {
                replica["name"] = json!(leader);
            }
        }
        forged["config"]["name"] = json!("S");
        let credentials = system.credentials("APP", "app").unwrap();
        let mut spoofer = Spoofer::connect(&system, "us-east-0", credentials).await.unwrap();
        spoofer.answer("forged.S", forged.to_string()).await.unwrap();
        for name in [other.as_str(), "no-such-server"] {
            let mut reading = seen(&client, &stream_asset("S")).await.unwrap();
            assert_eq!(
                reading.leader.as_ref().map(ServerName::as_str),
                Some(other.as_str()),
                "it is forged"
            );
            reading.leader = Some(ServerName::from(name));
            let told = client.confirm(&stream_asset("T"), &reading, Instant::now()).await;
            if name == other {
                assert!(
                    matches!(told, Err(ActError::AnswersDiffer { .. })),
                    "{version:?} {told:?}"
                );
            } else {
                assert_eq!(told, Ok(Some(ReadResult::Unanswered)), "{version:?}");
            }
        }
        let alone: Arc<AccountClient> = account_client(&system, "app").await;
        let reading = seen(&alone, &stream_asset("T")).await.unwrap();
        assert_eq!(
            alone.confirm(&stream_asset("T"), &reading, Instant::now()).await,
            Ok(None),
            "in tenant mode nothing can be"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_an_election_is_heard_of_from_the_servers_and_from_no_client_of_the_account() {
    for version in VERSIONS {
        let layout = Layout::stretched(&[("us-east", 1), ("eu-west", 1), ("ap-south", 1)]);
        let builder = System::builder(layout).account(account("APP")).version(version);
        let system = builder.start().await.unwrap();
        let admin = system
            .connect("us-east", system.credentials("APP", "app").unwrap())
            .await
            .unwrap();
        create_stream(&admin, "S", json!({ "subjects": ["S"], "num_replicas": 3 })).await;
        create_consumer(&admin, "S", "C", json!({ "ack_policy": "explicit" })).await;
        let (client, observer) = witnessed_client(&system, "app").await;
        until(&mut observer.status(), |status| status.gaps.is_empty()).await;
        let consumer = AssetName::consumer(StreamName::from("S"), ConsumerName::from("C"));
        for (asset, kind, name) in [(stream_asset("S"), "STREAM", "S"), (consumer, "CONSUMER", "S.C")] {
            let since = Instant::now();
            let forged = json!({
                "type": "io.nats.jetstream.advisory.v1.stream_leader_elected", "account": "APP",
                "stream": "S", "consumer": asset.consumer.as_ref().map(ConsumerName::as_str), "leader": "nobody",
            });
            let subject = format!("$JS.EVENT.ADVISORY.{kind}.LEADER_ELECTED.{name}");
            admin.publish(subject, forged.to_string().into()).await.unwrap();
            admin.flush().await.unwrap();
            let call = format!("$JS.API.{kind}.LEADER.STEPDOWN.{name}");
            let _ = jetstream::request_raw(&admin, &call, &Value::Null).await.unwrap();
            let elected = tokio::time::timeout(LIMIT, client.elected(&asset, since)).await;
            let elected = elected.unwrap();
            assert!(
                ["us-east-0", "eu-west-0", "ap-south-0"].contains(&elected.as_str()),
                "{version:?} {asset}: {elected}"
            );
            eventually(LIMIT, "it leads", || async {
                let leader = seen(&client, &asset).await?.leader;
                ensure!(
                    leader.as_ref() == Some(&elected),
                    "{leader:?}, and {elected} was elected"
                );
                Ok(())
            })
            .await
            .unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_what_a_client_of_the_account_calls_gone_is_not_gone_before_no_server_lists_it() {
    for version in VERSIONS {
        let scene = Scene::new(version).await;
        for stream in ["S", "T"] {
            create_consumer(&scene.admin, stream, "C", json!({ "ack_policy": "explicit" })).await;
        }
        let mut spoofer = scene.spoofer().await;
        let gone =
            |code: u32| json!({ "error": { "code": 404, "err_code": code, "description": "not found" } });
        spoofer.answer("forged.S", gone(10059).to_string()).await.unwrap();
        let (client, _observer) = witnessed_client(&scene.system, "app").await;
        let alone = account_client(&scene.system, "app").await;
        let consumer = |stream: &str| AssetName::consumer(StreamName::from(stream), ConsumerName::from("C"));
        for asset in [stream_asset("S"), consumer("S")] {
            assert_eq!(
                alone.read(&asset).await,
                Ok(ReadResult::Gone),
                "{version:?} {asset}"
            );
            let read = client.read(&asset).await;
            assert!(
                matches!(read, Err(ActError::AnswersDiffer { .. })),
                "{version:?} {asset} {read:?}"
            );
        }
        let placed = client
            .place(permit(), &StreamName::from("S"), &to_us_east())
            .await;
        assert!(
            matches!(placed, Err(ActError::AnswersDiffer { .. })),
            "{version:?} {placed:?}"
        );

        assert!(matches!(
            client.read(&consumer("T")).await,
            Ok(ReadResult::Seen(_))
        ));
        for (request, asset) in [
            ("$JS.API.CONSUMER.DELETE.T.C", consumer("T")),
            ("$JS.API.STREAM.DELETE.T", stream_asset("T")),
            ("$JS.API.STREAM.DELETE.S", stream_asset("S")),
        ] {
            jetstream::request(&scene.admin, request, &Value::Null)
                .await
                .unwrap();
            eventually(LIMIT, "it is gone", || async {
                let read = client.read(&asset).await?;
                ensure!(read == ReadResult::Gone, "{read:?}");
                Ok(())
            })
            .await
            .unwrap();
        }
    }
}
