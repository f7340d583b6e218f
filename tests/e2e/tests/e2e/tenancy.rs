//! Whose asset, whose credentials, whose system: policies that meet, and namespaces that must not (P11).

use anyhow::{Context, ensure};
use leeward_e2e::{CONVERGED, Stage, assets, condition};
use leeward_lab::audit::Audit;
use leeward_lab::kube::Kind;
use leeward_lab::leeward::manifests;
use leeward_lab::nats::{AccountSpec, System, UserSpec, eventually};
use serde_json::{Value, json};

use crate::wrong_side::{AWAY, HOME, assert_led_from, by_region, misplaced, more_rounds, three_servers};

#[tokio::test]
async fn of_two_policies_on_one_stream_the_lower_names_the_higher_and_waits_until_it_is_gone() {
    let mut stage = Stage::new(three_servers()).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    misplaced(&client, "ORDERS", &["workers"]).await;
    stage.apply_system(json!({})).await.unwrap();
    let looks = json!({"mode": "Observe", "priority": 10, "streams": {"include": ["ORD*"]}});
    stage.apply_policy("winner", by_region(looks)).await.unwrap();
    stage
        .apply_policy("loser", by_region(json!({"mode": "Enforce"})))
        .await
        .unwrap();
    stage.start_operator().await.unwrap();

    let said = stage
        .await_reason("loser", "Accepted", "Conflicted")
        .await
        .unwrap();
    assert!(
        said.contains(&format!("{}/winner", stage.namespace)) && said.contains("ORDERS"),
        "{said}"
    );
    stage.await_reason("loser", "Ready", "Conflicted").await.unwrap();
    stage
        .await_reason("winner", "Accepted", "Accepted")
        .await
        .unwrap();
    stage
        .await_reason("winner", "InPlace", "ActionsPending")
        .await
        .unwrap();
    more_rounds(&stage, "loser", 3).await;
    assert!(audit.leeward_writes().is_empty(), "{:?}", audit.leeward_writes());
    assert_led_from(&stage, AWAY).await;

    stage
        .kubectl(&["delete", "placementpolicy", "winner"])
        .await
        .unwrap();
    stage
        .await_reason("loser", "InPlace", "AllInPlace")
        .await
        .unwrap();
    stage.await_reason("loser", "Accepted", "Accepted").await.unwrap();
    assert_led_from(&stage, HOME).await;
    assert!(!audit.leeward_writes().is_empty());
}

/// One of two namespaces in which everything has the same name, and its account, in which streams do too.
struct Tenant {
    namespace: String,
    account: &'static str,
    audit: Audit,
    _clients: Vec<async_nats::Client>,
}

impl Tenant {
    async fn new(stage: &Stage, namespace: &str, account: &'static str) -> Self {
        let credentials = stage.system.credentials(account, "app").unwrap();
        let mut clients = Vec::new();
        for _ in 0..7 {
            clients.push(stage.system.connect(HOME, credentials).await.unwrap());
        }
        let client = stage.system.connect(AWAY, credentials).await.unwrap();
        let audit = Audit::start(&stage.system, &client).await.unwrap();
        misplaced(&client, "ORDERS", &["workers"]).await;
        clients.push(client);
        Self {
            namespace: namespace.to_owned(),
            account,
            audit,
            _clients: clients,
        }
    }

    async fn apply_system(&self, stage: &Stage, spec: Value) {
        let namespace = &self.namespace;
        let system = manifests::credentials(
            namespace,
            "nats-system",
            stage.system.system_credentials().unwrap(),
        );
        stage.apply(&system).await.unwrap();
        let user = stage.system.credentials(self.account, "app").unwrap();
        stage
            .apply(&manifests::credentials(namespace, "account", user))
            .await
            .unwrap();
        let system = manifests::nats_system(namespace, "prod", &stage.system, spec).unwrap();
        stage.apply(&system).await.unwrap();
    }

    async fn apply_policy(&self, stage: &Stage, name: &str, spec: Value) {
        let policy = manifests::placement_policy(&self.namespace, name, by_region(spec));
        stage.apply(&policy).await.unwrap();
    }

    async fn policy(&self, stage: &Stage, name: &str) -> anyhow::Result<Value> {
        stage.get_in(&self.namespace, Kind::PlacementPolicy, name).await
    }

    /// Waits for the reason of a policy's condition, and gives its message.
    async fn await_reason(&self, stage: &Stage, name: &str, kind: &str, reason: &str) -> String {
        let what = format!("{}/{name}: {kind} is {reason}", self.namespace);
        let found = eventually(CONVERGED, &what, || async {
            let policy = self.policy(stage, name).await?;
            let (found, message) = condition(&policy, kind).context("no such condition yet")?;
            ensure!(found == reason, "{kind} is {found}: {message}");
            Ok(message)
        });
        found.await.unwrap()
    }

    /// Where the stream and its consumer are led from, as the `nats` command of the account's own user says.
    async fn leaders(&self, system: &System) -> [String; 2] {
        let context = system.nats_context(self.account, "app", HOME).unwrap();
        let read = async |args: &[&str]| {
            let text = system.nats_cli_text(&context, args).await.unwrap();
            let info: Value = serde_json::from_str(&text).unwrap();
            info["cluster"]["leader"].as_str().unwrap_or_default().to_owned()
        };
        [
            read(&["stream", "info", "ORDERS", "--json"]).await,
            read(&["consumer", "info", "ORDERS", "workers", "--json"]).await,
        ]
    }
}

#[tokio::test]
async fn p11_namespaces_with_equal_names_keep_to_their_own_accounts_and_systems() {
    let account = |name: &str| AccountSpec::new(name).user(UserSpec::new("app"));
    let mut stage = Stage::new(three_servers().account(account("ONE")).account(account("TWO")))
        .await
        .unwrap();
    let other = format!("{}-other", stage.namespace);
    stage.kube.kube().create_namespace(&other).await.unwrap();
    let one = Tenant::new(&stage, &stage.namespace, "ONE").await;
    let two = Tenant::new(&stage, &other, "TWO").await;
    stage
        .start_operator_for(&[&one.namespace, &two.namespace])
        .await
        .unwrap();

    // One enforces and two observes: what is done in two's account was done with one's rights.
    one.apply_system(&stage, json!({})).await;
    two.apply_system(&stage, json!({})).await;
    one.apply_policy(&stage, "orders", json!({})).await;
    two.apply_policy(&stage, "orders", json!({"mode": "Observe"}))
        .await;
    one.await_reason(&stage, "orders", "InPlace", "AllInPlace").await;
    two.await_reason(&stage, "orders", "InPlace", "ActionsPending")
        .await;
    for tenant in [&one, &two] {
        let policy = tenant.policy(&stage, "orders").await.unwrap();
        assert_eq!(policy["status"]["account"]["name"], tenant.account);
        assert_eq!(policy["status"]["streams"]["total"], 1);
    }
    assert!(
        one.leaders(&stage.system)
            .await
            .iter()
            .all(|leader| leader.starts_with(HOME))
    );
    assert!(
        two.leaders(&stage.system)
            .await
            .iter()
            .all(|leader| leader.starts_with(AWAY))
    );
    assert!(
        two.audit.leeward_writes().is_empty(),
        "{:?}",
        two.audit.leeward_writes()
    );

    // A Secret of the other namespace is none.
    let user = stage.system.credentials("TWO", "app").unwrap();
    stage
        .apply(&manifests::credentials(&two.namespace, "only-there", user))
        .await
        .unwrap();
    let borrowed = json!({"credentialsRef": {"name": "only-there"}});
    one.apply_policy(&stage, "borrower", borrowed).await;
    let said = one
        .await_reason(&stage, "borrower", "ResolvedRefs", "SecretNotFound")
        .await;
    assert!(said.contains(&format!("{}/only-there", one.namespace)), "{said}");

    // A system says from which namespaces it may be used.
    let guest = json!({"systemRef": {"name": "prod", "namespace": one.namespace}, "mode": "Observe"});
    two.apply_policy(&stage, "guest", guest).await;
    two.await_reason(&stage, "guest", "ResolvedRefs", "RefNotPermitted")
        .await;
    one.apply_system(&stage, json!({"allowedNamespaces": {"from": "All"}}))
        .await;
    two.await_reason(&stage, "guest", "ResolvedRefs", "ResolvedRefs")
        .await;
    two.await_reason(&stage, "guest", "Observed", "Complete").await;
    let labelled = json!({"from": "Selector", "selector": {"matchLabels": {"may-use": "prod"}}});
    one.apply_system(&stage, json!({"allowedNamespaces": labelled}))
        .await;
    let said = two
        .await_reason(&stage, "guest", "ResolvedRefs", "RefNotPermitted")
        .await;
    assert!(said.contains("selector"), "{said}");
    stage
        .kubectl(&["label", "namespace", &two.namespace, "may-use=prod"])
        .await
        .unwrap();
    two.await_reason(&stage, "guest", "ResolvedRefs", "ResolvedRefs")
        .await;
    two.await_reason(&stage, "guest", "Observed", "Complete").await;

    // Two acts in its own account with its own rights, and only there.
    let done = one.audit.leeward_writes().len();
    two.apply_policy(&stage, "orders", json!({})).await;
    two.await_reason(&stage, "orders", "InPlace", "AllInPlace").await;
    assert!(
        two.leaders(&stage.system)
            .await
            .iter()
            .all(|leader| leader.starts_with(HOME))
    );
    assert!(!two.audit.leeward_writes().is_empty());
    assert_eq!(one.audit.leeward_writes().len(), done);
}
