//! Systems are spread over replicas: each is handled by one, whoever comes and goes (P8).

use std::collections::BTreeMap;

use anyhow::ensure;
use leeward_e2e::{CONVERGED, Stage, assets, condition};
use leeward_lab::audit::{Audit, AuditedRequest};
use leeward_lab::kube::Kind;
use leeward_lab::leeward::{Operator, manifests};
use leeward_lab::nats::eventually;
use serde_json::{Value, json};

use crate::kills::await_writes;
use crate::wrong_side::{AWAY, HOME, assert_led_from, by_region, lead_from, misplaced, three_servers};

const SHARDS: u8 = 4;
const ARGUMENTS: [&str; 2] = ["--shards", "4"];
/// One for each shard, with a system and a policy of its own.
const STREAMS: [&str; 4] = ["ORDERS", "PAYMENTS", "INVOICES", "RETURNS"];
const CONSUMERS: [&str; 4] = ["c0", "c1", "c2", "c3"];

#[tokio::test]
async fn p8_each_system_is_handled_by_one_replica_whoever_comes_and_goes() {
    let site = Site::new().await;
    let mut first = site.replica("first").await;
    await_shards(&[&first], &[4]).await;
    site.suspend(false).await;
    await_writes(&site.audit, 2).await;
    let mut second = site.replica("second").await;
    await_shards(&[&first, &second], &[2, 2]).await;
    site.await_in_place().await;

    site.lead_away().await;
    let mut third = site.replica("third").await;
    await_shards(&[&first, &second, &third], &[1, 1, 2]).await;
    site.begin_again().await;
    assert_eq!(second.stop().await.unwrap(), Some(0), "ends by itself");
    await_shards(&[&first, &third], &[2, 2]).await;
    site.await_in_place().await;
    for replica in [&first, &third] {
        assert!(acted(replica).await.unwrap() > 0, "{}", replica.log_tail(20));
    }

    site.lead_away().await;
    site.begin_again().await;
    third.kill().await.unwrap();
    await_shards(&[&first], &[4]).await;
    site.await_in_place().await;
    site.assert_one_writer_at_a_time().await;
    assert_eq!(first.stop().await.unwrap(), Some(0), "ends by itself");
    for (lease, holder) in site.leases("").await.unwrap() {
        assert!(
            holder.is_empty() || lease.contains("-member-"),
            "{lease}: {holder}"
        );
    }
}

#[tokio::test]
async fn p8_replicas_with_another_number_of_shards_wait_until_the_old_ones_are_gone() {
    let site = Site::new().await;
    let mut old = site.replica_with("old", &[]).await;
    await_shards(&[&old], &[1]).await;
    let first = site.replica("first").await;
    let second = site.replica("second").await;
    eventually(CONVERGED, "the new ones say what they wait for", || async {
        for replica in [&first, &second] {
            let log = replica.log_tail(usize::MAX);
            ensure!(
                log.contains("replicas with another number of shards run"),
                "{log}"
            );
        }
        Ok(())
    })
    .await
    .unwrap();
    site.suspend(false).await;
    site.await_in_place().await;
    await_shards(&[&first, &second], &[0, 0]).await;

    site.lead_away().await;
    site.begin_again().await;
    let before = site.audit.leeward_writes();
    assert_eq!(old.stop().await.unwrap(), Some(0), "ends by itself");
    await_shards(&[&first, &second], &[2, 2]).await;
    site.await_in_place().await;
    let by_old: Vec<&str> = before.iter().map(|request| &*request.connection).collect();
    let writes = site.audit.leeward_writes();
    let begun = writes
        .iter()
        .position(|request| !by_old.contains(&&*request.connection))
        .expect("the new ones act");
    let late = writes[begun..]
        .iter()
        .filter(|request| by_old.contains(&&*request.connection));
    assert_eq!(late.count(), 0, "the old one acted after a new one: {writes:?}");
    let holders = site.leases("leeward-shard-").await.unwrap();
    assert_eq!(holders.len(), usize::from(SHARDS), "{holders:?}");
}

/// Four systems that are the same servers, each with a policy for a stream of its own.
struct Site {
    stage: Stage,
    audit: Audit,
    client: async_nats::Client,
    systems: Vec<String>,
    _clients: Vec<async_nats::Client>,
}

impl Site {
    async fn new() -> Self {
        let stage = Stage::new(three_servers()).await.unwrap();
        let rights = manifests::rbac_sharded(&stage.namespace, SHARDS).unwrap();
        stage.kube.kube().apply(&rights).await.unwrap();
        let clients = assets::clients(&stage.system, HOME, 7).await.unwrap();
        let client = assets::client(&stage.system, AWAY).await.unwrap();
        let audit = Audit::start(&stage.system, &client).await.unwrap();
        for stream in STREAMS {
            misplaced(&client, stream, &CONSUMERS).await;
        }
        // For the Secrets.
        stage.apply_system(json!({"suspend": true})).await.unwrap();
        let systems = (0..SHARDS)
            .map(|shard| name_in(&stage.namespace, shard))
            .collect();
        let site = Self {
            stage,
            audit,
            client,
            systems,
            _clients: clients,
        };
        site.suspend(true).await;
        for (system, stream) in site.systems.iter().zip(STREAMS) {
            let spec = json!({"systemRef": {"name": system}, "streams": {"include": [stream]}});
            site.stage.apply_policy(system, by_region(spec)).await.unwrap();
        }
        site
    }

    async fn replica(&self, name: &str) -> Operator {
        self.replica_with(name, &ARGUMENTS).await
    }

    async fn replica_with(&self, name: &str, arguments: &[&str]) -> Operator {
        self.stage.another_operator(name, arguments).await.unwrap()
    }

    async fn suspend(&self, suspend: bool) {
        let spec = json!({"limits": {"stepDowns": 1}, "suspend": suspend});
        for system in &self.systems {
            let object =
                manifests::nats_system(&self.stage.namespace, system, &self.stage.system, spec.clone());
            self.stage.apply(&object.unwrap()).await.unwrap();
        }
    }

    /// Puts all leaders on the wrong side while nothing acts.
    async fn lead_away(&self) {
        self.suspend(true).await;
        for system in &self.systems {
            self.await_reason(system, "Progressing", "Suspended").await;
        }
        for stream in STREAMS {
            lead_from(&self.client, AWAY, stream, &CONSUMERS).await;
        }
    }

    /// Lets everything act, and waits until it does.
    async fn begin_again(&self) {
        let before = self.audit.leeward_writes().len();
        self.suspend(false).await;
        await_writes(&self.audit, before + 3).await;
    }

    async fn await_in_place(&self) {
        for system in &self.systems {
            self.await_reason(system, "InPlace", "AllInPlace").await;
            let object = self.stage.get(Kind::NatsSystem, system).await.unwrap();
            let ready = condition(&object, "Ready").map(|(reason, _)| reason);
            assert_eq!(ready.as_deref(), Some("Ready"), "{system}");
        }
        assert_led_from(&self.stage, HOME).await;
    }

    async fn await_reason(&self, policy: &str, kind: &str, reason: &str) {
        self.stage.await_reason(policy, kind, reason).await.unwrap();
    }

    /// Who holds the leases whose names have this in them.
    async fn leases(&self, part: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let leases = self.stage.list(Kind::Lease).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let lease = |item: &Value| {
            (
                text(&item["metadata"]["name"]),
                text(&item["spec"]["holderIdentity"]),
            )
        };
        Ok(leases
            .iter()
            .map(lease)
            .filter(|(name, _)| name.contains(part))
            .collect())
    }

    /// The servers tell who wrote what: for a system that changes no more often than its shard's lease changed hands.
    async fn assert_one_writer_at_a_time(&self) {
        for (shard, stream) in STREAMS.into_iter().enumerate() {
            let lease = self
                .stage
                .get(Kind::Lease, &format!("leeward-shard-{shard}"))
                .await
                .unwrap();
            let hands = lease["spec"]["leaseTransitions"].as_u64().unwrap();
            let mut writes: Vec<AuditedRequest> = self.audit.leeward_writes();
            writes.retain(|request| request.subject.split('.').any(|part| part == stream));
            writes.sort_by(|one, two| one.at.cmp(&two.at));
            let mut writers: Vec<&str> = writes.iter().map(|request| &*request.connection).collect();
            writers.dedup();
            assert!(!writers.is_empty(), "{stream} was not acted on");
            assert!(
                writers.len() as u64 <= hands + 1,
                "{stream}: {writers:?}, {hands} hand-overs"
            );
        }
    }
}

/// Waits until the replicas hold so many shards, in any order.
async fn await_shards(replicas: &[&Operator], expected: &[usize]) {
    eventually(CONVERGED, &format!("they hold {expected:?} shards"), || async {
        let mut counts = Vec::new();
        for replica in replicas {
            counts.push(shards(replica).await?);
        }
        counts.sort_unstable();
        ensure!(counts == expected, "{counts:?}");
        Ok(())
    })
    .await
    .unwrap();
}

/// How many a replica holds, as it says itself; with one shard, whether it holds that.
async fn shards(replica: &Operator) -> anyhow::Result<usize> {
    let (_, page) = replica.get("/metrics").await?;
    let held = |line: &&str| line.starts_with("leeward_lease_held{") && line.ends_with(" 1");
    let leases = page.lines().filter(held);
    Ok(leases.filter(|line| !line.contains("-member\"")).count())
}

/// How many acts a replica counted since it started, for policies that it runs.
async fn acted(replica: &Operator) -> anyhow::Result<u64> {
    let (_, page) = replica.get("/metrics").await?;
    let counts = page
        .lines()
        .filter(|line| line.starts_with("leeward_actions_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    Ok(counts.sum())
}

/// A name whose system is in this shard: FNV-1a of namespace and name, as the documentation says.
fn name_in(namespace: &str, shard: u8) -> String {
    let names = (0..).map(|number| format!("system-{number}"));
    let is_in = |name: &String| {
        let hash = format!("{namespace}/{name}")
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        hash % u64::from(SHARDS) == u64::from(shard)
    };
    names.into_iter().find(is_in).expect("there is one")
}
