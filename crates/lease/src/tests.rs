//! Replicas on one simulated clock, and a Kubernetes API that answers each of them late, never or with an error.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::num::NonZeroU8;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::to_bytes;
use axum::http::{Method, Request, Response, StatusCode};
use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{LeaderElection, Leadership, Leaderships, LeaseConfig, LeaseMetrics};

mod model;
mod sharded;

const DURATION: Duration = Duration::from_secs(6);

/// How the API serves one replica.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Service {
    Normal,
    /// Carries a request out after this time.
    DelayedRequest(Duration),
    /// Answers a request this long after it was carried out.
    DelayedAnswer(Duration),
    /// Loses every request.
    LostRequest,
    /// Carries every request out, and loses the answers to writes.
    LostAnswer,
    Forbidden,
    InternalError,
}

#[derive(Default)]
struct Api {
    stored: Mutex<BTreeMap<String, Object>>,
    resource_versions: Mutex<u64>,
    services: Mutex<BTreeMap<String, Service>>,
}

impl Api {
    fn set(&self, replica: &str, service: Service) {
        self.services.lock().unwrap().insert(replica.to_owned(), service);
    }

    fn spec(&self) -> Option<LeaseSpec> {
        self.stored.lock().unwrap().get("leeward")?.spec.clone()
    }

    fn holder(&self) -> Option<String> {
        self.spec()?.holder_identity
    }

    fn transitions(&self) -> Option<i32> {
        self.spec()?.lease_transitions
    }

    async fn answer(&self, replica: &str, request: Request<Body>) -> Response<Body> {
        let service = self.services.lock().unwrap().get(replica).copied();
        match service.unwrap_or(Service::Normal) {
            Service::Normal => self.carry_out(request).await,
            Service::DelayedRequest(time) => {
                sleep(time).await;
                self.carry_out(request).await
            }
            Service::DelayedAnswer(time) => {
                let answer = self.carry_out(request).await;
                sleep(time).await;
                answer
            }
            Service::LostAnswer if request.method() == Method::GET => self.carry_out(request).await,
            Service::LostAnswer => {
                self.carry_out(request).await;
                std::future::pending().await
            }
            Service::LostRequest => std::future::pending().await,
            Service::Forbidden => failure(StatusCode::FORBIDDEN),
            Service::InternalError => failure(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    async fn carry_out(&self, request: Request<Body>) -> Response<Body> {
        let method = request.method().clone();
        let name = request.uri().path().rsplit('/').next().unwrap().to_owned();
        let body = axum::body::Body::new(request.into_body());
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let sent = || serde_json::from_slice::<Object>(&body).unwrap();
        let mut stored = self.stored.lock().unwrap();
        match method {
            Method::GET => {
                assert_eq!(name, "leases", "a single Lease is never read");
                let items: Vec<&Object> = stored.values().collect();
                success(&json!({"metadata": {}, "items": items}))
            }
            Method::POST => {
                let sent = sent();
                let name = sent.metadata.name.clone().unwrap();
                match stored.get(&name) {
                    Some(_) => failure(StatusCode::CONFLICT),
                    None => success(stored.entry(name).or_insert(self.versioned(sent))),
                }
            }
            Method::PUT => match stored.get(&name) {
                None => failure(StatusCode::NOT_FOUND),
                Some(object) => {
                    let sent = sent();
                    if sent.metadata.resource_version != object.metadata.resource_version {
                        return failure(StatusCode::CONFLICT);
                    }
                    stored.insert(name.clone(), self.versioned(sent));
                    success(&stored[&name])
                }
            },
            method => panic!("{method} is never sent"),
        }
    }

    fn versioned(&self, mut object: Object) -> Object {
        let mut resource_versions = self.resource_versions.lock().unwrap();
        *resource_versions += 1;
        object.metadata.resource_version = Some(resource_versions.to_string());
        object
    }
}

fn success(object: &impl serde::Serialize) -> Response<Body> {
    Response::new(Body::from(serde_json::to_vec(object).unwrap()))
}

fn failure(code: StatusCode) -> Response<Body> {
    let status: Value =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16()});
    let mut response = Response::new(Body::from(status.to_string().into_bytes()));
    *response.status_mut() = code;
    response
}

/// Lines as on a metrics page, by their series.
#[derive(Default)]
struct Numbers(Mutex<BTreeMap<String, u64>>);

impl LeaseMetrics for Numbers {
    fn set_held(&self, lease: &str, is_held: bool) {
        let series = format!("lease_held{{lease=\"{lease}\"}}");
        self.0.lock().unwrap().insert(series, is_held.into());
    }

    fn count_error(&self, lease: &str, reason: &'static str) {
        let series = format!("lease_errors_total{{lease=\"{lease}\",reason=\"{reason}\"}}");
        *self.0.lock().unwrap().entry(series).or_default() += 1;
    }
}

impl Numbers {
    fn page(&self) -> String {
        let numbers = self.0.lock().unwrap();
        let lines = numbers
            .iter()
            .map(|(series, value)| format!("{series} {value}\n"));
        lines.collect()
    }
}

struct Replica {
    leaderships: Leaderships,
    leave: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    numbers: Arc<Numbers>,
}

impl Replica {
    fn start(api: &Arc<Api>, name: &str) -> Self {
        Self::start_with(api, name, 1)
    }

    fn start_with(api: &Arc<Api>, name: &str, shards: u8) -> Self {
        let (api, caller) = (Arc::clone(api), name.to_owned());
        let service = tower::service_fn(move |request| {
            let (api, caller) = (Arc::clone(&api), caller.clone());
            async move { Ok::<_, Infallible>(api.answer(&caller, request).await) }
        });
        let config = LeaseConfig {
            name: "leeward".into(),
            namespace: None,
            duration: DURATION,
            shards: NonZeroU8::new(shards).unwrap(),
        };
        let numbers = Arc::new(Numbers::default());
        let metrics: Arc<dyn LeaseMetrics> = numbers.clone();
        let client = Client::new(service, "ops");
        let (election, leaderships) = LeaderElection::new(client, &config, Some(name), &metrics);
        let leave = CancellationToken::new();
        let task = tokio::spawn(election.run(leave.clone()));
        Self {
            leaderships,
            leave,
            task,
            numbers,
        }
    }

    fn leadership(&self) -> &Leadership {
        &self.leaderships.by_shard()[0]
    }

    fn acts(&self) -> bool {
        self.leadership().act_deadline().holds()
    }

    /// As on SIGTERM.
    async fn end(&mut self) {
        self.leave.cancel();
        (&mut self.task).await.unwrap();
    }

    /// As on SIGKILL.
    fn crash(self) {
        self.task.abort();
        self.leaderships.close();
    }

    async fn await_acting(&self) {
        let waiting = async {
            while !self.acts() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), waiting)
            .await
            .unwrap();
    }

    fn has_metric(&self, line: &str) -> bool {
        self.numbers.page().contains(line)
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_replica_acquires_a_new_lease_at_once_and_the_second_waits() {
    let api = Arc::new(Api::default());
    let first = Replica::start(&api, "first");
    sleep(Duration::from_millis(50)).await;
    assert!(first.acts() && first.has_metric("lease_held{lease=\"leeward\"} 1"));
    let second = Replica::start(&api, "second");
    sleep(DURATION * 10).await;
    assert!(first.acts() && !second.acts());
    assert!(second.has_metric("lease_held{lease=\"leeward\"} 0"));
    assert!(api.holder().unwrap().starts_with("first_"));
    assert_eq!(api.transitions(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_released_is_acquired_long_before_it_would_have_expired() {
    let api = Arc::new(Api::default());
    let mut first = Replica::start(&api, "first");
    first.await_acting().await;
    let second = Replica::start(&api, "second");
    sleep(Duration::from_secs(1)).await;
    first.end().await;
    assert!(!first.leadership().act_deadline().holds());
    sleep(Duration::from_millis(300)).await;
    assert!(second.acts(), "{:?}", api.holder());
    assert_eq!(api.transitions(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_the_second_replica_waits_for_the_whole_duration_and_no_longer() {
    let api = Arc::new(Api::default());
    let first = Replica::start(&api, "first");
    first.await_acting().await;
    let second = Replica::start(&api, "second");
    sleep(Duration::from_secs(2)).await;
    first.task.abort();
    sleep(DURATION * 5 / 6).await;
    assert!(!second.acts());
    sleep(DURATION / 6 + Duration::from_millis(300)).await;
    assert!(second.acts());
}

#[tokio::test(start_paused = true)]
async fn p8_a_holder_that_is_cut_off_stops_before_another_replica_may_start_and_then_waits_for_the_lease() {
    let api = Arc::new(Api::default());
    let first = Replica::start(&api, "first");
    first.await_acting().await;
    let mut second = Replica::start(&api, "second");
    sleep(Duration::from_secs(1)).await;
    let before = first.leadership().lease_epoch();
    api.set("first", Service::LostRequest);
    sleep(DURATION * 2 / 3).await;
    assert!(
        !first.acts() && first.leadership().lease_epoch().is_none(),
        "nothing was sent to it"
    );
    assert!(!second.acts(), "in between nobody acts");
    second.await_acting().await;
    api.set("first", Service::Normal);
    sleep(DURATION).await;
    assert!(!first.acts() && second.acts());
    second.end().await;
    first.await_acting().await;
    assert_ne!(
        first.leadership().lease_epoch(),
        before,
        "another one held it in between"
    );
}

#[tokio::test(start_paused = true)]
async fn without_the_api_nobody_acts_and_with_it_the_same_epoch_continues() {
    let api = Arc::new(Api::default());
    let first = Replica::start(&api, "first");
    first.await_acting().await;
    let before = first.leadership().lease_epoch();
    api.set("first", Service::InternalError);
    sleep(DURATION * 3).await;
    assert!(!first.acts() && first.has_metric("lease_held{lease=\"leeward\"} 0"));
    assert!(first.has_metric("lease_errors_total{lease=\"leeward\",reason=\"failed\"}"));
    api.set("first", Service::Normal);
    first.await_acting().await;
    assert_eq!(first.leadership().lease_epoch(), before);
    assert_eq!(api.transitions(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn p10_an_epoch_is_a_new_one_although_the_answer_to_its_first_write_was_lost() {
    let api = Arc::new(Api::default());
    let first = Replica::start(&api, "first");
    first.await_acting().await;
    let before = first.leadership().lease_epoch();
    api.set("first", Service::LostRequest);
    let mut second = Replica::start(&api, "second");
    second.await_acting().await;
    // The first replica finds the Lease released, acquires it, and gets no answer.
    second.end().await;
    api.set("first", Service::LostAnswer);
    sleep(DURATION / 2).await;
    assert!(api.holder().unwrap().starts_with("first_"));
    assert!(!first.acts());
    api.set("first", Service::Normal);
    first.await_acting().await;
    assert_ne!(
        first.leadership().lease_epoch(),
        before,
        "another one held it in between"
    );
}

#[tokio::test(start_paused = true)]
async fn p6_a_replica_that_may_not_read_the_lease_never_acts_and_counts_the_reason() {
    let api = Arc::new(Api::default());
    api.set("first", Service::Forbidden);
    let first = Replica::start(&api, "first");
    sleep(DURATION * 5).await;
    assert!(!first.acts());
    assert!(first.has_metric("lease_errors_total{lease=\"leeward\",reason=\"forbidden\"}"));
    api.set("first", Service::Normal);
    first.await_acting().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_deleted_is_created_again_by_its_holder_and_by_nobody_else() {
    let api = Arc::new(Api::default());
    let first = Replica::start(&api, "first");
    first.await_acting().await;
    let second = Replica::start(&api, "second");
    sleep(Duration::from_secs(1)).await;
    api.stored.lock().unwrap().clear();
    for _ in 0..100 {
        sleep(Duration::from_millis(50)).await;
        assert!(!second.acts());
    }
    assert!(first.acts() && api.holder().unwrap().starts_with("first_"));
}

/// Whatever the API does to each replica. What the last holder sent has a third of the duration to arrive.
#[tokio::test(start_paused = true)]
async fn p8_no_two_replicas_act_at_once_nor_shortly_after_one_another() {
    const NAMES: [&str; 3] = ["one", "two", "three"];
    const STEP: Duration = Duration::from_millis(25);
    let gap = (DURATION / 3).saturating_sub(STEP * 2);
    let mut handovers = 0;
    for seed in 0..25 {
        let mut random = fastrand::Rng::with_seed(seed);
        let api = Arc::new(Api::default());
        let mut replicas: Vec<Replica> = NAMES.map(|name| Replica::start(&api, name)).into();
        let mut last: Option<(usize, Instant)> = None;
        for moment in 0..4000 {
            sleep(STEP).await;
            let acting: Vec<usize> = (0..NAMES.len()).filter(|index| replicas[*index].acts()).collect();
            assert!(acting.len() <= 1, "seed {seed}, moment {moment}: {acting:?}");
            if let [acting] = acting[..]
                && let Some((before, at)) = last.replace((acting, Instant::now()))
                && before != acting
            {
                handovers += 1;
                assert!(
                    at.elapsed() >= gap,
                    "seed {seed}, moment {moment}: {:?}",
                    at.elapsed()
                );
            }
            if random.u32(0..20) > 0 {
                continue;
            }
            // Mostly the holder is affected.
            let anyone = random.usize(0..NAMES.len());
            let index = acting
                .first()
                .copied()
                .filter(|_| random.u32(0..4) > 0)
                .unwrap_or(anyone);
            let longest = [1_300, 12_000][random.usize(0..2)];
            let time = Duration::from_millis(random.u64(0..longest));
            match random.u32(0..10) {
                0..3 => api.set(NAMES[index], Service::Normal),
                3 | 4 => api.set(NAMES[index], Service::DelayedRequest(time)),
                5 | 6 => api.set(NAMES[index], Service::DelayedAnswer(time)),
                7 => api.set(NAMES[index], Service::LostRequest),
                8 => api.set(NAMES[index], Service::InternalError),
                _ => {
                    let next = Replica::start(&api, NAMES[index]);
                    std::mem::replace(&mut replicas[index], next).crash();
                }
            }
        }
        for name in NAMES {
            api.set(name, Service::Normal);
        }
        sleep(DURATION * 2).await;
        let acting = replicas.iter().filter(|replica| replica.acts()).count();
        assert_eq!(acting, 1, "seed {seed}: with the API one acts");
        let mut ending = JoinSet::new();
        for mut replica in replicas {
            ending.spawn(async move { replica.end().await });
        }
        ending.join_all().await;
    }
    assert!(handovers > 100, "the lease changed its holder {handovers} times");
}
