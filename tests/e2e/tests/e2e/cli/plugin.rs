//! `kubectl leeward`: the same binary, found by `kubectl` as a plugin, on policies of a real kube-apiserver.

use std::path::PathBuf;

use leeward_e2e::cli::{CommandLine, Started};
use leeward_e2e::{Stage, assets};
use leeward_lab::leeward::binary;
use leeward_lab::tools::{Tool, tool};
use rustix::process::Signal;
use serde_json::json;

use super::actions;
use crate::wrong_side::{AWAY, HOME, assert_led_from, by_region, misplaced, three_servers};

/// `kubectl` that finds the plugin, with the kubeconfig of an administrator.
struct Kubectl {
    program: PathBuf,
    line: CommandLine,
}

impl Kubectl {
    async fn new(stage: &Stage) -> Self {
        let path = stage.system.folder().join("plugins");
        std::fs::create_dir_all(&path).unwrap();
        std::os::unix::fs::symlink(binary().unwrap(), path.join("kubectl-leeward")).unwrap();
        let kubeconfig = stage.kube.kube().admin_kubeconfig();
        let line = CommandLine::offline(stage.system.folder())
            .await
            .unwrap()
            .environment("PATH", &path.display().to_string())
            .environment("KUBECONFIG", &kubeconfig.display().to_string());
        let program = tool(Tool::Kubectl).unwrap();
        Self { program, line }
    }

    fn start(&self, args: &[&str]) -> Started {
        let all: Vec<&str> = ["leeward"].iter().chain(args).copied().collect();
        self.line.start_program(&self.program, &all).unwrap()
    }

    async fn run(&self, args: &[&str], code: i32) -> leeward_e2e::cli::Ended {
        self.start(args).wait().await.unwrap().with_code(code).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_leeward_plans_applies_suspends_resumes_and_watches_a_policy() {
    let mut stage = Stage::new(three_servers()).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    misplaced(&client, "ORDERS", &["workers"]).await;
    stage.apply_system(json!({})).await.unwrap();
    let observe = by_region(json!({"mode": "Observe"}));
    stage.apply_policy("orders", observe).await.unwrap();
    let kubectl = Kubectl::new(&stage).await;
    let namespace = stage.namespace.clone();
    let policy = format!("{namespace}/orders");

    let plan = kubectl.run(&["plan", "--policy", &policy, "-o", "json"], 2).await;
    let plan = plan.document("plan").unwrap();
    assert_eq!(plan["plans"][0]["policy"], json!(policy));
    let mut planned = actions(&plan);
    planned.sort();
    assert_eq!(
        planned,
        ["ConsumerStepDown ORDERS/workers", "StreamStepDown ORDERS"]
    );
    let explained = ["explain", "ORDERS", "--policy", "orders", "-n", &namespace];
    kubectl.run(&explained, 2).await;

    kubectl.run(&["suspend", &policy], 0).await;
    assert_eq!(stage.policy("orders").await.unwrap()["spec"]["suspend"], true);
    let apply = ["apply", "--yes", "--policy", &policy];
    let refused = kubectl.run(&apply, 1).await;
    assert!(refused.err.contains("resume"), "{}", refused.err);
    assert_led_from(&stage, AWAY).await;
    kubectl.run(&["resume", "orders", "-n", &namespace], 0).await;
    assert_ne!(stage.policy("orders").await.unwrap()["spec"]["suspend"], true);
    let unknown = kubectl.run(&["suspend", "order", "-n", &namespace], 1).await;
    assert!(unknown.err.contains("order"), "{}", unknown.err);

    kubectl.run(&apply, 0).await;
    assert_led_from(&stage, HOME).await;
    let report = kubectl
        .run(&["report", "--policy", &policy, "-o", "json"], 0)
        .await;
    report.document("report").unwrap();

    let mut watch = kubectl.start(&["watch", "-n", &namespace]);
    watch.says("orders").await.unwrap();
    assert!(!watch.said().contains("AllInPlace"), "{}", watch.said());
    stage.start_operator().await.unwrap();
    watch.says("AllInPlace").await.unwrap();
    watch.signal(Signal::INT).unwrap();
    let ended = watch.wait().await.unwrap();
    assert!(!ended.err.contains("panicked"), "{ended:?}");
}
