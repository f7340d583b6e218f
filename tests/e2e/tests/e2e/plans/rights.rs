//! Who may approve is told apart from who may write policies.

use leeward_lab::kube::Kind;
use serde_json::{Value, json};

use super::Proposing;
use crate::wrong_side::{AWAY, assert_led_from, more_rounds};

/// A service account that has one of these Roles, and its kubeconfig.
async fn user(proposing: &Proposing, name: &str, rules: Value) -> std::path::PathBuf {
    let stage = &proposing.stage;
    let meta = json!({"name": name, "namespace": stage.namespace});
    let api = "rbac.authorization.k8s.io/v1";
    let objects = [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}),
        json!({"apiVersion": api, "kind": "Role", "metadata": meta, "rules": rules}),
        json!({
            "apiVersion": api, "kind": "RoleBinding", "metadata": meta,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": stage.namespace}],
        }),
    ];
    for object in &objects {
        stage.apply(object).await.unwrap();
    }
    let kube = stage.kube.kube();
    let token = kube.service_account_token(&stage.namespace, name).await.unwrap();
    kube.kubeconfig_for_token(&format!("{}-{name}", stage.namespace), &token)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_approve_may_not_write_policies_and_the_other_way_round() {
    let mut proposing = Proposing::new(&["a"], json!({})).await;
    let id = proposing.awaits_approval().await;
    let name = format!("orders-{id}");
    let stage = &proposing.stage;
    let role = format!("leeward-{}-approver", stage.namespace);
    let approver = stage.kubectl(&["get", "clusterrole", &role, "-o", "json"]).await;
    let approver: Value = serde_json::from_str(&approver.unwrap()).unwrap();
    let approver = user(&proposing, "approver", approver["rules"].clone()).await;
    let writes = json!([{"apiGroups": ["leeward.dev"], "resources": ["placementpolicies"],
        "verbs": ["get", "list", "create", "update", "patch", "delete"]}]);
    let writer = user(&proposing, "writer", writes).await;
    let kube = stage.kube.kube();
    let run = async |config: &std::path::Path, args: &[&str]| {
        let all: Vec<&str> = ["--namespace", &stage.namespace]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        kube.kubectl_as(config, &all).await
    };
    let approve = r#"{"spec": {"review": {"decision": "Approved"}}}"#;
    let patch = ["patch", "placementplan", &name, "--type", "merge", "-p", approve];
    let refused = run(&writer, &patch).await.unwrap_err().to_string();
    assert!(refused.contains("Forbidden"), "{refused}");
    let enforce = [
        "patch",
        "placementpolicy",
        "orders",
        "--type",
        "merge",
        "-p",
        r#"{"spec": {"mode": "Enforce"}}"#,
    ];
    let refused = run(&approver, &enforce).await.unwrap_err().to_string();
    assert!(refused.contains("Forbidden"), "{refused}");

    // What was proposed cannot be written over, by nobody, and no state of it by who may only approve.
    for (field, change) in [
        (
            "actions",
            r#"{"spec": {"actions": [{"type": "StreamStepDown", "stream": "OTHER", "to": "us-east"}]}}"#,
        ),
        ("policyRef", r#"{"spec": {"policyRef": {"name": "other"}}}"#),
        ("predicted", r#"{"spec": {"predicted": {"bytes": 1}}}"#),
    ] {
        let change = ["patch", "placementplan", &name, "--type", "merge", "-p", change];
        let refused = stage.kubectl(&change).await.unwrap_err().to_string();
        assert!(
            refused.contains(field) && refused.contains("write review only"),
            "{refused}"
        );
    }
    let state = [
        "patch",
        "placementplan",
        &name,
        "--subresource",
        "status",
        "--type",
        "merge",
        "-p",
        r#"{"status": {"state": "Approved"}}"#,
    ];
    let refused = run(&approver, &state).await.unwrap_err().to_string();
    assert!(refused.contains("Forbidden"), "{refused}");

    // A plan that somebody else writes, approved and all, is carried out by nobody.
    let mut forged = stage.get(Kind::PlacementPlan, &name).await.unwrap();
    forged["metadata"] = json!({
        "name": "orders-0011223344556677", "namespace": stage.namespace, "labels": forged["metadata"]["labels"],
    });
    forged["spec"]["review"] = json!({"decision": "Approved"});
    forged.as_object_mut().unwrap().remove("status");
    stage.apply(&forged).await.unwrap();
    proposing.stage.operator().unwrap().kill().await.unwrap();
    proposing.stage.restart_operator().await.unwrap();
    more_rounds(&proposing.stage, "orders", 2).await;
    assert_led_from(&proposing.stage, AWAY).await;

    // The approver's own way: the command with that user's kubeconfig.
    let config = approver.display().to_string();
    let command = proposing.leeward.clone().environment("KUBECONFIG", &config);
    let ended = command.run(&["approve", &id]).await.unwrap();
    ended.with_code(0).unwrap();
    let plan = proposing.becomes(&id, "Completed").await;
    let by = plan["status"]["approval"]["by"].as_str().unwrap();
    assert!(by.ends_with(":approver"), "{by}");
}
