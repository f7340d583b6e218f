//! Least privilege: what each rule of the chart's Roles is for, and what none of them gives.

use anyhow::ensure;
use leeward_e2e::{CONVERGED, Stage, assets};
use leeward_lab::leeward::{Operator, manifests};
use leeward_lab::nats::eventually;
use serde_json::{Value, json};

use crate::wrong_side::{HOME, by_region, three_servers};

/// How somebody learns that a right is missing.
enum Sign {
    /// A line of the log has this text.
    Log(&'static str),
    /// The policy's condition `ResolvedRefs` has this reason and text.
    Refs(&'static str, &'static str),
    /// It is not ready, and a line of the log has this text.
    Unready(&'static str),
}

/// What breaks without a rule of this resource and verb, the first ones that it has.
fn sign_without(resource: &str, verb: &str) -> Sign {
    match (resource, verb) {
        ("natssystems", "get") => Sign::Unready("watch failed, trying again"),
        ("natssystems/status", "patch") => {
            Sign::Log("Kubernetes does not let Leeward patch the status of PlacementPolicy")
        }
        ("secrets", "get") => Sign::Refs("SecretNotFound", "Kubernetes does not let Leeward get Secret"),
        ("namespaces", "get") => Sign::Refs("RefNotPermitted", "grant get on namespaces"),
        ("events", "create") => Sign::Log("event could not be written"),
        ("streams", "list") => Sign::Log("NACK's objects could not be read"),
        ("leases", "create") => Sign::Log("may not create Lease"),
        ("leases", "get") => Sign::Log("may not get Lease"),
        _ => panic!("nobody knows what {verb} on {resource} is for: take the rule away, or say it here"),
    }
}

/// A namespace whose operator has the chart's rights to it alone.
struct Site {
    stage: Stage,
    objects: Vec<Value>,
    _clients: Vec<async_nats::Client>,
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
            _clients: clients,
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
        let old = ["delete", "placementpolicy,lease", "--all"];
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
            Sign::Log(text) => logged(operator, text),
            Sign::Unready(text) => {
                let (code, said) = operator.get("/readyz").await?;
                ensure!(code == 503, "{code}: {said}");
                logged(operator, text)
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
        }
    }
}

fn logged(operator: &Operator, text: &str) -> anyhow::Result<()> {
    let log = operator.log_tail(usize::MAX);
    ensure!(log.contains(text), "{text:?} is not in {log}");
    Ok(())
}

/// The rules of an object with its first resource and verb.
fn rules(object: &Value) -> Vec<(String, String)> {
    let rules = object["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
    let first = |list: &Value| list[0].as_str().unwrap().to_owned();
    let name = |rule: &Value| (first(&rule["resources"]), first(&rule["verbs"]));
    rules.iter().map(name).collect()
}

#[tokio::test]
async fn without_any_one_rule_of_the_chart_a_named_thing_breaks_and_says_so() {
    let mut site = Site::new().await;
    let objects = site.objects.clone();
    let named: Vec<(String, String)> = objects.iter().flat_map(rules).collect();
    assert!(named.len() >= 8, "{named:?}");

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
        for (index, (resource, verb)) in rules(object).into_iter().enumerate() {
            let mut lesser = object.clone();
            lesser["rules"].as_array_mut().unwrap().remove(index);
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
