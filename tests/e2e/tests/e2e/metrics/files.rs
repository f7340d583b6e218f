//! The chart's alerts and dashboards, and what Prometheus's own tool says of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use leeward_lab::tools::{Tool, tool};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// What a panel takes of the grid's width.
const COLUMNS: u64 = 24;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/leeward/files")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(folder().join(path)).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("dashboards/leeward.json")).unwrap()
}

fn alerts() -> Value {
    serde_saphyr::from_str(&read("alerts.yaml")).unwrap()
}

/// Runs promtool; what it prints if it finds nothing wrong.
async fn promtool(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(tool(Tool::Promtool).unwrap())
        .args(arguments)
        .current_dir(folder().join("tests"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let written = async move {
        // A program that does not read its input says why itself.
        let _ = stdin.write_all(input.as_bytes()).await;
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), written);
    let output = output.unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}

/// The page is well formed, and the linter has nothing to say of it.
pub async fn promtool_reads(page: &str) {
    assert_eq!(promtool(&["check", "metrics"], page).await, "");
}

/// Every expression of the dashboards, its variables and the alerts.
fn expressions() -> Vec<String> {
    let (dashboard, alerts) = (dashboard(), alerts());
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let groups = alerts["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let all = targets
        .chain(rules)
        .map(|asks| asks["expr"].as_str().unwrap().to_owned());
    all.collect()
}

/// Every metric that alerts and dashboards name.
pub fn metrics() -> BTreeSet<String> {
    let variables = dashboard()["templating"].to_string();
    let texts = expressions().into_iter().chain([variables]);
    let names: BTreeSet<String> = texts
        .flat_map(|text| {
            let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            let words: Vec<String> = words.map(str::to_owned).collect();
            words
        })
        .filter(|word| word.starts_with("leeward_"))
        .collect();
    assert!(names.len() > 20, "{names:?}");
    names
}

#[tokio::test]
async fn prometheus_takes_the_alerts_and_they_fire_when_they_should() {
    promtool(
        &["check", "rules", "--lint=all", "--lint-fatal", "../alerts.yaml"],
        "",
    )
    .await;
    promtool(&["test", "rules", "alerts_test.yaml"], "").await;
}

#[test]
fn every_alert_is_tested() {
    let tests = read("tests/alerts_test.yaml");
    for group in alerts()["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let alert = rule["alert"].as_str().unwrap();
            let fires = tests
                .split("alertname: ")
                .filter(|test| test.lines().next() == Some(alert))
                .any(|test| test.contains("exp_labels"));
            assert!(fires, "{alert} fires in no test of alerts_test.yaml");
        }
    }
}

#[tokio::test]
async fn every_expression_of_the_dashboard_is_one() {
    let rules: Vec<Value> = expressions()
        .iter()
        .enumerate()
        .map(|(number, expr)| {
            let expr = expr.replace("$namespace", ".*").replace("$policy", ".*");
            assert!(!expr.contains('$'), "{expr}");
            serde_json::json!({"record": format!("asked:{number}"), "expr": expr})
        })
        .collect();
    let rules = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    promtool(&["check", "rules"], &rules.to_string()).await;
}

#[test]
fn the_dashboard_is_one_that_grafana_takes() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36);
    for field in ["uid", "title"] {
        assert!(!dashboard[field].as_str().unwrap().is_empty(), "{field}");
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let variables: Vec<&str> = variables
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert_eq!(variables, ["datasource", "namespace", "policy"]);
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "two panels with one id: {panel}"
        );
        let title = panel["title"].as_str().unwrap();
        let at = |field: &str| panel["gridPos"][field].as_u64().unwrap();
        assert!(
            at("w") > 0 && at("h") > 0 && at("x") + at("w") <= COLUMNS,
            "{title}"
        );
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{title} lies over another panel");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        let said = panel["description"].as_str().unwrap();
        assert!(said.ends_with('.'), "{title}: {said}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        let targets = panel["targets"].as_array().unwrap();
        let references: BTreeSet<&str> = targets
            .iter()
            .map(|target| target["refId"].as_str().unwrap())
            .collect();
        assert!(
            !targets.is_empty() && references.len() == targets.len(),
            "{title}"
        );
        for target in targets {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
}
