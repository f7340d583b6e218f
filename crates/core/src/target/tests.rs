use std::collections::BTreeMap;

use super::*;
use crate::fixtures::{server, stream, stretched, supercluster};
use crate::topology::Storage;
use crate::topology::{JetStreamCapacity, Resource, Server};

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
    let locations = LocationMap::new(topology, key);
    Destination::new(topology, key, &locations, &location, None).target(stream)
}

fn too_few(matching: usize) -> TargetError {
    TargetError::NotEnoughServers {
        matching,
        unique_tag: None,
    }
}

fn away(topology: &Topology, placement: Option<Placement>) -> Stream {
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
    let target = towards(&topology, &by_cluster(None), "us-east", &away(&topology, None)).unwrap();
    assert_eq!(target.placement, stored(Some("us-east"), &[]));
    assert_eq!(target.replaces, None);
    assert!(!target.is_repair());
    let names: Vec<&str> = target.servers.iter().map(ServerName::as_str).collect();
    assert_eq!(names, ["us-east-0", "us-east-1", "us-east-2"]);
}

#[test]
fn within_one_cluster_its_name_goes_with_the_tag() {
    let topology = stretched();
    let target = towards(&topology, &by_tag(), "region:us-east", &away(&topology, None)).unwrap();
    assert_eq!(target.placement, stored(Some("c1"), &["region:us-east"]));
}

#[test]
fn a_location_over_two_clusters_is_named_by_its_tag_alone() {
    let servers = ["a", "b"].map(|cluster| {
        (0..3).map(move |number| server(&format!("{cluster}{number}"), cluster, &["region:us"]))
    });
    let topology = Topology::new(servers.into_iter().flatten().collect(), BTreeMap::new());
    let stream = away(&topology, None);
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
    let mut stream = away(&topology, None);
    let target = towards(&topology, &by_tag(), "region:us", &stream);
    assert_eq!(target.unwrap_err(), too_few(2));
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
    let stream = away(&topology, Some(placement.clone()));
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
    let stream = away(&topology, Some(stored(None, &["at:eu-west"])));
    let target = towards(&topology, &by_cluster(Some("at:")), "US-East", &stream).unwrap();
    assert_eq!(target.placement, stored(Some("US-East"), &["at:us-east"]));
}

#[test]
fn a_placement_that_is_stored_already_is_a_repair() {
    let topology = supercluster();
    let stream = away(&topology, Some(stored(Some("us-east"), &[])));
    assert!(
        towards(&topology, &by_cluster(None), "us-east", &stream)
            .unwrap()
            .is_repair()
    );
}

#[test]
fn servers_that_are_silent_without_jetstream_or_without_a_wanted_tag_do_not_count() {
    let topology = stretched();
    let stream = away(&topology, None);
    let refused = |topology: &Topology, stream: &Stream| {
        towards(topology, &by_tag(), "region:us-east", stream).unwrap_err()
    };
    let silent = changed(&topology, "n-0", |server| server.answered = false);
    assert_eq!(refused(&silent, &stream), too_few(2));
    let without = changed(&topology, "n-1", |server| {
        server.details.as_mut().unwrap().jetstream = false;
    });
    assert_eq!(refused(&without, &stream), too_few(2));
    let wants_ssd = away(&topology, Some(stored(None, &["disk:ssd"])));
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

/// Two clusters; the first is home, and its servers have this room.
fn with_capacity(room: impl Fn(u8) -> JetStreamCapacity) -> Topology {
    let mut servers = supercluster().servers().to_vec();
    for (server, number) in servers.iter_mut().skip(3).zip(0..) {
        server.details.as_mut().unwrap().room = Some(room(number));
    }
    Topology::new(servers, BTreeMap::new())
}

fn file(limit: u64, used: u64, reserved: u64) -> Resource {
    Resource {
        limit,
        used,
        reserved,
    }
}

fn to_us_east(topology: &Topology, stream: &Stream) -> Result<MoveTarget, TargetError> {
    towards(topology, &by_cluster(None), "us-east", stream)
}

#[test]
fn the_larger_of_what_is_stored_and_what_may_be_has_to_be_free_of_the_larger_of_used_and_reserved() {
    let full = |number: u8| JetStreamCapacity {
        file: if number == 1 {
            file(100, 70, 40)
        } else {
            file(100, 40, 60)
        },
        ..JetStreamCapacity::default()
    };
    let topology = with_capacity(full);
    let mut stream = away(&topology, None);
    stream.bytes = 30;
    assert!(to_us_east(&topology, &stream).is_ok());
    stream.max_bytes = Some(20);
    assert!(to_us_east(&topology, &stream).is_ok());
    stream.max_bytes = Some(31);
    let short = vec![Shortage::Bytes {
        server: "us-east-1".into(),
        storage: Storage::File,
        free: 30,
        needed: 31,
    }];
    let error = to_us_east(&topology, &stream).unwrap_err();
    assert_eq!(
        error,
        TargetError::NoCapacity {
            with_capacity: 2,
            short
        }
    );
    assert_eq!(error.reason(), FindingReason::NoCapacity);
    stream.replicas = 2;
    assert!(
        to_us_east(&topology, &stream).is_ok(),
        "two servers are enough for two replicas"
    );
    (stream.bytes, stream.max_bytes, stream.storage) = (1, None, Storage::Memory);
    assert!(to_us_east(&topology, &stream).is_err(), "there is no memory");
}

#[test]
fn a_server_that_the_servers_could_choose_although_the_stream_does_not_fit_stands_against_the_move() {
    let uneven = |assets: [u64; 3]| {
        with_capacity(move |number| JetStreamCapacity {
            file: file(100, if number == 0 { 60 } else { 0 }, 0),
            ha_assets: assets[usize::from(number)],
            ..JetStreamCapacity::default()
        })
    };
    let ask = |assets, replicas, max_bytes| {
        let topology = uneven(assets);
        let mut stream = away(&topology, None);
        (stream.replicas, stream.bytes, stream.max_bytes) = (replicas, 50, max_bytes);
        to_us_east(&topology, &stream).is_ok()
    };
    assert!(!ask([1, 2, 2], 2, None), "the full one has the fewest assets");
    assert!(!ask([2, 2, 3], 2, None));
    assert!(ask([2, 2, 2], 2, None), "among equals the most free bytes decide");
    assert!(ask([1, 2, 2], 2, Some(50)), "the servers themselves leave it out");
    assert!(ask([1, 2, 2], 1, None), "for a single peer assets do not count");
}

#[test]
fn where_a_unique_tag_leaves_a_choice_a_server_without_room_may_be_it() {
    let racks = |shared: bool| {
        let topology = with_capacity(|number| JetStreamCapacity {
            file: file(100, if number == 0 { 60 } else { 0 }, 0),
            unique_tag: Some("rack:".to_owned()),
            ..JetStreamCapacity::default()
        });
        let mut servers = topology.servers().to_vec();
        for (server, number) in servers.iter_mut().skip(3).zip(0..) {
            let rack = if shared { number / 2 } else { number };
            server.details.as_mut().unwrap().tags = vec![Tag::from(format!("rack:{rack}"))];
        }
        let topology = Topology::new(servers, BTreeMap::new());
        let mut stream = away(&topology, None);
        (stream.replicas, stream.bytes) = (2, 50);
        to_us_east(&topology, &stream).is_ok()
    };
    assert!(racks(false), "each has its own");
    assert!(!racks(true), "us-east-0 may be chosen for us-east-1");
}

#[test]
fn a_stream_and_its_replicated_consumers_count_as_assets() {
    let topology = with_capacity(|number| JetStreamCapacity {
        file: file(1, 0, 0),
        ha_assets: 8,
        // The meta leader's own option counts, whichever server that is.
        max_ha_assets: (number == 2).then_some(10),
        ..JetStreamCapacity::default()
    });
    let mut stream = away(&topology, None);
    let replicated = crate::fixtures::consumer(&topology, "c", &["eu-west-0", "eu-west-1"]);
    let single = crate::fixtures::consumer(&topology, "d", &["eu-west-0"]);
    stream.consumers = vec![replicated.clone(), single];
    assert!(to_us_east(&topology, &stream).is_ok(), "8 + 1 + 1 of 10");
    stream.consumers.push(replicated);
    let Err(TargetError::NoCapacity {
        with_capacity: 0,
        short,
    }) = to_us_east(&topology, &stream)
    else {
        panic!("no room for three");
    };
    let first = Shortage::HaAssets {
        server: "us-east-0".into(),
        present: 8,
        most: 10,
        needed: 3,
    };
    assert_eq!((short.len(), &short[0]), (3, &first));
    stream.replicas = 1;
    assert!(
        to_us_east(&topology, &stream).is_ok(),
        "a single peer does not count"
    );
}

#[test]
fn before_2_15_a_full_server_takes_no_single_peer_either() {
    let full = with_capacity(|_| JetStreamCapacity {
        file: file(1, 0, 0),
        ha_assets: 10,
        max_ha_assets: Some(10),
        ..JetStreamCapacity::default()
    });
    let mut stream = away(&full, None);
    stream.replicas = 1;
    assert!(to_us_east(&full, &stream).is_ok());
    let old = changed(&full, "eu-west-0", |server| {
        server.details.as_mut().unwrap().version = Version::new(2, 14, 5);
    });
    assert!(to_us_east(&old, &stream).is_err());
}

#[test]
fn unique_tags_count_by_their_first_value_and_only_among_servers_that_carry_one() {
    let racks = |tags: [&'static [&'static str]; 4]| {
        let mut servers: Vec<Server> = (0..)
            .zip(tags)
            .map(|(number, tags)| server(&format!("n-{number}"), "us", tags))
            .collect();
        let other = server("z", "elsewhere", &[]);
        servers.push(other);
        servers[4].details.as_mut().unwrap().room = Some(JetStreamCapacity {
            unique_tag: Some("rack:".to_owned()),
            ..JetStreamCapacity::default()
        });
        Topology::new(servers, BTreeMap::new())
    };
    let ask = |tags, replicas, placement: Option<Placement>| {
        let topology = racks(tags);
        let mut stream = stream(&topology, "S", &["z"]);
        (stream.replicas, stream.placement) = (replicas, placement);
        towards(&topology, &by_cluster(None), "us", &stream)
    };
    let few = |matching| TargetError::NotEnoughServers {
        matching,
        unique_tag: Some("rack:".to_owned()),
    };
    assert!(ask([&["rack:a"], &["rack:b"], &["rack:c"], &[]], 3, None).is_ok());
    let repeated: [&[&str]; 4] = [&["rack:a"], &["rack:b"], &["rack:b", "rack:c"], &[]];
    assert_eq!(ask(repeated, 3, None).unwrap_err(), few(2));
    assert!(ask(repeated, 2, None).is_ok());
    assert_eq!(ask([&[], &[], &[], &[]], 1, None).unwrap_err(), few(0));
    let named = [&["rack:a"] as &[&str]; 4];
    assert!(ask(named, 3, Some(stored(None, &["rack:a"]))).is_ok());
    assert!(ask(named, 3, Some(stored(None, &["!rack:b"]))).is_ok());
}

#[test]
fn what_is_reserved_is_not_free_for_another_stream() {
    let topology = with_capacity(|_| JetStreamCapacity {
        file: file(100, 10, 0),
        ha_assets: 0,
        max_ha_assets: Some(3),
        ..JetStreamCapacity::default()
    });
    let key = by_cluster(None);
    let location = Location::from("us-east");
    let locations = LocationMap::new(&topology, &key);
    let destination = Destination::new(&topology, &key, &locations, &location, None);
    let mut stream = away(&topology, None);
    stream.bytes = 40;
    let mut reserved = Reserved::default();
    let mut go = |stream: &Stream| {
        let takers = destination.takers(stream, &reserved, |_| true)?;
        reserved.take(takers, destination.need(stream));
        Ok::<(), TargetError>(())
    };
    assert!(go(&stream).is_ok());
    assert!(go(&stream).is_ok());
    assert!(go(&stream).is_err(), "10 of 100 are left");
    stream.bytes = 10;
    assert!(go(&stream).is_ok());
    stream.bytes = 0;
    assert!(go(&stream).is_err(), "three assets are on their way");
    assert!(destination.target(&stream).is_ok(), "each alone would fit");
}

#[test]
fn servers_that_are_not_wanted_do_not_count() {
    let topology = supercluster();
    let key = by_cluster(None);
    let location = Location::from("us-east");
    let locations = LocationMap::new(&topology, &key);
    let destination = Destination::new(&topology, &key, &locations, &location, None);
    let stream = away(&topology, None);
    let without = |name: &'static str| {
        let server = crate::fixtures::ix(&topology, name);
        destination.takers(&stream, &Reserved::default(), move |wanted| wanted != server)
    };
    assert_eq!(without("us-east-1").unwrap_err(), too_few(2));
    assert_eq!(without("eu-west-1").unwrap().len(), 3);
}
