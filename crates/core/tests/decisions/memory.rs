//! What a status remembers: after a restart at any instant nothing is allowed that was not before (P10), and however much
//! there is to remember, it stays small (P12).

use leeward_core::context::DecisionContext;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use leeward_api::policy_status::{
    MAX_FINDINGS, MAX_REMEMBERED, MAX_SPENT, OperationStatus, PlacementPolicyStatus,
};
use leeward_api::vocabulary::{ActionResult, ActionType, FindingReason};
use leeward_core::breaker::BreakerPhase;
use leeward_core::budget::{Selected, states};
use leeward_core::demand::{HomeHistory, SettledHome};
use leeward_core::evaluate::evaluate;
use leeward_core::history::{EndedOperation, History, MAX_REVERTS, MoveRecord};
use leeward_core::limits::Limits;
use leeward_core::names::AssetName;
use leeward_core::policy::Policy;
use leeward_core::report::report;
use proptest::prelude::*;
use proptest::sample::select;

use crate::properties::cases;
use crate::worlds::{World, policy_from};

/// What the status of a policy holds when it is written now, as it is read back later.
pub fn status_of(world: &World, under_way: &[(AssetName, ActionType)]) -> PlacementPolicyStatus {
    let World {
        view,
        policy,
        history,
        now,
        ..
    } = world;
    let context = DecisionContext {
        view,
        policy,
        ..world.context()
    };
    let evaluation = evaluate(&context);
    let report = report(&context, &evaluation, &[]);
    let operation = |(asset, action): &(AssetName, ActionType)| OperationStatus {
        action: *action,
        stream: asset.stream.to_string(),
        consumer: asset.consumer.as_ref().map(ToString::to_string),
        from: None,
        to: None,
        start_time: Time(*now),
        deadline: None,
        replaces: None,
    };
    let status = PlacementPolicyStatus {
        home: report.home,
        locations: report.locations,
        findings: report.findings,
        advice: report.advice,
        operations: under_way.iter().map(operation).collect(),
        breaker: Limits::new(policy, history, &evaluation, *now).breaker,
        memory: Some(history.memory(&policy.disruption, *now)),
        ..PlacementPolicyStatus::default()
    };
    serde_json::from_str(&serde_json::to_string(&status).unwrap()).unwrap()
}

/// Something that happens to an account.
#[derive(Clone, Debug)]
enum Step {
    /// An action ends, at once.
    Ends(usize, ActionType, ActionResult, u32),
    /// Somebody else undid what was done.
    Undone(usize),
    /// Every asset is acted on, one after the other.
    Sweep(ActionResult, u32),
    /// An action begins, and does not end any more.
    Begins(usize, ActionType),
    HomeChanges(bool),
    Wait(u64),
    Prune,
}

fn any_action() -> impl Strategy<Value = ActionType> {
    select(vec![
        ActionType::ConsumerStepDown,
        ActionType::StreamStepDown,
        ActionType::StreamPlacement,
    ])
}

fn any_result() -> impl Strategy<Value = ActionResult> {
    select(vec![
        ActionResult::Succeeded,
        ActionResult::Missed,
        ActionResult::Failed,
        ActionResult::TimedOut,
        ActionResult::Stalled,
        ActionResult::Abandoned,
    ])
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (any::<usize>(), any_action(), any_result(), 0u32..4)
            .prop_map(|(asset, action, result, requests)| Step::Ends(asset, action, result, requests)),
        2 => any::<usize>().prop_map(Step::Undone),
        1 => (any_result(), 1u32..3).prop_map(|(result, requests)| Step::Sweep(result, requests)),
        1 => (any::<usize>(), any_action()).prop_map(|(asset, action)| Step::Begins(asset, action)),
        1 => any::<bool>().prop_map(Step::HomeChanges),
        8 => (0u64..900_000).prop_map(Step::Wait),
        1 => Just(Step::Prune),
    ];
    prop::collection::vec(step, 0..30)
}

/// Names as long as the servers take them.
fn asset(number: usize, letters: usize) -> AssetName {
    let stream = format!("{}{number:04}", "S".repeat(letters));
    if number.is_multiple_of(3) {
        AssetName::stream(stream.into())
    } else {
        AssetName::consumer(
            stream.into(),
            format!("{}{number:04}", "c".repeat(letters)).into(),
        )
    }
}

/// What happened so far.
struct Past {
    world: World,
    assets: Vec<AssetName>,
    under_way: Vec<(AssetName, ActionType)>,
}

impl Past {
    fn new(policy: &str, assets: usize, letters: usize) -> Self {
        let mut world = World::parse("now 2026-01-01T12:00:00Z\nserver n-0 cluster=us");
        world.policy = policy_from(policy);
        Self {
            world,
            assets: (0..assets).map(|number| asset(number, letters)).collect(),
            under_way: Vec::new(),
        }
    }

    fn of(policy: &str, assets: usize, letters: usize, steps: &[Step]) -> Self {
        let mut past = Self::new(policy, assets, letters);
        for step in steps {
            past.step(step);
        }
        past
    }

    fn step(&mut self, step: &Step) {
        let count = self.assets.len();
        match step {
            Step::Ends(which, action, result, requests) => {
                self.ends(which % count, *action, *result, *requests, None);
            }
            Step::Undone(which) => {
                let (failed, contested) = (ActionResult::Failed, Some(FindingReason::Contested));
                self.ends(which % count, ActionType::StreamPlacement, failed, 1, contested);
            }
            Step::Sweep(result, requests) => {
                for which in 0..count {
                    self.ends(which, ActionType::StreamStepDown, *result, *requests, None);
                    self.world.now += Duration::from_millis(1700);
                }
            }
            Step::Begins(which, action) => {
                let asset = self.assets[which % count].clone();
                if self.under_way.iter().all(|(other, _)| *other != asset) {
                    self.world.history.begin(&asset, *action);
                    self.under_way.push((asset, *action));
                }
            }
            Step::HomeChanges(east) => {
                let location = if *east { "east" } else { "west" };
                let settled = Some(SettledHome {
                    location: location.into(),
                    since: self.world.now,
                });
                let challenger = None;
                self.world
                    .history
                    .settle(HomeHistory { settled, challenger }, BTreeMap::new());
            }
            Step::Wait(milliseconds) => self.world.now += Duration::from_millis(*milliseconds),
            Step::Prune => {
                let World {
                    history, policy, now, ..
                } = &mut self.world;
                history.prune(&policy.disruption, *now);
            }
        }
    }

    fn ends(
        &mut self,
        which: usize,
        action: ActionType,
        result: ActionResult,
        requests: u32,
        reason: Option<FindingReason>,
    ) {
        let World {
            history, policy, now, ..
        } = &mut self.world;
        let asset = self.assets[which].clone();
        if self.under_way.iter().any(|(other, _)| *other == asset) {
            return;
        }
        let moved = (action == ActionType::StreamPlacement).then(|| MoveRecord {
            to: "east".into(),
            bytes: 1 << 30,
            took: Duration::from_secs(100),
        });
        history.begin(&asset, action);
        let ended = EndedOperation {
            asset,
            result,
            reason,
            attempts: requests,
            at: *now,
            moved,
        };
        history.record(&ended, &policy.disruption);
    }

    /// The process is killed, and another one starts later.
    fn restarted(&self, later: Timestamp) -> History {
        let token = self.world.policy.reset_token.as_deref();
        History::restore(&status_of(&self.world, &self.under_way), token, later)
    }

    /// What was under way ended just then, and nobody knows how.
    fn gone_on(mut self, later: Timestamp) -> Self {
        for (asset, _) in std::mem::take(&mut self.under_way) {
            let ended = EndedOperation {
                asset,
                result: ActionResult::Abandoned,
                reason: None,
                attempts: 1,
                at: later,
                moved: None,
            };
            self.world.history.record(&ended, &self.world.policy.disruption);
        }
        self
    }
}

/// Of more assets than a status has place for that stand still until a person acts, which one is left out is tried anew.
fn fits(history: &History, policy: &Policy) -> bool {
    let rules = &policy.disruption;
    let stands =
        |past: &&leeward_core::history::AssetHistory| past.undone >= MAX_REVERTS || past.exhausted(rules);
    history.assets.values().filter(stands).count() <= MAX_REMEMBERED
}

fn strictness(phase: BreakerPhase) -> u8 {
    match phase {
        BreakerPhase::Closed => 0,
        BreakerPhase::HalfOpen => 1,
        BreakerPhase::Open { until: _ } => 2,
    }
}

const RULES: [&str; 3] = [
    "resetToken: a",
    "disruption: {cooldown: 5m, maxAttempts: 5, budgets: [{name: a, max: 10%, per: 10m}, \
     {name: b, max: 3, per: 1h, actions: [StreamPlacement]}], circuitBreaker: {failures: 5, within: 5m}}",
    "disruption: {cooldown: 2h, maxAttempts: 1, budgets: [{name: a, max: 2, per: 1s}], \
     circuitBreaker: {failures: 1, openFor: 20m}}",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn p10_after_a_restart_at_any_instant_nothing_is_allowed_that_was_not_before(
        rules in select(RULES.to_vec()),
        assets in prop_oneof![4 => 1usize..30, 1 => 195usize..215],
        steps in steps(),
        down in 1u64..3_000_000,
        looks in prop::collection::vec(0u64..9_000_000, 1..6),
    ) {
        let past = Past::of(rules, assets, 0, &steps);
        let start = past.world.now + Duration::from_millis(down);
        let restored = past.restarted(start);
        let past = past.gone_on(start);
        let (original, policy) = (&past.world.history, &past.world.policy);
        let rules = &policy.disruption;
        let selected = Selected { streams: 40, consumers: 60 };
        for look in looks {
            let now = start + Duration::from_millis(look);
            for asset in past.assets.iter().filter(|_| fits(original, policy)) {
                let before = original.blocked_by(asset, rules, now);
                let after = restored.blocked_by(asset, rules, now);
                prop_assert!(before.is_none() || after.is_some(), "{}: {:?} is forgotten", asset, before);
                if before.is_some_and(|reason| reason != FindingReason::CoolingDown) {
                    prop_assert_eq!(before, after, "{}", asset);
                }
            }
            let used = |history: &History| -> Vec<u32> {
                states(&rules.budgets, &history.ledger, selected, now).iter().map(|state| state.used).collect()
            };
            let pairs = used(original).into_iter().zip(used(&restored));
            prop_assert!(pairs.clone().all(|(before, after)| before <= after), "{:?}", pairs.collect::<Vec<_>>());
            let phase = |history: &History| strictness(history.breaker.phase(&rules.circuit_breaker, now));
            prop_assert!(phase(original) <= phase(&restored), "the breaker lets more through");
            let after_failure = |history: &History| {
                let mut breaker = history.breaker.clone();
                breaker.failed(&rules.circuit_breaker, now);
                strictness(breaker.phase(&rules.circuit_breaker, now))
            };
            prop_assert!(after_failure(original) <= after_failure(&restored), "one more failure stops less");
        }
    }

    #[test]
    fn p10_a_second_restart_forgets_nothing_either(
        rules in select(RULES.to_vec()),
        assets in prop_oneof![4 => 1usize..30, 1 => 195usize..215],
        steps in steps(),
        down in 1u64..3_000_000,
        look in 0u64..9_000_000,
    ) {
        let mut past = Past::of(rules, assets, 0, &steps);
        let start = past.world.now + Duration::from_millis(down);
        let once = past.restarted(start);
        past.under_way.clear();
        past.world.history = once.clone();
        past.world.now = start;
        let again = past.restarted(start);
        let rules = &past.world.policy.disruption;
        let now = start + Duration::from_millis(look);
        for asset in past.assets.iter().filter(|_| fits(&once, &past.world.policy)) {
            let against = |history: &History| history.blocked_by(asset, rules, now).is_some();
            prop_assert!(against(&again) || !against(&once), "{}", asset);
        }
    }

    #[test]
    fn p12_what_is_remembered_stays_small_however_much_there_is(
        rules in select(RULES.to_vec()),
        assets in 201usize..230,
        letters in select(vec![0usize, 60, 251]),
        steps in steps(),
    ) {
        let past = Past::of(rules, assets, letters, &steps);
        let memory = past.world.history.memory(&past.world.policy.disruption, past.world.now);
        prop_assert!(memory.assets.len() <= MAX_REMEMBERED);
        prop_assert!(memory.spent.len() <= MAX_SPENT);
        let size = serde_json::to_vec(&memory).unwrap().len();
        prop_assert!(size < 256 * 1024, "{} bytes", size);
        let later = past.world.history.memory(&past.world.policy.disruption, past.world.now);
        prop_assert_eq!(memory, later, "without anything done nothing changes");
    }
}

/// The apiserver's store takes 1.5 MiB.
#[test]
fn p12_the_status_of_the_largest_account_with_the_longest_names_stays_small() {
    let name = |letter: &str, number: usize| format!("{}{number:04}", letter.repeat(251));
    let mut lines = vec!["now 2026-01-01T12:00:00Z".to_owned(), "home us".to_owned()];
    lines.extend((0..6).map(|nth| format!("server n-{nth} cluster={}", ["us", "eu"][nth % 2])));
    lines.push("clients n-0 9".to_owned());
    for number in 0..400 {
        let peers = "peers=*n-1,n-3,n-5 rate=5";
        lines.push(format!("stream {} {peers}", name("S", number)));
        lines.push(format!("consumer {} {peers}", name("c", number)));
    }
    let policy = format!("mode: Enforce\nreport: {{maxFindings: {MAX_FINDINGS}}}");
    let mut past = Past::new(&policy, 400, 251);
    past.world = World::parse(&format!("{}\n\npolicy:\n{policy}", lines.join("\n")));
    past.step(&Step::Sweep(ActionResult::Missed, 1));
    past.world.view.observed_at = past.world.now;
    let status = status_of(&past.world, &[]);
    assert_eq!(status.findings.len(), MAX_FINDINGS);
    let size = serde_json::to_vec(&status).unwrap().len();
    assert!(size < 768 * 1024, "{size} bytes");
}
