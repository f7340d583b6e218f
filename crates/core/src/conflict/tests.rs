use serde_json::json;

use super::*;
use crate::fixtures::{policy, stream, stretched, view};

fn account() -> AccountView {
    let topology = stretched();
    let streams = ["A", "B", "C"].map(|name| stream(&topology, name, &["n-0"]));
    view(topology, Vec::new(), streams.to_vec())
}

fn selecting(streams: &[&str]) -> Policy {
    policy(json!({"streams": {"include": streams}}))
}

fn losers(policies: &[Policy]) -> Vec<Option<(usize, String)>> {
    let ranked: Vec<&Policy> = policies.iter().collect();
    let results = outranked(&account(), &ranked).into_iter();
    results
        .map(|loss| loss.map(|(winner, stream)| (winner, stream.to_string())))
        .collect()
}

#[test]
fn policies_that_share_no_stream_do_not_conflict() {
    assert_eq!(
        losers(&[selecting(&["A"]), selecting(&["B"]), selecting(&["C"])]),
        [None, None, None]
    );
    assert!(losers(&[]).is_empty());
}

#[test]
fn the_lower_in_rank_loses_and_learns_to_whom_and_over_what() {
    let results = losers(&[selecting(&["C"]), selecting(&["*"]), selecting(&["A"])]);
    assert_eq!(results, [None, Some((0, "C".to_owned())), None]);
}

#[test]
fn a_loser_outranks_nobody() {
    // The second loses to the first, so what it selects besides is free for the third.
    let results = losers(&[selecting(&["A"]), selecting(&["A", "B"]), selecting(&["B", "C"])]);
    assert_eq!(results, [None, Some((0, "A".to_owned())), None]);
    let results = losers(&[
        selecting(&["A"]),
        selecting(&["A", "B"]),
        selecting(&["B"]),
        selecting(&["B"]),
    ]);
    assert_eq!(results[3], Some((2, "B".to_owned())));
}

#[test]
fn patterns_that_could_meet_do_not_conflict_as_long_as_no_stream_is_in_both() {
    assert_eq!(
        losers(&[selecting(&["A*"]), selecting(&["*Z", "B"])]),
        [None, None]
    );
}
