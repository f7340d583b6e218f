//! Many replicas and many shards.

use std::collections::BTreeSet;

use super::*;
use crate::{LeaseEpoch, PendingWrite};

const SHARDS: u8 = 4;
const SETTLE: Duration = Duration::from_secs(20);

/// Enough keys for each shard of each layout.
fn keys() -> Vec<String> {
    (0..24).map(|number| format!("nats/s{number}")).collect()
}

fn started(api: &Arc<Api>, names: &[&str], shards: u8) -> Vec<Replica> {
    let start = |name: &&str| Replica::start_with(api, name, shards);
    names.iter().map(start).collect()
}

/// In how many shards each replica acts.
fn counts(replicas: &[Replica]) -> Vec<usize> {
    let holds = |leadership: &&Leadership| leadership.act_deadline().holds();
    let count = |replica: &Replica| replica.leaderships.by_shard().iter().filter(holds).count();
    replicas.iter().map(count).collect()
}

/// Which replicas act on a key.
fn acting(replicas: &[Replica], key: &str) -> Vec<usize> {
    let acts = |replica: &Replica| replica.leaderships.of(key).act_deadline().holds();
    let numbered = replicas.iter().enumerate();
    numbered
        .filter(|(_, replica)| acts(replica))
        .map(|(index, _)| index)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn shards_are_spread_over_the_replicas_that_run() {
    let api = Arc::new(Api::default());
    let mut replicas = started(&api, &["a"], SHARDS);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(counts(&replicas), [4], "the only one takes all at once");
    replicas.extend(started(&api, &["b"], SHARDS));
    sleep(SETTLE).await;
    assert_eq!(counts(&replicas), [2, 2]);
    replicas.extend(started(&api, &["c"], SHARDS));
    sleep(SETTLE).await;
    let mut sorted = counts(&replicas);
    sorted.sort_unstable();
    assert_eq!(sorted, [1, 1, 2]);
    replicas.remove(0).end().await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(counts(&replicas), [2, 2], "what was released is acquired at once");
    replicas.remove(0).crash();
    sleep(DURATION / 2).await;
    assert_eq!(
        counts(&replicas),
        [2],
        "the shards of the dead replica are its own until they expire"
    );
    sleep(DURATION).await;
    assert_eq!(counts(&replicas), [4]);
    let page = replicas[0].numbers.page();
    for lease in ["leeward-member", "leeward-shard-0", "leeward-shard-3"] {
        let line = format!("lease_held{{lease=\"{lease}\"}} 1");
        assert!(page.contains(&line), "{line} is not in {page}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_shard_is_assigned_to_a_replica_that_has_just_died() {
    let api = Arc::new(Api::default());
    let mut replicas = started(&api, &["a", "b"], SHARDS);
    sleep(SETTLE).await;
    replicas.remove(0).crash();
    sleep(Duration::from_millis(500)).await;
    replicas.extend(started(&api, &["c"], SHARDS));
    sleep(Duration::from_secs(1)).await;
    replicas.remove(0).end().await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        counts(&replicas),
        [2],
        "what was released, although the dead replica still holds a member's Lease"
    );
    sleep(DURATION).await;
    assert_eq!(counts(&replicas), [4]);
}

#[tokio::test(start_paused = true)]
async fn more_replicas_than_shards_wait_for_a_members_lease() {
    let api = Arc::new(Api::default());
    let mut replicas = started(&api, &["a", "b", "c"], 2);
    sleep(SETTLE).await;
    let mut sorted = counts(&replicas);
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 1, 1]);
    let holder = counts(&replicas).iter().position(|count| *count == 1).unwrap();
    replicas.remove(holder).end().await;
    sleep(SETTLE).await;
    assert_eq!(counts(&replicas), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_released_only_after_its_pending_writes() {
    let api = Arc::new(Api::default());
    let mut replicas = started(&api, &["a"], 2);
    sleep(Duration::from_secs(1)).await;
    let pending = |leadership: &Leadership| leadership.grant(leadership.lease_epoch().unwrap()).unwrap().1;
    let writes: Vec<PendingWrite> = replicas[0].leaderships.by_shard().iter().map(pending).collect();
    replicas.extend(started(&api, &["b"], 2));
    let released = async {
        while counts(&replicas)[0] == 2 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SETTLE, released).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(counts(&replicas), [1, 0], "a write is still pending");
    let may_write = |leadership: &Leadership| leadership.lease_epoch().is_some();
    assert!(replicas[0].leaderships.by_shard().iter().all(may_write));
    drop(writes);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(counts(&replicas), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn replicas_with_another_number_of_shards_wait_until_none_of_the_others_is_alive() {
    for (before, after) in [(2, 1), (4, 8), (8, 4)] {
        let api = Arc::new(Api::default());
        let mut old = started(&api, &["a", "b"], before);
        sleep(SETTLE).await;
        let new = started(&api, &["c", "d"], after);
        sleep(SETTLE).await;
        assert_eq!(counts(&new), [0, 0]);
        old.remove(0).end().await;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(
            counts(&old),
            [usize::from(before)],
            "the other replica of the old number continues"
        );
        assert_eq!(counts(&new), [0, 0]);
        old.remove(0).crash();
        sleep(SETTLE).await;
        assert_eq!(counts(&new).iter().sum::<usize>(), usize::from(after));
    }
}

#[tokio::test(start_paused = true)]
async fn one_shard_becomes_many_once_its_holder_has_left_and_a_replica_with_one_shard_waits_then() {
    let api = Arc::new(Api::default());
    let mut old = started(&api, &["a"], 1);
    sleep(Duration::from_secs(1)).await;
    let new = started(&api, &["b", "c"], SHARDS);
    sleep(SETTLE).await;
    assert_eq!((counts(&old), counts(&new)), (vec![1], vec![0, 0]));
    old.remove(0).end().await;
    sleep(SETTLE).await;
    let late = started(&api, &["d"], 1);
    sleep(SETTLE).await;
    assert_eq!((counts(&late), counts(&new)), (vec![0], vec![2, 2]));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_cut_off_while_a_replica_with_another_number_acted_begins_a_new_epoch() {
    let api = Arc::new(Api::default());
    let first = started(&api, &["a"], 2);
    sleep(Duration::from_secs(1)).await;
    let before = first[0].leadership().lease_epoch().unwrap();
    api.set("a", Service::LostRequest);
    sleep(DURATION * 2).await;
    let mut other = Replica::start_with(&api, "b", 1);
    sleep(DURATION * 2).await;
    assert!(other.acts());
    api.set("a", Service::Normal);
    sleep(DURATION).await;
    assert_eq!(counts(&first), [0]);
    other.end().await;
    sleep(SETTLE).await;
    assert_eq!(counts(&first), [2]);
    assert_ne!(first[0].leadership().lease_epoch(), Some(before));
}

#[tokio::test(start_paused = true)]
async fn without_the_api_nobody_acts_on_a_shard_and_with_it_the_same_epochs_continue() {
    let api = Arc::new(Api::default());
    let replicas = started(&api, &["a"], SHARDS);
    sleep(Duration::from_secs(1)).await;
    let epochs = || -> Vec<Option<LeaseEpoch>> {
        replicas[0]
            .leaderships
            .by_shard()
            .iter()
            .map(Leadership::lease_epoch)
            .collect()
    };
    let before = epochs();
    api.set("a", Service::InternalError);
    sleep(DURATION * 3).await;
    assert_eq!(counts(&replicas), [0]);
    api.set("a", Service::Normal);
    sleep(DURATION).await;
    assert_eq!(epochs(), before);
}

#[tokio::test(start_paused = true)]
async fn a_members_lease_that_is_deleted_never_lets_both_numbers_of_shards_act() {
    for (before, after) in [(4, 1), (1, 4), (4, 8)] {
        let api = Arc::new(Api::default());
        let old = started(&api, &["a"], before);
        sleep(Duration::from_secs(1)).await;
        api.stored
            .lock()
            .unwrap()
            .retain(|name, _| name.contains("-shard-"));
        let new = started(&api, &["b"], after);
        sleep(SETTLE).await;
        let both = keys()
            .into_iter()
            .filter(|key| !acting(&old, key).is_empty() && !acting(&new, key).is_empty());
        assert_eq!(both.count(), 0, "{before} and {after}");
        let counts = (counts(&old)[0], counts(&new)[0]);
        let full = (usize::from(before), usize::from(after));
        assert!(counts == (full.0, 0) || counts == (0, full.1), "{counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_waited_while_all_members_died_takes_over_no_later_than_a_member_would() {
    let api = Arc::new(Api::default());
    let mut replicas = started(&api, &["a", "b"], 2);
    sleep(SETTLE).await;
    replicas.extend(started(&api, &["c"], 2));
    sleep(SETTLE).await;
    replicas.remove(0).crash();
    replicas.remove(0).crash();
    sleep(DURATION + Duration::from_secs(1)).await;
    assert_eq!(counts(&replicas), [2]);
}

/// As with one shard, whatever the API does to each replica and whatever its number of shards.
#[tokio::test(start_paused = true)]
async fn p8_no_two_replicas_act_on_one_key_at_once() {
    const LAYOUTS: [u8; 3] = [1, 3, 4];
    const STEP: Duration = Duration::from_millis(50);
    let keys = keys();
    let gap = (DURATION / 3).saturating_sub(STEP * 2);
    let (mut handovers, mut seen) = (0, BTreeSet::new());
    for seed in 0..6 {
        let mut random = fastrand::Rng::with_seed(seed);
        let api = Arc::new(Api::default());
        let mut made = 0;
        let mut next = |random: &mut fastrand::Rng, likely: u8| {
            made += 1;
            let other = LAYOUTS[random.usize(0..LAYOUTS.len())];
            let shards = if random.u32(0..4) > 0 { likely } else { other };
            (format!("r{made}"), shards)
        };
        let mut names = Vec::new();
        let mut replicas = Vec::new();
        for _ in 0..4 {
            let (name, shards) = next(&mut random, 4);
            replicas.push(Replica::start_with(&api, &name, shards));
            names.push((name, shards));
        }
        // Which replica acted last on each key and when, and which crashed while it acted on one.
        let mut last: BTreeMap<&str, (String, Instant)> = BTreeMap::new();
        let mut crashed = BTreeSet::new();
        for moment in 0..2400 {
            sleep(STEP).await;
            for key in &keys {
                let acting = acting(&replicas, key);
                assert!(
                    acting.len() <= 1,
                    "seed {seed}, moment {moment}, {key}: {acting:?} of {names:?}"
                );
                let [index] = acting[..] else { continue };
                let (name, shards) = names[index].clone();
                seen.insert(shards);
                if let Some((before, at)) = last.insert(key.as_str(), (name.clone(), Instant::now()))
                    && before != name
                {
                    handovers += 1;
                    let crashed = crashed.contains(&(before.clone(), key.clone()));
                    assert!(
                        !crashed || at.elapsed() >= gap,
                        "seed {seed}, moment {moment}, {key}: {name} {:?} after {before} was lost",
                        at.elapsed()
                    );
                }
            }
            if random.u32(0..20) > 0 {
                continue;
            }
            let index = random.usize(0..replicas.len());
            let longest = [1_300, 12_000][random.usize(0..2)];
            let time = Duration::from_millis(random.u64(0..longest));
            let name = names[index].0.clone();
            match random.u32(0..12) {
                0..5 => api.set(&name, Service::Normal),
                5 => api.set(&name, Service::DelayedRequest(time)),
                6 => api.set(&name, Service::DelayedAnswer(time)),
                7 => api.set(&name, Service::LostRequest),
                8 => api.set(&name, Service::InternalError),
                what => {
                    let likely = LAYOUTS[usize::try_from(moment / 800).unwrap()];
                    let (started, shards) = next(&mut random, likely);
                    let replica = Replica::start_with(&api, &started, shards);
                    let held = |key: &&String| acting(&replicas, key) == [index];
                    let held: Vec<String> = keys.iter().filter(held).cloned().collect();
                    let mut former = std::mem::replace(&mut replicas[index], replica);
                    names[index] = (started, shards);
                    if what == 9 {
                        former.leaderships.close();
                        former.end().await;
                    } else {
                        crashed.extend(held.into_iter().map(|key| (name.clone(), key)));
                        former.crash();
                    }
                }
            }
        }
        for (name, _) in &names {
            api.set(name, Service::Normal);
        }
        // Until one number of shards is left: a replica that only waits holds no Lease that others wait for.
        let winner = names[0].1;
        for index in (0..replicas.len())
            .rev()
            .filter(|index| names[*index].1 != winner)
        {
            replicas.remove(index).end().await;
        }
        sleep(SETTLE * 2).await;
        for key in &keys {
            assert_eq!(
                acting(&replicas, key).len(),
                1,
                "seed {seed}: with the API one acts on {key}"
            );
        }
        for mut replica in replicas {
            replica.end().await;
        }
    }
    assert!(handovers > 200, "keys changed their holder {handovers} times");
    assert_eq!(seen, LAYOUTS.into(), "each number of shards was acted with");
}
