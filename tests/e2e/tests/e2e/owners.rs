//! Streams that belong to objects of NACK: left alone, moved through their object, or moved all the same. With
//! `LEEWARD_NACK` the real controller keeps them.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use async_nats::Client;
use leeward_e2e::{CONVERGED, Stage, assets};
use leeward_lab::kube::Kind;
use leeward_lab::leeward::manifests::merged;
use leeward_lab::nack::{CRDS, Nack, NackMode, NackOptions};
use leeward_lab::nats::{Layout, System, eventually, jetstream};
use serde_json::{Value, json};

const HOME: &str = "us-east";
const AWAY: &str = "eu-west";

/// Streams away from home, each with an object that a controller keeps it by.
struct Owned {
    stage: Stage,
    client: Client,
    _apps: Vec<Client>,
    _nack: Nack,
}

impl Owned {
    async fn new(mode: NackMode, streams: &[(&str, Value)]) -> Self {
        let layout = Layout::supercluster(&[(HOME, 1), (AWAY, 1)]);
        let stage = Stage::new(System::builder(layout)).await.unwrap();
        stage.kube.kube().apply_crds(CRDS).await.unwrap();
        let apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
        let client = assets::client(&stage.system, AWAY).await.unwrap();
        for (name, over) in streams {
            assets::stream(&client, name, 1, json!({"placement": {"cluster": AWAY}}))
                .await
                .unwrap();
            let object = json!({
                "apiVersion": "jetstream.nats.io/v1beta2",
                "kind": "Stream",
                "metadata": {"namespace": stage.namespace, "name": name.to_lowercase()},
                "spec": {
                    "name": name, "subjects": [format!("{name}.>")], "replicas": 1, "storage": "file",
                    "placement": {"cluster": AWAY},
                },
            });
            stage.apply(&merged(object, over.clone())).await.unwrap();
        }
        let nack = Nack::start(NackOptions {
            mode,
            system: &stage.system,
            location: AWAY,
            namespace: &stage.namespace,
            objects: stage.kube.kube().objects().await.unwrap(),
            kubeconfig: stage.kube.kube().admin_kubeconfig(),
            folder: stage.kube.folder(),
        });
        let nack = nack.await.unwrap();
        stage.apply_system(json!({})).await.unwrap();
        let owned = Self {
            stage,
            client,
            _apps: apps,
            _nack: nack,
        };
        for (name, _) in streams {
            owned.is_ready(name).await;
        }
        owned
    }

    /// Its controller has carried the object out, as it is now.
    async fn is_ready(&self, stream: &str) -> Value {
        let name = stream.to_lowercase();
        let what = format!("{name} is ready");
        let ready = eventually(CONVERGED, &what, || async {
            let object = self.stage.get(Kind::NackStream, &name).await?;
            let status = &object["status"];
            ensure!(
                status["observedGeneration"] == object["metadata"]["generation"],
                "{status}"
            );
            ensure!(status["conditions"][0]["status"] == "True", "{status}");
            Ok(object)
        });
        ready.await.unwrap()
    }

    async fn enforce(&mut self, on_managed: &str) {
        let policy = json!({
            "actions": {"streamPlacement": {"onManagedStream": on_managed}},
            "disruption": {"cooldown": "0s"},
        });
        self.stage.apply_policy("orders", policy).await.unwrap();
        if self.stage.operator.is_none() {
            self.stage.start_operator().await.unwrap();
        }
    }

    /// Lets the operator patch objects of NACK, as the chart does with `rbac.patchOwners`.
    async fn let_patch(&self) {
        let namespace = &self.stage.namespace;
        let rights = leeward_lab::leeward::manifests::rbac_that_patches(namespace).unwrap();
        self.stage.kube.kube().apply(&rights).await.unwrap();
    }

    async fn is_led_from_home(&self, stream: &str) {
        let what = format!("{stream} is led from home");
        let led = eventually(CONVERGED, &what, || async {
            let leader = jetstream::leader_of(&self.client, stream).await?;
            let leader = leader.context("it has no leader")?;
            ensure!(assets::location(&leader) == HOME, "{leader}");
            Ok(())
        });
        led.await.unwrap();
    }

    async fn placement(&self, stream: &str) -> Value {
        let info = jetstream::stream_info(&self.client, stream).await.unwrap();
        info["config"]["placement"].clone()
    }

    /// The findings that are there once each stream that is named has this reason, by their streams.
    async fn held(&self, wanted: &[(&str, &str)]) -> BTreeMap<String, String> {
        let held = self.stage.await_policy("orders", "streams are held", |policy| {
            let findings = policy["status"]["findings"].as_array().context("no findings")?;
            for (stream, reason) in wanted {
                let of = |finding: &&Value| finding["stream"] == **stream && finding["reason"] == **reason;
                ensure!(findings.iter().any(|finding| of(&finding)), "{findings:#?}");
            }
            let text = |finding: &Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
            let all = findings.iter();
            Ok(all
                .map(|finding| (text(finding, "stream"), text(finding, "message")))
                .collect())
        });
        held.await.unwrap()
    }

    /// What was asked for in NATS and Kubernetes, by the audit trail.
    fn acts(&mut self) -> Vec<Value> {
        self.stage.operator().unwrap().audit_trail().unwrap()
    }
}

/// What an object says of its placement: the real NACK writes `null` into fields that it does not set.
fn without_nulls(placement: &Value) -> Value {
    let mut said = placement.as_object().unwrap().clone();
    said.retain(|_, value| !value.is_null());
    Value::Object(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_an_object_is_left_alone_and_the_finding_says_what_to_write_there() {
    let mut owned = Owned::new(NackMode::ControlLoop, &[("OWNED", json!({}))]).await;
    owned.enforce("Skip").await;
    let held = owned.held(&[("OWNED", "ManagedElsewhere")]).await;
    let message = &held["OWNED"];
    let object = format!("Stream {}/owned", owned.stage.namespace);
    assert!(message.contains(&object), "{message}");
    assert!(
        message.contains(r#"write {"cluster":"us-east"} into its spec.placement"#),
        "{message}"
    );
    assets::looks(&owned.stage, "orders", 2).await.unwrap();
    assert_eq!(owned.placement("OWNED").await, json!({"cluster": AWAY}));
    assert!(owned.acts().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_moves_through_its_object_and_the_object_stays_ready() {
    for mode in [NackMode::Legacy, NackMode::ControlLoop] {
        let git = json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "shop:owned"}}});
        let mut owned = Owned::new(mode, &[("OWNED", json!({})), ("FROMGIT", git)]).await;
        owned.let_patch().await;
        owned.enforce("PatchOwner").await;
        owned.is_led_from_home("OWNED").await;
        let object = owned.is_ready("OWNED").await;
        assert_eq!(
            without_nulls(&object["spec"]["placement"]),
            json!({"cluster": HOME}),
            "{mode:?}"
        );
        let original = &object["metadata"]["annotations"]["leeward.dev/original-placement"];
        let original = serde_json::from_str(original.as_str().unwrap()).unwrap();
        assert_eq!(without_nulls(&original), json!({"cluster": AWAY}));
        let managers = object["metadata"]["managedFields"].as_array().unwrap();
        assert!(
            managers.iter().any(|entry| entry["manager"] == "leeward"),
            "{managers:#?}"
        );

        let held = owned.held(&[("FROMGIT", "ManagedElsewhere")]).await;
        let message = &held["FROMGIT"];
        for part in ["applied by Argo CD", r#"write {"cluster":"us-east"}"#] {
            assert!(message.contains(part), "{message}");
        }
        assets::looks(&owned.stage, "orders", 2).await.unwrap();
        assert_eq!(owned.placement("FROMGIT").await, json!({"cluster": AWAY}));
        let acts = owned.acts();
        assert_eq!(acts.len(), 1, "{acts:#?}");
        assert_eq!(acts[0]["result"], "Succeeded", "{acts:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_patch_the_cure_is_named_and_nothing_is_done() {
    let mut owned = Owned::new(NackMode::ControlLoop, &[("OWNED", json!({}))]).await;
    owned.enforce("PatchOwner").await;
    owned.held(&[("OWNED", "AttemptsExhausted")]).await;
    let acts = owned.acts();
    let detail = acts[0]["detail"].as_str().unwrap();
    assert!(detail.contains("rbac.patchOwners"), "{detail}");
    assert_eq!(owned.placement("OWNED").await, json!({"cluster": AWAY}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_the_owner_undoes_twice_is_contested() {
    let mut owned = Owned::new(NackMode::ControlLoop, &[("OWNED", json!({}))]).await;
    owned.enforce("Override").await;
    owned.held(&[("OWNED", "Contested")]).await;
    let object = owned.stage.get(Kind::NackStream, "owned").await.unwrap();
    assert_eq!(
        without_nulls(&object["spec"]["placement"]),
        json!({"cluster": AWAY})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_the_servers_refuse_leaves_the_object_as_it_was() {
    // Its controller fails for a reason that Leeward cannot see before.
    let mut owned = Owned::new(NackMode::ControlLoop, &[("OWNED", json!({}))]).await;
    owned.let_patch().await;
    let taken = json!({"spec": {"metadata": {"x".repeat(200_000): "too long"}}});
    owned
        .stage
        .kube
        .kube()
        .objects()
        .await
        .unwrap()
        .patch(&owned.stage.namespace, Kind::NackStream, "owned", &taken)
        .await
        .unwrap();
    owned.enforce("PatchOwner").await;
    owned.held(&[("OWNED", "AttemptsExhausted")]).await;
    let object = owned.stage.get(Kind::NackStream, "owned").await.unwrap();
    assert_eq!(
        without_nulls(&object["spec"]["placement"]),
        json!({"cluster": AWAY})
    );
    let annotations = &object["metadata"]["annotations"];
    assert!(
        annotations["leeward.dev/original-placement"].is_null(),
        "{annotations}"
    );
    assert_eq!(owned.placement("OWNED").await, json!({"cluster": AWAY}));
    let acts = owned.acts();
    let detail = acts[0]["detail"].as_str().unwrap();
    assert!(detail.contains("its controller failed"), "{detail}");
}
