use super::*;
use crate::fixtures::{stream, supercluster, view};
use crate::snapshot::Stream;

/// Streams by name, with what they read from.
fn families(streams: &[(&str, &[&str])], moving: &[&str]) -> SourceGraph {
    let topology = supercluster();
    let streams: Vec<Stream> = streams
        .iter()
        .map(|(name, upstreams)| {
            let mut stream = stream(&topology, name, &["eu-west-0"]);
            stream.upstreams = upstreams.iter().map(|name| StreamName::from(*name)).collect();
            stream.moving = moving.contains(name);
            stream
        })
        .collect();
    SourceGraph::new(&view(topology, Vec::new(), streams))
}

fn set<const N: usize>(positions: [usize; N]) -> BTreeSet<usize> {
    BTreeSet::from(positions)
}

#[test]
fn streams_are_related_over_any_number_of_steps_and_whichever_reads() {
    let found = families(
        &[
            ("A", &["B"]),
            ("B", &[]),
            ("C", &["D", "GONE"]),
            ("D", &["B"]),
            ("E", &["GONE"]),
            ("F", &["F"]),
        ],
        &[],
    );
    let families: Vec<Option<usize>> = (0..7).map(|at| found.of(at)).collect();
    assert_eq!(families, [Some(0), Some(0), Some(0), Some(0), None, None, None]);
    assert_eq!(found.dependents(1), [0, 3]);
    assert_eq!(found.dependents(2), [0; 0]);
}

#[test]
fn of_a_moving_stream_all_relatives_know_and_nobody_else() {
    let found = families(
        &[("A", &[]), ("B", &["A"]), ("C", &["B"]), ("D", &[])],
        &["B", "D"],
    );
    let seen = |at| found.moving_relatives(at).collect::<Vec<_>>();
    assert_eq!(seen(0), [1]);
    assert_eq!(seen(1), [0; 0], "not of itself");
    assert_eq!(seen(2), [1]);
    assert_eq!(seen(3), [0; 0]);
}

#[test]
fn a_stream_comes_after_those_upstream_of_it_that_are_wanted_also_past_others() {
    let found = families(
        &[
            ("A", &[]),
            ("B", &["A"]),
            ("C", &["B"]),
            ("D", &["C", "E"]),
            ("E", &[]),
        ],
        &[],
    );
    assert_eq!(found.after_others(&set([0, 2, 3])), set([2, 3]));
    assert_eq!(found.after_others(&set([1, 4])), set([]));
    assert_eq!(found.after_others(&set([0, 3])), set([3]), "past two that stay");
    assert_eq!(found.after_others(&set([])), set([]));
}

#[test]
fn what_reads_from_a_circle_comes_after_it_and_a_circle_comes_after_what_it_reads() {
    let found = families(
        &[
            ("A", &["B", "R"]),
            ("B", &["A"]),
            ("C", &["A"]),
            ("D", &["C", "E"]),
            ("E", &["D"]),
            ("R", &[]),
        ],
        &[],
    );
    assert_eq!(found.after_others(&set([1, 2])), set([2]));
    assert_eq!(
        found.after_others(&set([0, 3])),
        set([3]),
        "a circle after a circle"
    );
    assert_eq!(found.after_others(&set([0, 5])), set([0]));
    assert_eq!(found.after_others(&set([1, 5])), set([1]), "all of a circle wait");
    assert_eq!(found.after_others(&set([3, 4])), set([]));
}

#[test]
fn streams_that_read_from_each_other_in_a_circle_block_nobody() {
    let found = families(&[("A", &["C"]), ("B", &["A"]), ("C", &["B"])], &[]);
    assert_eq!(found.after_others(&set([0, 1, 2])), set([]));
    assert_eq!(found.of(2), Some(0));
}

#[test]
fn where_no_stream_reads_from_another_there_are_no_families() {
    let found = families(&[("A", &[]), ("B", &[])], &["A"]);
    assert_eq!((found.of(0), found.of(1)), (None, None));
    assert_eq!(found.moving_relatives(1).count(), 0);
}
