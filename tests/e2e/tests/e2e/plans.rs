//! Mode Propose: a plan waits for a person, is approved, and just that is carried out, once.

mod bounds;
mod kills;
mod rights;

use anyhow::{Context, ensure};
use async_nats::Client;
use leeward_e2e::cli::{CommandLine, Ended};
use leeward_e2e::{CONVERGED, Stage, assets};
use leeward_lab::kube::Kind;
use leeward_lab::leeward::manifests::merged;
use leeward_lab::nats::eventually;
use serde_json::{Value, json};

use crate::wrong_side::{
    AWAY, HOME, assert_led_from, by_region, lead_from, misplaced, more_rounds, three_servers,
};

/// A stage with a stream and consumers on the wrong side, and a policy that proposes to bring them home.
struct Proposing {
    stage: Stage,
    client: Client,
    leeward: CommandLine,
    _apps: Vec<Client>,
}

impl Proposing {
    async fn new(consumers: &[&str], spec: Value) -> Self {
        let mut stage = Stage::new(three_servers()).await.unwrap();
        let apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
        let client = assets::client(&stage.system, AWAY).await.unwrap();
        misplaced(&client, "ORDERS", consumers).await;
        stage.apply_system(json!({})).await.unwrap();
        let kubeconfig = stage.kube.kube().admin_kubeconfig();
        let leeward = CommandLine::offline(stage.system.folder())
            .await
            .unwrap()
            .environment("KUBECONFIG", &kubeconfig.display().to_string())
            .arguments(&["-n", &stage.namespace]);
        let proposing = Self {
            client,
            leeward,
            _apps: apps,
            stage: {
                stage.apply_policy("orders", propose(spec)).await.unwrap();
                stage.start_operator().await.unwrap();
                stage
            },
        };
        proposing.awaits_approval().await;
        proposing
    }

    /// Changes the policy.
    async fn change(&self, spec: Value) {
        self.stage.apply_policy("orders", propose(spec)).await.unwrap();
    }

    /// The plan that waits for a person.
    async fn awaits_approval(&self) -> String {
        self.stage
            .await_reason("orders", "Approved", "AwaitingApproval")
            .await
            .unwrap();
        let policy = self.stage.policy("orders").await.unwrap();
        policy["status"]["approval"]["plan"].as_str().unwrap().to_owned()
    }

    /// Another plan than this waits.
    async fn awaits_another(&self, than: &str) -> String {
        self.stage
            .await_policy("orders", "another plan waits", |policy| {
                let approval = &policy["status"]["approval"];
                ensure!(approval["state"] == "Proposed", "{approval}");
                let id = approval["plan"].as_str().context("no plan")?;
                ensure!(id != than, "still the same");
                Ok(id.to_owned())
            })
            .await
            .unwrap()
    }

    async fn plan(&self, id: &str) -> Value {
        let name = format!("orders-{id}");
        self.stage.get(Kind::PlacementPlan, &name).await.unwrap()
    }

    async fn state_of(&self, id: &str) -> String {
        self.plan(id).await["status"]["state"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    async fn becomes(&self, id: &str, state: &str) -> Value {
        let what = format!("the plan is {state}");
        let looked = eventually(CONVERGED, &what, || async {
            let plan = self.plan(id).await;
            ensure!(plan["status"]["state"] == state, "{:#}", plan["status"]);
            Ok(plan)
        });
        let looked = looked.await;
        looked.unwrap_or_else(|error| {
            let operator = self.stage.operator.as_ref().unwrap();
            panic!("{error:#}\nthe operator's log ends:\n{}", operator.log_tail(25))
        })
    }

    /// Runs a command on a plan.
    async fn leeward(&self, command: &str, plan: &str, code: i32) -> Ended {
        let ended = self.leeward.run(&[command, plan]).await.unwrap();
        ended.with_code(code).unwrap()
    }

    /// How often each asset was acted on, by the audit trail.
    fn acts(&self) -> Vec<String> {
        let trail = self.stage.operator.as_ref().unwrap().audit_trail().unwrap();
        let acts = trail.iter().filter(|line| line["message"] == "act");
        let mut acts: Vec<String> = acts
            .map(|line| line["asset"].as_str().unwrap().to_owned())
            .collect();
        acts.sort();
        acts
    }
}

fn propose(spec: Value) -> Value {
    by_region(merged(json!({"mode": "Propose"}), spec))
}

/// A window that lets nothing begin.
fn closed() -> Value {
    json!({"disruption": {"windows": [{"kind": "Deny", "schedule": "* * * * *", "duration": "1h"}]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_nothing_moves_before_a_person_approves_and_then_just_that_once() {
    let proposing = Proposing::new(&["a", "b"], json!({})).await;
    let id = proposing.awaits_approval().await;
    more_rounds(&proposing.stage, "orders", 2).await;
    assert_led_from(&proposing.stage, AWAY).await;
    proposing
        .stage
        .await_reason("orders", "Progressing", "AwaitingApproval")
        .await
        .unwrap();
    let plan = proposing.plan(&id).await;
    assert_eq!(plan["spec"]["actions"].as_array().unwrap().len(), 3, "{plan:#}");
    assert_eq!(plan["spec"]["predicted"]["inPlaceBefore"], "0/3");
    assert_eq!(plan["spec"]["predicted"]["inPlaceAfter"], "3/3");
    let plans = proposing.stage.list(Kind::PlacementPlan).await.unwrap();
    assert_eq!(plans.len(), 1, "the same look, the same plan: {plans:#?}");
    let table = proposing.stage.kubectl(&["get", "plan"]).await.unwrap();
    assert!(table.contains("Proposed") && table.contains("0/3"), "{table}");

    let printed = proposing.leeward("approve", &id, 0).await.out;
    assert_eq!(
        printed,
        format!("placementplan.leeward.dev/orders-{id} approved\n")
    );
    let plan = proposing.becomes(&id, "Completed").await;
    assert_led_from(&proposing.stage, HOME).await;
    assert_eq!(plan["status"]["done"], "3/3");
    assert_eq!(plan["status"]["inPlace"], "3/3", "as predicted: {plan:#}");
    assert_eq!(plan["status"]["approval"]["through"], "Review");
    let by = plan["status"]["approval"]["by"].as_str().unwrap();
    let trail = proposing.stage.operator.as_ref().unwrap().audit_trail().unwrap();
    let approved: Vec<_> = trail
        .iter()
        .filter(|line| line["message"] == "approved")
        .collect();
    assert_eq!(approved.len(), 1, "{trail:#?}");
    assert_eq!(approved[0]["plan"], format!("orders-{id}"));
    assert_eq!(approved[0]["by"], by);
    assert_eq!(proposing.acts(), ["ORDERS", "ORDERS/a", "ORDERS/b"]);
    proposing
        .stage
        .await_reason("orders", "Approved", "NothingProposed")
        .await
        .unwrap();
    let events = proposing
        .stage
        .kubectl(&["events", "--for", "placementpolicy/orders"]);
    let events = events.await.unwrap();
    for reason in ["PlanProposed", "PlanApproved", "PlanEnded"] {
        assert!(events.contains(reason), "{events}");
    }

    // It is away again: that is another plan, and the old approval is none of it.
    lead_from(&proposing.client, AWAY, "ORDERS", &["a", "b"]).await;
    let next = proposing.awaits_another(&id).await;
    more_rounds(&proposing.stage, "orders", 2).await;
    assert_led_from(&proposing.stage, AWAY).await;
    let refused = proposing.leeward("approve", &id, 1).await.err;
    assert!(refused.contains("Completed"), "{refused}");
    let unknown = proposing.leeward("approve", "0011223344556677", 1).await.err;
    assert!(unknown.contains(&format!("orders-{next}")), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_asks_no_more_acts_and_its_status_goes_on() {
    let proposing = Proposing::new(&["a"], json!({})).await;
    let id = proposing.awaits_approval().await;
    proposing.change(json!({"mode": "Observe"})).await;
    proposing.becomes(&id, "Superseded").await;
    proposing
        .stage
        .await_reason("orders", "Progressing", "Observing")
        .await
        .unwrap();
    proposing.change(json!({})).await;
    assert_eq!(proposing.awaits_approval().await, id, "the same waits again");
    proposing.change(json!({"mode": "Enforce"})).await;
    proposing
        .stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    assert_led_from(&proposing.stage, HOME).await;
    let policy = proposing.stage.policy("orders").await.unwrap();
    let generation = &policy["metadata"]["generation"];
    assert_eq!(&policy["status"]["observedGeneration"], generation, "{policy:#}");
    assert_eq!(policy["status"]["approval"], json!({"spent": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_by_commit_is_of_one_plan_and_applying_it_again_does_nothing() {
    let proposing = Proposing::new(&["a"], json!({})).await;
    let id = proposing.awaits_approval().await;
    // Neither waits nor was done: both ids are named, and nothing is done.
    proposing
        .change(json!({"approval": {"approvedPlan": "0011223344556677"}}))
        .await;
    let message = proposing
        .stage
        .await_reason("orders", "Approved", "UnknownPlan")
        .await;
    let message = message.unwrap();
    assert!(
        message.contains("0011223344556677") && message.contains(&id),
        "{message}"
    );
    more_rounds(&proposing.stage, "orders", 2).await;
    assert_led_from(&proposing.stage, AWAY).await;
    assert_eq!(proposing.state_of(&id).await, "Proposed");

    let approving = json!({"approval": {"approvedPlan": id}});
    proposing.change(approving.clone()).await;
    let plan = proposing.becomes(&id, "Completed").await;
    assert_eq!(plan["status"]["approval"]["through"], "Policy");
    assert_led_from(&proposing.stage, HOME).await;

    // The same file once more, with another generation, and the same thing to be done.
    lead_from(&proposing.client, AWAY, "ORDERS", &["a"]).await;
    proposing.change(merged(approving, json!({"priority": 1}))).await;
    let next = proposing.awaits_another(&id).await;
    more_rounds(&proposing.stage, "orders", 2).await;
    assert_led_from(&proposing.stage, AWAY).await;
    assert_eq!(proposing.acts(), ["ORDERS", "ORDERS/a"]);
    assert_eq!(proposing.state_of(&next).await, "Proposed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_changes_before_its_approval_is_superseded_and_after_it_loses_what_changed() {
    let proposing = Proposing::new(&["a", "b", "c"], json!({})).await;
    let first = proposing.awaits_approval().await;
    let remove = async |consumer: &str| {
        let subject = format!("$JS.API.CONSUMER.DELETE.ORDERS.{consumer}");
        let deleted = leeward_lab::nats::jetstream::request(&proposing.client, &subject, &json!({})).await;
        deleted.unwrap();
    };
    remove("a").await;
    let second = proposing.awaits_another(&first).await;
    let superseded = proposing.becomes(&first, "Superseded").await;
    assert_eq!(superseded["status"]["supersededBy"], second);
    let refused = proposing.leeward("approve", &first, 1).await.err;
    assert!(refused.contains(&format!("orders-{second}")), "{refused}");
    proposing
        .change(json!({"approval": {"approvedPlan": first}}))
        .await;
    let message = proposing
        .stage
        .await_reason("orders", "Approved", "UnknownPlan")
        .await;
    assert!(message.unwrap().contains("ORDERS/a"), "the difference is named");

    // Approved while a window is closed; then one consumer goes, and the window opens.
    proposing.change(closed()).await;
    proposing.leeward("approve", &second, 0).await;
    proposing.becomes(&second, "Approved").await;
    remove("b").await;
    proposing.becomes(&second, "Executing").await;
    assert_led_from(&proposing.stage, AWAY).await;
    proposing.change(json!({"disruption": {"windows": []}})).await;
    let plan = proposing.becomes(&second, "PartlyDone").await;
    assert_eq!(plan["status"]["done"], "2/3", "{plan:#}");
    let skipped = plan["status"]["actions"].as_array().unwrap();
    let skipped: Vec<_> = skipped
        .iter()
        .filter(|action| !action["skipped"].is_null())
        .collect();
    assert_eq!(skipped.len(), 1, "{plan:#}");
    assert_eq!(
        (&skipped[0]["consumer"], &skipped[0]["skipped"]),
        (&json!("b"), &json!("Gone"))
    );
    assert_led_from(&proposing.stage, HOME).await;
}
