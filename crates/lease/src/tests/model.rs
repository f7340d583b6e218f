//! A model of several replicas over a store in memory: each replica has a clock that runs at a rate of its own, its requests
//! and answers are delayed, lost or fail, and the process is paused, killed or asked to leave. Everything is deterministic,
//! so a failing scenario can be shrunk and run again.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use world::World;

mod network;
mod replica;
mod world;

const DURATION: Duration = Duration::from_secs(6);
/// In percent. A holder stops after two thirds of the duration, so the rates of two clocks may differ by less than half.
const RATES: std::ops::RangeInclusive<u32> = 83..=122;
const LONGEST_DELAY: u64 = 12_000;

/// What happens to one replica.
#[derive(Clone, Copy, Debug)]
enum Fault {
    DelayRequests(Duration),
    DelayAnswers(Duration),
    LoseRequests,
    LoseAnswers,
    FailRequests,
    /// Its tasks stop, its clock does not, as on SIGSTOP.
    Pause,
    /// The process ends at once, and another one starts.
    Kill,
    /// The process releases what it holds, and another one starts.
    Leave,
    /// It is reachable again, and runs.
    Recover,
}

/// After some time, something happens to a replica, or to the leader of the first shard.
#[derive(Clone, Copy, Debug)]
struct Event {
    after: Duration,
    replica: Option<usize>,
    fault: Fault,
}

#[derive(Clone, Debug)]
struct Scenario {
    seed: u64,
    shards: u8,
    /// How fast the clock of each replica runs, in percent.
    rates: Vec<u32>,
    events: Vec<Event>,
}

impl Scenario {
    fn run(&self) -> Result<(), String> {
        let mut world = World::new(self);
        self.play(&mut world)?;
        world.recover_and_settle()
    }

    fn play(&self, world: &mut World) -> Result<(), String> {
        for event in &self.events {
            world.run_for(event.after)?;
            if let Some(index) = event.replica.or_else(|| world.first_leader()) {
                world.apply(index % self.rates.len(), event.fault);
            }
        }
        Ok(())
    }
}

fn delay() -> impl Strategy<Value = Duration> {
    prop_oneof![0..1_400_u64, 0..LONGEST_DELAY].prop_map(Duration::from_millis)
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::Recover),
        2 => delay().prop_map(Fault::DelayRequests),
        2 => delay().prop_map(Fault::DelayAnswers),
        1 => Just(Fault::LoseRequests),
        1 => Just(Fault::LoseAnswers),
        1 => Just(Fault::FailRequests),
        2 => Just(Fault::Pause),
        1 => Just(Fault::Kill),
        1 => Just(Fault::Leave),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let after = (50..5_000_u64).prop_map(Duration::from_millis);
    (after, prop::option::of(0..4_usize), fault()).prop_map(|(after, replica, fault)| Event {
        after,
        replica,
        fault,
    })
}

fn scenario() -> impl Strategy<Value = Scenario> {
    (any::<u64>(), 1..=5_u8, vec(RATES, 1..=4), vec(event(), 0..30)).prop_map(
        |(seed, shards, rates, events)| Scenario {
            seed,
            shards,
            rates,
            events,
        },
    )
}

/// How many scenarios run; more by `LEEWARD_PROPTEST_CASES`.
fn cases() -> u32 {
    let count = std::env::var("LEEWARD_PROPTEST_CASES").ok();
    count.and_then(|count| count.parse().ok()).unwrap_or(12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p8_no_shard_has_two_leaders_and_once_all_is_reachable_each_has_one(scenario in scenario()) {
        let outcome = scenario.run();
        prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    }
}

/// The first of two replicas leads the only shard when the faults come, whatever the rates of their clocks.
fn led_by_the_first(rates: [u32; 2], faults: &[(u64, Fault)]) -> Scenario {
    let event = |replica, after, fault| Event {
        after: Duration::from_millis(after),
        replica,
        fault,
    };
    let mut events = vec![
        event(Some(1), 0, Fault::Pause),
        event(Some(1), 1000, Fault::Recover),
    ];
    events.extend(faults.iter().map(|(after, fault)| event(None, *after, *fault)));
    Scenario {
        seed: 1,
        shards: 1,
        rates: rates.into(),
        events,
    }
}

#[test]
fn a_leader_that_is_cut_off_is_followed_by_another_replica() {
    let scenario = led_by_the_first([83, 122], &[(3000, Fault::LoseRequests)]);
    let mut world = World::new(&scenario);
    scenario.play(&mut world).unwrap();
    assert_eq!(world.first_leader(), Some(0));
    world.run_for(DURATION * 2).unwrap();
    assert_eq!(world.first_leader(), Some(1));
}

/// The deadline counts from before the request, not from its answer.
#[test]
fn a_leader_whose_last_answer_came_late_stops_in_time() {
    let is_late = Fault::DelayAnswers(Duration::from_millis(1300));
    let scenario = led_by_the_first([83, 122], &[(3000, is_late), (1300, Fault::LoseRequests)]);
    let mut world = World::new(&scenario);
    scenario.play(&mut world).unwrap();
    assert_eq!(world.first_leader(), Some(0));
    world.run_for(DURATION * 2).unwrap();
    assert_eq!(world.first_leader(), Some(1));
}

/// The model finds what it is there to find.
#[test]
fn clocks_whose_rates_differ_by_more_than_half_give_a_shard_two_leaders() {
    let scenario = led_by_the_first([60, 122], &[(3000, Fault::LoseRequests)]);
    let mut world = World::new(&scenario);
    scenario.play(&mut world).unwrap();
    let problem = world.run_for(DURATION * 2).unwrap_err();
    assert!(problem.contains("shard 0 has the leaders"), "{problem}");
}

#[test]
fn a_store_that_accepts_stale_writes_loses_a_transition() {
    let scenario = led_by_the_first([100, 100], &[]);
    let mut world = World::new(&scenario);
    world.network().accept_stale_writes();
    let problem = world.run_for(DURATION).unwrap_err();
    assert!(problem.contains("0 transitions, not 1"), "{problem}");
}
