//! Which policy judges where several select a definition, and replies of servers.

use super::strangers::{IN_HOME, WHOLE, all_rules, errors, of_files, of_folder};
use super::*;

fn policy(namespace: &str, home: &str, more: &str) -> String {
    format!(
        "apiVersion: leeward.dev/v1alpha1\nkind: PlacementPolicy\nmetadata: {{name: p, namespace: {namespace}}}\n\
         spec: {{home: {{strategy: Preferred, preferences: [{home}]}}, credentialsRef: {{name: {namespace}-user}}{more}}}\n"
    )
}

fn stream(metadata: &str, spec: &str) -> String {
    format!(
        "apiVersion: jetstream.nats.io/v1beta2\nkind: Stream\nmetadata: {{name: s{metadata}}}\n\
         spec: {{name: S, placement: {{cluster: eu-west}}{spec}}}\n"
    )
}

fn judged_by(definition: &str, more: &str) -> (Option<String>, Vec<String>, Vec<String>) {
    let (pay, bill) = (
        policy("payments", "us-east", more),
        policy("billing", "eu-west", ""),
    );
    let account = "apiVersion: jetstream.nats.io/v1beta2\nkind: Account\nmetadata: {name: invoices, namespace: apps}\n\
                   spec: {creds: {secret: {name: billing-user}, file: user.creds}}\n";
    let files = [
        ("a.yaml", pay.as_str()),
        ("b.yaml", &bill),
        ("c.yaml", account),
        ("s.yaml", definition),
    ];
    let mut document = of_files(&files, &["-f", "@"]);
    let one = document.checked.remove(0);
    (one.policy, one.also_selected_by, document.notes)
}

#[test]
fn the_policy_of_a_definitions_account_judges_it_as_far_as_files_say_that() {
    let billing = Some("billing/p".to_owned());
    for definition in [
        stream(", namespace: billing", ""),
        stream("", ", account: billing"),
        stream(", namespace: apps", ", account: billing-user"),
    ] {
        let (by, others, notes) = judged_by(&definition, "");
        assert_eq!(by, billing, "{definition}");
        assert_eq!(others, ["payments/p"]);
        assert!(
            !notes.iter().any(|note| note.contains("different accounts")),
            "{notes:?}"
        );
    }
    let (by, _, _) = judged_by(&stream("", ", jsDomain: hub"), ", jetStreamDomain: leaf");
    assert_eq!(by, billing, "of another domain");
}

#[test]
fn the_secret_of_an_account_of_nack_is_that_of_a_policy() {
    let policies = policy("apps", "us-east", "").replace("apps-user", "orders-user")
        + "---\n"
        + &policy("apps", "eu-west", "")
            .replace("name: p,", "name: q,")
            .replace("apps-user", "billing-user");
    let account = "apiVersion: jetstream.nats.io/v1beta2\nkind: Account\nmetadata: {name: invoices, namespace: apps}\n\
                   spec: {creds: {secret: {name: billing-user}, file: user.creds}}\n";
    let definition = stream(", namespace: apps", ", account: invoices");
    let document = of_files(
        &[
            ("p.yaml", &policies),
            ("a.yaml", account),
            ("s.yaml", &definition),
        ],
        &["-f", "@"],
    );
    assert_eq!(
        document.checked[0].policy.as_deref(),
        Some("apps/q"),
        "{document:#?}"
    );
}

#[test]
fn where_files_do_not_say_the_account_a_note_names_all_policies() {
    let (by, others, notes) = judged_by(&stream("", ""), "");
    assert_eq!(by.as_deref(), Some("payments/p"));
    assert_eq!(others, ["billing/p"]);
    let note = "Stream S: the policies payments/p and billing/p select it and may be of different accounts";
    assert!(
        notes
            .iter()
            .any(|said| said.starts_with("s.yaml:1:1: ") && said.contains(note)),
        "{notes:?}"
    );
}

#[test]
fn policies_of_one_account_go_by_their_rank_without_a_note() {
    let text = WHOLE.to_owned()
        + "---\n"
        + &WHOLE
            .replace("name: p", "name: first")
            .replace("mode: Enforce", "priority: 7");
    let document = of_folder(&[("policies.yaml", &text), ("a.yaml", IN_HOME)]);
    let one = &document.checked[0];
    assert_eq!(
        (one.policy.as_deref(), &one.also_selected_by[..]),
        (Some("first"), &["p".to_owned()][..])
    );
    assert!(
        !document.notes.iter().any(|note| note.contains("accounts")),
        "{:?}",
        document.notes
    );
}

#[test]
fn a_consumer_is_beside_the_stream_of_its_own_namespace() {
    let tagged = WHOLE.replace(
        "{mode: Enforce}",
        "{topology: {key: ServerTag, tagPrefix: \"region:\"}}",
    );
    let stream = |namespace: &str, replicas: u8| {
        stream(
            &format!(", namespace: {namespace}"),
            &format!(", replicas: {replicas}"),
        )
        .replace("cluster: eu-west", "tags: [\"region:us-east\"]")
    };
    let consumer = "apiVersion: jetstream.nats.io/v1beta2\nkind: Consumer\nmetadata: {name: c, namespace: b}\nspec: {streamName: S, durableName: c, replicas: 1}\n";
    let document = of_folder(&[
        ("1.yaml", &tagged),
        ("a.yaml", &stream("a", 1)),
        ("b.yaml", &stream("b", 3)),
        ("c.yaml", consumer),
    ]);
    assert_eq!(all_rules(&document), ["SinglePeer"], "{document:#?}");
}

#[test]
fn replies_of_the_api_and_of_monitoring_are_read() {
    let config = |name: &str| {
        format!(
            "{{\"name\": \"{name}\", \"subjects\": [\"a\"], \"placement\": {{\"cluster\": \"us-east\"}}}}"
        )
    };
    let info = |name: &str| {
        format!(
            "{{\"config\": {}, \"created\": \"x\", \"state\": {{\"messages\": 1}}}}",
            config(name)
        )
    };
    let consumer = "{\"stream_name\": \"A\", \"name\": \"c\", \"config\": {\"durable_name\": \"c\", \"ack_policy\": \"explicit\"}}";
    let streams = format!(
        "{{\"type\": \"io.nats.jetstream.api.v1.stream_list_response\", \"total\": 2, \"offset\": 0, \"limit\": 256, \"streams\": [{}, {}]}}",
        info("A"),
        info("B")
    );
    let consumers = format!(
        "{{\"type\": \"io.nats.jetstream.api.v1.consumer_list_response\", \"total\": 1, \"offset\": 0, \"consumers\": [{consumer}]}}"
    );
    let jsz = format!(
        "{{\"server_id\": \"N\", \"streams\": 1, \"account_details\": [{{\"name\": \"APP\", \"stream_detail\": [{{\"name\": \"D\", \"config\": {}, \"consumer_detail\": [{}]}}]}}]}}",
        config("D"),
        consumer.replace("\"A\"", "\"D\"")
    );
    let values = format!("{}\n{}\n", config("E"), config("F"));
    let array = format!("[[{}], {}]", info("G"), config("H"));
    let document = of_folder(&[
        ("1.yaml", WHOLE),
        ("a.json", &streams),
        ("b.json", &consumers),
        ("c.json", &jsz),
        ("d.json", &values),
        ("e.json", &array),
        (
            "f.json",
            "{\"type\": \"io.nats.jetstream.api.v1.stream_list_response\", \"total\": 0, \"offset\": 0, \"streams\": null}",
        ),
    ]);
    assert_eq!(ending(&document), LookOutcome::InPlace, "{document:#?}");
    let subjects: Vec<&str> = document.checked.iter().map(|one| one.subject.as_str()).collect();
    let expected = [
        "Stream A",
        "Stream B",
        "Consumer A/c",
        "Stream D",
        "Consumer D/c",
        "Stream E",
        "Stream F",
        "Stream G",
        "Stream H",
    ];
    assert_eq!(subjects, expected);
    let source = document.checked[6].source.as_ref().unwrap();
    assert_eq!((source.line, source.column), (2, 1), "the second value");
}

#[test]
fn replies_that_define_nothing_or_not_all_are_undecided() {
    for (text, said) in [
        ("[\"A\", \"B\"]", "has names alone"),
        (
            "{\"type\": \"io.nats.jetstream.api.v1.stream_names_response\", \"total\": 1, \"streams\": [\"A\"]}",
            "has names alone",
        ),
        (
            "{\"type\": \"io.nats.jetstream.api.v1.stream_info_response\", \"error\": {\"code\": 404, \"description\": \"stream not found\"}}",
            "is an error that a server replied, and defines nothing: stream not found",
        ),
        (
            "{\"total\": 9, \"offset\": 0, \"streams\": [{\"config\": {\"name\": \"A\", \"subjects\": [\"a\"]}}]}",
            "streams: these are 1 of 9",
        ),
        (
            "{\"name\": \"A\", \"state\": {\"messages\": 1}, \"cluster\": {}}",
            "config: Required value",
        ),
    ] {
        let document = of_folder(&[("1.yaml", WHOLE), ("2.yaml", IN_HOME), ("a.json", text)]);
        assert!(
            document.undecided.len() == 1 && document.undecided[0].contains(said),
            "{said}: {document:#?}"
        );
    }
}

/// A page of a list of streams that are in home.
fn page(offset: u64, names: &[&str], rest: &str) -> String {
    let stream = |name: &&str| {
        let config = json!({"name": name, "subjects": ["a"], "placement": {"cluster": "us-east"}});
        json!({"config": config}).to_string()
    };
    let streams: Vec<String> = names.iter().map(stream).collect();
    format!(
        "{{\"total\": 3, \"offset\": {offset}, \"limit\": 1{rest}, \"streams\": [{}]}}",
        streams.join(", ")
    )
}

#[test]
fn pages_of_a_list_add_up_and_what_they_have_is_judged() {
    let (first, last) = (page(0, &["A", "B"], ""), page(2, &["C"], ""));
    let both = format!("{first}\n{last}\n");
    let array = format!("[{first}, {last}]");
    let with_missing = page(0, &["A", "B"], ", \"missing\": [\"GONE\"]");
    for (files, checked, said) in [
        (
            vec![("a.json", &first)],
            2,
            Some("streams: these are 2 of 3: give the other pages too"),
        ),
        (
            vec![("a.json", &last)],
            1,
            Some("streams: these are 1 of 3: give the other pages too"),
        ),
        (
            vec![("a.json", &first), ("b.json", &first)],
            4,
            Some("these are 2 of 3"),
        ),
        (
            vec![("a.json", &with_missing)],
            2,
            Some("the servers did not describe GONE"),
        ),
        (vec![("a.json", &first), ("b.json", &last)], 3, None),
        (vec![("a.json", &both)], 3, None),
        (vec![("a.json", &array)], 3, None),
    ] {
        let mut all = vec![("1.yaml", WHOLE)];
        all.extend(files.iter().map(|(name, text)| (*name, text.as_str())));
        let document = of_folder(&all);
        assert_eq!(document.checked.len(), checked, "{document:#?}");
        assert_eq!(
            document.undecided.len(),
            usize::from(said.is_some()),
            "{document:#?}"
        );
        if let Some(said) = said {
            assert!(document.undecided[0].contains(said), "{said}: {document:#?}");
        }
    }
}

#[test]
fn configurations_without_their_name_are_refused_by_the_path_and_consumers_are_no_streams() {
    let stream = "{\"subjects\": [\"a\"], \"retention\": \"limits\", \"num_replicas\": 1}";
    let document = of_folder(&[("1.yaml", WHOLE), ("a.json", stream)]);
    assert!(
        errors(&document).starts_with("a.json:1:1: name: Required value"),
        "{document:#?}"
    );
    let consumer = "{\"name\": \"c\", \"num_replicas\": 1, \"max_deliver\": 3}";
    let document = of_folder(&[("1.yaml", WHOLE), ("a.json", consumer)]);
    assert_eq!(document.checked[0].subject, "Consumer ?/c", "{document:#?}");
}

/// A stream and a consumer of one replica, as `/jsz` has an account.
fn account(name: &str, replicas: u8) -> String {
    format!(
        "{{\"name\": \"{name}\", \"stream_detail\": [{{\"name\": \"S\", \"config\": {{\"name\": \"S\", \"subjects\": [\"a\"], \
         \"num_replicas\": {replicas}, \"placement\": {{\"tags\": [\"region:us-east\"]}}}}, \"consumer_detail\": [{{\"stream_name\": \
         \"S\", \"name\": \"{name}\", \"config\": {{\"durable_name\": \"{name}\", \"ack_policy\": \"explicit\", \"num_replicas\": 1}}}}]}}]}}"
    )
}

#[test]
fn a_consumer_is_beside_the_stream_of_its_own_account() {
    let tagged = WHOLE.replace(
        "{mode: Enforce}",
        "{topology: {key: ServerTag, tagPrefix: \"region:\"}}",
    );
    let jsz = format!(
        "{{\"server_id\": \"N\", \"config\": {{\"max_memory\": 1, \"store_dir\": \"x\"}}, \"streams\": 2, \"account_details\": [{}, {}]}}",
        account("one", 1),
        account("three", 3)
    );
    let document = of_folder(&[("1.yaml", &tagged), ("a.json", &jsz)]);
    assert_eq!(document.checked[3].subject, "Consumer S/three");
    assert_eq!(all_rules(&document), ["SinglePeer"], "{document:#?}");
    assert_eq!(document.checked[3].findings.len(), 1);
    let of = |kind: &str, account: &str, spec: &str| {
        format!(
            "---\napiVersion: jetstream.nats.io/v1beta2\nkind: {kind}\nmetadata: {{name: {account}}}\nspec: {{account: {account}, {spec}}}\n"
        )
    };
    let stream = |account, replicas| {
        of(
            "Stream",
            account,
            &format!("name: S, replicas: {replicas}, placement: {{tags: [\"region:us-east\"]}}"),
        )
    };
    let consumer = |account| {
        of(
            "Consumer",
            account,
            &format!("streamName: S, durableName: {account}, replicas: 1"),
        )
    };
    let all = stream("a", 1) + &stream("b", 3) + &consumer("a") + &consumer("b") + &consumer("c");
    let document = of_folder(&[("1.yaml", &tagged), ("a.yaml", &all)]);
    assert_eq!(document.checked[3].findings.len(), 1, "{document:#?}");
    assert_eq!(all_rules(&document), ["SinglePeer"], "{document:#?}");
    assert!(document.undecided[0].contains("Consumer S/c: "), "{document:#?}");
}

#[test]
fn pages_of_several_files_are_one_list_only_with_a_note_and_if_they_fit() {
    let notes = |files: &[(&str, String)]| {
        let mut all = vec![("1.yaml", WHOLE)];
        all.extend(files.iter().map(|(name, text)| (*name, text.as_str())));
        let document = of_folder(&all);
        let notes = document.notes.into_iter().filter(|note| note.contains("pages"));
        (notes.collect::<Vec<_>>(), document.undecided)
    };
    let (first, last) = (page(0, &["A", "B"], ""), page(2, &["C"], ""));
    let (said, undecided) = notes(&[("a.json", first.clone()), ("b.json", last.clone())]);
    assert!(
        said[0].contains("the pages in a.json, b.json are taken for one list"),
        "{said:?}"
    );
    assert_eq!(undecided, [""; 0]);
    let (said, undecided) = notes(&[
        ("a.json", first),
        ("b.json", page(0, &["X", "Y"], "")),
        ("c.json", last),
    ]);
    assert_eq!(said, [""; 0]);
    assert!(
        undecided[0].contains("these are pages of several lists"),
        "{undecided:?}"
    );
    let whole = |name: &str| page(0, &[name, "B", "C"], "");
    assert_eq!(
        notes(&[("a.json", whole("A")), ("b.json", whole("X"))]),
        (Vec::new(), Vec::new())
    );
}

#[test]
fn what_a_server_says_without_configurations_is_undecided() {
    for text in [
        "{\"stream_name\": \"S\", \"name\": \"c\", \"delivered\": {}, \"num_ack_pending\": 0}",
        "{\"server_id\": \"N\", \"config\": {\"max_memory\": 1}, \"streams\": 1}",
    ] {
        let document = of_folder(&[("1.yaml", WHOLE), ("2.yaml", IN_HOME), ("a.json", text)]);
        assert!(
            document.undecided[0].contains("config: Required value"),
            "{text}: {document:#?}"
        );
    }
}
