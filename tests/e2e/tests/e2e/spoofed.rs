//! A client of the account answers STREAM.INFO in the servers' place: nothing that it says is written or believed, it is
//! named, and once it is gone everything comes home (P7, P9).

use anyhow::Context;
use async_nats::Client;
use leeward_e2e::cli::CommandLine;
use leeward_e2e::{CONVERGED, Stage, assets};
use leeward_lab::kube::Kind;
use leeward_lab::leeward::manifests;
use leeward_lab::nats::{
    DEFAULT_ACCOUNT, DEFAULT_USER, Layout, NatsVersion, Spoofer, System, SystemBuilder, eventually, jetstream,
};
use serde_json::{Value, json};

use crate::cli::policy;
use crate::wrong_side::{AWAY, HOME};

const VERSIONS: [NatsVersion; 2] = [NatsVersion::Newest, NatsVersion::V2_11];
/// Its configuration is forged.
const EDITED: &str = "EDITED";
/// It is said to be home already.
const LED: &str = "LED";
const STREAMS: [&str; 2] = [EDITED, LED];

fn two_clusters(version: NatsVersion) -> SystemBuilder {
    System::builder(Layout::supercluster(&[(HOME, 1), (AWAY, 1)])).version(version)
}

/// Streams away from their clients, and who answers for them.
struct Scene {
    admin: Client,
    _apps: Vec<Client>,
    before: Vec<Value>,
    spoofer: Option<Spoofer>,
}

impl Scene {
    async fn new(system: &System) -> Self {
        let admin = assets::client(system, AWAY).await.unwrap();
        let mut infos = Vec::new();
        for stream in STREAMS {
            let away = json!({"placement": {"cluster": AWAY}, "metadata": {"team": stream}});
            infos.push(assets::stream(&admin, stream, 1, away).await.unwrap());
            jetstream::publish(&admin, &format!("{stream}.new"), "kept")
                .await
                .unwrap();
        }
        let home = &system.servers_in(HOME)[0];
        infos[0]["config"]["max_msgs"] = json!(1);
        infos[0]["config"]["description"] = json!("forged");
        infos[1]["cluster"]["leader"] = json!(home);
        infos[1]["cluster"]["name"] = json!(HOME);
        let credentials = system.credentials(DEFAULT_ACCOUNT, DEFAULT_USER).unwrap();
        let mut spoofer = Spoofer::connect(system, home, credentials).await.unwrap();
        for (stream, info) in STREAMS.iter().zip(infos) {
            let subject = format!("$JS.API.STREAM.INFO.{stream}");
            spoofer.answer(&subject, info.to_string()).await.unwrap();
        }
        let before = listed(&admin).await.iter().map(without_placement).collect();
        Self {
            _apps: assets::clients(system, HOME, 7).await.unwrap(),
            admin,
            before,
            spoofer: Some(spoofer),
        }
    }

    fn end_the_spoofer(&mut self) {
        let spoofer = self.spoofer.take().unwrap();
        assert!(spoofer.answered() > 0);
    }

    /// The streams lie in a cluster, and nothing but their placement ever changed.
    async fn assert_unforged(&self, cluster: &str) {
        let listed = listed(&self.admin).await;
        let configs: Vec<Value> = listed.iter().map(without_placement).collect();
        assert_eq!(configs, self.before);
        for stream in &listed {
            assert_eq!(stream["state"]["messages"], 1, "{stream}");
            assert_eq!(stream["config"]["placement"]["cluster"], cluster, "{stream}");
            assert_eq!(stream["cluster"]["name"], cluster, "{stream}");
        }
    }
}

/// Every stream as the servers list it, which nobody forges here.
async fn listed(admin: &Client) -> Vec<Value> {
    eventually(CONVERGED, "the streams are listed", || async {
        let list = jetstream::request(admin, "$JS.API.STREAM.LIST", &Value::Null).await?;
        let listed = list["streams"].as_array().cloned().unwrap_or_default();
        let one = |stream: &&str| {
            listed
                .iter()
                .find(|one| one["config"]["name"] == **stream)
                .cloned()
        };
        let all: Option<Vec<Value>> = STREAMS.iter().map(one).collect();
        all.with_context(|| format!("{list}"))
    })
    .await
    .unwrap()
}

fn without_placement(stream: &Value) -> Value {
    manifests::merged(stream["config"].clone(), json!({"placement": null}))
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_p9_the_operator_writes_nothing_that_a_client_of_the_account_says_and_names_it() {
    for version in VERSIONS {
        let mut stage = Stage::new(two_clusters(version)).await.unwrap();
        let mut scene = Scene::new(&stage.system).await;
        stage.apply_system(json!({})).await.unwrap();
        let disruption = json!({"disruption": {"cooldown": "1s", "maxAttempts": 100}});
        stage.apply_policy("orders", disruption).await.unwrap();
        stage.start_operator().await.unwrap();
        for stream in STREAMS {
            let what = format!("an event names {stream}");
            let named = eventually(CONVERGED, &what, || async {
                let events = stage.list(Kind::Event).await?;
                let named = |event: &&Value| {
                    let note = event["note"].as_str().unwrap_or_default();
                    event["reason"] == "AnswersDiffer" && note.contains(stream)
                };
                let found = events.iter().find(named).context("there is none")?;
                Ok(found["note"].to_string())
            });
            let named = named.await.unwrap();
            assert!(named.contains("in the servers' place"), "{version:?}: {named}");
        }
        assets::looks(&stage, "orders", 3).await.unwrap();
        let status = stage.policy("orders").await.unwrap()["status"].clone();
        let actions = status["recentActions"].as_array().cloned().unwrap_or_default();
        assert!(
            actions.iter().all(|action| action["reason"] == "AnswersDiffer"),
            "{actions:#?}"
        );
        assert_eq!(
            status["inPlace"], "0/2",
            "one may be held while it cools down: {status:#}"
        );
        scene.assert_unforged(AWAY).await;

        scene.end_the_spoofer();
        stage
            .await_reason("orders", "InPlace", "AllInPlace")
            .await
            .unwrap();
        scene.assert_unforged(HOME).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_p9_apply_writes_nothing_that_a_client_of_the_account_says_and_ends_with_2() {
    for version in VERSIONS {
        let system = two_clusters(version).start().await.unwrap();
        let mut scene = Scene::new(&system).await;
        let leeward = CommandLine::new(&system, HOME).await.unwrap();
        let file = leeward.file("policy.yaml", &policy("orders", json!({}))).unwrap();
        let leeward = leeward.arguments(&["--wait", "1m", "--filename", &file, "--sample", "0s"]);
        let ended = leeward
            .run(&["apply", "--yes"])
            .await
            .unwrap()
            .with_code(2)
            .unwrap();
        let lines: Vec<&str> = ended
            .err
            .lines()
            .filter(|line| line.starts_with("failed"))
            .collect();
        for stream in STREAMS {
            let named = |line: &&str| line.contains(stream) && line.contains("in the servers' place");
            assert!(lines.iter().any(named), "{version:?}: {}", ended.err);
        }
        scene.assert_unforged(AWAY).await;

        scene.end_the_spoofer();
        leeward
            .run(&["apply", "--yes"])
            .await
            .unwrap()
            .with_code(0)
            .unwrap();
        scene.assert_unforged(HOME).await;
    }
}
