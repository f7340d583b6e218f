//! What Leeward's users may do in NATS, as `docs/nats-permissions.md` says it: that is enough, and each of it is needed.

mod example;

use std::collections::BTreeMap;

use anyhow::ensure;
use leeward_e2e::{CONVERGED, Stage, assets};
use leeward_lab::kube::Kind;
use leeward_lab::leeward::manifests;
use leeward_lab::nats::{
    AccountSpec, Credentials, DEFAULT_ACCOUNT, DEFAULT_USER, Layout, Permissions, SYSTEM_ACCOUNT, System,
    UserSpec, eventually,
};
use serde_json::{Value, json};

use crate::wrong_side::{AWAY, HOME, by_region, three_servers};

const PAGE: &str = include_str!("../../../../docs/nats-permissions.md");
const OBSERVE: &str = "## To observe: a user of the system account";
const ACT: [&str; 3] = ["## To act: a user of the account", "### Step-downs", "### Moves"];
const TENANT: &str = "## Without a user of the system account: tenant mode";
/// The name of each of Leeward's users.
const USER: &str = "leeward";

/// One row of the page's tables.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Right {
    publish: bool,
    subject: String,
}

impl Right {
    fn read(row: &str) -> Option<Self> {
        let mut cells = row.split('|').map(str::trim).skip(1);
        let publish = match cells.next()? {
            "publish" => true,
            "subscribe" => false,
            _ => return None,
        };
        let subject = cells.next()?.trim_matches('`').to_owned();
        Some(Self { publish, subject })
    }

    /// What any subject begins with that the right is about.
    fn stem(&self) -> &str {
        let end = self.subject.find(['*', '>']).unwrap_or(self.subject.len());
        &self.subject[..end]
    }
}

/// The rows of some of the page's sections.
fn rights(sections: &[&str]) -> Vec<Right> {
    let mut found = Vec::new();
    for section in sections {
        let (_, after) = PAGE
            .split_once(&format!("\n{section}\n"))
            .expect("the section is on the page");
        let (rows, _) = after.split_once("\n#").unwrap_or((after, ""));
        let before = found.len();
        found.extend(rows.lines().filter_map(Right::read));
        assert!(found.len() > before, "{section} has no rights");
    }
    found
}

fn account_rights() -> Vec<Right> {
    let sections: Vec<&str> = ACT.into_iter().chain([TENANT]).collect();
    rights(&sections)
}

fn user(rights: &[Right]) -> UserSpec {
    let of = |publish| -> Vec<&str> {
        let some = rights.iter().filter(|right| right.publish == publish);
        some.map(|right| right.subject.as_str()).collect()
    };
    UserSpec::limited(USER, Permissions::allow(&of(true), &of(false)))
}

fn account(name: &str, rights: &[Right]) -> AccountSpec {
    AccountSpec::new(name)
        .user(UserSpec::new(DEFAULT_USER))
        .user(user(rights))
}

/// All but one; a user that may subscribe to nothing may subscribe to everything, so there is always another one.
fn without(rights: &[Right], missing: &Right) -> Vec<Right> {
    let mut left: Vec<Right> = rights.iter().filter(|right| *right != missing).cloned().collect();
    left.push(Right {
        publish: false,
        subject: "unused".into(),
    });
    left
}

/// A stream to step down with a consumer, one to evacuate, and a stream to move, all led from the wrong side.
async fn fill(stage: &Stage, account: &str) {
    let credentials = stage.system.credentials(account, DEFAULT_USER).unwrap();
    let client = stage.system.connect(AWAY, credentials).await.unwrap();
    assets::stream(&client, "SPREAD", 3, json!({})).await.unwrap();
    assets::consumer(&client, "SPREAD", "work", json!({}))
        .await
        .unwrap();
    assets::consumer(&client, "SPREAD", "alone", json!({"num_replicas": 1}))
        .await
        .unwrap();
    let away = json!({"placement": {"tags": [format!("region:{AWAY}")]}});
    assets::stream(&client, "LOCAL", 1, away).await.unwrap();
    assets::lead(&client, "SPREAD", None, AWAY, true).await.unwrap();
    assets::lead(&client, "SPREAD", Some("work"), AWAY, true)
        .await
        .unwrap();
    assets::evacuate(&client, "SPREAD", "alone", AWAY).await.unwrap();
}

/// Brings everything of an account home, whoever its clients are.
async fn apply_policy(stage: &Stage, name: &str, system: &str, credentials: &Credentials) {
    let secret = manifests::credentials(&stage.namespace, name, credentials);
    stage.apply(&secret).await.unwrap();
    let spec = json!({
        "systemRef": {"name": system},
        "credentialsRef": {"name": name},
        "home": {"strategy": "Preferred", "preferences": [format!("region:{HOME}")]},
        "actions": {"streamPlacement": {"enabled": true}, "consumerEvacuation": {"enabled": true}},
    });
    stage.apply_policy(name, by_region(spec)).await.unwrap();
}

/// Applies a `NatsSystem`; without credentials it is for tenants.
async fn apply_system(stage: &Stage, name: &str, credentials: Option<&Credentials>) {
    let reference = match credentials {
        Some(credentials) => {
            let secret = manifests::credentials(&stage.namespace, name, credentials);
            stage.apply(&secret).await.unwrap();
            json!({"name": name})
        }
        None => Value::Null,
    };
    let spec = json!({"credentialsRef": reference});
    let system = manifests::nats_system(&stage.namespace, name, &stage.system, spec).unwrap();
    stage.apply(&system).await.unwrap();
}

/// What [`fill`] made is led from home, and nothing is wrong with the policy.
async fn await_everything_home(stage: &Stage, policy: &str) {
    stage
        .await_policy(policy, "everything is home", |policy| {
            let (streams, consumers) = (&policy["status"]["streams"], &policy["status"]["consumers"]);
            ensure!(
                streams["inPlace"] == 2 && consumers["inPlace"] == 2,
                "{streams} {consumers}"
            );
            Ok(())
        })
        .await
        .unwrap();
    stage.await_reason(policy, "Ready", "Evaluated").await.unwrap();
    stage
        .await_reason(policy, "ResolvedRefs", "ResolvedRefs")
        .await
        .unwrap();
    stage.await_reason(policy, "Observed", "Complete").await.unwrap();
}

/// What the operator's log says of refused subjects.
fn refused(stage: &Stage) -> Vec<String> {
    let log = stage.operator.as_ref().unwrap().log().unwrap();
    let told = log
        .iter()
        .filter(|line| line["message"] == "the server refused a subject");
    told.map(|line| line["denial"].to_string()).collect()
}

/// A condition says it, or at least the log where nothing that is decided depends on it.
fn is_told(stage: &Stage, right: &Right, status: &str) -> bool {
    let inbox = !right.publish && right.stem() == "_INBOX." && status.contains("inbox");
    inbox || status.contains(right.stem()) || refused(stage).iter().any(|said| said.contains(right.stem()))
}

#[tokio::test]
async fn the_documented_permissions_are_enough_to_observe_and_to_act() {
    let account_with = |name: &str, sections: &[&str]| account(name, &rights(sections));
    let all: Vec<&str> = ACT.into_iter().chain([TENANT]).collect();
    let builder = three_servers()
        .system_user(user(&rights(&[OBSERVE])))
        .account(account_with(DEFAULT_ACCOUNT, &ACT))
        .account(account_with("ALONE", &all));
    let mut stage = Stage::new(builder).await.unwrap();
    for account in [DEFAULT_ACCOUNT, "ALONE"] {
        fill(&stage, account).await;
    }
    let credentials = |account: &str| stage.system.credentials(account, USER).unwrap();
    apply_system(&stage, "prod", Some(credentials(SYSTEM_ACCOUNT))).await;
    apply_system(&stage, "tenants", None).await;
    apply_policy(&stage, "seen", "prod", credentials(DEFAULT_ACCOUNT)).await;
    apply_policy(&stage, "alone", "tenants", credentials("ALONE")).await;
    stage.start_operator().await.unwrap();
    for policy in ["seen", "alone"] {
        await_everything_home(&stage, policy).await;
    }
    assert_eq!(refused(&stage), [""; 0]);
}

#[tokio::test]
async fn each_right_of_an_accounts_user_is_needed_and_named_when_it_is_missing() {
    // A cancel needs a move that takes too long: the contract tests of the adapter try it.
    let tried = |right: &Right| !right.subject.contains("CANCEL_MOVE");
    let (all, mut missing) = (account_rights(), account_rights());
    missing.retain(tried);
    let mut builder =
        three_servers().account(AccountSpec::new(DEFAULT_ACCOUNT).user(UserSpec::new(DEFAULT_USER)));
    for (number, right) in missing.iter().enumerate() {
        builder = builder.account(account(&format!("A{number}"), &without(&all, right)));
    }
    let mut stage = Stage::new(builder).await.unwrap();
    apply_system(&stage, "tenants", None).await;
    let mut policies = BTreeMap::new();
    for (number, right) in missing.iter().enumerate() {
        let (account, policy) = (format!("A{number}"), format!("a{number}"));
        fill(&stage, &account).await;
        let credentials = stage.system.credentials(&account, USER).unwrap();
        apply_policy(&stage, &policy, "tenants", credentials).await;
        policies.insert(policy, right);
    }
    stage.start_operator().await.unwrap();
    for (policy, right) in &policies {
        eventually(
            CONVERGED,
            &format!("the lack of {} is told", right.subject),
            || async {
                let status = stage.policy(policy).await?["status"].to_string();
                ensure!(is_told(&stage, right, &status), "{status}");
                Ok(())
            },
        )
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn each_right_of_the_system_accounts_user_is_needed_and_named_when_it_is_missing() {
    let all = rights(&[OBSERVE]);
    // Routes are asked for where servers of a cluster differ.
    let layout = Layout::supercluster(&[(HOME, 2), (AWAY, 1)]);
    let mut builder = System::builder(layout).server_tag("us-east-0", "zone:a");
    for (number, right) in all.iter().enumerate() {
        let mut lacking = user(&without(&all, right));
        lacking.name = format!("s{number}");
        builder = builder.system_user(lacking);
    }
    let mut stage = Stage::new(builder).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    assets::stream(&client, "ORDERS", 1, json!({})).await.unwrap();
    for number in 0..all.len() {
        let name = format!("s{number}");
        let credentials = stage.system.credentials(SYSTEM_ACCOUNT, &name).unwrap();
        apply_system(&stage, &name, Some(credentials)).await;
        let account = stage.system.credentials(DEFAULT_ACCOUNT, DEFAULT_USER).unwrap();
        apply_policy(&stage, &format!("p{number}"), &name, account).await;
    }
    stage.start_operator().await.unwrap();
    for (number, right) in all.iter().enumerate() {
        eventually(
            CONVERGED,
            &format!("the lack of {} is told", right.subject),
            || async {
                let system = stage.get(Kind::NatsSystem, &format!("s{number}")).await?;
                let policy = stage.policy(&format!("p{number}")).await?;
                let status = format!("{} {}", system["status"], policy["status"]);
                ensure!(is_told(&stage, right, &status), "{status}");
                Ok(())
            },
        )
        .await
        .unwrap();
    }
}
