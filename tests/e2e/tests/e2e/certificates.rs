//! Servers that take the user from the client's certificate (`verify_and_map`): each connects as itself (P11).

use std::collections::BTreeMap;

use leeward_e2e::{Stage, assets};
use leeward_lab::audit::is_leeward;
use leeward_lab::leeward::manifests;
use leeward_lab::nats::{DEFAULT_ACCOUNT, DEFAULT_USER, Layout, System};
use serde_json::{Value, json};

use crate::wrong_side::HOME;

/// A Secret that proves nothing: these servers do not read it.
fn token(stage: &Stage, name: &str) -> Value {
    manifests::secret(&stage.namespace, name, &json!({"token": "i-have-no-nats-user"}))
}

/// Which users are connected as Leeward, with how many connections.
async fn connected(stage: &Stage) -> BTreeMap<String, usize> {
    let client = stage.system.system_client().await.unwrap();
    let options = json!({"auth": true}).to_string();
    let answer = client.request("$SYS.REQ.SERVER.PING.CONNZ", options.into()).await;
    let answer: Value = serde_json::from_slice(&answer.unwrap().payload).unwrap();
    let mut users = BTreeMap::new();
    for connection in answer["data"]["connections"].as_array().unwrap() {
        if connection["name"].as_str().is_some_and(is_leeward) {
            let user = connection["authorized_user"].as_str().unwrap_or_default();
            *users.entry(user.to_owned()).or_default() += 1;
        }
    }
    users
}

#[tokio::test(flavor = "multi_thread")]
async fn p11_the_certificate_of_a_system_is_shown_for_no_policy() {
    let builder = System::builder(Layout::supercluster(&[(HOME, 1)])).users_by_certificate();
    let mut stage = Stage::new(builder).await.unwrap();
    let client = assets::client(&stage.system, HOME).await.unwrap();
    assets::stream(&client, "ORDERS", 1, json!({})).await.unwrap();
    let certificate = json!({
        "credentialsRef": {"name": "token"},
        "tls": {"clientCertificateRef": {"name": "nats-system"}},
    });
    stage.apply(&token(&stage, "token")).await.unwrap();
    stage.apply_system(certificate).await.unwrap();
    stage.apply_policy("own", json!({})).await.unwrap();
    let none = json!({"credentialsRef": {"name": "token"}});
    stage.apply_policy("none", none).await.unwrap();
    let own = stage.system.credentials(DEFAULT_ACCOUNT, DEFAULT_USER).unwrap();
    let beside = manifests::merged(
        manifests::credentials(&stage.namespace, "beside", own),
        json!({"stringData": {"token": "i-have-no-nats-user"}}),
    );
    stage.apply(&beside).await.unwrap();
    stage
        .apply_policy(
            "beside",
            json!({"credentialsRef": {"name": "beside"}, "priority": 1}),
        )
        .await
        .unwrap();
    stage.start_operator().await.unwrap();

    for policy in ["own", "beside"] {
        stage.await_reason(policy, "Observed", "Complete").await.unwrap();
        let status = stage.policy(policy).await.unwrap()["status"].clone();
        assert_eq!(status["account"]["id"], DEFAULT_ACCOUNT, "{status:#}");
    }
    let said = stage
        .await_reason("none", "Observed", "Disconnected")
        .await
        .unwrap();
    assert!(said.contains("Certificate"), "{said}");
    let status = stage.policy("none").await.unwrap()["status"].clone();
    assert!(status["account"].is_null(), "{status:#}");
    let users = connected(&stage).await;
    assert_eq!(
        users,
        BTreeMap::from([("SYS-sys".to_owned(), 1), ("APP-app".to_owned(), 2)])
    );
}
