//! Servers that lie by chance, against both observers: whatever they say, nothing panics or hangs, and a view that is
//! marked as complete is true (P6), except where the lie is one that an honest server of another system could say.
//!
//! `LEEWARD_MUTATIONS` says how many lies, `LEEWARD_MUTATION_SEED` which is the first; one seed is one lie.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "hostile/connections.rs"]
mod connections;
#[path = "hostile/shape.rs"]
mod shape;
#[path = "hostile/truth.rs"]
mod truth;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use leeward_core::names::AccountId;
use leeward_core::snapshot::{AccountView, Gap};
use leeward_engine::ports::Observe;
use leeward_lab::hostile::mutation::{Audience, Effect, Mutation};
use leeward_lab::hostile::trial::peak_memory;
use leeward_lab::hostile::{Liar, Script, honest};
use leeward_nats::{AccountClient, ConnectConfig, Credentials, SystemObserver, TenantObserver};
use tokio::sync::watch;
use truth::differs;

/// Most lies make an observer wait for somebody who does not answer.
const AT_ONCE: usize = 160;
const DEFAULT_LIES: u64 = 2000;
const INTERVAL: Duration = Duration::from_secs(1);
/// Far above what a busy machine takes.
const LIMIT: Duration = Duration::from_mins(2);
/// All lies that are told at once together.
const MOST_MEMORY: u64 = 1 << 30;

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    }
}

/// What panicked, by the name of the thread.
static PANICS: Mutex<BTreeMap<String, Vec<String>>> = Mutex::new(BTreeMap::new());

fn record_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        match thread.name().filter(|name| name.starts_with("seed ")) {
            Some(name) => {
                let mut panics = PANICS.lock().unwrap();
                panics.entry(name.to_owned()).or_default().push(panic.to_string());
            }
            None => usual(panic),
        }
    }));
}

#[test]
fn p6_whatever_servers_say_a_complete_view_is_true_and_nothing_panics() {
    record_panics();
    let first = number("LEEWARD_MUTATION_SEED", 0);
    let next = Arc::new(AtomicU64::new(first));
    let end = first + number("LEEWARD_MUTATIONS", DEFAULT_LIES);
    let faults = Arc::new(Mutex::new(Vec::new()));
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (next, faults) = (Arc::clone(&next), Arc::clone(&faults));
            std::thread::spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    if let Err(fault) = tell(seed) {
                        faults.lock().unwrap().push(fault);
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    let faults = faults.lock().unwrap();
    assert!(
        faults.is_empty(),
        "{} of {} lies:\n{}",
        faults.len(),
        end - first,
        faults.join("\n")
    );
    let most = peak_memory(std::process::id()).unwrap();
    assert!(most < MOST_MEMORY, "{} MB", most >> 20);
}

/// Tells the lie of a seed to an observer, on threads of its own.
fn tell(seed: u64) -> Result<(), String> {
    let mutation = Mutation::of(seed);
    let truth = known_truth(mutation.audience);
    let says = format!(
        "LEEWARD_MUTATION_SEED={seed} LEEWARD_MUTATIONS=1 ({:?} to the {:?}: {})",
        mutation.effect, mutation.audience, mutation.describes
    );
    let name = format!("seed {seed}");
    let (done, end) = mpsc::channel();
    let thread = {
        let name = name.clone();
        std::thread::Builder::new().name(name.clone()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .thread_name(name)
                .build()
                .unwrap();
            let told =
                runtime.block_on(async { tokio::time::timeout(LIMIT, believe(&mutation, truth)).await });
            let told = told.unwrap_or_else(|_| Err(anyhow::anyhow!("nothing is seen any more")));
            runtime.shutdown_background();
            let _ = done.send(told.map_err(|error| format!("{error:#}")));
        })
    };
    let told = thread.map_err(|error| error.to_string()).and_then(|_| {
        let told = end.recv_timeout(LIMIT * 2);
        told.unwrap_or_else(|error| Err(format!("it blocks: {error}")))
    });
    let panics = PANICS.lock().unwrap().remove(&name).unwrap_or_default();
    match (panics.is_empty(), told) {
        (true, Ok(())) => Ok(()),
        (true, Err(fault)) => Err(format!("{says}: {fault}")),
        (false, _) => Err(format!("{says}: {}", panics.join("\n"))),
    }
}

fn config(liar: &Liar, user: &str) -> ConnectConfig {
    ConnectConfig {
        servers: vec![liar.url()],
        credentials: Some(Credentials::UserPassword {
            username: user.to_owned(),
            password: "password".to_owned().into(),
        }),
        ..ConnectConfig::default()
    }
}

/// The views that an observer has of the account; the observer ends with the value.
struct Seen {
    _observer: Arc<dyn std::any::Any + Send + Sync>,
    views: watch::Receiver<Arc<AccountView>>,
}

fn observe(audience: Audience, liar: &Liar) -> Seen {
    let account = AccountId::from(honest::ACCOUNT);
    match audience {
        Audience::System => {
            let observer = SystemObserver::start(config(liar, honest::SYSTEM_USER), INTERVAL);
            Seen {
                views: observer.watch(&account),
                _observer: observer,
            }
        }
        Audience::Tenant => {
            let client = AccountClient::connect(config(liar, "app"), None);
            let observer = TenantObserver::start(client, INTERVAL);
            Seen {
                views: observer.watch(&account),
                _observer: observer,
            }
        }
    }
}

/// What an honest server shows.
async fn truth(views: &mut watch::Receiver<Arc<AccountView>>) -> anyhow::Result<Arc<AccountView>> {
    let truth = views.wait_for(|view| view.gaps.is_empty()).await?.clone();
    ensure!(
        truth.streams.len() == honest::STREAMS.len(),
        "the truth: {truth:?}"
    );
    Ok(truth)
}

/// The truths for both audiences, seen once.
static TRUTHS: [OnceLock<Arc<AccountView>>; 2] = [OnceLock::new(), OnceLock::new()];

fn known_truth(audience: Audience) -> Arc<AccountView> {
    let known = match audience {
        Audience::System => &TRUTHS[0],
        Audience::Tenant => &TRUTHS[1],
    };
    let look = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let liar = Liar::start(Script::default()).await.unwrap();
            truth(&mut observe(audience, &liar).views).await.unwrap()
        })
    };
    Arc::clone(known.get_or_init(look))
}

/// Has an observer believe a lie from the start, or after it has seen the truth.
async fn believe(mutation: &Mutation, truth: Arc<AccountView>) -> anyhow::Result<()> {
    let first = mutation.is_of_connecting() || mutation.seed.is_multiple_of(4);
    let script = if first {
        Script::default()
    } else {
        mutation.script.clone()
    };
    let liar = Liar::start(script).await?;
    let mut seen = observe(mutation.audience, &liar);
    let since = Timestamp::now();
    if !first {
        return judge(mutation, &mut seen.views, since, &truth).await;
    }
    let truth = self::truth(&mut seen.views).await?;
    let since = Timestamp::now();
    liar.set_script(mutation.script.clone());
    if mutation.is_of_connecting() {
        liar.hang_up();
    }
    judge(mutation, &mut seen.views, since, &truth).await
}

/// Looks at views until one is of a look at the lie.
async fn judge(
    mutation: &Mutation,
    views: &mut watch::Receiver<Arc<AccountView>>,
    since: Timestamp,
    truth: &AccountView,
) -> anyhow::Result<()> {
    loop {
        views.changed().await.context("the observer has ended")?;
        let view = views.borrow_and_update().clone();
        if view.gaps == [Gap::WarmingUp] {
            continue;
        }
        let whole = view.gaps.is_empty();
        let looked = view.observed_at > since || !whole;
        let is_it = match mutation.effect {
            Effect::None => looked && whole,
            Effect::Noticeable | Effect::Plausible => looked,
        };
        if whole
            && mutation.effect != Effect::Plausible
            && let Some(difference) = differs(&view, truth)
        {
            bail!("a view is called complete and differs: {difference}");
        }
        if is_it {
            return Ok(());
        }
    }
}
