use leeward_core::names::ServerName;
use serde_json::json;

use super::*;
use crate::judge::fixtures::{loaded, orders, view};
use crate::loaded_policy::LoadedPolicy;

fn policies(streams: &[&str]) -> Vec<LoadedPolicy> {
    let one = |name: &&str| loaded(name, json!({"mode": "Enforce", "streams": {"include": [name]}}));
    streams.iter().map(one).collect()
}

fn decided(view: &AccountView, givens: &[LoadedPolicy]) -> Vec<Precedence<String>> {
    let ranked: Vec<(String, &Policy)> = givens
        .iter()
        .map(|loaded| (loaded.name.clone(), &loaded.policy))
        .collect();
    precedence(view, &ranked)
}

#[test]
fn the_first_in_rank_acts_on_what_both_select() {
    let givens = policies(&["ORD*", "*"]);
    let decided = decided(&orders(), &givens);
    assert_eq!(decided[0], Precedence::Free);
    let outranked = Precedence::Outranked {
        by: "ORD*".to_owned(),
        over: "ORDERS".into(),
    };
    assert_eq!(decided[1], outranked);
}

#[test]
fn policies_on_different_streams_act_side_by_side() {
    let givens = policies(&["ORDERS", "PAYMENTS"]);
    assert_eq!(decided(&orders(), &givens), [Precedence::Free, Precedence::Free]);
}

#[test]
fn until_the_streams_are_seen_only_the_first_may_act() {
    let mut warming = view();
    warming.gaps = vec![Gap::WarmingUp];
    let givens = policies(&["ORDERS", "PAYMENTS"]);
    let decided = decided(&warming, &givens);
    assert_eq!(decided, [Precedence::Free, Precedence::Undecided]);
}

#[test]
fn a_lost_connection_and_refused_credentials_are_said() {
    let up = ConnectionState::Connected {
        server: ServerName::from("n-0"),
        version: "2.14.3".into(),
    };
    assert_eq!(lost(&up), None);
    assert!(resolved(&up).holds());
    let refused = ConnectionState::Refused {
        problem: ConnectProblem::InvalidCredentials,
        message: "authorization violation".into(),
    };
    assert_eq!(resolved(&refused).reason, ResolvedRefsReason::InvalidCredentials);
    let down = ConnectionState::Disconnected {
        message: "connection refused".into(),
    };
    assert!(resolved(&down).holds());
    assert!(lost(&down).unwrap().ends_with("connection refused"));
}
