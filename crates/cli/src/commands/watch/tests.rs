use serde_json::json;

use super::*;

fn policy(name: &str, home: &str, operations: &serde_json::Value) -> PolicyObject {
    let object = json!({
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": "PlacementPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"systemRef": {"name": "nats"}, "credentialsRef": {"name": "user"}, "mode": "Enforce"},
        "status": {
            "account": {"id": "AABC", "name": "SHOP"},
            "home": {"location": home, "percent": 90, "connections": 9, "stable": true},
            "inPlace": "3/4",
            "operations": operations,
        },
    });
    serde_json::from_value(object).unwrap()
}

fn operation(action: &str, stream: &str) -> serde_json::Value {
    json!({"type": action, "stream": stream, "to": "us-east", "startTime": "2026-01-01T00:00:00Z"})
}

fn listed(table: &mut PolicyTable, objects: Vec<PolicyObject>) -> String {
    let mut lines = table.lines_of(Event::Init);
    for object in objects {
        lines += &table.lines_of(Event::InitApply(object));
    }
    lines + &table.lines_of(Event::InitDone)
}

#[test]
fn the_list_comes_first_and_then_only_what_changes() {
    let mut table = PolicyTable::new(true);
    let nothing = json!([]);
    let first = listed(
        &mut table,
        vec![policy("orders", "eu", &nothing), policy("carts", "eu", &nothing)],
    );
    assert_eq!(
        first,
        "NAMESPACE   NAME     ACCOUNT   MODE                  HOME   IN-PLACE   READY   REASON   OPERATIONS\n\
         shop        carts    SHOP      Enforce               eu     3/4\n\
         shop        orders   SHOP      Enforce               eu     3/4\n"
    );
    assert_eq!(table.lines_of(Event::Apply(policy("orders", "eu", &nothing))), "");
    let changed = table.lines_of(Event::Apply(policy("orders", "us", &nothing)));
    assert_eq!(
        changed,
        "shop        orders   SHOP      Enforce               us     3/4\n"
    );
}

#[test]
fn a_watch_begun_anew_tells_what_changed_meanwhile() {
    let mut table = PolicyTable::new(false);
    let nothing = json!([]);
    listed(
        &mut table,
        vec![policy("orders", "eu", &nothing), policy("carts", "eu", &nothing)],
    );
    let again = listed(&mut table, vec![policy("orders", "us", &nothing)]);
    let lines: Vec<&str> = again.lines().collect();
    assert_eq!(lines.len(), 2, "{again}");
    assert!(
        lines[0].starts_with("orders") && lines[0].contains(" us "),
        "{again}"
    );
    assert!(
        lines[1].starts_with("carts") && lines[1].ends_with("deleted"),
        "{again}"
    );
    let gone = table.lines_of(Event::Delete(policy("orders", "us", &nothing)));
    assert!(gone.ends_with("deleted\n"), "{gone}");
}

#[test]
fn operations_in_flight_are_counted_and_moves_named() {
    let told = |operations: serde_json::Value| {
        let mut table = PolicyTable::new(false);
        listed(&mut table, vec![policy("orders", "eu", &operations)])
    };
    let some = told(json!([
        operation("ConsumerStepDown", "A"),
        operation("StreamStepDown", "B"),
        operation("StreamPlacement", "ORDERS"),
    ]));
    assert!(
        some.ends_with("2 step-downs, 1 moving (ORDERS → us-east)\n"),
        "{some}"
    );
    let moves: Vec<_> = ["A", "B", "C", "D"]
        .map(|name| operation("StreamPlacement", name))
        .into();
    let many = told(json!(moves));
    assert!(
        many.ends_with("4 moving (A → us-east, B → us-east, C → us-east and 1 more)\n"),
        "{many}"
    );
}

#[test]
fn what_cannot_be_read_and_what_names_try_is_harmless() {
    let mut table = PolicyTable::new(false);
    let odd = policy("orders", "e\u{1b}[2Ju", &json!([]));
    assert!(!listed(&mut table, vec![odd]).contains('\u{1b}'));
    let broken = serde_json::from_value(json!({
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": "PlacementPolicy",
        "metadata": {"name": "broken", "namespace": "shop"},
        "spec": 7,
    }));
    let line = table.lines_of(Event::Apply(broken.unwrap()));
    assert!(
        line.starts_with("broken") && line.ends_with("cannot be read\n"),
        "{line}"
    );
}

#[test]
fn a_policy_that_is_suspended_moves_no_column() {
    let mut table = PolicyTable::new(false);
    let before = listed(&mut table, vec![policy("orders", "eu", &json!([]))]);
    let Ok(mut object) = policy("orders", "eu", &json!([])).0 else {
        panic!("it can be read");
    };
    object.spec.suspend = true;
    let after = table.lines_of(Event::Apply(kube::core::DeserializeGuard(Ok(object))));
    let column = before.find("HOME").unwrap();
    assert!(after[column..].starts_with("eu "), "{before}{after}");
}

#[tokio::test]
async fn an_api_that_cannot_be_reached_at_the_start_ends_the_watch() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}/", taken.local_addr().unwrap());
    drop(taken);
    let client = kube::Client::try_from(kube::Config::new(server.parse().unwrap())).unwrap();
    let error = is_empty(&Api::all(client), &server, "")
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(&server) && error.contains("refused"), "{error}");
}

#[test]
fn only_what_asking_again_cannot_help_ends_the_watch() {
    let failed = |code| {
        let status = kube::core::Status::failure("no", "Reason").with_code(code);
        let error = watcher::Error::WatchStartFailed(kube::Error::Api(Box::new(status)));
        PolicyTable::new(false).watch_failed("https://api", "shop", &error)
    };
    assert!(failed(403).unwrap_err().to_string().contains("grant watch"));
    assert!(failed(500).is_ok());
}
