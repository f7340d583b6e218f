//! What has to be rendered, filled in or built first, and values of the wrong type.

use super::strangers::{IN_HOME, WHOLE, all_rules, errors, of_files, of_folder};
use super::*;

#[test]
fn templates_are_told_with_what_renders_them() {
    let document = of_folder(&[
        ("policy.yaml", WHOLE),
        ("a.yaml", "{{- if .x }}\nkind: Stream\n{{- end }}\n"),
    ]);
    assert!(
        errors(&document).contains("render it first: helm template … | leeward check -f -"),
        "{document:#?}"
    );
    let document = of_folder(&[("policy.yaml", WHOLE), ("a.yaml", "a: 1\n<% if x %>\nb: 2\n")]);
    assert!(
        errors(&document).contains("it has <%, so it looks like a template: render it first"),
        "{document:#?}"
    );
}

#[test]
fn a_chart_is_told_once_however_many_templates_it_has() {
    let document = of_folder(&[
        ("policy.yaml", WHOLE),
        ("charts/x/Chart.yaml", "name: x"),
        ("charts/x/values.yaml", "a: 1"),
        ("charts/x/templates/a.yaml", "{{ a }}: {{ b"),
        ("charts/x/templates/more/b.yaml", "{{- c }}\n- ["),
        ("y/templates/c.yaml", "{{- c }}\n- ["),
    ]);
    assert_eq!(document.errors.len(), 2, "{document:#?}");
    let said = errors(&document);
    assert!(
        said.contains("helm template charts/x | leeward check -f -"),
        "{said}"
    );
    assert!(
        said.contains("y/templates/c.yaml:") && said.contains("helm template … |"),
        "{said}"
    );
}

#[test]
fn variables_that_are_not_filled_in_are_told_and_nothing_is_judged_by_them() {
    for (spec, path) in [
        (
            "name: A\n  placement: {cluster: \"${CLUSTER}\"}",
            "7:15: spec.placement.cluster: ${CLUSTER} is not filled in",
        ),
        (
            "name: A\n  placement: {tags: [\"region:{{ .r }}\"]}",
            "spec.placement.tags.0: {{ .r }} is not filled in",
        ),
        ("name: __STREAM__", "spec.name: __STREAM__ is not filled in"),
        (
            "name: A\n  replicas: $(REPLICAS)",
            "spec.replicas: $(REPLICAS) is not filled in",
        ),
    ] {
        let text = format!(
            "---\napiVersion: jetstream.nats.io/v1beta2\nkind: Stream\nmetadata: {{name: a}}\nspec:\n  {spec}\n"
        );
        let document = of_folder(&[("policy.yaml", WHOLE), ("a.yaml", &text)]);
        assert!(errors(&document).contains(path), "{path}: {document:#?}");
        assert!(document.checked.is_empty(), "{document:#?}");
    }
    let policy = WHOLE.replace(
        "{mode: Enforce}",
        "{home: {strategy: Preferred, preferences: [\"${HOME_CLUSTER}\"]}}",
    );
    let document = of_folder(&[("policy.yaml", &policy), ("a.yaml", IN_HOME)]);
    assert!(
        errors(&document).contains("spec.home.preferences[0]: ${HOME_CLUSTER} is not filled in"),
        "{document:#?}"
    );
}

#[test]
fn a_variable_in_metadata_matters_where_a_policy_selects_by_it() {
    let stream = IN_HOME.replace("name: A,", "name: A, metadata: {team: \"${TEAM}\"},");
    let document = of_folder(&[("policy.yaml", WHOLE), ("a.yaml", &stream)]);
    assert_eq!(ending(&document), LookOutcome::InPlace, "{document:#?}");
    let policy = WHOLE.replace("{mode: Enforce}", "{streams: {metadata: {team: pay}}}");
    let document = of_folder(&[("policy.yaml", &policy), ("a.yaml", &stream)]);
    assert!(
        errors(&document).contains("spec.metadata.team: ${TEAM} is not filled in"),
        "{document:#?}"
    );
}

#[test]
fn variables_are_found_in_every_field_that_selects_or_judges() {
    for (from, to, said) in [
        ("name: A", "name: ORDERS-$ENV", "spec.name: $ENV is not filled in"),
        ("us-east", "us-$REGION", "spec.placement.cluster: $REGION is"),
        (
            "{cluster: us-east}",
            "\"${PLACE}\"",
            "spec.placement: ${PLACE} is",
        ),
        (
            "cluster: us-east",
            "tags: \"${TAGS}\"",
            "spec.placement.tags: ${TAGS} is",
        ),
        ("name: A", "name: A, jsDomain: \"${X}\"", "spec.jsDomain: ${X} is"),
        ("name: A", "name: A, account: \"${X}\"", "spec.account: ${X} is"),
        (
            "name: A",
            "name: A, preventUpdate: \"${X}\"",
            "spec.preventUpdate: ${X} is",
        ),
        ("name: A", "name: A, metadata: \"${X}\"", "spec.metadata: ${X} is"),
        (
            "name: A",
            "name: A, metadata: {leeward.dev/ignore: \"${X}\"}",
            "spec.metadata.leeward.dev/ignore: ${X} is",
        ),
        (
            "{name: a}",
            "{name: a, namespace: \"${NS}\"}",
            "metadata.namespace: ${NS} is",
        ),
        (
            "{name: A, placement: {cluster: us-east}}",
            "\"${SPEC}\"",
            "spec: ${SPEC} is",
        ),
    ] {
        let text = IN_HOME.replace(from, to);
        assert_ne!(text, IN_HOME, "{from}");
        let document = of_folder(&[("policy.yaml", WHOLE), ("a.yaml", &text)]);
        assert!(errors(&document).contains(said), "{said}: {document:#?}");
    }
}

const OPEN: &str =
    "apiVersion: jetstream.nats.io/v1beta2\nkind: Stream\nmetadata: {name: o}\nspec: {name: ORDERS}\n";
const PATCH: &str = "apiVersion: jetstream.nats.io/v1beta2\nkind: Stream\nmetadata: {name: o}\nspec: {placement: {cluster: us-east}}\n";

#[test]
fn what_kustomize_changes_is_built_first_and_the_rest_is_judged() {
    for changes in [
        "patches: [{path: place.yaml}]",
        "patchesStrategicMerge: [place.yaml]",
        "patches: [{target: {kind: Stream}, patch: \"[]\"}]",
        "patches:\n- patch: |-\n    apiVersion: jetstream.nats.io/v1beta2\n    kind: Stream\n",
        "patches: [{target: {kind: Stream}, path: json.yaml}]",
        "components: [../parts]",
        "patches: [{path: names.yaml, target: {name: o}}]",
        "patches: [{path: json.yaml, target: {labelSelector: app=o}}]",
        "patches: [{target: {kind: Stream|Consumer}, patch: \"[]\"}]",
        "patches: [{path: ../elsewhere/place.yaml}]",
        "namespace: pay",
    ] {
        let overlay = format!("resources: [../base]\n{changes}\n");
        let document = of_folder(&[
            ("base/kustomization.yaml", "resources: [stream.yaml]\n"),
            ("base/stream.yaml", OPEN),
            ("policy.yaml", WHOLE),
            ("prod/kustomization.yaml", &overlay),
            ("prod/place.yaml", PATCH),
            (
                "prod/json.yaml",
                "- {op: add, path: /spec/placement, value: {cluster: us-east}}\n",
            ),
            ("other.yaml", &IN_HOME.replace("us-east", "eu-west")),
        ]);
        let said = errors(&document);
        assert!(
            said.contains("prod/kustomization.yaml: ")
                && said.contains("kustomize build prod | leeward check -f -"),
            "{changes}: {document:#?}"
        );
        assert_eq!(
            document
                .checked
                .iter()
                .map(|one| one.subject.as_str())
                .filter(|one| *one == "Stream ORDERS")
                .count(),
            0,
            "{changes}"
        );
        assert_eq!(
            all_rules(&document),
            ["LocationNotHome", "Undone"],
            "{changes}: {document:#?}"
        );
    }
}

#[test]
fn a_kustomization_that_only_lists_files_changes_nothing() {
    let document = of_folder(&[
        (
            "kustomization.yaml",
            "resources: [stream.yaml]\nnamespace: x\npatches:\n- {path: d.yaml, target: {kind: Deployment}}\n- {path: gone.yaml, target: {group: apps}}\n- patch: |-\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: o}\n",
        ),
        ("d.yaml", "- {op: remove, path: /spec}\n"),
        (
            "policy.yaml",
            &WHOLE.replace("{name: p}", "{name: p, namespace: x}"),
        ),
        (
            "stream.yaml",
            &IN_HOME.replace("{name: a}", "{name: a, namespace: x}"),
        ),
    ]);
    assert_eq!(ending(&document), LookOutcome::InPlace, "{document:#?}");
    assert_eq!(document.undecided, [""; 0]);
}

#[test]
fn what_a_kustomization_lists_and_nobody_read_may_be_anything() {
    for listed in ["../base", "gone.yaml", "https://example.com/base?ref=v1"] {
        let kustomization = format!("resources: [\"{listed}\"]\n");
        let document = of_folder(&[
            ("policy.yaml", WHOLE),
            ("stream.yaml", IN_HOME),
            ("prod/kustomization.yaml", &kustomization),
        ]);
        let said = errors(&document);
        assert!(
            said.contains(&format!(
                "prod/kustomization.yaml: it lists {listed}, which was not read"
            )) && said.contains("kustomize build prod | leeward check -f -"),
            "{listed}: {document:#?}"
        );
        assert_eq!(document.checked.len(), 1, "{listed}: {document:#?}");
    }
    let files = [
        ("policy.yaml", WHOLE),
        ("stream.yaml", IN_HOME),
        ("prod/kustomization.yaml", "resources: [old]\n"),
        ("prod/old/kustomization.yaml", "resources: [a.yaml]\n"),
    ];
    let words = ["--home", "us-east", "-f", "@", "--exclude", "prod/old"];
    let document = of_files(&files, &words);
    assert_eq!(ending(&document), LookOutcome::InPlace, "{document:#?}");
}

#[test]
fn languages_that_are_not_read_are_told_with_their_cure() {
    let files = [
        ("policy.yaml", WHOLE),
        ("a.tf", "resource {}"),
        ("b.jsonnet", "{}"),
    ];
    let words = ["-f", "@/policy.yaml", "-f", "@/a.tf", "-f", "@/b.jsonnet"];
    let said = errors(&of_files(&files, &words));
    assert!(said.contains("a.tf: files of Terraform are not read"), "{said}");
    assert!(
        said.contains("b.jsonnet: files of Jsonnet are not read: jsonnet b.jsonnet | leeward check -f -"),
        "{said}"
    );
}

#[test]
fn what_the_apiserver_refuses_of_metadata_is_refused() {
    for (metadata, said) in [
        (
            "{name: p, namespace: 123}",
            "metadata.namespace: Invalid value: \"integer\": must be of type string: write \"123\"",
        ),
        (
            "{name: p, labels: {tier: 1}}",
            "metadata.labels.tier: Invalid value: \"integer\"",
        ),
        (
            "{name: p, annotations: [a]}",
            "metadata.annotations: Invalid value: \"array\": must be of type object",
        ),
        ("p", "metadata: Invalid value: \"string\": must be of type object"),
        (
            "{name: true}",
            "metadata.name: Invalid value: \"boolean\": must be of type string: write \"true\"",
        ),
    ] {
        for text in [WHOLE, IN_HOME] {
            let text = text.replace("{name: p}", metadata).replace("{name: a}", metadata);
            let document = of_folder(&[
                ("a.yaml", &text),
                ("z.yaml", &IN_HOME.replace("name: A", "name: Z")),
            ]);
            assert!(errors(&document).contains(said), "{said}: {document:#?}");
        }
    }
}

#[test]
fn values_that_could_be_secret_are_never_shown() {
    let secret = "nats://admin:hunter2@a.example:4222";
    for text in [
        format!(
            "apiVersion: leeward.dev/v1alpha1\nkind: NatsSystem\nmetadata: {{name: s}}\nspec: {{servers: \"{secret}\"}}\n"
        ),
        format!(
            "apiVersion: leeward.dev/v1alpha1\nkind: NatsSystem\nmetadata: {{name: s}}\nspec: {{servers: [\"{secret}\", \"{secret}\"]}}\n"
        ),
        WHOLE.replace("{mode: Enforce}", &format!("{{credentialsRef: \"{secret}\"}}")),
        WHOLE.replace("mode: Enforce", &format!("mode: \"{secret}\"")),
        WHOLE.replace("name: p", &format!("name: \"{secret}\"")),
        IN_HOME.replace("{cluster: us-east}", &format!("{{cluster: {{a: \"{secret}\"}}}}")),
        IN_HOME.replace("name: a", &format!("name: {{a: \"{secret}\"}}")),
    ] {
        let document = of_folder(&[("a.yaml", &text), ("z.yaml", IN_HOME)]);
        assert!(!document.errors.is_empty(), "{text}");
        assert!(
            !format!("{document:?}").contains("hunter2"),
            "{text}: {document:#?}"
        );
    }
}

#[test]
fn values_of_the_wrong_type_come_with_what_to_write() {
    for (spec, said) in [
        (
            "{home: {stabilizationWindow: 600}}",
            "must be of type string: write \"600s\" for seconds",
        ),
        (
            "{home: {majorityPercent: 60%}}",
            "must be of type integer: write 60",
        ),
        (
            "{home: {majorityPercent: most}}",
            "Invalid value: \"string\": must be of type integer",
        ),
    ] {
        let document = of_folder(&[
            ("a.yaml", IN_HOME),
            ("policy.yaml", &WHOLE.replace("{mode: Enforce}", spec)),
        ]);
        assert!(errors(&document).contains(said), "{said}: {document:#?}");
    }
    let stream = IN_HOME.replace("name: A,", "name: A, replicas: \"3\",");
    let document = of_folder(&[("a.yaml", &stream)]);
    assert!(
        errors(&document).ends_with("spec.replicas: must be a whole number from 0 to 5: write 3"),
        "{document:#?}"
    );
}

#[test]
fn a_stream_that_nack_does_not_update_is_not_moved_back() {
    let stream = IN_HOME
        .replace("name: A,", "name: A, preventUpdate: true,")
        .replace("us-east", "eu-west");
    let document = of_folder(&[("policy.yaml", WHOLE), ("a.yaml", &stream)]);
    assert_eq!(all_rules(&document), ["LocationNotHome"]);
}

#[test]
fn a_home_may_be_written_with_the_prefix_of_its_tag() {
    let policy = WHOLE.replace(
        "{mode: Enforce}",
        "{topology: {key: Cluster, tagPrefix: \"region:\"}}",
    );
    let stream = IN_HOME.replace("{cluster: us-east}", "{tags: [\"region:us-east\"]}");
    for (home, rules) in [
        ("us-east", 0),
        ("region:us-east", 0),
        ("Region:us-east", 0),
        ("region:eu-west", 1),
    ] {
        let document = of_files(
            &[("policy.yaml", &policy), ("a.yaml", &stream)],
            &["--home", home, "-f", "@"],
        );
        assert_eq!(all_rules(&document).len(), rules, "{home}: {document:#?}");
    }
}
