//! Servers that lie, to one operator: it lives and answers its probes, stays small, says what is wrong, does nothing where
//! it does not see everything, and goes on once they are honest. A system beside them is not disturbed.
//!
//! `LEEWARD_LIES=all` tells all lies, and `LEEWARD_LIES=events-flood,silent` these; without it some of each kind are told,
//! and every one that is large.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures::StreamExt as _;
use leeward_e2e::{CONVERGED, Stage};
use leeward_lab::hostile::honest::SYSTEM_USER;
use leeward_lab::hostile::question::Call;
use leeward_lab::hostile::trial::peak_memory;
use leeward_lab::hostile::{Liar, Scenario, Script, scenarios};
use leeward_lab::kube::{Kind, ObjectClient};
use leeward_lab::leeward::{Operator, manifests};
use leeward_lab::nats::{Credentials, Layout, System, eventually};
use serde_json::{Value, json};

/// The most that the operator may ever take: three quarters of what the chart allows its pod. Seen were 60 MiB with an
/// honest system, 180 with one that sends as much as it can, and up to 243 with all.
const MOST_MEMORY: u64 = 384 << 20;
/// Lies that are told at a time; the bound on memory is for two systems that send as much as they can.
const LIGHT_AT_ONCE: usize = 32;
const HEAVY_AT_ONCE: usize = 2;
const PROBE_INTERVAL: Duration = Duration::from_millis(200);
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
const KINDS: [Kind; 2] = [Kind::NatsSystem, Kind::PlacementPolicy];
const ACTS: [Call; 3] = [Call::StepDown, Call::Update, Call::CancelMove];
const SYSTEM_SECRET: &str = "liar-system";
const ACCOUNT_SECRET: &str = "liar-account";
/// What is said before anything was seen.
const EMPTY_WORDS: [&str; 3] = [
    "the first look is under way",
    "the first observation is under way",
    "the first connection is being made",
];
/// Some of each kind.
const CHOSEN: [&str; 31] = [
    "honest",
    "statsz-connections-u32max",
    "statsz-start-nonsense",
    "connz-total-u64max",
    "connz-lists-fewer",
    "statz-bytes-u64max",
    "jsz-lag-u64max",
    "jsz-no-state",
    "list-limit-1-total-max",
    "move-limit-i64max",
    "servers-one-id",
    "servers-one-name",
    "server-name-1MB",
    "server-id-injects",
    "stream-name-escape",
    "account-name-1MB",
    "account-changes",
    "connz-nested-100k",
    "jsz-disabled",
    "user-info-not-json",
    "list-error",
    "connz-encoding-unknown",
    "info-payload-0",
    "silent",
    "greets-err-bare",
    "then-err-permissions-flood",
    "then-msg-huge",
    "then-closes",
    "answers-half",
    "answers-never",
    "redirects",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_lives_says_and_does_nothing_whatever_servers_say() {
    let (heavy, light): (Vec<Scenario>, Vec<Scenario>) = chosen().into_iter().partition(|lie| lie.heavy);
    let mut stage = Stage::new(System::builder(Layout::supercluster(&[("lab", 1)])))
        .await
        .unwrap();
    stage.apply_system(json!({})).await.unwrap();
    stage.apply_policy("beside", json!({})).await.unwrap();
    for (name, user) in [(SYSTEM_SECRET, SYSTEM_USER), (ACCOUNT_SECRET, "app")] {
        let credentials = Credentials::UserPassword {
            user: user.to_owned(),
            password: "password".to_owned(),
        };
        let secret = manifests::credentials(&stage.namespace, name, &credentials);
        stage.apply(&secret).await.unwrap();
    }
    // On a busy machine the API server may not answer for some seconds, and what a lost lease cuts off is left alone for the cooldown.
    stage
        .start_operator_with(&["--lease-duration", "1m"])
        .await
        .unwrap();
    stage
        .await_reason("beside", "Observed", "Complete")
        .await
        .unwrap();
    let objects = stage.kube.kube().objects().await.unwrap();
    let world = World {
        objects: &objects,
        namespace: &stage.namespace,
        operator: stage.operator.as_ref().unwrap(),
        seen: Mutex::default(),
    };
    let told = async { tokio::join!(world.tell(light, LIGHT_AT_ONCE), world.tell(heavy, HEAVY_AT_ONCE)) };
    let (light, heavy) = tokio::select! {
        faults = told => faults,
        error = world.look() => panic!("{error:#}"),
        error = world.probes() => panic!("{error:#}: {}", world.operator.log_tail(25)),
    };
    let faults = [light, heavy].concat();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    stage
        .await_reason("beside", "Observed", "Complete")
        .await
        .unwrap();
}

/// The lies that are told.
fn chosen() -> Vec<Scenario> {
    let mut lies = scenarios::all();
    match std::env::var("LEEWARD_LIES").as_deref() {
        Ok("all") => {}
        Ok(named) => {
            let named: Vec<&str> = named.split(',').collect();
            lies.retain(|lie| named.contains(&lie.name));
            assert_eq!(
                lies.len(),
                named.len(),
                "LEEWARD_LIES names a lie that there is not"
            );
        }
        Err(_) => {
            lies.retain(|lie| lie.heavy || CHOSEN.contains(&lie.name));
            let light = lies.iter().filter(|lie| !lie.heavy).count();
            assert!(light >= CHOSEN.len() && light < lies.len());
        }
    }
    lies
}

/// Where lies are told.
struct World<'a> {
    objects: &'a ObjectClient,
    namespace: &'a str,
    operator: &'a Operator,
    /// As they were last seen.
    seen: Mutex<Conditions>,
}

/// By the name of a system and its policy: what their conditions say, a line each.
type Conditions = BTreeMap<String, Vec<String>>;

impl World<'_> {
    /// Tells lies; what was wrong.
    async fn tell(&self, lies: Vec<Scenario>, at_once: usize) -> Vec<String> {
        futures::stream::iter(lies)
            .map(|lie| async move {
                let told = self.tell_one(&lie).await;
                told.err().map(|error| format!("{}: {error:#}", lie.name))
            })
            .buffer_unordered(at_once)
            .filter_map(std::future::ready)
            .collect()
            .await
    }

    async fn tell_one(&self, lie: &Scenario) -> anyhow::Result<()> {
        let liar = Liar::start(lie.script.clone()).await?;
        self.create(lie, &liar).await?;
        let what = "it is said what is wrong";
        eventually(CONVERGED, what, || async { self.is_said(lie) }).await?;
        if lie.name == "honest" {
            let acted = || async {
                let said = self.conditions(lie).join("; ");
                ensure!(acts(&liar) > 0, "nothing was done: {said}");
                Ok(())
            };
            eventually(CONVERGED, "what is misplaced is moved", acted).await?;
        } else if acts(&liar) > 0 {
            self.sees_everything(lie).context("it acted")?;
        }
        ensure!(
            liar.redirected_connections() == 0,
            "credentials went to a server that nobody named"
        );
        liar.set_script(Script::default());
        liar.hang_up();
        eventually(CONVERGED, "the truth is seen", || async {
            self.sees_everything(lie)
        })
        .await?;
        let took = peak_memory(self.operator.id()).context("the operator has ended")?;
        ensure!(took < MOST_MEMORY, "the operator took {} MB by now", took >> 20);
        for kind in KINDS {
            self.objects.delete(self.namespace, kind, &name(lie)).await?;
        }
        Ok(())
    }

    async fn create(&self, lie: &Scenario, liar: &Liar) -> anyhow::Result<()> {
        let mut spec = json!({"servers": [liar.url()], "observeInterval": "5s"});
        if !lie.is_of_tenants() {
            spec["credentialsRef"] = json!({"name": SYSTEM_SECRET});
        }
        let system = json!({"apiVersion": "leeward.dev/v1alpha1", "kind": "NatsSystem",
            "metadata": {"namespace": self.namespace, "name": name(lie)}, "spec": spec});
        let refers = json!({"systemRef": {"name": name(lie)}, "credentialsRef": {"name": ACCOUNT_SECRET}});
        let policy = manifests::placement_policy(self.namespace, &name(lie), refers);
        self.objects
            .create(self.namespace, Kind::NatsSystem, system)
            .await?;
        self.objects
            .create(self.namespace, Kind::PlacementPolicy, policy)
            .await
    }

    /// Both objects say something of what was seen, and what a person has to be told.
    fn is_said(&self, lie: &Scenario) -> anyhow::Result<()> {
        let said = self.conditions(lie);
        let says = |words: &str| said.iter().any(|one| one.contains(words));
        for kind in KINDS {
            ensure!(says(&format!("{kind:?} Observed")), "{kind:?} says nothing");
        }
        if let Some(empty) = EMPTY_WORDS.iter().find(|words| says(words)) {
            bail!("{empty}: {}", said.join("; "));
        }
        if let Some(words) = lie.shown {
            ensure!(says(words), "{words} is not in {}", said.join("; "));
        }
        Ok(())
    }

    fn sees_everything(&self, lie: &Scenario) -> anyhow::Result<()> {
        let said = self.conditions(lie);
        let complete = said
            .iter()
            .any(|one| one.starts_with("PlacementPolicy Observed Complete"));
        ensure!(complete, "{}", said.join("; "));
        Ok(())
    }

    fn conditions(&self, lie: &Scenario) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.get(&name(lie)).cloned().unwrap_or_default()
    }

    /// Looks at all objects for as long as that goes well.
    async fn look(&self) -> anyhow::Error {
        loop {
            let mut seen = Conditions::new();
            for kind in KINDS {
                // On a busy machine the API server may not answer for some seconds.
                let list = || self.objects.list(self.namespace, kind);
                match eventually(CONVERGED, "the API server answers", list).await {
                    Ok(objects) => take_in(&mut seen, kind, &objects),
                    Err(error) => return error,
                }
            }
            *self.seen.lock().unwrap() = seen;
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Ends when the operator has ended or a probe fails.
    async fn probes(&self) -> anyhow::Error {
        loop {
            match self.operator.get("/livez").await {
                Ok((200, _)) => tokio::time::sleep(PROBE_INTERVAL).await,
                Ok((code, said)) => return anyhow::anyhow!("/livez says {code}: {said}"),
                Err(error) => return error.context("/livez"),
            }
        }
    }
}

fn take_in(seen: &mut Conditions, kind: Kind, objects: &[Value]) {
    for object in objects {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
        let lines = conditions.into_iter().flatten().map(|one| {
            let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
            format!("{kind:?} {} {} {}", text("type"), text("reason"), text("message"))
        });
        seen.entry(name.to_owned()).or_default().extend(lines);
    }
}

/// Of its objects.
fn name(lie: &Scenario) -> String {
    lie.name.to_lowercase()
}

fn acts(liar: &Liar) -> usize {
    ACTS.iter().map(|call| liar.asked(*call)).sum()
}
