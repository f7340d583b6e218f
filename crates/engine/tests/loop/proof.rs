//! One operation by itself, from the last look to the proof: a consumer that was in use has to go on (P9).

mod cancel;
mod election;
mod record;
mod refresh;
mod transfer;

use std::sync::Arc;
use std::time::Duration;

use leeward_api::vocabulary::{ActionResult, FindingReason};
use leeward_core::action::{Action, ActionKind, LeaderTransfers, Move, StepDown, Successor};
use leeward_core::names::{AccountId, AssetName, ConsumerName, ServerName, StreamName};
use leeward_core::operation::{STALL_AFTER, STEP_DOWN_TIMEOUT, VerifyLimits};
use leeward_core::score::MoveCost;
use leeward_core::snapshot::{AccountView, Placement};
use leeward_core::target::MoveTarget;
use leeward_engine::execute::{Finished, OperationContext, OperationProgress, SentRequests, Stage, operate};
use leeward_engine::limits::SystemLimits;
use leeward_engine::permit::{Authorizer, Inhibited};
use leeward_engine::record::Recorded;
use tokio::sync::watch;

use crate::model::life::{Clients, Reader, Then};
use crate::model::{Behaviour, Call, Cancel, Confirms, FakeSystem};
use crate::worlds::{consumer_asset, stream_asset, stretched_of, supercluster};

/// One operation on a fake system.
struct Trial {
    fake: Arc<FakeSystem>,
    authorizer: Authorizer,
    limits: VerifyLimits,
    recorded: Recorded,
    advance: Arc<watch::Sender<OperationProgress>>,
    sent: Arc<SentRequests>,
}

impl Trial {
    fn new(truth: AccountView) -> Self {
        Self {
            fake: FakeSystem::new(truth),
            authorizer: Authorizer::new([]),
            limits: VerifyLimits {
                move_timeout: Duration::from_hours(1),
                max_requests: 3,
                max_lag: 0,
                max_ack_pending: None,
                refresh_dependents: true,
            },
            recorded: Recorded::not_needed(),
            advance: Arc::new(watch::Sender::new(OperationProgress::new())),
            sent: Arc::default(),
        }
    }

    fn with_clients(self, asset: AssetName, then: Then) -> Self {
        let clients = Clients::busy(then);
        self.fake.state().life.clients.insert(asset, clients);
        self
    }

    fn with_reader(self, name: &str, reader: Reader) -> Self {
        let name = StreamName::from(name);
        self.fake.state().life.readers.insert(name, reader);
        self
    }

    async fn run(self, action: Action) -> Finished {
        let conduct = OperationContext {
            act: &*self.fake,
            clock: &self.fake.clock,
            authorizer: &self.authorizer,
            limits: self.limits,
            recorded: self.recorded,
            advance: self.advance,
            sent: self.sent,
            slot: &SystemLimits::new(9, 9)
                .try_start(&AccountId::from("A"), &action)
                .unwrap(),
        };
        operate(conduct, action).await
    }
}

/// Consumer `S00/c0` is led from n-3 and goes to n-0.
fn step_down() -> Action {
    Action {
        asset: consumer_asset("S00", "c0"),
        from: "n-3".into(),
        kind: ActionKind::StepDown(StepDown {
            successor: Successor::Peer("n-0".into()),
            alternatives: Vec::new(),
            home_peers: vec!["n-0".into(), "n-1".into()],
        }),
    }
}

fn target() -> MoveTarget {
    MoveTarget {
        location: "us-east".into(),
        placement: Placement {
            cluster: Some("us-east".into()),
            tags: Vec::new(),
        },
        replaces: None,
        servers: vec!["n-0".into(), "n-1".into(), "n-2".into()],
        owner: None,
    }
}

/// Stream `S` moves from eu-west to us-east.
fn relocation(consumers: &[&str], dependents: &[&str]) -> Action {
    Action {
        asset: stream_asset("S"),
        from: "n-3".into(),
        kind: ActionKind::Move(Box::new(Move {
            target: target(),
            bytes: 0,
            cost: MoveCost::default(),
            consumers: consumers.iter().map(|name| ConsumerName::from(*name)).collect(),
            transfers: LeaderTransfers::default(),
            dependents: dependents.iter().map(|name| StreamName::from(*name)).collect(),
        })),
    }
}

fn reads_of(fake: &FakeSystem, asset: &AssetName) -> usize {
    let state = fake.state();
    let of_it = state
        .calls
        .iter()
        .filter(|call| **call == Call::Read(asset.clone()));
    of_it.count()
}

#[tokio::test(start_paused = true)]
async fn p9_a_consumer_in_use_is_home_once_it_goes_on_there_and_that_takes_no_second() {
    let asset = consumer_asset("S00", "c0");
    let trial = Trial::new(stretched_of(1, 1)).with_clients(asset, Then::GoesOn);
    let stage = trial.advance.subscribe();
    let finished = trial.run(step_down()).await;
    assert_eq!(finished.outcome.result, ActionResult::Succeeded);
    assert_eq!(finished.outcome.message, "n-0 leads it now");
    assert!(
        finished.duration() < Duration::from_secs(1),
        "{:?}",
        finished.duration()
    );
    assert_eq!(stage.borrow().stage, Stage::Verifying);
    assert_eq!((finished.requests, finished.follow_ups.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn p9_a_consumer_whose_clients_never_come_back_is_stalled_though_it_is_led_from_home() {
    let asset = consumer_asset("S00", "c0");
    let trial = Trial::new(stretched_of(1, 1)).with_clients(asset, Then::Stops);
    let finished = trial.run(step_down()).await;
    let outcome = &finished.outcome;
    assert_eq!((outcome.result, outcome.reason), (ActionResult::Stalled, None));
    assert_eq!(outcome.to, Some("n-0".into()));
    assert!(outcome.message.contains("7 messages pending"), "{outcome:?}");
    assert!(finished.duration() >= STALL_AFTER);
    assert!(finished.duration() < STALL_AFTER + Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn p9_clients_that_pull_again_only_when_their_pull_expired_are_waited_for() {
    let asset = consumer_asset("S00", "c0");
    let late = Then::GoesOnAfter(Duration::from_secs(30));
    let finished = Trial::new(stretched_of(1, 1))
        .with_clients(asset, late)
        .run(step_down())
        .await;
    assert_eq!(finished.outcome.result, ActionResult::Succeeded);
    assert!(finished.duration() >= Duration::from_secs(30));
    assert!(finished.duration() < Duration::from_secs(33));
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_nobody_uses_is_not_looked_at_any_longer() {
    let asset = consumer_asset("S00", "c0");
    let trial = Trial::new(stretched_of(1, 1)).with_clients(asset.clone(), Then::Stops);
    let fake = Arc::clone(&trial.fake);
    {
        let mut state = fake.state();
        let clients = state.life.clients.get_mut(&asset).unwrap();
        (clients.progress.waiting, clients.progress.ack_pending) = (0, 0);
    }
    let finished = trial.run(step_down()).await;
    assert_eq!(finished.outcome.result, ActionResult::Succeeded);
    assert!(finished.duration() < Duration::from_secs(1));
    assert_eq!(
        reads_of(&fake, &asset),
        4,
        "one before the request, three until it showed"
    );
}

#[tokio::test(start_paused = true)]
async fn p9_a_consumer_whose_leader_leaves_home_again_missed() {
    let asset = consumer_asset("S00", "c0");
    let trial = Trial::new(stretched_of(1, 1)).with_clients(asset.clone(), Then::Stops);
    let fake = Arc::clone(&trial.fake);
    let back = async {
        while fake.writes() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        let mut state = fake.state();
        let away = state.truth.topology.find("n-3");
        state.truth.streams[0].consumers[0].group.leader = away;
    };
    let (finished, ()) = tokio::join!(trial.run(step_down()), back);
    assert_eq!(finished.outcome.result, ActionResult::Missed);
    assert_eq!(finished.outcome.to, Some("n-3".into()));
}

#[tokio::test(start_paused = true)]
async fn p6_a_consumer_that_cannot_be_looked_at_is_no_proof_of_anything() {
    let asset = consumer_asset("S00", "c0");
    let trial = Trial::new(stretched_of(1, 1)).with_clients(asset.clone(), Then::GoesOn);
    let fake = Arc::clone(&trial.fake);
    let cut = async {
        while reads_of(&fake, &asset) < 4 {
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        fake.state().failing_reads = u32::MAX;
    };
    let (finished, ()) = tokio::join!(trial.run(step_down()), cut);
    assert_eq!(finished.outcome.result, ActionResult::TimedOut, "{finished:?}");
    assert!(finished.duration() >= STALL_AFTER);
}

#[tokio::test(start_paused = true)]
async fn p9_a_move_is_done_once_the_consumers_that_were_in_use_go_on() {
    let trial = Trial::new(supercluster(&["S"], 3))
        .with_clients(consumer_asset("S", "c0"), Then::GoesOn)
        .with_clients(
            consumer_asset("S", "c1"),
            Then::GoesOnAfter(Duration::from_secs(4)),
        );
    let finished = trial.run(relocation(&["c0", "c1", "gone"], &[])).await;
    assert_eq!(finished.outcome.result, ActionResult::Succeeded);
    assert_eq!(finished.outcome.message, "it is in us-east now");
    assert!(finished.duration() >= Duration::from_secs(4));
    assert!(finished.duration() < Duration::from_secs(8));
}

#[tokio::test(start_paused = true)]
async fn p9_a_move_after_which_a_consumer_stands_still_is_stalled_and_names_it() {
    let trial = Trial::new(supercluster(&["S"], 3))
        .with_clients(consumer_asset("S", "c0"), Then::GoesOn)
        .with_clients(consumer_asset("S", "c1"), Then::Stops);
    let finished = trial.run(relocation(&["c0", "c1"], &[])).await;
    let outcome = &finished.outcome;
    assert_eq!(outcome.result, ActionResult::Stalled);
    assert!(
        outcome.message.contains("do not go on: c1 (7 messages pending"),
        "{outcome:?}"
    );
    assert!(!outcome.message.contains("c0"), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_consumer_got_too_many_unacknowledged_messages_since_the_plan_is_not_moved() {
    let mut trial = Trial::new(supercluster(&["S"], 1)).with_clients(consumer_asset("S", "c0"), Then::GoesOn);
    trial.limits.max_ack_pending = Some(1);
    let fake = Arc::clone(&trial.fake);
    let finished = trial.run(relocation(&["c0"], &[])).await;
    assert_eq!(finished.outcome.reason, Some(FindingReason::AckPendingHigh));
    assert_eq!(
        (finished.outcome.result, fake.writes()),
        (ActionResult::Abandoned, 0)
    );
}
