//! What cannot be seen is said, and is never a reason to believe that all is well.

use anyhow::ensure;
use leeward_e2e::cli::CommandLine;
use leeward_e2e::{CONVERGED, assets};
use leeward_lab::nats::eventually;
use serde_json::json;

use super::policy;
use crate::wrong_side::{AWAY, HOME, by_region, misplaced, three_servers};

#[tokio::test(flavor = "multi_thread")]
async fn with_a_server_that_does_not_answer_every_command_ends_with_3_and_names_it() {
    let system = three_servers().start().await.unwrap();
    let _apps = assets::clients(&system, HOME, 7).await.unwrap();
    let client = assets::client(&system, HOME).await.unwrap();
    misplaced(&client, "ORDERS", &["workers"]).await;
    let leeward = CommandLine::new(&system, HOME).await.unwrap();
    let file = leeward
        .file("policy.yaml", &policy("orders", by_region(json!({}))))
        .unwrap();

    // It leads everything, keeps its connections and says nothing.
    let silent = system.servers_in(AWAY).remove(0);
    system.pause(&silent).await.unwrap();
    let hasty = leeward.clone().arguments(&["--wait", "4s", "--filename", &file]);
    for args in [
        &["report", "-o", "json"][..],
        &["plan", "-o", "json"],
        &["check", "-o", "json"],
    ] {
        let ended = hasty.run(args).await.unwrap().with_code(3).unwrap();
        ended.document(args[0]).unwrap();
        assert!(ended.out.contains(&silent), "{}", ended.out);
    }
    let ended = hasty
        .run(&["apply", "--yes"])
        .await
        .unwrap()
        .with_code(3)
        .unwrap();
    let said = format!("{}{}", ended.out, ended.err);
    assert!(said.contains(&silent), "{said}");
    let tenant = CommandLine::by_environment(&system, HOME).await.unwrap();
    let tenant = tenant.arguments(&["--wait", "4s", "--filename", &file]);
    tenant.run(&["report"]).await.unwrap().with_code(3).unwrap();

    system.resume(&silent).await.unwrap();
    let patient = leeward.arguments(&["--wait", "1m", "--filename", &file]);
    eventually(CONVERGED, "everything is seen again", || async {
        let ended = patient.run(&["report"]).await?;
        ensure!(matches!(ended.code, Some(0 | 2)), "{ended:?}");
        Ok(())
    })
    .await
    .unwrap();
}
