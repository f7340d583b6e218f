//! What is missing, wrong or down: the right condition says so each time, and its end needs no help.

use std::sync::Arc;

use anyhow::ensure;
use futures::future::try_join_all;
use leeward_e2e::shared_kube::SharedKube;
use leeward_e2e::{CONVERGED, Stage, assets, condition};
use leeward_lab::audit::Audit;
use leeward_lab::leeward::manifests;
use leeward_lab::nats::{
    AccountSpec, DEFAULT_ACCOUNT, DEFAULT_USER, Layout, Permissions, Subjects, System, UserSpec, eventually,
    jetstream,
};
use leeward_lab::tools::KubeVersion;
use serde_json::{Value, json};

use crate::wrong_side::{
    AWAY, HOME, assert_led_from, by_region, lead_from, misplaced, more_rounds, replace_secret, three_servers,
};

#[tokio::test]
async fn what_is_missing_or_wrong_is_named_and_cured_without_a_restart() {
    let mut stage = Stage::new(three_servers()).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    misplaced(&client, "ORDERS", &["workers"]).await;
    let namespace = stage.namespace.clone();
    let secret = |name: &str, data: Value| manifests::secret(&namespace, name, &data);
    stage.start_operator().await.unwrap();

    stage.apply_policy("orders", by_region(json!({}))).await.unwrap();
    let said = stage
        .await_reason("orders", "ResolvedRefs", "SystemNotFound")
        .await
        .unwrap();
    assert!(said.contains(&format!("{namespace}/prod")), "{said}");

    let system = manifests::nats_system(&namespace, "prod", &stage.system, json!({})).unwrap();
    stage.apply(&system).await.unwrap();
    let said = stage
        .await_system_reason("Connected", "SecretNotFound")
        .await
        .unwrap();
    assert!(said.contains("nats-system"), "{said}");
    let said = stage
        .await_reason("orders", "ResolvedRefs", "SecretNotFound")
        .await
        .unwrap();
    assert!(said.contains("account"), "{said}");

    let wrong = json!({"username": "SYS-sys", "password": "not-this-one"});
    stage.apply(&secret("nats-system", wrong)).await.unwrap();
    stage
        .await_system_reason("Connected", "InvalidCredentials")
        .await
        .unwrap();
    let right = manifests::credentials(
        &namespace,
        "nats-system",
        stage.system.system_credentials().unwrap(),
    );
    stage.apply(&right).await.unwrap();
    stage.await_system_reason("Ready", "Ready").await.unwrap();

    let two_kinds = json!({"username": "app", "password": "secret", "token": "secret"});
    stage.apply(&secret("account", two_kinds)).await.unwrap();
    let said = stage
        .await_reason("orders", "ResolvedRefs", "InvalidCredentials")
        .await
        .unwrap();
    for word in ["username", "token", "account"] {
        assert!(said.contains(word), "{said}");
    }
    let wrong = json!({"username": "APP-app", "password": "not-this-one"});
    replace_secret(&stage, &secret("account", wrong)).await;
    stage
        .await_policy("orders", "the server refuses the user", |policy| {
            let (reason, message) = condition(policy, "ResolvedRefs").unwrap_or_default();
            ensure!(
                reason == "InvalidCredentials" && message.contains("NATS refused"),
                "{reason}: {message}"
            );
            Ok(())
        })
        .await
        .unwrap();
    let right = stage.system.credentials(DEFAULT_ACCOUNT, DEFAULT_USER).unwrap();
    stage
        .apply(&manifests::credentials(&namespace, "account", right))
        .await
        .unwrap();

    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    stage.await_reason("orders", "Ready", "Evaluated").await.unwrap();
    assert_led_from(&stage, HOME).await;
}

#[tokio::test]
async fn a_right_that_the_user_lacks_is_named_and_everything_else_goes_on() {
    let denied = "$JS.API.CONSUMER.LEADER.STEPDOWN.>";
    let limited = Permissions {
        publish: Subjects {
            allow: vec![">".to_owned()],
            deny: vec![denied.to_owned()],
        },
        subscribe: Subjects::default(),
    };
    let account = AccountSpec::new(DEFAULT_ACCOUNT)
        .user(UserSpec::new(DEFAULT_USER))
        .user(UserSpec::limited("limited", limited));
    let mut stage = Stage::new(three_servers().account(account)).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    for stream in ["ORDERS", "PAYMENTS"] {
        misplaced(&client, stream, &["workers"]).await;
    }
    stage.apply_system(json!({})).await.unwrap();
    let limited = stage.system.credentials(DEFAULT_ACCOUNT, "limited").unwrap();
    stage
        .apply(&manifests::credentials(&stage.namespace, "account", limited))
        .await
        .unwrap();
    stage.apply_policy("orders", by_region(json!({}))).await.unwrap();
    stage.start_operator().await.unwrap();

    let said = stage
        .await_reason("orders", "ResolvedRefs", "PermissionDenied")
        .await
        .unwrap();
    assert!(said.contains(denied), "{said}");
    stage
        .await_policy("orders", "streams are home and consumers are held", |policy| {
            let (streams, consumers) = (&policy["status"]["streams"], &policy["status"]["consumers"]);
            ensure!(
                streams["inPlace"] == 2 && consumers["held"] == 2,
                "{streams} {consumers}"
            );
            let findings = policy["status"]["findings"].as_array().into_iter().flatten();
            let reasons: Vec<&Value> = findings.map(|finding| &finding["reason"]).collect();
            ensure!(reasons == ["PermissionDenied", "PermissionDenied"], "{reasons:?}");
            Ok(())
        })
        .await
        .unwrap();
    let leaders = assets::leaders(&stage.system, AWAY).await.unwrap();
    for (asset, leader) in &leaders {
        let expected = if asset.contains('/') { AWAY } else { HOME };
        assert!(leader.starts_with(expected), "{leaders:?}");
    }

    let full = stage.system.credentials(DEFAULT_ACCOUNT, DEFAULT_USER).unwrap();
    stage
        .apply(&manifests::credentials(&stage.namespace, "account", full))
        .await
        .unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    stage
        .await_reason("orders", "ResolvedRefs", "ResolvedRefs")
        .await
        .unwrap();
    assert_led_from(&stage, HOME).await;
}

#[tokio::test]
async fn nothing_is_done_while_servers_are_down_and_everything_once_they_are_back() {
    let mut stage = Stage::new(System::builder(Layout::stretched(&[(HOME, 3), (AWAY, 3)])))
        .await
        .unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, HOME).await.unwrap();
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    let victim = with_peers_in_both(&client, "ORDERS").await;
    assets::consumer(&client, "ORDERS", "workers", json!({}))
        .await
        .unwrap();
    lead_from(&client, AWAY, "ORDERS", &["workers"]).await;
    stage.apply_system(json!({})).await.unwrap();
    stage
        .apply_policy("orders", by_region(json!({"mode": "Observe"})))
        .await
        .unwrap();
    stage.start_operator().await.unwrap();
    stage
        .await_reason("orders", "InPlace", "ActionsPending")
        .await
        .unwrap();

    stage.system.kill(&victim).await.unwrap();
    let said = stage
        .await_reason("orders", "Observed", "ServersMissing")
        .await
        .unwrap();
    assert!(said.contains(&victim), "{victim} is not in: {said}");
    let said = stage
        .await_system_reason("Observed", "ServersMissing")
        .await
        .unwrap();
    assert!(said.contains(&victim), "{victim} is not in: {said}");
    stage
        .apply_policy("orders", by_region(json!({"mode": "Enforce"})))
        .await
        .unwrap();
    stage
        .await_policy("orders", "what cannot be seen completely is held", |policy| {
            let status = &policy["status"];
            ensure!(
                status["observedGeneration"] == policy["metadata"]["generation"],
                "not seen yet"
            );
            let (streams, consumers) = (&status["streams"], &status["consumers"]);
            ensure!(
                streams["held"] == 1 && consumers["held"] == 1,
                "{streams} {consumers}"
            );
            Ok(())
        })
        .await
        .unwrap();
    more_rounds(&stage, "orders", 3).await;
    assert!(audit.leeward_writes().is_empty(), "{:?}", audit.leeward_writes());
    let (reason, _) = condition(&stage.policy("orders").await.unwrap(), "Observed").unwrap();
    assert_eq!(reason, "ServersMissing");

    stage.system.restart(&victim).await.unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    stage
        .await_reason("orders", "Observed", "Complete")
        .await
        .unwrap();
    assert_led_from(&stage, HOME).await;
    assert!(!audit.leeward_writes().is_empty());
}

#[tokio::test]
async fn without_any_server_it_waits_and_goes_on_when_they_are_back() {
    let region = |region: &str| format!("region:{region}");
    let builder = System::builder(Layout::supercluster(&[("lab", 3)]))
        .server_tag("lab-0", &region(HOME))
        .server_tag("lab-1", &region(HOME))
        .server_tag("lab-2", &region(AWAY));
    let mut stage = Stage::new(builder).await.unwrap();
    let user = stage.system.credentials(DEFAULT_ACCOUNT, DEFAULT_USER).unwrap();
    let apps = (0..7).map(|_| stage.system.connect_to("lab-0", user));
    let _apps = try_join_all(apps).await.unwrap();
    let client = stage.system.connect_to("lab-2", user).await.unwrap();
    assets::stream(&client, "ORDERS", 3, json!({})).await.unwrap();
    lead_from(&client, "lab-2", "ORDERS", &[]).await;
    stage.apply_system(json!({})).await.unwrap();
    stage
        .apply_policy("orders", by_region(json!({"mode": "Observe"})))
        .await
        .unwrap();
    stage.start_operator().await.unwrap();
    stage
        .await_reason("orders", "InPlace", "ActionsPending")
        .await
        .unwrap();

    let servers = stage.system.server_names();
    try_join_all(servers.iter().map(|server| stage.system.kill(server)))
        .await
        .unwrap();
    stage
        .await_reason("orders", "Observed", "Disconnected")
        .await
        .unwrap();
    stage
        .await_system_reason("Observed", "Disconnected")
        .await
        .unwrap();
    stage
        .apply_policy("orders", by_region(json!({"mode": "Enforce"})))
        .await
        .unwrap();
    try_join_all(servers.iter().map(|server| stage.system.restart(server)))
        .await
        .unwrap();
    stage
        .await_reason("orders", "Observed", "Complete")
        .await
        .unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    stage.await_system_reason("Ready", "Ready").await.unwrap();
    let leaders = assets::leaders(&stage.system, "lab").await.unwrap();
    assert!(
        leaders["ORDERS"] == "lab-0" || leaders["ORDERS"] == "lab-1",
        "{leaders:?}"
    );
}

/// Creates a stream with peers in both regions, and gives one at home.
async fn with_peers_in_both(client: &async_nats::Client, stream: &str) -> String {
    let config = json!({"subjects": [format!("{stream}.>")], "num_replicas": 3});
    jetstream::create_spread(client, stream, config, &[HOME, AWAY])
        .await
        .unwrap();
    let info = assets::settled(client, stream, 3).await.unwrap();
    let peers = jetstream::peers_in(&info);
    let home = peers.iter().find(|peer| assets::location(peer) == HOME);
    home.unwrap().clone()
}

#[tokio::test]
async fn p8_without_the_kubernetes_api_nothing_is_done_and_work_resumes_when_it_is_back() {
    // The oldest one, so that the operator is seen to work with it, too.
    let oldest = SharedKube::start_version(KubeVersion::V1_29);
    let (kube, system) = tokio::try_join!(oldest, three_servers().start()).unwrap();
    let mut stage = Stage::with_kube(Arc::new(kube), system).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    misplaced(&client, "ORDERS", &["workers"]).await;
    stage.apply_system(json!({})).await.unwrap();
    stage.apply_policy("orders", by_region(json!({}))).await.unwrap();
    stage.start_operator().await.unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    let before = stage
        .await_policy("orders", "both actions are told", |policy| {
            let told = actions(policy);
            ensure!(told >= 2, "{told} actions");
            Ok(told)
        })
        .await
        .unwrap();

    let kube = Arc::get_mut(&mut stage.kube).unwrap().kube_mut();
    kube.stop_apiserver().await.unwrap();
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    lead_from(&client, AWAY, "ORDERS", &["workers"]).await;
    let operator = stage.operator().unwrap();
    eventually(CONVERGED, "the lease is lost", || async {
        let (_, page) = operator.get("/metrics").await?;
        let held = page.lines().find(|line| line.starts_with("leeward_lease_held{"));
        ensure!(held.is_some_and(|line| line.ends_with(" 0")), "{held:?}");
        Ok(())
    })
    .await
    .unwrap();
    assert!(operator.running());
    assert!(
        audit.leeward_writes().is_empty(),
        "what cannot be written down is not done"
    );

    let kube = Arc::get_mut(&mut stage.kube).unwrap().kube_mut();
    kube.start_apiserver().await.unwrap();
    stage
        .await_policy("orders", "what is done afterwards is told", |policy| {
            let told = actions(policy);
            ensure!(told >= before + 2, "{told} actions, {before} before");
            Ok(())
        })
        .await
        .unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    stage
        .apply_policy("orders", by_region(json!({"mode": "Observe"})))
        .await
        .unwrap();
    stage
        .await_reason("orders", "Progressing", "Observing")
        .await
        .unwrap();
}

fn actions(policy: &Value) -> usize {
    policy["status"]["recentActions"].as_array().map_or(0, Vec::len)
}
