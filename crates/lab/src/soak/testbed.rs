//! The testbed of a soak: six servers in two locations, an account under load, a Kubernetes API and the operator.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use async_nats::Client;
use serde_json::{Value, json};

use super::judge::SoakRules;
use super::recorder::{Recorder, WatchedTargets};
use crate::demo::Shape;
use crate::kube::{Kind, Kube, ObjectClient};
use crate::leeward::{Operator, kube_for, manifests, operator_in};
use crate::load::{IdleClients, Load, Publisher, PullWorker, PushWorker};
use crate::nats::{AccountSpec, DEFAULT_ACCOUNT, DEFAULT_USER, System, UserSpec, eventually, jetstream};
use crate::print_line;

pub(super) const EAST: &str = "us-east";
pub(super) const WEST: &str = "eu-west";
pub(super) const POLICY: &str = "soak";
const NAMESPACE: &str = "leeward-soak";
const BYSTANDER: &str = "BYSTANDER";
const SERVERS: usize = 3;
const ONE_WAY: Duration = Duration::from_millis(5);

/// Under load, with three replicas.
const LOADED: [&str; 3] = ["orders", "payments", "shipments"];
/// Without load and with one replica.
const SINGLE: &str = "notes";
const WORK: &str = "work";
const FEED: &str = "feed";
/// Idle clients, which define the home; the load's own clients are fewer.
const IDLE: usize = 20;
/// Messages per second of each publisher.
const RATE: f64 = 20.0;
/// Longer than any outage, so that a message is stored once however long its publisher retried.
const DUPLICATE_WINDOW: Duration = Duration::from_mins(15);
const ACK_WAIT: Duration = Duration::from_secs(10);
/// How long servers may take until all is healthy again, and Leeward until all is in place.
const LIMIT: Duration = Duration::from_mins(5);
const LOOK: Duration = Duration::from_millis(500);

pub(super) struct Testbed {
    // Dropped in this order.
    pub load: Load,
    pub idle: IdleClients,
    pub witness: Recorder,
    pub operator: Operator,
    pub kube: Kube,
    objects: ObjectClient,
    pub admin: Client,
    pub system: System,
    pub shape: Shape,
    rules: SoakRules,
}

impl Testbed {
    /// Everything runs, everything is led from the wrong side, and the policy may act.
    pub(super) async fn start(shape: Shape, rules: SoakRules, folder: &Path) -> anyhow::Result<Self> {
        let (kube, system) = tokio::try_join!(kube_for(NAMESPACE, folder), servers(shape, folder))?;
        let admin = system.connect_default(WEST).await?;
        create(&admin, shape).await?;
        let idle = IdleClients::in_system(&system, EAST, "app", IDLE).await?;
        let mut load = Load::new();
        start_load(&mut load, &system).await?;
        let objects = kube.objects().await?;
        let witness = witness(&system, &admin, objects.clone(), shape).await?;
        let operator = operator_in(NAMESPACE, &kube, folder).await?;
        let site = Self {
            load,
            idle,
            witness,
            operator,
            kube,
            objects,
            admin,
            system,
            shape,
            rules,
        };
        site.apply_objects().await?;
        Ok(site)
    }

    async fn apply_objects(&self) -> anyhow::Result<()> {
        let limits = json!({"limits": {"stepDowns": 16, "moves": self.rules.moves}});
        for object in manifests::system_objects(NAMESPACE, &self.system, limits)? {
            self.kube.apply(&object.to_string()).await?;
        }
        self.apply_policy(false).await
    }

    pub(super) async fn apply_policy(&self, suspend: bool) -> anyhow::Result<()> {
        let rules = &self.rules;
        let seconds = |time: Duration| format!("{}s", time.as_secs());
        let mut spec = json!({
            "suspend": suspend,
            "home": {"stabilizationWindow": "2s"},
            "actions": {"streamPlacement": {"maxStall": "5m"}},
            "disruption": {
                "maxConcurrent": rules.max_concurrent,
                "cooldown": seconds(rules.cooldown),
                // What a killed server makes fail is retried until it is back.
                "maxAttempts": 1000,
                "budgets": [{"name": "soak", "max": rules.budget, "per": seconds(rules.per)}],
                "gates": {"quietAfterLeaderChange": "2s", "quietAfterServerStart": "3s"},
                "circuitBreaker": {"failures": 5, "within": "1m", "openFor": "10s"},
            },
        });
        if self.shape == Shape::Stretched {
            spec["topology"] = json!({"key": "ServerTag", "tagPrefix": "region:"});
            spec["actions"] = json!({"streamPlacement": {"enabled": false}});
        }
        let policy = manifests::placement_policy(NAMESPACE, POLICY, spec);
        self.kube.apply(&policy.to_string()).await
    }

    pub(super) async fn policy(&self) -> anyhow::Result<Value> {
        self.objects.get(NAMESPACE, Kind::PlacementPolicy, POLICY).await
    }

    /// Waits until the operator has judged the policy as it is now.
    pub(super) async fn until_judged(&self) -> anyhow::Result<()> {
        eventually(LIMIT, "the operator has seen the policy", || async {
            let policy = self.policy().await?;
            ensure!(
                policy["status"]["observedGeneration"] == policy["metadata"]["generation"],
                "it has not"
            );
            Ok(())
        })
        .await
    }

    /// Waits until the policy reports something as not in place, or the limit passes.
    pub(super) async fn until_seen_elsewhere(&self, limit: Duration) {
        let looking = async {
            loop {
                tokio::time::sleep(LOOK).await;
                let policy = self.policy().await.unwrap_or_default();
                let seen = condition(&policy["status"], "InPlace");
                if seen.is_some_and(|(reason, _)| reason == "ActionsPending" || reason == "Held") {
                    return;
                }
            }
        };
        // Without it there is less to see, but nothing wrong.
        let _ = tokio::time::timeout(limit, looking).await;
    }

    /// Waits until all servers are connected and every replica is caught up.
    pub(super) async fn until_whole(&self) -> anyhow::Result<()> {
        self.system.ready(LIMIT).await?;
        for stream in streams() {
            eventually(LIMIT, &format!("{stream} is whole"), || async {
                let info = jetstream::stream_info(&self.admin, stream).await?;
                ensure!(jetstream::leader_in(&info).is_some(), "no leader");
                let replicas = info["cluster"]["replicas"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                let well = |peer: &Value| peer["current"] == true && peer["offline"] != true;
                ensure!(replicas.iter().all(well), "replicas: {replicas:?}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until everything that can be is led from where the clients are, and the policy reports so. Prints the
    /// obstacles as they change.
    pub(super) async fn until_in_place(&self) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut logged = String::new();
        while let Err(error) = self.in_place().await {
            let why = format!("{error:#}");
            if begin.elapsed() > LIMIT {
                let status = self.policy().await.map(|policy| policy["status"].clone());
                let log = self.operator.log_tail(20);
                bail!(
                    "not in place after {LIMIT:?}: {why}\nstatus: {status:#?}\nthe operator's log ends:\n{log}"
                );
            }
            if why != logged {
                self.log(&why);
                logged = why;
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    pub(super) fn log(&self, what: &str) {
        print_line(format!("{:7.1} s  {what}", self.witness.now().as_secs_f64()));
    }

    async fn in_place(&self) -> anyhow::Result<()> {
        let status = &self.policy().await?["status"];
        let (reason, message) = condition(status, "Observed").context("no condition yet")?;
        ensure!(reason == "Complete", "Observed is {reason}: {message}");
        let (reason, message) = condition(status, "InPlace").context("no condition yet")?;
        let settled = ["AllInPlace", "Unfixable"].contains(&reason.as_str());
        ensure!(settled, "InPlace is {reason}: {message}");
        ensure!(status["operations"].is_null(), "operations are under way");
        self.led_from(self.idle.location()).await
    }

    /// As the servers report; step-downs cannot move one replica.
    async fn led_from(&self, home: &str) -> anyhow::Result<()> {
        let can_come = |stream: &&str| self.shape == Shape::Supercluster || *stream != SINGLE;
        for stream in streams().filter(can_come) {
            let leader = jetstream::leader_of(&self.admin, stream)
                .await?
                .context("no leader")?;
            ensure!(jetstream::is_in(&leader, home), "{stream} is led by {leader}");
            for consumer in consumers(stream) {
                let leader = jetstream::leader_of_consumer(&self.admin, stream, consumer).await?;
                let leader = leader.context("no leader")?;
                ensure!(
                    jetstream::is_in(&leader, home),
                    "{stream}/{consumer} is led by {leader}"
                );
            }
        }
        Ok(())
    }

    /// Streams whose messages are accounted for.
    pub(super) fn loaded() -> [&'static str; 3] {
        LOADED
    }
}

/// The account without a policy has a stream of the same name.
async fn witness(
    system: &System,
    admin: &Client,
    objects: ObjectClient,
    shape: Shape,
) -> anyhow::Result<Recorder> {
    let credentials = system.credentials(BYSTANDER, DEFAULT_USER)?;
    let bystander = system.connect(WEST, credentials).await?;
    let theirs = json!({"subjects": [format!("{}.>", LOADED[0])], "num_replicas": 3});
    jetstream::create_stream(&bystander, LOADED[0], theirs).await?;
    let streams: Vec<String> = streams().map(str::to_owned).collect();
    Recorder::start(WatchedTargets {
        system,
        objects,
        namespace: NAMESPACE,
        policy: POLICY,
        client: admin.clone(),
        account: system.account_id(DEFAULT_ACCOUNT)?,
        bystander,
        streams: &streams,
        edits: shape == Shape::Supercluster,
    })
    .await
}

/// Reason and message of a condition in a status.
pub(super) fn condition(status: &Value, kind: &str) -> Option<(String, String)> {
    let conditions = status["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    Some((
        found["reason"].as_str()?.to_owned(),
        found["message"].as_str()?.to_owned(),
    ))
}

async fn servers(shape: Shape, folder: &Path) -> anyhow::Result<System> {
    let layout = shape.layout(&[(EAST, SERVERS), (WEST, SERVERS)]);
    let account = |name: &str| AccountSpec::new(name).user(UserSpec::new(DEFAULT_USER));
    System::builder(layout)
        .account(account(DEFAULT_ACCOUNT))
        .account(account(BYSTANDER))
        .delay(ONE_WAY)
        .folder(folder.join("nats"))
        .start()
        .await
}

async fn create(admin: &Client, shape: Shape) -> anyhow::Result<()> {
    for stream in streams() {
        let replicas = if stream == SINGLE { 1 } else { 3 };
        let config = json!({
            "subjects": [format!("{stream}.>")],
            "num_replicas": replicas,
            "duplicate_window": nanos(DUPLICATE_WINDOW),
            "metadata": {"soak.test/Kept": "as it is ✓"},
        });
        match shape {
            Shape::Stretched if replicas == 3 => {
                jetstream::create_spread(admin, stream, config, &[EAST, WEST]).await?;
            }
            Shape::Stretched => {
                jetstream::create_stream(admin, stream, config).await?;
            }
            Shape::Supercluster => {
                let placed = manifests::merged(config, json!({"placement": {"cluster": WEST}}));
                jetstream::create_stream(admin, stream, placed).await?;
            }
        }
        for consumer in consumers(stream) {
            let mut config = json!({"ack_policy": "explicit", "ack_wait": nanos(ACK_WAIT)});
            if *consumer == FEED {
                config["deliver_subject"] = json!(deliver(stream));
            }
            jetstream::create_consumer(admin, stream, consumer, config).await?;
        }
    }
    Ok(())
}

/// Publishers and workers at both locations, each with a connection of its own.
async fn start_load(load: &mut Load, system: &System) -> anyhow::Result<()> {
    for (number, stream) in LOADED.into_iter().enumerate() {
        let [here, there] = if number % 2 == 0 {
            [EAST, WEST]
        } else {
            [WEST, EAST]
        };
        let client = system.connect_default(here).await?;
        let mut publisher = Publisher::new(client, here, stream, &format!("{stream}.new"));
        publisher.rate_per_second = RATE;
        load.publish(publisher);
        let client = system.connect_default(there).await?;
        load.pull(PullWorker::new(client, there, stream, WORK));
        let client = system.connect_default(here).await?;
        load.push(PushWorker::new(client, here, stream, FEED, &deliver(stream)));
    }
    Ok(())
}

fn streams() -> impl Iterator<Item = &'static str> {
    LOADED.into_iter().chain([SINGLE])
}

fn consumers(stream: &str) -> &'static [&'static str] {
    if stream == SINGLE { &[WORK] } else { &[WORK, FEED] }
}

fn deliver(stream: &str) -> String {
    format!("deliver.{stream}")
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
