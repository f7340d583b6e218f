//! Two replicas and one lease: exactly one acts, and whoever takes over goes on where the other one stopped (P8, P10).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context, ensure};
use async_nats::Client;
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use leeward_e2e::{CONVERGED, Stage, assets};
use leeward_lab::audit::{Audit, AuditedRequest};
use leeward_lab::kube::Kind;
use leeward_lab::leeward::{Operator, manifests};
use leeward_lab::nats::eventually;
use serde_json::{Value, json};

use crate::kills::{assert_nothing_lost, asset, await_writes, load_on, requests};
use crate::wrong_side::{AWAY, HOME, assert_led_from, by_region, lead_from, misplaced, three_servers};

/// Each has a policy of its own.
const STREAMS: [&str; 2] = ["ORDERS", "PAYMENTS"];
const CONSUMERS: [&str; 12] = [
    "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11",
];
/// So long that no test lives to see its end.
const LONG_LEASE: [&str; 2] = ["--lease-duration", "1h"];

#[tokio::test]
async fn p8_the_second_replica_waits_and_finishes_what_the_first_began_before_it_was_killed() {
    let mut stage = Stage::new(three_servers()).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    let (audit, elections) = (
        Audit::start(&stage.system, &client).await.unwrap(),
        Elections::start(&client).await.unwrap(),
    );
    for stream in STREAMS {
        misplaced(&client, stream, &CONSUMERS).await;
    }
    let load = load_on(&stage.system, "ORDERS", CONSUMERS[0]).await;
    let limit = 2;
    stage
        .apply_system(json!({"limits": {"stepDowns": limit}}))
        .await
        .unwrap();
    let (mut first, second) = replicas(&mut stage, &[]).await;
    let former = holder(&stage).await.unwrap();
    apply_policies(&stage).await;

    await_writes(&audit, 3).await;
    assert_waits(&second).await;
    first.kill().await.unwrap();
    let before = audit.leeward_writes();
    let asked = requests(&audit);
    let told = recent_actions(&stage).await;
    let at_kill = assets::leaders(&stage.system, AWAY).await.unwrap();
    let home: BTreeSet<&String> = at_kill
        .iter()
        .filter(|(_, leader)| leader.starts_with(HOME))
        .map(|(asset, _)| asset)
        .collect();
    assert!(home.len() < at_kill.len(), "killed in the middle: {at_kill:?}");

    for stream in STREAMS {
        let policy = stream.to_lowercase();
        stage
            .await_reason(&policy, "InPlace", "AllInPlace")
            .await
            .unwrap();
    }
    assert_led_from(&stage, HOME).await;
    assert_ne!(holder(&stage).await.unwrap(), former);
    assert_eq!(held(&second).await.unwrap(), 1);
    let after = requests(&audit);
    for (asset, count) in &after {
        if home.contains(asset) {
            assert_eq!(
                asked.get(asset),
                Some(count),
                "{asset} was home when the first was killed"
            );
        }
        assert!(*count <= 2, "{asset}: {count} requests");
    }
    let later = &audit.leeward_writes()[before.len()..];
    assert!(!later.is_empty());
    let shared: Vec<_> = connections(&before)
        .intersection(&connections(later))
        .cloned()
        .collect();
    assert!(shared.is_empty(), "before and after the kill: {shared:?}");
    let most = most_at_once(&audit.leeward_writes(), &elections.seen());
    assert!((1..=limit).contains(&most), "{most} at once, {limit} are allowed");
    let now = recent_actions(&stage).await;
    let forgotten: Vec<_> = told.iter().filter(|action| !now.contains(action)).collect();
    assert!(forgotten.is_empty(), "{forgotten:?} is not in {now:?}");
    assert_nothing_lost(load, &stage.system, "ORDERS").await;
}

#[tokio::test]
async fn a_replica_that_is_told_to_end_hands_over_without_a_wait_for_the_lease_to_expire() {
    let mut stage = Stage::new(three_servers()).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    for stream in STREAMS {
        misplaced(&client, stream, &CONSUMERS).await;
    }
    stage
        .apply_system(json!({"limits": {"stepDowns": 1}}))
        .await
        .unwrap();
    let (mut first, mut second) = replicas(&mut stage, &LONG_LEASE).await;
    let former = holder(&stage).await.unwrap();
    apply_policies(&stage).await;
    await_writes(&audit, 3).await;
    let told = Instant::now();
    let (code, taken) = tokio::join!(
        first.stop(),
        eventually(CONVERGED, "the second has the lease", || async {
            let now = holder(&stage).await?;
            ensure!(!now.is_empty() && now != former, "it is held by {now:?}");
            Ok(told.elapsed())
        })
    );
    assert_eq!(code.unwrap(), Some(0), "ends by itself");
    println!("hand-over after SIGTERM: {:?}", taken.unwrap());
    for stream in STREAMS {
        let policy = stream.to_lowercase();
        stage
            .await_reason(&policy, "InPlace", "AllInPlace")
            .await
            .unwrap();
    }
    assert_led_from(&stage, HOME).await;
    for (asset, count) in requests(&audit) {
        assert_eq!(count, 1, "{asset} was left half done, or done twice");
    }
    assert_eq!(second.stop().await.unwrap(), Some(0), "ends by itself");
    assert_eq!(holder(&stage).await.unwrap(), "", "nobody is left to hold it");
}

#[tokio::test]
async fn p8_a_replica_that_slept_past_its_lease_acts_no_more_and_waits_like_any_other() {
    let mut stage = Stage::new(three_servers()).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    for stream in STREAMS {
        misplaced(&client, stream, &CONSUMERS).await;
    }
    let slowly = |suspend: bool| json!({"limits": {"stepDowns": 1}, "suspend": suspend});
    stage.apply_system(slowly(false)).await.unwrap();
    let (first, second) = replicas(&mut stage, &[]).await;
    apply_policies(&stage).await;
    await_writes(&audit, 3).await;
    first.pause().unwrap();
    let sleeping = connections(&audit.leeward_writes());
    eventually(CONVERGED, "the second has the lease", || async {
        ensure!(held(&second).await? == 1, "not yet");
        Ok(())
    })
    .await
    .unwrap();
    for stream in STREAMS {
        let policy = stream.to_lowercase();
        stage
            .await_reason(&policy, "InPlace", "AllInPlace")
            .await
            .unwrap();
    }
    // What the first one had in mind when it fell asleep is to be done again, and the other one may not do it.
    stage.apply_system(slowly(true)).await.unwrap();
    for stream in STREAMS {
        let policy = stream.to_lowercase();
        stage
            .await_reason(&policy, "Progressing", "Suspended")
            .await
            .unwrap();
    }
    for stream in STREAMS {
        lead_from(&client, AWAY, stream, &CONSUMERS).await;
    }
    let asleep = audit.leeward_writes().len();
    first.resume().unwrap();
    eventually(CONVERGED, "the first knows that it lost the lease", || async {
        ensure!(held(&first).await? == 0, "not yet");
        Ok(())
    })
    .await
    .unwrap();
    assert_waits(&first).await;
    let awake = audit.leeward_writes();
    assert!(awake.len() == asleep, "{:?}", &awake[asleep..]);

    stage.apply_system(slowly(false)).await.unwrap();
    for stream in STREAMS {
        let policy = stream.to_lowercase();
        stage
            .await_reason(&policy, "InPlace", "AllInPlace")
            .await
            .unwrap();
    }
    assert_led_from(&stage, HOME).await;
    let writes = audit.leeward_writes();
    let by_second = connections(&writes[asleep..]);
    assert!(
        by_second.len() <= STREAMS.len() && by_second.is_disjoint(&sleeping),
        "{by_second:?}"
    );
    assert!(first.running());
    assert_waits(&first).await;
}

#[tokio::test]
async fn p8_while_somebody_else_holds_the_lease_a_replica_looks_on_and_neither_acts_nor_says_anything() {
    let mut stage = Stage::new(three_servers()).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    misplaced(&client, "ORDERS", &["workers"]).await;
    let system = stage.system.system_client().await.unwrap();
    let mut looks = system.subscribe("$SYS.REQ.SERVER.PING.GATEWAYZ").await.unwrap();
    system.flush().await.unwrap();
    let lease = |holder: &str| {
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "leeward", "namespace": stage.namespace},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 3600, "leaseTransitions": 4},
        })
    };
    let (taken, given_up) = (lease("somebody-else"), lease(""));
    stage.apply(&taken).await.unwrap();
    stage.apply_system(json!({})).await.unwrap();
    stage.apply_policy("orders", by_region(json!({}))).await.unwrap();

    stage.start_operator().await.unwrap();
    for _ in 0..3 {
        looks.next().await.unwrap();
    }
    assert_waits(stage.operator().unwrap()).await;
    assert!(audit.leeward_writes().is_empty(), "{:?}", audit.leeward_writes());
    for (kind, name) in [(Kind::PlacementPolicy, "orders"), (Kind::NatsSystem, "prod")] {
        let object = stage.get(kind, name).await.unwrap();
        assert!(object["status"].is_null(), "{kind:?}: {}", object["status"]);
    }

    stage.apply(&given_up).await.unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    stage.await_system_reason("Ready", "Ready").await.unwrap();
    assert_led_from(&stage, HOME).await;
    let lease = stage.get(Kind::Lease, "leeward").await.unwrap();
    assert_eq!(lease["spec"]["leaseTransitions"], 5);
}

#[tokio::test]
async fn p6_without_the_right_to_the_lease_nothing_is_done_and_the_log_and_the_metrics_say_so() {
    let mut stage = Stage::new(three_servers()).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    misplaced(&client, "ORDERS", &["workers"]).await;
    stage.apply_system(json!({})).await.unwrap();
    stage.apply_policy("orders", by_region(json!({}))).await.unwrap();
    let leases = "leeward-lease";
    stage.kubectl(&["delete", "rolebinding", leases]).await.unwrap();
    stage.start_operator().await.unwrap();

    let operator = stage.operator().unwrap();
    eventually(CONVERGED, "it says what it may not do", || async {
        let (_, page) = operator.get("/metrics").await?;
        let refused = page
            .lines()
            .any(|line| line.starts_with("leeward_lease_errors_total") && line.contains("forbidden"));
        ensure!(refused, "{page}");
        let log = operator.log_tail(usize::MAX);
        ensure!(
            log.contains("allow it to list, create and update leases"),
            "{log}"
        );
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(held(operator).await.unwrap(), 0);
    assert!(audit.leeward_writes().is_empty(), "{:?}", audit.leeward_writes());

    let rights = manifests::rbac(&stage.namespace).unwrap();
    stage.kube.kube().apply(&rights).await.unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    assert_led_from(&stage, HOME).await;
}

/// One that holds the lease, and one that waits for it, warm.
pub async fn replicas(stage: &mut Stage, arguments: &[&str]) -> (Operator, Operator) {
    stage.start_operator_with(arguments).await.unwrap();
    let first = stage.operator.take().unwrap();
    eventually(CONVERGED, "the first has the lease", || async {
        ensure!(held(&first).await? == 1, "not yet");
        Ok(())
    })
    .await
    .unwrap();
    let second = stage.another_operator("replica", arguments).await.unwrap();
    eventually(CONVERGED, "the second is ready", || async {
        let (code, text) = second.get("/readyz").await?;
        ensure!(code == 200, "{text}");
        let (_, page) = second.get("/metrics").await?;
        let connected = |line: &str| line.starts_with("leeward_nats_connected{") && line.ends_with(" 1");
        ensure!(page.lines().any(connected), "{page}");
        Ok(())
    })
    .await
    .unwrap();
    (first, second)
}

/// A policy for each stream, with more at once than the system allows.
async fn apply_policies(stage: &Stage) {
    for stream in STREAMS {
        let spec = json!({"streams": {"include": [stream]}, "disruption": {"maxConcurrent": 4}});
        stage
            .apply_policy(&stream.to_lowercase(), by_region(spec))
            .await
            .unwrap();
    }
}

/// It is alive and ready, and runs no policy.
async fn assert_waits(replica: &Operator) {
    assert_eq!(held(replica).await.unwrap(), 0);
    assert_eq!(replica.get("/readyz").await.unwrap().0, 200);
    eventually(
        CONVERGED,
        "a waiting replica has no numbers of policies",
        || async {
            let (_, page) = replica.get("/metrics").await?;
            ensure!(!page.contains("leeward_assets{"), "{page}");
            Ok(())
        },
    )
    .await
    .unwrap();
}

/// 1 for the holder of the lease, as the replica itself says.
async fn held(replica: &Operator) -> anyhow::Result<u8> {
    let (_, page) = replica.get("/metrics").await?;
    let line = page
        .lines()
        .find(|line| line.starts_with("leeward_lease_held{"))
        .context("no such number")?;
    Ok(line.rsplit(' ').next().context("an empty line")?.parse()?)
}

/// Who holds the lease, as the Kubernetes API says.
async fn holder(stage: &Stage) -> anyhow::Result<String> {
    let lease = stage.get(Kind::Lease, "leeward").await?;
    Ok(lease["spec"]["holderIdentity"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

/// What was done, as the policies' status tells; what is found out about it later is left out.
async fn recent_actions(stage: &Stage) -> Vec<Value> {
    let mut actions: Vec<Value> = Vec::new();
    for stream in STREAMS {
        let policy = stage.policy(&stream.to_lowercase()).await.unwrap();
        let told = policy["status"]["recentActions"].as_array().cloned();
        actions.extend(told.unwrap_or_default());
    }
    for action in &mut actions {
        action.as_object_mut().unwrap().remove("proof");
    }
    actions
}

fn connections(requests: &[AuditedRequest]) -> BTreeSet<String> {
    requests
        .iter()
        .map(|request| request.connection.clone())
        .collect()
}

/// When leaders were elected, by asset, as the servers tell.
struct Elections(Arc<Mutex<BTreeMap<String, Vec<Timestamp>>>>);

impl Elections {
    async fn start(client: &Client) -> anyhow::Result<Self> {
        let mut told = client.subscribe("$JS.EVENT.ADVISORY.*.LEADER_ELECTED.>").await?;
        client.flush().await?;
        let seen: Arc<Mutex<BTreeMap<String, Vec<Timestamp>>>> = Arc::default();
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Some(message) = told.next().await {
                let advisory: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
                let at = advisory["timestamp"].as_str().and_then(|text| text.parse().ok());
                let name = message.subject.split_once(".LEADER_ELECTED.");
                if let (Some((_, name)), Some(at)) = (name, at) {
                    let mut seen = kept.lock().unwrap();
                    seen.entry(name.replace('.', "/")).or_default().push(at);
                }
            }
        });
        Ok(Self(seen))
    }

    fn seen(&self) -> BTreeMap<String, Vec<Timestamp>> {
        self.0.lock().unwrap().clone()
    }
}

/// How many hand-overs were under way at once: from the request to the election that followed, all on one clock.
fn most_at_once(requests: &[AuditedRequest], elections: &BTreeMap<String, Vec<Timestamp>>) -> usize {
    // The election may be over before the answer to the request is written, which is what the audit tells.
    let early = SignedDuration::from_millis(500);
    // One that was not elected anew gives its place back in the end.
    let longest = SignedDuration::from_secs(10);
    let spans: Vec<(Timestamp, Timestamp)> = requests
        .iter()
        .map(|request| {
            let from: Timestamp = request.at.parse().unwrap();
            let elected = elections.get(&asset(&request.subject)).into_iter().flatten();
            let to = elected
                .copied()
                .filter(|at| *at >= from - early)
                .min()
                .unwrap_or(from + longest);
            (from, to)
        })
        .collect();
    let under_way = |at: Timestamp| {
        spans
            .iter()
            .filter(|(from, to)| *from <= at && (at < *to || *from == at))
            .count()
    };
    spans.iter().map(|(from, _)| under_way(*from)).max().unwrap_or(0)
}
