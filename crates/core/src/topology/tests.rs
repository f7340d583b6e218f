use super::*;
use crate::fixtures::{ix, server, stretched};

#[test]
fn versions_are_read_with_and_without_trimmings() {
    for (text, version) in [
        ("2.15.1", Some(Version::new(2, 15, 1))),
        ("v2.15.1", Some(Version::new(2, 15, 1))),
        ("2.15.1-RC.1", Some(Version::new(2, 15, 1))),
        ("2.12.0-beta.2+meta", Some(Version::new(2, 12, 0))),
        ("2.15", None),
        ("2.15.1.7", None),
        ("two", None),
        ("", None),
        ("2.-1.3", None),
        ("2.99999.1", None),
    ] {
        assert_eq!(Version::parse(text), version, "{text:?}");
    }
}

#[test]
fn versions_are_ordered_as_numbers_and_print_as_read() {
    assert!(Version::new(2, 9, 22) < Version::new(2, 10, 0));
    assert!(Version::new(2, 10, 9) < Version::new(2, 10, 29));
    assert_eq!(Version::parse("v2.10.29-RC.1").unwrap().to_string(), "2.10.29");
    assert!(AIMED_STEP_DOWN > SAFE_MOVE);
}

#[test]
fn servers_are_found_by_name_and_numbered_by_it() {
    let topology = Topology::new(
        vec![server("b", "c", &[]), server("a", "c", &[])],
        BTreeMap::new(),
    );
    assert_eq!(
        (ix(&topology, "a"), ix(&topology, "b")),
        (ServerIx(0), ServerIx(1))
    );
    assert_eq!(topology.find("c"), None);
    assert_eq!(topology.get(ServerIx(2)), None);
    assert_eq!(topology.indices().collect::<Vec<_>>(), [ServerIx(0), ServerIx(1)]);
}

#[test]
fn of_two_servers_with_one_name_the_one_that_answered_stays() {
    let silent = Server {
        answered: false,
        ..server("a", "old", &[])
    };
    for pair in [
        [silent.clone(), server("a", "new", &[])],
        [server("a", "new", &[]), silent],
    ] {
        let topology = Topology::new(pair.to_vec(), BTreeMap::new());
        assert_eq!(topology.servers().len(), 1);
        assert_eq!(topology.details(ServerIx(0)).unwrap().cluster.as_str(), "new");
        assert_eq!(topology.missing().count(), 0);
    }
}

#[test]
fn p1_which_of_two_answers_with_one_name_stays_does_not_depend_on_their_order() {
    let pairs = [
        [server("a", "x", &[]), server("a", "y", &[])],
        [server("a", "x", &["t:1"]), server("a", "x", &["t:2"])],
        [
            Server {
                details: None,
                answered: false,
                ..server("a", "x", &[])
            },
            Server {
                answered: false,
                ..server("a", "x", &[])
            },
        ],
    ];
    for [one, other] in pairs {
        let forwards = Topology::new(vec![one.clone(), other.clone()], BTreeMap::new());
        let backwards = Topology::new(vec![other, one], BTreeMap::new());
        assert_eq!(forwards, backwards);
        assert!(
            forwards.details(ServerIx(0)).is_some(),
            "the one that is known stays"
        );
    }
}

#[test]
fn missing_servers_are_named_and_versions_are_those_of_servers_that_are_known() {
    let mut old = server("b", "c", &[]);
    old.answered = false;
    old.details.as_mut().unwrap().version = Version::new(2, 9, 0);
    let unknown = Server {
        name: "z".into(),
        answered: false,
        details: None,
    };
    let topology = Topology::new(vec![server("a", "c", &[]), old, unknown.clone()], BTreeMap::new());
    assert_eq!(
        topology.missing().map(ServerName::as_str).collect::<Vec<_>>(),
        ["b", "z"]
    );
    assert_eq!(
        topology.version_range(),
        Some((Version::new(2, 9, 0), Version::new(2, 15, 1)))
    );
    assert_eq!(
        Topology::new(vec![unknown], BTreeMap::new()).version_range(),
        None
    );
}

#[test]
fn locations_are_clusters_or_the_first_tag_with_the_prefix() {
    let details = server("a", "C1", &["disk:ssd", "region:us", "region:eu"])
        .details
        .unwrap();
    let by_cluster = TopologyKey::Cluster {
        tag_prefix: Some("at:".to_owned()),
    };
    assert_eq!(by_cluster.location(&details), Some("C1".into()));
    assert_eq!(by_cluster.tag_of(&"C1".into()), Some("at:c1".into()));
    assert_eq!(by_cluster.tag_prefix(), Some("at:"));
    let bare = TopologyKey::Cluster { tag_prefix: None };
    assert_eq!((bare.tag_of(&"C1".into()), bare.tag_prefix()), (None, None));
    let by_tag = |prefix: &str| TopologyKey::ServerTag {
        prefix: prefix.to_owned(),
    };
    assert_eq!(by_tag("region:").location(&details), Some("region:us".into()));
    assert_eq!(
        by_tag("region:").tag_of(&"region:us".into()),
        Some("region:us".into())
    );
    assert_eq!(by_tag("zone:").location(&details), None);
}

#[test]
fn a_location_map_knows_where_every_server_is() {
    let mut servers = stretched().servers().to_vec();
    servers.push(server("z-untagged", "c1", &[]));
    servers.push(Server {
        name: "z-unknown".into(),
        answered: false,
        details: None,
    });
    let topology = Topology::new(servers, BTreeMap::new());
    let map = LocationMap::new(
        &topology,
        &TopologyKey::ServerTag {
            prefix: "region:".to_owned(),
        },
    );
    let names: Vec<&str> = map.locations().iter().map(Location::as_str).collect();
    assert_eq!(names, ["region:eu-west", "region:us-east"]);
    assert_eq!(map.of(ix(&topology, "n-4")), Some(&"region:eu-west".into()));
    assert_eq!(map.of(ix(&topology, "z-untagged")), None);
    assert_eq!(map.of(ix(&topology, "z-unknown")), None);
    assert_eq!(map.of(ServerIx(999)), None);
    let home: Vec<u16> = map
        .servers_of(&"region:us-east".into())
        .map(|index| index.0)
        .collect();
    assert_eq!(home, [0, 1, 2]);
    assert!(
        !map.members(&"region:ap-south".into()).contains(&true),
        "servers without a location are nowhere"
    );
}

#[test]
fn a_topology_survives_being_written_and_read() {
    let pair = (ClusterName::from("us"), ClusterName::from("eu"));
    let times = BTreeMap::from([(pair, Duration::from_micros(43_217))]);
    let topology = Topology::new(stretched().servers().to_vec(), times);
    let text = serde_json::to_string(&topology).unwrap();
    assert_eq!(serde_json::from_str::<Topology>(&text).unwrap(), topology);
}
