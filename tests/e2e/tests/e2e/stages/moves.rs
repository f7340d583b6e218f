//! The operator killed at each stage of a move: the same move is watched to its end, and none is asked for twice (P10).

use std::time::Duration;

use anyhow::ensure;
use async_nats::{Client, Subscriber};
use futures::{FutureExt, StreamExt};
use leeward_e2e::{CONVERGED, Stage, assets};
use leeward_lab::audit::{Audit, AuditedRequest};
use leeward_lab::load::Load;
use leeward_lab::nats::{Layout, System, eventually, jetstream};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{all_in_place, assert_under_way, assert_whole, config, keep_some, recorded, until, work};
use crate::wrong_side::{AWAY, HOME, assert_led_from};

/// The moment of the kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// The status shows the operation.
    Recorded,
    /// The edit is on its way.
    Requested,
    /// Members at home are there and lack data.
    Copying,
    /// A server at home leads.
    Led,
    /// Everything is there; a consumer is watched for whether it goes on.
    Verifying,
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_killed_at_any_stage_of_a_move_it_edits_once_and_loses_nothing() {
    let mut scene = MovesScene::start().await;
    let stages = [At::Requested, At::Copying, At::Led, At::Verifying, At::Recorded];
    for (number, at) in stages.into_iter().enumerate() {
        let stream = format!("M{number}");
        scene.move_until(at, &stream).await;
        scene.stage.operator().unwrap().kill().await.unwrap();
        let status = scene.stage.policy("orders").await.unwrap()["status"].clone();
        assert_under_way(&status, &stream, None);
        scene.stage.restart_operator().await.unwrap();
        scene.home().await;
        println!("{at:?}: {stream} is home");
    }
    scene.end().await;
}

/// Streams in use, which move one after the other.
pub(super) struct MovesScene {
    pub(super) stage: Stage,
    pub(super) client: Client,
    pub(super) audit: Audit,
    system: Client,
    edits: Subscriber,
    load: Load,
    /// Each stream, and its configuration before it moved.
    configs: Vec<(String, Value)>,
    _apps: Vec<Client>,
}

impl MovesScene {
    pub(super) async fn start() -> Self {
        let layout = Layout::supercluster(&[(HOME, 3), (AWAY, 3)]);
        let builder = System::builder(layout).delay(Duration::from_millis(10));
        let stage = Stage::new(builder).await.unwrap();
        let apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
        let client = assets::client(&stage.system, AWAY).await.unwrap();
        let audit = Audit::start(&stage.system, &client).await.unwrap();
        // The audit tells of one edit again and again while the servers carry it out; the system account sees requests.
        let system = stage.system.system_client().await.unwrap();
        let edits = system.subscribe("$JS.API.STREAM.UPDATE.*").await.unwrap();
        system.flush().await.unwrap();
        stage.apply_system(json!({})).await.unwrap();
        let policy = json!({"disruption": {"maxConcurrent": 1, "cooldown": "1m"}});
        stage.apply_policy("orders", policy).await.unwrap();
        Self {
            stage,
            client,
            audit,
            system,
            edits,
            load: Load::new(),
            configs: Vec::new(),
            _apps: apps,
        }
    }

    /// Creates a stream away from home, starts the operator, and waits until its move has come so far.
    pub(super) async fn move_until(&mut self, at: At, stream: &str) {
        create(&self.client, stream).await;
        keep_some(&self.client, stream).await;
        work(&mut self.load, &self.stage.system, stream).await;
        let before = config(&self.client, stream).await;
        self.configs.push((stream.to_owned(), before));
        let signs = Signs::watch(&self.stage, &self.client, &self.system, stream).await;
        self.stage.start_operator().await.unwrap();
        signs.reach(at, &self.client, stream).await;
    }

    /// Waits until all streams so far are home, and stops the operator.
    pub(super) async fn home(&mut self) {
        all_in_place(&self.stage, self.configs.len()).await;
        assert_led_from(&self.stage, HOME).await;
        let stopped = self.stage.operator().unwrap().stop().await.unwrap();
        assert_eq!(stopped, Some(0));
    }

    /// Each stream was edited once, in its placement only, and nothing was lost.
    pub(super) async fn end(mut self) {
        self.system.flush().await.unwrap();
        let mut edited = Vec::new();
        while let Some(Some(edit)) = self.edits.next().now_or_never() {
            edited.push(edit.subject.to_string());
        }
        let streams = || self.configs.iter().map(|(stream, _)| stream.as_str());
        let once: Vec<String> = streams()
            .map(|stream| format!("$JS.API.STREAM.UPDATE.{stream}"))
            .collect();
        assert_eq!(edited, once);
        let others = self.audit.leeward_writes().into_iter();
        let others: Vec<_> = others
            .filter(|request| !request.subject.contains(".UPDATE."))
            .collect();
        let is_transfer = |request: &AuditedRequest| request.subject.contains(".LEADER.STEPDOWN.");
        assert!(others.iter().all(is_transfer), "{others:?}");
        for (stream, before) in &self.configs {
            assert_only_placed_elsewhere(stream, before, &config(&self.client, stream).await);
        }
        assert_whole(self.load, &self.client, streams()).await;
    }
}

fn assert_only_placed_elsewhere(stream: &str, before: &Value, after: &Value) {
    assert_eq!(after["placement"], json!({"cluster": HOME}), "{stream}");
    let mut expected = before.clone();
    expected["placement"] = after["placement"].clone();
    assert_eq!(after, &expected, "{stream}");
}

async fn create(client: &Client, stream: &str) {
    let away = json!({"placement": {"cluster": AWAY}, "description": "kept \"as it is\""});
    assets::stream(client, stream, 3, away).await.unwrap();
    for consumer in super::CONSUMERS {
        assets::consumer(client, stream, consumer, json!({}))
            .await
            .unwrap();
    }
    let half_a_mebibyte = vec![b'x'; 512 * 1024];
    for _ in 0..40 {
        jetstream::publish(client, &format!("{stream}.old"), half_a_mebibyte.clone())
            .await
            .unwrap();
    }
    assets::settled(client, stream, 3).await.unwrap();
}

/// What tells how far a move has come.
struct Signs {
    recorded: JoinHandle<anyhow::Result<()>>,
    edits: Subscriber,
}

impl Signs {
    async fn watch(stage: &Stage, client: &Client, system: &Client, stream: &str) -> Self {
        let edits = system.subscribe("$JS.API.STREAM.UPDATE.*").await.unwrap();
        system.flush().await.unwrap();
        client.flush().await.unwrap();
        let recorded = recorded(stage, stream);
        Self { recorded, edits }
    }

    async fn reach(mut self, at: At, client: &Client, stream: &str) {
        if at == At::Recorded {
            return self.recorded.await.unwrap().unwrap();
        }
        self.recorded.abort();
        until(&mut self.edits, &format!(".UPDATE.{stream}")).await;
        let come_so_far = async || -> anyhow::Result<()> {
            let info = jetstream::stream_info(client, stream).await?;
            let leader = info["cluster"]["leader"].as_str().unwrap_or_default();
            let members = info["cluster"]["replicas"].as_array().cloned();
            let members = members.unwrap_or_default();
            let at_home = |name: &Value| name.as_str().is_some_and(|name| name.starts_with(HOME));
            let lacking = |member: &Value| at_home(&member["name"]) && member["current"] != true;
            match at {
                At::Recorded | At::Requested => {}
                At::Copying => ensure!(members.iter().any(lacking), "nothing is copied: {info}"),
                At::Led => ensure!(leader.starts_with(HOME), "{leader} leads it"),
                At::Verifying => {
                    let all = members.iter().all(|member| at_home(&member["name"]));
                    ensure!(
                        all && members.len() == 2 && leader.starts_with(HOME),
                        "{leader} and {members:?}"
                    );
                    for consumer in super::CONSUMERS {
                        let leader = jetstream::leader_of_consumer(client, stream, consumer).await?;
                        ensure!(
                            leader.as_ref().is_some_and(|leader| leader.starts_with(HOME)),
                            "{consumer} is led by {leader:?}"
                        );
                    }
                }
            }
            Ok(())
        };
        eventually(CONVERGED, &format!("{at:?}"), come_so_far)
            .await
            .unwrap();
    }
}
