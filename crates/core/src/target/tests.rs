use std::collections::BTreeMap;

use super::*;
use crate::fixtures::{server, stream, stretched, supercluster};
use crate::topology::{LocationMap, Server};

fn by_cluster(prefix: Option<&str>) -> TopologyKey {
    TopologyKey::Cluster {
        tag_prefix: prefix.map(str::to_owned),
    }
}

fn by_tag() -> TopologyKey {
    TopologyKey::ServerTag {
        prefix: "region:".to_owned(),
    }
}

fn stored(cluster: Option<&str>, tags: &[&str]) -> Placement {
    Placement {
        cluster: cluster.map(ClusterName::from),
        tags: tags.iter().copied().map(Tag::from).collect(),
    }
}

fn towards(
    topology: &Topology,
    key: &TopologyKey,
    location: &str,
    stream: &Stream,
) -> Result<MoveTarget, TargetError> {
    let location = Location::from(location);
    let members = LocationMap::new(topology, key).members(&location);
    move_target(topology, key, &location, &members, stream)
}

fn abroad(topology: &Topology, placement: Option<Placement>) -> Stream {
    let servers: Vec<&str> = topology.servers()[..3]
        .iter()
        .map(|server| server.name.as_str())
        .collect();
    let mut stream = stream(topology, "S", &servers);
    stream.placement = placement;
    stream
}

fn changed(topology: &Topology, name: &str, change: impl Fn(&mut Server)) -> Topology {
    let mut servers = topology.servers().to_vec();
    servers
        .iter_mut()
        .filter(|server| server.name.as_str() == name)
        .for_each(change);
    Topology::new(servers, BTreeMap::new())
}

#[test]
fn towards_a_cluster_the_cluster_is_written_and_no_tag() {
    let topology = supercluster();
    let target = towards(&topology, &by_cluster(None), "us-east", &abroad(&topology, None)).unwrap();
    assert_eq!(target.placement, stored(Some("us-east"), &[]));
    assert_eq!(target.replaces, None);
    assert!(!target.is_repair());
    let names: Vec<&str> = target.servers.iter().map(ServerName::as_str).collect();
    assert_eq!(names, ["us-east-0", "us-east-1", "us-east-2"]);
}

#[test]
fn within_one_cluster_its_name_goes_with_the_tag() {
    let topology = stretched();
    let target = towards(&topology, &by_tag(), "region:us-east", &abroad(&topology, None)).unwrap();
    assert_eq!(target.placement, stored(Some("c1"), &["region:us-east"]));
}

#[test]
fn a_location_over_two_clusters_is_named_by_its_tag_alone() {
    let servers = ["a", "b"].map(|cluster| {
        (0..3).map(move |number| server(&format!("{cluster}{number}"), cluster, &["region:us"]))
    });
    let topology = Topology::new(servers.into_iter().flatten().collect(), BTreeMap::new());
    let stream = abroad(&topology, None);
    let target = towards(&topology, &by_tag(), "region:us", &stream).unwrap();
    assert_eq!(target.placement, stored(None, &["region:us"]));
    assert_eq!(target.servers.len(), 6);
}

#[test]
fn all_replicas_need_room_in_one_cluster() {
    let servers = vec![
        server("a0", "a", &["region:us"]),
        server("a1", "a", &["region:us"]),
        server("b0", "b", &["region:us"]),
        server("b1", "b", &["region:us"]),
    ];
    let topology = Topology::new(servers, BTreeMap::new());
    let mut stream = abroad(&topology, None);
    let target = towards(&topology, &by_tag(), "region:us", &stream);
    assert_eq!(target.unwrap_err(), TargetError::NotEnoughServers { matching: 2 });
    stream.replicas = 2;
    assert!(towards(&topology, &by_tag(), "region:us", &stream).is_ok());
}

#[test]
fn the_streams_own_tags_stay_and_those_of_the_key_are_replaced() {
    let tags = ["disk:ssd", "region:us-east"];
    let servers = (0..3)
        .map(|number| server(&format!("n-{number}"), "c1", &tags))
        .collect();
    let topology = Topology::new(servers, BTreeMap::new());
    let placement = stored(
        Some("c1"),
        &["disk:ssd", "REGION:eu-west", "!region:ap-south", "!gpu"],
    );
    let stream = abroad(&topology, Some(placement.clone()));
    let target = towards(&topology, &by_tag(), "region:us-east", &stream).unwrap();
    assert_eq!(
        target.placement.tags,
        stored(None, &["disk:ssd", "!gpu", "region:us-east"]).tags
    );
    assert_eq!(target.replaces, Some(placement));
}

#[test]
fn with_a_prefix_a_cluster_is_also_written_as_its_tag_in_lower_case() {
    let tags = ["at:us-east"];
    let servers = (0..3)
        .map(|number| server(&format!("n-{number}"), "US-East", &tags))
        .collect();
    let topology = Topology::new(servers, BTreeMap::new());
    let stream = abroad(&topology, Some(stored(None, &["at:eu-west"])));
    let target = towards(&topology, &by_cluster(Some("at:")), "US-East", &stream).unwrap();
    assert_eq!(target.placement, stored(Some("US-East"), &["at:us-east"]));
}

#[test]
fn a_placement_that_is_stored_already_is_a_repair() {
    let topology = supercluster();
    let stream = abroad(&topology, Some(stored(Some("us-east"), &[])));
    assert!(
        towards(&topology, &by_cluster(None), "us-east", &stream)
            .unwrap()
            .is_repair()
    );
}

#[test]
fn servers_that_are_silent_without_jetstream_or_without_a_wanted_tag_do_not_count() {
    let topology = stretched();
    let stream = abroad(&topology, None);
    let refused = |topology: &Topology, stream: &Stream| {
        towards(topology, &by_tag(), "region:us-east", stream).unwrap_err()
    };
    let silent = changed(&topology, "n-0", |server| server.answered = false);
    assert_eq!(
        refused(&silent, &stream),
        TargetError::NotEnoughServers { matching: 2 }
    );
    let without = changed(&topology, "n-1", |server| {
        server.details.as_mut().unwrap().jetstream = false;
    });
    assert_eq!(
        refused(&without, &stream),
        TargetError::NotEnoughServers { matching: 2 }
    );
    let wants_ssd = abroad(&topology, Some(stored(None, &["disk:ssd"])));
    assert_eq!(refused(&topology, &wants_ssd), TargetError::NoServersMatch);
    let nowhere = towards(&topology, &by_tag(), "region:ap-south", &stream);
    assert_eq!(nowhere.unwrap_err(), TargetError::NoServersMatch);
}

#[test]
fn tags_match_whatever_their_case_and_an_exclamation_mark_excludes() {
    let details = server("n", "c1", &["disk:ssd", "region:us"]).details.unwrap();
    for (tags, fitting) in [
        (vec!["DISK:ssd"], true),
        (vec!["disk:ssd", "gpu"], false),
        (vec!["!gpu"], true),
        (vec!["!Disk:SSD"], false),
        (vec!["disk:*"], false),
        (vec![], true),
    ] {
        assert_eq!(fits(&stored(None, &tags), &details), fitting, "{tags:?}");
    }
}
