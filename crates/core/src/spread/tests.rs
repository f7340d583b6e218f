use super::*;
use crate::fixtures::{consumer, stream, stretched, view};

fn servers(list: &[u16]) -> Vec<ServerIx> {
    list.iter().copied().map(ServerIx).collect()
}

fn counts(chosen: &BTreeMap<AssetIx, ServerIx>) -> BTreeMap<ServerIx, usize> {
    let mut counts = BTreeMap::new();
    for server in chosen.values() {
        *counts.entry(*server).or_default() += 1;
    }
    counts
}

fn empty() -> Spread {
    Spread::new(&view(stretched(), Vec::new(), Vec::new()))
}

#[test]
fn sixty_groups_with_two_of_three_candidates_leave_nobody_over_one_and_a_half_times_its_share() {
    let pairs = [[0, 1], [1, 2], [0, 2]];
    // In turn, in blocks, and lopsided towards one pair.
    let orders: [fn(u32) -> usize; 3] = [
        |number| number as usize % 3,
        |number| number as usize / 20,
        |number| if number < 40 { 0 } else { 2 },
    ];
    for order in orders {
        let wanting: Vec<_> = (0..60)
            .map(|number| (AssetIx::Stream(number), servers(&pairs[order(number)])))
            .collect();
        let chosen = empty().assign(&wanting);
        assert_eq!(chosen.len(), 60);
        let counts = counts(&chosen);
        assert!(counts.values().all(|count| *count <= 30), "{counts:?}");
        for (asset, candidates) in &wanting {
            assert!(candidates.contains(&chosen[asset]));
        }
    }
}

#[test]
fn groups_without_a_choice_are_counted_first() {
    let wanting = vec![
        (AssetIx::Stream(0), servers(&[0, 1])),
        (AssetIx::Stream(1), servers(&[0, 1])),
        (AssetIx::Stream(2), servers(&[0])),
        (AssetIx::Stream(3), servers(&[0])),
    ];
    let chosen = empty().assign(&wanting);
    let led: Vec<u16> = (0..4).map(|stream| chosen[&AssetIx::Stream(stream)].0).collect();
    assert_eq!(led, [1, 1, 0, 0]);
}

#[test]
fn ties_go_to_the_first_server_by_name_whatever_the_order_of_the_candidates() {
    for candidates in [[2, 0, 1], [1, 2, 0], [0, 1, 2]] {
        let chosen = empty().assign(&[(AssetIx::Stream(0), servers(&candidates))]);
        assert_eq!(chosen[&AssetIx::Stream(0)], ServerIx(0));
    }
}

#[test]
fn what_is_shared_out_begins_with_the_server_that_leads_least_and_counts() {
    let mut spread = empty();
    assert_eq!(spread.share(servers(&[2, 0, 1]), 3), servers(&[0, 1, 2]));
    assert_eq!(spread.share(servers(&[2, 0, 1]), 0), servers(&[1, 2, 0]));
    assert_eq!(spread.share(Vec::new(), 4), servers(&[]));
    let chosen = spread.assign(&[(AssetIx::Stream(0), servers(&[0, 2]))]);
    assert_eq!(chosen[&AssetIx::Stream(0)], ServerIx(2));
}

#[test]
fn streams_that_move_with_their_consumers_are_led_from_all_servers_alike() {
    let mut spread = empty();
    let mut first: Vec<u16> = (0..6)
        .map(|_| spread.share(servers(&[0, 1, 2]), 2)[0].0)
        .collect();
    first.sort_unstable();
    assert_eq!(first, [0, 0, 1, 1, 2, 2]);
}

#[test]
fn a_group_without_candidates_gets_nobody() {
    assert!(empty().assign(&[(AssetIx::Stream(0), Vec::new())]).is_empty());
}

#[test]
fn leaders_of_streams_and_consumers_that_are_there_already_count() {
    let topology = stretched();
    let mut led = stream(&topology, "S", &["n-0", "n-1"]);
    led.consumers.push(consumer(&topology, "c", &["n-1", "n-0"]));
    led.consumers.push(consumer(&topology, "d", &["n-1", "n-0"]));
    let mut spread = Spread::new(&view(topology, Vec::new(), vec![led]));
    let wanting: Vec<_> = (10..13)
        .map(|number| (AssetIx::Stream(number), servers(&[0, 1])))
        .collect();
    let chosen = spread.assign(&wanting);
    assert_eq!(
        counts(&chosen),
        BTreeMap::from([(ServerIx(0), 2), (ServerIx(1), 1)])
    );
}
