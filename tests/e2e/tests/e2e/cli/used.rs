//! `leeward report --use`: who uses which stream, from where.

use std::time::Duration;

use super::{AWAY, HOME, PATIENT, word};
use anyhow::{Context, ensure};
use leeward_e2e::cli::CommandLine;
use leeward_e2e::{CONVERGED, assets};
use leeward_lab::load::Load;
use leeward_lab::nats::{
    AccountSpec, DEFAULT_ACCOUNT, DEFAULT_USER, Layout, Permissions, System, UserSpec, eventually,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// A user that may look, and not listen to what applications send.
const DEAF: &str = "deaf";

/// Publishes with the `nats` command from a location for as long as it is kept; with `acknowledged` as a client of JetStream.
fn published_by_nats(
    system: &std::sync::Arc<System>,
    location: &'static str,
    subject: &'static str,
    acknowledged: bool,
) -> JoinSet<()> {
    let system = std::sync::Arc::clone(system);
    let context = system
        .nats_context(DEFAULT_ACCOUNT, DEFAULT_USER, location)
        .unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            let mut args = vec!["pub", subject, "x", "--count", "100000", "--sleep", "20ms"];
            args.extend(acknowledged.then_some("--jetstream"));
            // The next one goes on where a stream was not there yet.
            let _ = system.nats_cli(&context, &args).await;
        }
    });
    task
}

/// The use of one stream in a report.
fn of<'r>(report: &'r Value, stream: &str) -> anyhow::Result<&'r Value> {
    let all = report["reports"][0]["use"].as_array().context("no use")?;
    all.iter()
        .find(|used| used["stream"] == stream)
        .with_context(|| format!("{stream} is not in {all:?}"))
}

/// All of what was seen comes from this location, by so many clients, and explains most of the traffic.
fn used_from(used: &Value, location: &str, clients: u64) -> anyhow::Result<()> {
    let locations = used["locations"].as_array().context("no locations")?;
    ensure!(locations.len() == 1 && locations[0]["name"] == location, "{used}");
    ensure!(locations[0]["connections"] == clients, "{used}");
    ensure!(used["coveragePercent"].as_u64() >= Some(80), "{used}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_use_of_each_stream_is_seen_where_it_is_and_not_where_most_clients_of_the_account_are() {
    let account = AccountSpec::new(DEFAULT_ACCOUNT)
        .user(UserSpec::new(DEFAULT_USER))
        .user(UserSpec::limited(
            DEAF,
            Permissions::allow(&["$JS.API.>", "$SYS.REQ.>"], &["_INBOX.>", "$JS.EVENT.>"]),
        ));
    let layout = Layout::supercluster(&[(HOME, 3), (AWAY, 3)]);
    let system = System::builder(layout).account(account).start().await.unwrap();
    let system = std::sync::Arc::new(system);
    system.wan().set_delay_everywhere(Duration::from_millis(20));
    let _most = assets::clients(&system, HOME, 9).await.unwrap();
    let mut load = Load::new();
    for location in [HOME, AWAY] {
        assets::placed_in(&system, location, location).await.unwrap();
        assets::use_from(&system, &mut load, location, location)
            .await
            .unwrap();
    }
    let admin = assets::client(&system, HOME).await.unwrap();
    assets::stream(&admin, "logs", 1, json!({})).await.unwrap();
    assets::stream(&admin, "idle", 1, json!({})).await.unwrap();
    let _from_go = published_by_nats(&system, AWAY, "eu-west.go", true);
    let _without_reply = published_by_nats(&system, AWAY, "logs.new", false);

    let leeward = CommandLine::new(&system, HOME).await.unwrap().arguments(&PATIENT);
    let report = |arguments: &'static [&'static str]| {
        let leeward = &leeward;
        async move {
            let arguments = [&["report", "-o", "json", "--use"], arguments].concat();
            leeward.run(&arguments).await?.document("report")
        }
    };
    let seen = eventually(CONVERGED, "all that can be seen is", || async {
        let seen = report(&[]).await?;
        used_from(of(&seen, HOME)?, HOME, 2)?;
        // A client of Rust's publishes, one works, and one of Go's publishes.
        used_from(of(&seen, AWAY)?, AWAY, 3)?;
        let logs = of(&seen, "logs")?;
        ensure!(
            logs["coveragePercent"] == 0 && logs["locations"] == json!([]),
            "{logs}"
        );
        Ok(seen)
    })
    .await
    .unwrap();
    let own = &seen["reports"][0];
    assert_eq!(word(&own["home"]["location"]), HOME, "the account's majority");
    let away = of(&seen, AWAY).unwrap();
    assert_eq!(word(&away["ledFrom"]), AWAY);
    let row = &away["locations"][0];
    for kind in ["publish", "pull"] {
        assert!(row[kind].as_f64().unwrap() > 10.0, "{kind}: {row}");
    }
    let idle = of(&seen, "idle").unwrap();
    assert_eq!(
        (&idle["coveragePercent"], &idle["locations"]),
        (&Value::Null, &json!([]))
    );

    // Only the busiest, as people read it.
    let ended = leeward.run(&["report", "--use", "--limit", "1"]).await.unwrap();
    let text = &ended.out;
    assert!(text.contains("USED FROM") && text.contains("publish "), "{text}");
    assert!(!text.contains("idle ") && !text.contains("logs "), "{text}");

    // Of a consumer, who uses it alone.
    let explained = leeward
        .run(&["explain", "eu-west/work", "-o", "json", "--use"])
        .await
        .unwrap();
    let explained = explained.document("explain").unwrap();
    let worked = &explained["usage"]["sampled"];
    assert_eq!(worked["locations"][0]["name"], AWAY, "{worked}");
    assert_eq!(worked["locations"][0]["publish"], 0.0, "{worked}");

    // The account's majority is not this stream's: it stays.
    let planned = leeward.run(&["plan", "-o", "json"]).await.unwrap();
    let planned = planned.document("plan").unwrap();
    let actions = planned["plans"][0]["waves"].to_string();
    assert!(!actions.contains(AWAY), "{planned:#}");
    let explained = leeward.run(&["explain", AWAY, "-o", "json"]).await.unwrap();
    let explained = explained.document("explain").unwrap();
    let because = word(&explained["decision"]["because"]).to_owned();
    assert!(
        because.contains("home is eu-west by the clients that use it"),
        "{because}"
    );
    let ended = leeward.run(&["apply", "--yes", "-o", "json"]).await.unwrap();
    ended.document("apply").unwrap();
    let led = assets::leaders(&system, HOME).await.unwrap();
    assert_eq!(assets::location(&led[AWAY]), AWAY, "{led:?}");

    let deaf = CommandLine::tenant(&system, DEFAULT_ACCOUNT, DEAF, HOME)
        .await
        .unwrap()
        .arguments(&PATIENT);
    let ended = deaf.run(&["report", "-o", "json", "--use"]).await.unwrap();
    let refused = ended.document("report").unwrap();
    let problem = word(&of(&refused, AWAY).unwrap()["problem"]).to_owned();
    assert!(problem.contains("may not subscribe"), "{problem}");
    drop(load);
}
