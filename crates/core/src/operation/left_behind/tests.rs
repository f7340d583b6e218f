use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::fixtures::{ix, policy, stream, supercluster, view};
use crate::names::{ClusterName, Tag};

const OWN: &str = "ssd";

fn placed(cluster: Option<&str>, tags: &[&str]) -> Placement {
    Placement {
        cluster: cluster.map(ClusterName::from),
        tags: tags.iter().copied().map(Tag::from).collect(),
    }
}

/// A stream that lies in eu-west and stores a placement; its move to us-east replaced another one.
fn left_with(
    replaced: Option<Placement>,
    stored: Option<Placement>,
    change: impl FnOnce(&mut Stream),
) -> Completion {
    let topology = supercluster();
    let mut lies = stream(&topology, "S", &["eu-west-0", "eu-west-1", "eu-west-2"]);
    lies.placement = stored;
    change(&mut lies);
    let view = view(topology, Vec::new(), vec![lies]);
    let left = MoveLeftBehind {
        stream: "S".into(),
        location: "us-east".into(),
        replaced,
    };
    completion(&left, &view, &policy(json!({"topology": {"key": "Cluster"}})))
}

fn owned() -> Placement {
    placed(Some("us-east"), &[OWN])
}

#[test]
fn a_placement_that_was_taken_away_is_put_back_where_the_stream_lies() {
    let Completion::PutBack(target) = left_with(Some(owned()), None, |_| {}) else {
        panic!("nothing is put back");
    };
    assert_eq!(
        (target.placement.clone(), target.replaces.clone()),
        (owned(), None)
    );
    assert_eq!(
        target.servers,
        ["eu-west-0".into(), "eu-west-1".into(), "eu-west-2".into()]
    );
    assert!(!target.is_repair(), "one update is enough");
}

#[test]
fn the_target_of_a_move_that_was_cancelled_gives_way_to_what_was_there_before() {
    let before = Some(placed(Some("eu-west"), &[OWN]));
    let abandoned = Some(placed(Some("us-east"), &[OWN]));
    let Completion::PutBack(target) = left_with(before.clone(), abandoned.clone(), |_| {}) else {
        panic!("nothing is put back");
    };
    assert_eq!(
        (Some(target.placement), target.replaces),
        (before.clone(), abandoned.clone())
    );
    // It arrived after all.
    let topology = supercluster();
    let arrived = |stream: &mut Stream| stream.group.peers[0].server = ix(&topology, "us-east-0");
    assert_eq!(left_with(before, abandoned, arrived), Completion::Nothing);
}

#[test]
fn nothing_is_put_back_over_what_somebody_else_wrote_or_where_nothing_was_stored() {
    let other = Some(placed(Some("ap-south"), &[]));
    assert_eq!(left_with(Some(owned()), other, |_| {}), Completion::Nothing);
    assert_eq!(
        left_with(Some(owned()), Some(owned()), |_| {}),
        Completion::Nothing
    );
    for nothing in [None, Some(placed(None, &[]))] {
        assert_eq!(left_with(nothing, None, |_| {}), Completion::Nothing);
    }
    assert_eq!(
        left_with(Some(owned()), None, |stream| stream.name = "T".into()),
        Completion::Nothing
    );
}

#[test]
fn a_stream_that_moves_or_has_no_leader_is_waited_for() {
    assert_eq!(
        left_with(Some(owned()), None, |stream| stream.moving = true),
        Completion::Wait
    );
    assert_eq!(
        left_with(Some(owned()), None, |stream| stream.group.leader = None),
        Completion::Wait
    );
}

#[test]
fn what_its_owner_took_away_is_not_put_back() {
    let away = || Some(placed(Some("us-east"), &[]));
    let elsewhere = Some(placed(Some("eu-west"), &[]));
    // The move from eu-west has arrived in us-east, or never began, and its owner has removed the placement since.
    let topology = supercluster();
    let arrived = |stream: &mut Stream| {
        for (peer, name) in stream
            .group
            .peers
            .iter_mut()
            .zip(["us-east-0", "us-east-1", "us-east-2"])
        {
            peer.server = ix(&topology, name);
        }
    };
    assert_eq!(left_with(elsewhere.clone(), None, arrived), Completion::Nothing);
    assert_eq!(left_with(elsewhere, None, |_| {}), Completion::Nothing);
    // A repair took it away itself.
    assert!(matches!(left_with(away(), None, |_| {}), Completion::PutBack(_)));
}

#[test]
fn a_placement_that_old_servers_lost_with_the_move_is_put_back_where_that_moves_nothing() {
    let old = |replaced: &str| {
        let new = supercluster();
        let servers = new.servers().iter().cloned().map(|mut server| {
            let details = server.details.as_mut().unwrap();
            details.version = Version::new(2, 14, 10);
            server
        });
        let topology = crate::topology::Topology::new(servers.collect(), BTreeMap::new());
        let lies = stream(&topology, "S", &["eu-west-0", "eu-west-1", "eu-west-2"]);
        let view = view(topology, Vec::new(), vec![lies]);
        let left = MoveLeftBehind {
            stream: "S".into(),
            location: "us-east".into(),
            replaced: Some(placed(Some(replaced), &[])),
        };
        completion(&left, &view, &policy(json!({"topology": {"key": "Cluster"}})))
    };
    assert!(matches!(old("eu-west"), Completion::PutBack(_)), "it lies there");
    assert_eq!(old("ap-south"), Completion::Nothing, "it would move");
}
