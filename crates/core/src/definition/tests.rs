use serde_json::{Value, json};
use strum::IntoEnumIterator as _;

use super::*;
use crate::fixtures::{policy, stretched, supercluster};
use crate::names::{ClusterName, Tag};
use DefinitionRule::{LocationNotHome, LocationOpen, SinglePeer, Undone, UnknownCluster, UnknownTag};

#[expect(clippy::unnecessary_wraps, reason = "a definition may have none")]
fn placement(cluster: Option<&str>, tags: &[&str]) -> Option<Placement> {
    Some(Placement {
        cluster: cluster.map(ClusterName::from),
        tags: tags.iter().copied().map(Tag::from).collect(),
    })
}

fn placed(placement: Option<Placement>) -> Definition {
    Definition {
        stream: "ORDERS".into(),
        metadata: BTreeMap::new(),
        placement,
        replicas: 3,
        updates: true,
    }
}

fn consumer(replicas: Option<u8>) -> ConsumerDefinition {
    ConsumerDefinition {
        stream: Some("ORDERS".into()),
        name: "billing".into(),
        replicas,
        durable: true,
        metadata: BTreeMap::new(),
    }
}

fn by_region() -> Value {
    still(json!({"topology": {"key": "ServerTag", "tagPrefix": "Region:"}}))
}

fn by_cluster() -> Value {
    still(json!({}))
}

/// Without placement edits, which are enabled by default.
fn still(mut spec: Value) -> Value {
    spec["actions"] = json!({"streamPlacement": {"enabled": false}});
    spec
}

fn moving(mut spec: Value) -> Value {
    spec["actions"] = json!({"streamPlacement": {"enabled": true}});
    spec["mode"] = json!("Enforce");
    spec
}

fn judged(
    spec: Value,
    placement: Option<Placement>,
    known: &KnownSystem<'_>,
) -> (Vec<DefinitionRule>, Vec<Undecided>) {
    let judgement = judge_stream(&placed(placement), &policy(spec), known);
    assert!(judgement.selected && !judgement.opted_out);
    let rules = judgement.findings.iter().map(|finding| finding.rule).collect();
    (rules, judgement.undecided)
}

fn home(location: &str) -> KnownSystem<'static> {
    KnownSystem {
        home: Some(location.into()),
        topology: None,
    }
}

fn live<'a>(location: &str, topology: &'a Topology) -> KnownSystem<'a> {
    KnownSystem {
        home: Some(location.into()),
        topology: Some(topology),
    }
}

#[test]
fn a_definition_in_home_has_nothing_wrong() {
    let topology = stretched();
    let tags = placement(None, &["region:us-east"]);
    assert_eq!(
        (vec![], vec![]),
        judged(moving(by_region()), tags, &live("region:us-east", &topology))
    );
    let topology = supercluster();
    let cluster = placement(Some("eu-west"), &[]);
    assert_eq!(
        (vec![], vec![]),
        judged(moving(by_cluster()), cluster, &live("eu-west", &topology))
    );
}

#[test]
fn no_placement_an_empty_one_and_one_of_other_tags_leave_the_location_open() {
    let topology = stretched();
    let known = live("region:us-east", &topology);
    for open in [None, placement(None, &[]), placement(Some("c1"), &[])] {
        assert_eq!(
            (vec![LocationOpen], vec![]),
            judged(moving(by_region()), open, &known)
        );
    }
    let excluded = placement(Some("c1"), &["!region:eu-north"]);
    assert_eq!(
        (vec![LocationOpen], vec![]),
        judged(by_region(), excluded, &known)
    );
}

#[test]
fn an_open_location_is_found_without_knowing_home() {
    assert_eq!(
        (vec![LocationOpen], vec![]),
        judged(by_cluster(), None, &KnownSystem::default())
    );
}

#[test]
fn a_placement_that_fits_servers_of_one_location_only_leaves_nothing_open() {
    let topology = stretched();
    let not_europe = placement(None, &["!region:eu-west"]);
    assert_eq!(
        (vec![], vec![]),
        judged(
            by_region(),
            not_europe.clone(),
            &live("region:us-east", &topology)
        )
    );
    assert_eq!(
        (vec![LocationNotHome], vec![]),
        judged(
            by_region(),
            not_europe.clone(),
            &live("region:eu-west", &topology)
        )
    );
}

#[test]
fn p6_what_names_no_location_is_not_open_while_servers_may_decide_it() {
    let undecided = (
        vec![],
        vec![Undecided::LocationUnknown, Undecided::ServersUnknown],
    );
    let not_europe = || placement(None, &["!region:eu-west"]);
    let without_servers = judged(by_region(), not_europe(), &home("region:us-east"));
    assert_eq!((vec![], vec![Undecided::LocationUnknown]), without_servers);
    let somewhere = placement(Some("c9"), &[]);
    let offline = judged(by_region(), somewhere.clone(), &KnownSystem::default());
    assert_eq!(undecided, offline);

    let mut servers = stretched().servers().to_vec();
    servers[5].details = None;
    let topology = Topology::new(servers, BTreeMap::new());
    let known = live("region:us-east", &topology);
    assert_eq!(undecided, judged(by_region(), somewhere, &known));
    let everywhere = placement(Some("c1"), &[]);
    assert_eq!(
        (vec![LocationOpen], vec![]),
        judged(by_region(), everywhere, &known),
        "the servers that are known are in two locations already"
    );
}

#[test]
fn nothing_is_undone_by_a_policy_that_does_not_act() {
    let elsewhere = || placement(Some("us-east"), &[]);
    for mode in ["Observe", "Enforce"] {
        let mut spec = moving(by_cluster());
        spec["mode"] = json!(mode);
        let (rules, _) = judged(spec, elsewhere(), &home("eu-west"));
        assert_eq!(mode == "Enforce", rules.contains(&Undone), "{mode}");
    }
}

#[test]
fn another_location_than_home_is_undone_where_moves_are_enabled() {
    let elsewhere = placement(Some("us-east"), &[]);
    assert_eq!(
        (vec![LocationNotHome, Undone], vec![Undecided::ServersUnknown]),
        judged(moving(by_cluster()), elsewhere.clone(), &home("eu-west"))
    );
    assert_eq!(
        (vec![LocationNotHome], vec![Undecided::ServersUnknown]),
        judged(by_cluster(), elsewhere, &home("eu-west"))
    );
}

#[test]
fn where_home_is_not_known_it_is_not_taken_for_another() {
    let elsewhere = placement(Some("us-east"), &[]);
    let expected = (vec![], vec![Undecided::HomeUnknown, Undecided::ServersUnknown]);
    assert_eq!(
        expected,
        judged(moving(by_cluster()), elsewhere, &KnownSystem::default())
    );
}

#[test]
fn clusters_are_compared_exactly_and_tags_in_any_case() {
    let topology = supercluster();
    let known = live("eu-west", &topology);
    let shouted = placement(Some("EU-WEST"), &[]);
    assert_eq!(
        (vec![LocationNotHome, UnknownCluster], vec![]),
        judged(by_cluster(), shouted, &known)
    );
    let topology = stretched();
    let shouted = placement(None, &["REGION:US-East"]);
    assert_eq!(
        (vec![], vec![]),
        judged(by_region(), shouted, &live("region:us-east", &topology))
    );
}

#[test]
fn a_tag_that_names_a_cluster_fixes_it_whatever_the_case_of_its_letters() {
    let spec = || still(json!({"topology": {"key": "Cluster", "tagPrefix": "Cluster:"}}));
    let tag = || placement(None, &["cluster:us-east"]);
    let findings = |home_is: &str, placement| judged(spec(), placement, &home(home_is)).0;
    assert_eq!(Vec::<DefinitionRule>::new(), findings("US-East", tag()));
    assert_eq!(vec![LocationNotHome], findings("eu-west", tag()));
    let both = placement(Some("US-East"), &["cluster:us-east"]);
    assert_eq!(Vec::<DefinitionRule>::new(), findings("US-East", both.clone()));
    assert_eq!(
        vec![LocationNotHome],
        findings("us-east", both),
        "clusters are compared exactly"
    );
    let torn = placement(Some("us-east"), &["cluster:eu-west"]);
    assert_eq!(
        vec![LocationNotHome],
        findings("us-east", torn),
        "no server is in both"
    );
}

#[test]
fn tags_that_no_server_has_are_named_but_excluded_ones_are_not() {
    let topology = stretched();
    let known = live("region:us-east", &topology);
    let tags = placement(None, &["region:us-east", "disk:ssd", "!disk:hdd"]);
    let judgement = judge_stream(&placed(tags), &policy(by_region()), &known);
    let [finding] = &judgement.findings[..] else {
        panic!("{judgement:?}")
    };
    assert_eq!(UnknownTag, finding.rule);
    assert!(finding.message.contains("disk:ssd"), "{}", finding.message);
}

#[test]
fn a_server_that_is_only_heard_of_may_have_the_tag() {
    let mut servers = stretched().servers().to_vec();
    servers[5].details = None;
    servers[5].answered = false;
    let topology = Topology::new(servers, BTreeMap::new());
    let tags = placement(None, &["region:us-east", "disk:ssd"]);
    let known = live("region:us-east", &topology);
    assert_eq!(
        (vec![], vec![Undecided::ServersUnknown]),
        judged(by_region(), tags, &known)
    );
    let seen = placement(None, &["region:us-east"]);
    assert_eq!(
        (vec![], vec![]),
        judged(by_region(), seen, &known),
        "its names were all seen"
    );
}

#[test]
fn what_is_opted_out_or_not_selected_has_no_findings() {
    let mut definition = placed(None);
    definition
        .metadata
        .insert("leeward.dev/ignore".into(), "true".into());
    let judgement = judge_stream(&definition, &policy(by_cluster()), &KnownSystem::default());
    assert_eq!(
        DefinitionReport {
            selected: true,
            opted_out: true,
            ..DefinitionReport::default()
        },
        judgement
    );
    let others = policy(json!({"streams": {"include": ["OTHER-*"]}}));
    assert_eq!(
        DefinitionReport::default(),
        judge_stream(&placed(None), &others, &KnownSystem::default())
    );
    let marked = policy(json!({"streams": {"metadata": {"team": "a"}}}));
    assert!(!judge_stream(&placed(None), &marked, &KnownSystem::default()).selected);
    let _ = definition
        .metadata
        .insert("leeward.dev/ignore".into(), "false".into());
    assert_eq!(
        1,
        judge_stream(&definition, &policy(by_cluster()), &KnownSystem::default())
            .findings
            .len()
    );
}

#[test]
fn a_consumer_of_one_replica_beside_a_stream_of_more_is_found_where_tags_are_locations() {
    let rules = |consumer: &ConsumerDefinition, replicas, spec| {
        let stream = Definition {
            replicas,
            ..placed(None)
        };
        let judgement = judge_consumer(consumer, Some(&stream), &policy(spec));
        judgement
            .findings
            .iter()
            .map(|finding| finding.rule)
            .collect::<Vec<_>>()
    };
    assert_eq!(vec![SinglePeer], rules(&consumer(Some(1)), 3, by_region()));
    assert_eq!(
        Vec::<DefinitionRule>::new(),
        rules(&consumer(Some(1)), 1, by_region())
    );
    assert_eq!(
        Vec::<DefinitionRule>::new(),
        rules(&consumer(Some(3)), 3, by_region())
    );
    assert_eq!(
        Vec::<DefinitionRule>::new(),
        rules(&consumer(None), 3, by_region())
    );
    assert_eq!(
        Vec::<DefinitionRule>::new(),
        rules(&consumer(Some(0)), 3, by_region())
    );
    assert_eq!(
        Vec::<DefinitionRule>::new(),
        rules(&consumer(Some(1)), 3, by_cluster())
    );
    let ephemeral = ConsumerDefinition {
        durable: false,
        ..consumer(Some(1))
    };
    assert_eq!(Vec::<DefinitionRule>::new(), rules(&ephemeral, 3, by_region()));
    let mut left_alone = consumer(Some(1));
    left_alone
        .metadata
        .insert("leeward.dev/ignore".into(), "true".into());
    assert_eq!(Vec::<DefinitionRule>::new(), rules(&left_alone, 3, by_region()));
    let mut others = by_region();
    others["consumers"] = json!({"exclude": ["bill*"]});
    assert_eq!(Vec::<DefinitionRule>::new(), rules(&consumer(Some(1)), 3, others));
}

#[test]
fn a_consumer_without_its_stream_is_judged_as_far_as_a_rule_can_say_anything() {
    let judged = |consumer: &ConsumerDefinition, spec| judge_consumer(consumer, None, &policy(spec));
    let undecided = |consumer: &ConsumerDefinition, spec| {
        let judgement = judged(consumer, spec);
        assert!(judgement.selected && judgement.findings.is_empty());
        judgement.undecided
    };
    let nothing: [Undecided; 0] = [];
    assert_eq!(
        undecided(&consumer(Some(1)), by_region()),
        [Undecided::StreamUnknown]
    );
    assert_eq!(undecided(&consumer(Some(3)), by_region()), nothing);
    assert_eq!(undecided(&consumer(None), by_region()), nothing);
    assert_eq!(undecided(&consumer(Some(1)), by_cluster()), nothing);
    let nameless = ConsumerDefinition {
        stream: None,
        ..consumer(Some(1))
    };
    assert_eq!(undecided(&nameless, by_region()), [Undecided::StreamUnknown]);
    let mut others = by_region();
    others["streams"] = json!({"include": ["AUDIT"]});
    assert!(!judged(&consumer(Some(1)), others).selected);
}

#[test]
fn what_nobody_applies_again_undoes_nothing() {
    let definition = Definition {
        updates: false,
        ..placed(placement(Some("eu-west"), &[]))
    };
    let judgement = judge_stream(&definition, &policy(moving(by_cluster())), &home("us-east"));
    let rules: Vec<_> = judgement.findings.iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, [LocationNotHome]);
}

#[test]
fn without_a_live_system_the_first_preference_that_may_be_home_is_home() {
    let preferred = |strategy: &str| {
        policy(
            json!({"home": {"strategy": strategy, "preferences": ["a", "b"], "exclude": ["a"], "onNoMajority": "UsePreferences"}}),
        )
    };
    assert_eq!(
        Some(Location::from("b")),
        KnownSystem::offline(&preferred("Preferred")).home
    );
    assert_eq!(None, KnownSystem::offline(&preferred("ClientMajority")).home);
}

#[test]
fn every_rule_has_a_stable_name_and_says_what_it_means_and_what_to_do() {
    for rule in DefinitionRule::iter() {
        let name: &str = rule.into();
        assert_eq!(Ok(rule), name.parse());
        assert_eq!(json!(name), serde_json::to_value(rule).unwrap());
        assert!(rule.explanation().ends_with('.') && rule.hint().ends_with('.'));
    }
    for undecided in Undecided::iter() {
        assert_eq!(
            json!(undecided.as_ref()),
            serde_json::to_value(undecided).unwrap()
        );
        assert!(undecided.explanation().ends_with('.'));
    }
}
