//! Least privilege: what each right of the chart's Roles is for, and what none of them gives.

use std::collections::BTreeSet;

use anyhow::ensure;
use leeward_e2e::{CONVERGED, Stage, assets};
use leeward_lab::kube::Kind;
use leeward_lab::leeward::{Operator, manifests};
use leeward_lab::nats::eventually;
use serde_json::{Value, json};

use crate::wrong_side::{AWAY, HOME, by_region, three_servers};

/// How somebody learns that a right is missing.
enum Sign {
    /// A line of the log has all of these texts.
    Log(&'static [&'static str]),
    /// It is not ready, and a line of the log has all of these texts.
    Unready(&'static [&'static str]),
    /// A line of the log has all of these texts, once a leader was brought home and went away again.
    Again(&'static [&'static str]),
    /// The policy's condition `ResolvedRefs` has this reason and text.
    Refs(&'static str, &'static str),
    /// A line of the log has this text, once a policy proposes.
    Proposed(&'static str),
    /// A line of the log has this text, once a plan's name is taken by another object.
    Taken(&'static str),
}

/// What breaks without a verb on a resource.
fn sign_without(resource: &str, verb: &str) -> Sign {
    match (resource, verb) {
        ("natssystems", "get") => Sign::Log(&["does not let Leeward get NatsSystem"]),
        ("natssystems", "list") => {
            Sign::Unready(&["watch failed, trying again", "cannot list", "natssystems"])
        }
        ("natssystems", "watch") => Sign::Log(&["watch failed, trying again", "cannot watch", "natssystems"]),
        ("natssystems/status", "patch") => {
            Sign::Log(&["does not let Leeward patch the status of NatsSystem"])
        }
        ("placementpolicies", "get") => Sign::Log(&["does not let Leeward get PlacementPolicy"]),
        ("placementpolicies", "list") => {
            Sign::Unready(&["watch failed, trying again", "cannot list", "placementpolicies"])
        }
        ("placementpolicies", "watch") => {
            Sign::Log(&["watch failed, trying again", "cannot watch", "placementpolicies"])
        }
        ("placementpolicies/status", "patch") => {
            Sign::Log(&["does not let Leeward patch the status of PlacementPolicy"])
        }
        ("placementplans", "list") => {
            Sign::Log(&["watch failed, trying again", "cannot list", "placementplans"])
        }
        ("placementplans", "watch") => {
            Sign::Log(&["watch failed, trying again", "cannot watch", "placementplans"])
        }
        ("placementplans", "create") => Sign::Proposed("does not let Leeward create PlacementPlan"),
        ("placementplans", "delete") => Sign::Taken("does not let Leeward delete PlacementPlan"),
        ("placementplans/status", "patch") => {
            Sign::Proposed("does not let Leeward patch the status of PlacementPlan")
        }
        ("secrets", "get") => Sign::Refs("SecretNotFound", "Kubernetes does not let Leeward get Secret"),
        ("namespaces", "get") => Sign::Refs("RefNotPermitted", "grant get on namespaces"),
        ("events", "create") => Sign::Log(&["event could not be written", "cannot create"]),
        ("events", "patch") => Sign::Again(&["event could not be written", "cannot patch"]),
        ("streams", "list") => Sign::Log(&["NACK's objects could not be read", "list the Stream objects"]),
        ("keyvalues", "list") => {
            Sign::Log(&["NACK's objects could not be read", "list the KeyValue objects"])
        }
        ("objectstores", "list") => {
            Sign::Log(&["NACK's objects could not be read", "list the ObjectStore objects"])
        }
        ("leases", "list") => Sign::Log(&["may not list leases"]),
        ("leases", "create") => Sign::Log(&["may not create Lease"]),
        ("leases", "update") => Sign::Log(&["may not update Lease"]),
        _ => panic!("nobody knows what {verb} on {resource} is for: take it away, or say it here"),
    }
}

/// A namespace whose operator has the chart's rights to it alone.
struct Site {
    stage: Stage,
    objects: Vec<Value>,
    clients: Vec<async_nats::Client>,
}

impl Site {
    async fn new() -> Self {
        let stage = Stage::new(three_servers()).await.unwrap();
        let wide = format!("clusterrolebinding/leeward-{}", stage.namespace);
        stage.kubectl(&["delete", &wide]).await.unwrap();
        let text = manifests::rbac_for(&stage.namespace, &[&stage.namespace]).unwrap();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        assert!(
            objects.iter().all(|object| object["kind"] != "ClusterRole"),
            "{text}"
        );
        let clients = assets::clients(&stage.system, HOME, 7).await.unwrap();
        assets::stream(&clients[0], "ORDERS", 3, json!({})).await.unwrap();
        let site = Self {
            stage,
            objects,
            clients,
        };
        site.grant_all().await;
        let labels = json!({"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "orders"}}}});
        site.stage.apply_system(labels).await.unwrap();
        let label = ["label", "namespace", &site.stage.namespace, "team=orders"];
        site.stage.kubectl(&label).await.unwrap();
        site
    }

    async fn grant_all(&self) {
        for object in self.objects.iter().filter(|object| !object.is_null()) {
            self.stage.apply(object).await.unwrap();
        }
    }

    /// A new policy, without a past, and a new operator.
    async fn begin(&mut self) {
        let old = ["delete", "placementpolicy,placementplan,lease", "--all"];
        self.stage.operator = None;
        self.stage.kubectl(&old).await.unwrap();
        self.stage
            .apply_policy("orders", by_region(json!({})))
            .await
            .unwrap();
        self.stage.start_operator().await.unwrap();
    }

    async fn shows(&self, sign: &Sign) -> anyhow::Result<()> {
        let operator = self.stage.operator.as_ref().unwrap();
        match sign {
            Sign::Log(texts) => logged(operator, texts),
            Sign::Unready(texts) => {
                let (code, said) = operator.get("/readyz").await?;
                ensure!(code == 503, "{code}: {said}");
                logged(operator, texts)
            }
            Sign::Again(texts) => {
                assets::lead(&self.clients[0], "ORDERS", None, AWAY, true).await?;
                logged(operator, texts)
            }
            Sign::Refs(reason, text) => {
                let policy = self.stage.policy("orders").await?;
                let found = leeward_e2e::condition(&policy, "ResolvedRefs");
                let is = found
                    .as_ref()
                    .is_some_and(|(is, said)| is == reason && said.contains(text));
                ensure!(is, "{found:?}");
                Ok(())
            }
            Sign::Proposed(text) => {
                self.propose(json!({})).await?;
                logged(operator, &[text])
            }
            Sign::Taken(text) => {
                self.propose(json!({})).await?;
                let plans = self.stage.list(Kind::PlacementPlan).await?;
                let own = plans.iter().find(|plan| !plan["metadata"]["labels"].is_null());
                if let Some(plan) = own {
                    self.take_name_of(plan).await?;
                }
                logged(operator, &[text])
            }
        }
    }

    /// The policy proposes to bring a leader home.
    async fn propose(&self, more: Value) -> anyhow::Result<()> {
        let spec = leeward_lab::leeward::manifests::merged(json!({"mode": "Propose"}), more);
        self.stage.apply_policy("orders", by_region(spec)).await?;
        assets::lead(&self.clients[0], "ORDERS", None, AWAY, true).await
    }

    /// Another object has the name of a plan from now on.
    async fn take_name_of(&self, plan: &Value) -> anyhow::Result<()> {
        let name = plan["metadata"]["name"].as_str().unwrap_or_default();
        self.propose(json!({"suspend": true})).await?;
        self.stage.kubectl(&["delete", "placementplan", name]).await?;
        let mut other = json!({
            "apiVersion": plan["apiVersion"], "kind": plan["kind"], "spec": plan["spec"],
            "metadata": {"name": name, "namespace": self.stage.namespace},
        });
        other["spec"]["actions"][0]["to"] = json!("elsewhere");
        self.stage.apply(&other).await
    }
}

fn logged(operator: &Operator, texts: &[&str]) -> anyhow::Result<()> {
    let log = operator.log_tail(usize::MAX);
    let mut lines = log.lines();
    let is = lines.any(|line| texts.iter().all(|text| line.contains(text)));
    ensure!(is, "{texts:?} are not in a line of {log}");
    Ok(())
}

fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).collect()
}

fn rules(object: &Value) -> &[Value] {
    object["rules"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Each verb on each resource that an object grants.
fn granted(object: &Value) -> BTreeSet<(String, String)> {
    let mut all = BTreeSet::new();
    for rule in rules(object) {
        for resource in texts(&rule["resources"]) {
            let verbs = texts(&rule["verbs"]);
            all.extend(
                verbs
                    .into_iter()
                    .map(|verb| (resource.to_owned(), verb.to_owned())),
            );
        }
    }
    all
}

/// The object without one verb on one resource.
fn without(object: &Value, resource: &str, verb: &str) -> Value {
    let mut lesser = Vec::new();
    for rule in rules(object) {
        for each in texts(&rule["resources"]) {
            let verbs = texts(&rule["verbs"]).into_iter();
            let verbs: Vec<&str> = verbs.filter(|had| (each, *had) != (resource, verb)).collect();
            if !verbs.is_empty() {
                let mut rule = rule.clone();
                rule["resources"] = json!([each]);
                rule["verbs"] = json!(verbs);
                lesser.push(rule);
            }
        }
    }
    let mut object = object.clone();
    object["rules"] = lesser.into();
    object
}

#[tokio::test]
async fn without_any_one_verb_on_a_resource_a_named_thing_breaks_and_says_so() {
    let mut site = Site::new().await;
    let mut objects = site.objects.clone();
    objects.retain(|object| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        !name.ends_with("-approver")
    });
    let named: Vec<(String, String)> = objects.iter().flat_map(granted).collect();
    assert!(named.len() >= 18, "{named:?}");

    site.begin().await;
    site.stage
        .await_reason("orders", "Ready", "Evaluated")
        .await
        .unwrap();
    for (resource, verb) in &named {
        let sign = sign_without(resource, verb);
        assert!(
            site.shows(&sign).await.is_err(),
            "{verb} {resource} seems to be missing"
        );
    }

    for object in &objects {
        for (resource, verb) in granted(object) {
            let lesser = without(object, &resource, &verb);
            assert_eq!(granted(&lesser).len() + 1, granted(object).len());
            site.stage.apply(&lesser).await.unwrap();
            site.begin().await;
            let sign = sign_without(&resource, &verb);
            eventually(CONVERGED, &format!("{verb} {resource} is missed"), || {
                site.shows(&sign)
            })
            .await
            .unwrap();
            site.stage.apply(object).await.unwrap();
        }
    }
}

/// How many leases a replica says that it holds.
async fn held(replica: &Operator) -> anyhow::Result<usize> {
    let (_, page) = replica.get("/metrics").await?;
    let is_held = |line: &&str| line.starts_with("leeward_lease_held{") && line.ends_with(" 1");
    Ok(page.lines().filter(is_held).count())
}

async fn await_held(replica: &Operator, leases: usize) {
    eventually(CONVERGED, &format!("it holds {leases} leases"), || async {
        let now = held(replica).await?;
        ensure!(now == leases, "{now}: {}", replica.log_tail(20));
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn after_an_upgrade_to_fewer_shards_old_replicas_lose_their_leases_and_new_ones_go_on() {
    let stage = Stage::new(three_servers()).await.unwrap();
    let sharded = manifests::rbac_sharded(&stage.namespace, 2).unwrap();
    stage.kube.kube().apply(&sharded).await.unwrap();
    let old = stage.another_operator("old", &["--shards", "2"]).await.unwrap();
    await_held(&old, 3).await;
    logged(&old, &["may not"]).unwrap_err();

    let single = manifests::rbac(&stage.namespace).unwrap();
    stage.kube.kube().apply(&single).await.unwrap();
    let new = stage.another_operator("new", &[]).await.unwrap();
    await_held(&old, 0).await;
    logged(&old, &["may not update Lease"]).unwrap();
    await_held(&new, 1).await;
    assert_eq!(held(&old).await.unwrap(), 0);
    logged(&new, &["replicas with another number of shards run"]).unwrap();
    logged(&new, &["may not"]).unwrap_err();
}

#[tokio::test]
async fn who_watches_some_namespaces_reads_no_secret_of_another_and_lists_none_at_all() {
    let site = Site::new().await;
    let stage = &site.stage;
    let kube = stage.kube.kube();
    let other = format!("{}-other", stage.namespace);
    kube.create_namespace(&other).await.unwrap();
    for namespace in [&stage.namespace, &other] {
        let secret = manifests::secret(namespace, "hidden", &json!({"a": "b"}));
        stage.apply(&secret).await.unwrap();
    }
    let token = kube
        .service_account_token(&stage.namespace, "leeward")
        .await
        .unwrap();
    let own = kube.kubeconfig_for_token(&other, &token).unwrap();

    let read = async |namespace: &str, what: &[&str]| {
        let args: Vec<&str> = ["get", "--namespace", namespace]
            .into_iter()
            .chain(what.iter().copied())
            .collect();
        kube.kubectl_as(&own, &args).await
    };
    read(&stage.namespace, &["secret", "hidden"]).await.unwrap();
    for (namespace, what) in [
        (&other, &["secret", "hidden"][..]),
        (&other, &["secrets"]),
        (&stage.namespace, &["secrets"]),
        (&other, &["placementpolicies"]),
        (&other, &["namespace", &other]),
    ] {
        let said = read(namespace, what).await.unwrap_err().to_string();
        assert!(said.contains("Forbidden"), "{namespace} {what:?}: {said}");
    }

    let can = async |namespace: &str, verb: &str, what: &str| {
        let args = ["auth", "can-i", verb, what, "--namespace", namespace];
        kube.kubectl_as(&own, &args)
            .await
            .is_ok_and(|said| said.trim() == "yes")
    };
    assert!(can(&stage.namespace, "get", "secrets").await);
    assert!(!can(&other, "get", "secrets").await);
    for verb in ["list", "watch", "create", "update", "patch", "delete"] {
        assert!(!can(&stage.namespace, verb, "secrets").await, "{verb}");
    }
    for (verb, what) in [
        ("update", "placementpolicies.leeward.dev"),
        ("create", "roles"),
        ("get", "pods"),
    ] {
        assert!(!can(&stage.namespace, verb, what).await, "{verb} {what}");
    }
}

#[test]
fn the_rights_of_the_demo_are_those_of_the_chart() {
    assert_eq!(
        manifests::rbac_without_helm("harbour"),
        manifests::rbac("harbour").unwrap(),
        "write crates/lab/src/leeward/rights.yaml again: helm template leeward charts/leeward --namespace leeward-home \
         --show-only templates/serviceaccount.yaml --show-only templates/rbac.yaml"
    );
}
