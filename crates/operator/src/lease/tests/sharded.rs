//! Many replicas and many shards.

use std::collections::BTreeSet;

use super::*;

const SHARDS: u8 = 4;
const CALM: Duration = Duration::from_secs(20);

/// Systems enough to be in each shard of each layout.
fn systems() -> Vec<Key> {
    (0..24)
        .map(|number| Key::new("nats", format!("s{number}")))
        .collect()
}

fn started(api: &Arc<Api>, names: &[&str], shards: u8) -> Vec<Replica> {
    let start = |name: &&str| Replica::start_with(api, name, shards);
    names.iter().map(start).collect()
}

/// How many shards each acts in.
fn counts(replicas: &[Replica]) -> Vec<usize> {
    let holds = |leadership: &&Leadership| leadership.acts().holds();
    let count = |replica: &Replica| replica.leaderships.each().iter().filter(holds).count();
    replicas.iter().map(count).collect()
}

/// Who acts on a system.
fn acting(replicas: &[Replica], system: &Key) -> Vec<usize> {
    let acts = |replica: &Replica| replica.leaderships.of(system).acts().holds();
    let numbered = replicas.iter().enumerate();
    numbered
        .filter(|(_, replica)| acts(replica))
        .map(|(index, _)| index)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn shards_are_spread_over_the_replicas_that_there_are() {
    let api = Arc::new(Api::default());
    let mut replicas = started(&api, &["a"], SHARDS);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(counts(&replicas), [4], "the only one takes all at once");
    replicas.extend(started(&api, &["b"], SHARDS));
    sleep(CALM).await;
    assert_eq!(counts(&replicas), [2, 2]);
    replicas.extend(started(&api, &["c"], SHARDS));
    sleep(CALM).await;
    let mut sorted = counts(&replicas);
    sorted.sort_unstable();
    assert_eq!(sorted, [1, 1, 2]);
    replicas.remove(0).end().await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(counts(&replicas), [2, 2], "what was given up is taken at once");
    replicas.remove(0).crash();
    sleep(DURATION / 2).await;
    assert_eq!(
        counts(&replicas),
        [2],
        "the dead one's shards are its own for a while"
    );
    sleep(DURATION).await;
    assert_eq!(counts(&replicas), [4]);
    let page = replicas[0].metrics.page().unwrap();
    for lease in ["leeward-member", "leeward-shard-0", "leeward-shard-3"] {
        let line = format!("leeward_lease_held{{lease=\"{lease}\"}} 1");
        assert!(page.contains(&line), "{line} is not in {page}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_to_one_that_died_a_moment_ago() {
    let api = Arc::new(Api::default());
    let mut replicas = started(&api, &["a", "b"], SHARDS);
    sleep(CALM).await;
    replicas.remove(0).crash();
    sleep(Duration::from_millis(500)).await;
    replicas.extend(started(&api, &["c"], SHARDS));
    sleep(Duration::from_secs(1)).await;
    replicas.remove(0).end().await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        counts(&replicas),
        [2],
        "what was given up, although the dead one seems to have a place"
    );
    sleep(DURATION).await;
    assert_eq!(counts(&replicas), [4]);
}

#[tokio::test(start_paused = true)]
async fn more_replicas_than_shards_wait_for_a_place() {
    let api = Arc::new(Api::default());
    let mut replicas = started(&api, &["a", "b", "c"], 2);
    sleep(CALM).await;
    let mut sorted = counts(&replicas);
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 1, 1]);
    let holder = counts(&replicas).iter().position(|count| *count == 1).unwrap();
    replicas.remove(holder).end().await;
    sleep(CALM).await;
    assert_eq!(counts(&replicas), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_given_up_only_after_its_last_words() {
    let api = Arc::new(Api::default());
    let mut replicas = started(&api, &["a"], 2);
    sleep(Duration::from_secs(1)).await;
    let pending = |leadership: &Leadership| leadership.grant(leadership.lease_epoch().unwrap()).unwrap().1;
    let voices: Vec<PendingWrite> = replicas[0].leaderships.each().iter().map(pending).collect();
    replicas.extend(started(&api, &["b"], 2));
    let given_up = async {
        while counts(&replicas)[0] == 2 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(CALM, given_up).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(counts(&replicas), [1, 0], "somebody has something to say still");
    let speaks = |leadership: &Leadership| leadership.lease_epoch().is_some();
    assert!(replicas[0].leaderships.each().iter().all(speaks));
    drop(voices);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(counts(&replicas), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn replicas_with_another_number_of_shards_wait_until_none_of_the_others_lives() {
    for (before, after) in [(2, 1), (4, 8), (8, 4)] {
        let api = Arc::new(Api::default());
        let mut old = started(&api, &["a", "b"], before);
        sleep(CALM).await;
        let new = started(&api, &["c", "d"], after);
        sleep(CALM).await;
        assert_eq!(counts(&new), [0, 0]);
        old.remove(0).end().await;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(
            counts(&old),
            [usize::from(before)],
            "the others of the old number go on"
        );
        assert_eq!(counts(&new), [0, 0]);
        old.remove(0).crash();
        sleep(CALM).await;
        assert_eq!(counts(&new).iter().sum::<usize>(), usize::from(after));
    }
}

#[tokio::test(start_paused = true)]
async fn one_shard_becomes_many_once_its_holder_is_gone_and_its_successors_wait_like_all_others() {
    let api = Arc::new(Api::default());
    let mut old = started(&api, &["a"], 1);
    sleep(Duration::from_secs(1)).await;
    let new = started(&api, &["b", "c"], SHARDS);
    sleep(CALM).await;
    assert_eq!((counts(&old), counts(&new)), (vec![1], vec![0, 0]));
    old.remove(0).end().await;
    sleep(CALM).await;
    let late = started(&api, &["d"], 1);
    sleep(CALM).await;
    assert_eq!((counts(&late), counts(&new)), (vec![0], vec![2, 2]));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_slept_while_others_with_another_number_acted_begins_a_new_term_after_them() {
    let api = Arc::new(Api::default());
    let first = started(&api, &["a"], 2);
    sleep(Duration::from_secs(1)).await;
    let before = first[0].leadership().lease_epoch().unwrap();
    api.set("a", Weather::Silent);
    sleep(DURATION * 2).await;
    let mut other = Replica::start_with(&api, "b", 1);
    sleep(DURATION * 2).await;
    assert!(other.acts());
    api.set("a", Weather::Fine);
    sleep(DURATION).await;
    assert_eq!(counts(&first), [0]);
    other.end().await;
    sleep(CALM).await;
    assert_eq!(counts(&first), [2]);
    assert_ne!(first[0].leadership().lease_epoch(), Some(before));
}

#[tokio::test(start_paused = true)]
async fn without_the_api_no_shard_is_acted_on_and_with_it_the_same_terms_go_on() {
    let api = Arc::new(Api::default());
    let replicas = started(&api, &["a"], SHARDS);
    sleep(Duration::from_secs(1)).await;
    let terms = || -> Vec<Option<LeaseEpoch>> {
        replicas[0]
            .leaderships
            .each()
            .iter()
            .map(Leadership::lease_epoch)
            .collect()
    };
    let before = terms();
    api.set("a", Weather::Broken);
    sleep(DURATION * 3).await;
    assert_eq!(counts(&replicas), [0]);
    api.set("a", Weather::Fine);
    sleep(DURATION).await;
    assert_eq!(terms(), before);
}

#[tokio::test(start_paused = true)]
async fn a_members_lease_that_is_deleted_lets_nobody_with_another_number_in_for_good() {
    for (before, after) in [(4, 1), (1, 4), (4, 8)] {
        let api = Arc::new(Api::default());
        let old = started(&api, &["a"], before);
        sleep(Duration::from_secs(1)).await;
        api.stored
            .lock()
            .unwrap()
            .retain(|name, _| name.contains("-shard-"));
        let new = started(&api, &["b"], after);
        sleep(CALM).await;
        let both = systems()
            .into_iter()
            .filter(|system| !acting(&old, system).is_empty() && !acting(&new, system).is_empty());
        assert_eq!(both.count(), 0, "{before} and {after}");
        let counts = (counts(&old)[0], counts(&new)[0]);
        let full = (usize::from(before), usize::from(after));
        assert!(counts == (full.0, 0) || counts == (0, full.1), "{counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waited_while_all_died_takes_over_no_later_than_one_who_took_part() {
    let api = Arc::new(Api::default());
    let mut replicas = started(&api, &["a", "b"], 2);
    sleep(CALM).await;
    replicas.extend(started(&api, &["c"], 2));
    sleep(CALM).await;
    replicas.remove(0).crash();
    replicas.remove(0).crash();
    sleep(DURATION + Duration::from_secs(1)).await;
    assert_eq!(counts(&replicas), [2]);
}

/// As with one shard, whatever the API does to whom and however many shards each was told.
#[tokio::test(start_paused = true)]
async fn p8_at_no_moment_do_two_replicas_act_on_one_system() {
    const LAYOUTS: [u8; 3] = [1, 3, 4];
    const STEP: Duration = Duration::from_millis(50);
    let systems = systems();
    let pause = (DURATION / 3).saturating_sub(STEP * 2);
    let (mut handed, mut seen) = (0, BTreeSet::new());
    for seed in 0..6 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let api = Arc::new(Api::default());
        let mut made = 0;
        let mut next = |chance: &mut fastrand::Rng, likely: u8| {
            made += 1;
            let other = LAYOUTS[chance.usize(0..LAYOUTS.len())];
            let shards = if chance.u32(0..4) > 0 { likely } else { other };
            (format!("r{made}"), shards)
        };
        let mut names = Vec::new();
        let mut replicas = Vec::new();
        for _ in 0..4 {
            let (name, shards) = next(&mut chance, 4);
            replicas.push(Replica::start_with(&api, &name, shards));
            names.push((name, shards));
        }
        // Who acted last on each system and when, and who crashed while it acted on one.
        let mut last: BTreeMap<&Key, (String, Instant)> = BTreeMap::new();
        let mut crashed = BTreeSet::new();
        for moment in 0..2400 {
            sleep(STEP).await;
            for system in &systems {
                let acting = acting(&replicas, system);
                assert!(
                    acting.len() <= 1,
                    "seed {seed}, moment {moment}, {system}: {acting:?} of {names:?}"
                );
                let [index] = acting[..] else { continue };
                let (name, shards) = names[index].clone();
                seen.insert(shards);
                if let Some((before, at)) = last.insert(system, (name.clone(), Instant::now()))
                    && before != name
                {
                    handed += 1;
                    let crashed = crashed.contains(&(before.clone(), system.clone()));
                    assert!(
                        !crashed || at.elapsed() >= pause,
                        "seed {seed}, moment {moment}, {system}: {name} {:?} after {before} was lost",
                        at.elapsed()
                    );
                }
            }
            if chance.u32(0..20) > 0 {
                continue;
            }
            let index = chance.usize(0..replicas.len());
            let longest = [1_300, 12_000][chance.usize(0..2)];
            let time = Duration::from_millis(chance.u64(0..longest));
            let name = names[index].0.clone();
            match chance.u32(0..12) {
                0..5 => api.set(&name, Weather::Fine),
                5 => api.set(&name, Weather::SlowBefore(time)),
                6 => api.set(&name, Weather::SlowAfter(time)),
                7 => api.set(&name, Weather::Silent),
                8 => api.set(&name, Weather::Broken),
                what => {
                    let likely = LAYOUTS[usize::try_from(moment / 800).unwrap()];
                    let (started, shards) = next(&mut chance, likely);
                    let replica = Replica::start_with(&api, &started, shards);
                    let held = |system: &&Key| acting(&replicas, system) == [index];
                    let held: Vec<Key> = systems.iter().filter(held).cloned().collect();
                    let mut former = std::mem::replace(&mut replicas[index], replica);
                    names[index] = (started, shards);
                    if what == 9 {
                        former.leaderships.close();
                        former.end().await;
                    } else {
                        crashed.extend(held.into_iter().map(|system| (name.clone(), system)));
                        former.crash();
                    }
                }
            }
        }
        for (name, _) in &names {
            api.set(name, Weather::Fine);
        }
        // Until one number of shards is left; replicas that wait for others are none to wait for.
        let winner = names[0].1;
        for index in (0..replicas.len())
            .rev()
            .filter(|index| names[*index].1 != winner)
        {
            replicas.remove(index).end().await;
        }
        sleep(CALM * 2).await;
        for system in &systems {
            assert_eq!(
                acting(&replicas, system).len(),
                1,
                "seed {seed}: in fine weather one acts on {system}"
            );
        }
        for mut replica in replicas {
            replica.end().await;
        }
    }
    assert!(handed > 200, "systems changed hands {handed} times");
    assert_eq!(seen, LAYOUTS.into(), "all numbers of shards had their time");
}
