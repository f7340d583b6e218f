//! What is in a file decides, whatever its name is, and words that were meant to be others are said.

use super::strangers::{IN_HOME, WHOLE, all_rules, errors, of_files, of_folder};
use super::*;

const CONFIG: &str = "{\"name\": \"B\", \"subjects\": [\"b\"], \"num_replicas\": 3}";

#[test]
fn files_with_the_names_of_other_tools_are_read_if_they_define_something() {
    for file in [
        "package.json",
        "turbo.json",
        "vercel.json",
        "openapi-orders.json",
        "action.yaml",
        "environment.yaml",
        "values.yaml",
    ] {
        for text in [
            CONFIG,
            &IN_HOME.replace("name: A, placement: {cluster: us-east}", "name: B"),
        ] {
            for named in ["@", "@/x"] {
                let path = format!("{named}/{file}");
                let words = [
                    "--home",
                    "us-east",
                    "-f",
                    "@/policy.yaml",
                    "-f",
                    if named == "@" { &path } else { named },
                ];
                let (one, other) = (file.to_owned(), format!("x/{file}"));
                let name = if named == "@" { &one } else { &other };
                let document = of_files(&[("policy.yaml", WHOLE), (name, text)], &words);
                assert_eq!(all_rules(&document), ["LocationOpen"], "{path}: {document:#?}");
            }
        }
    }
    let document = of_folder(&[("kustomization.yaml", IN_HOME), ("policy.yaml", WHOLE)]);
    assert_eq!(document.checked.len(), 1, "{document:#?}");
}

#[test]
fn endings_of_names_are_taken_in_any_letters_and_what_goes_on_behind_them_is_counted() {
    let lines = "{\"name\": \"L\", \"subjects\": [\"a\"]}\n{\"name\": \"M\", \"subjects\": [\"b\"]}\n";
    let comments = "// a \"b\"\n{ name: 'C', /* c */ \"subjects\": [\"a//b\"], // d\n \"placement\": {\"cluster\": \"us-east\"},\n}\n";
    let document = of_folder(&[
        ("1.YAML", WHOLE),
        ("a.ndjson", lines),
        ("b.JSON", CONFIG),
        ("c.json5", comments),
        ("d.jsonc", &comments.replace("'C'", "'D'")),
        ("e.yaml.in", IN_HOME),
        ("f.yaml.gotpl", IN_HOME),
        ("g.json.dist", CONFIG),
    ]);
    let subjects: Vec<&str> = document.checked.iter().map(|one| one.subject.as_str()).collect();
    assert_eq!(
        subjects,
        ["Stream L", "Stream M", "Stream B", "Stream C", "Stream D"],
        "{document:#?}"
    );
    let source = document.checked[3].findings.first();
    assert_eq!(source, None, "what is behind comments is read: {document:#?}");
    insta::assert_snapshot!(document.notes.join("\n"), @r"
    the files were judged alone: their clusters and tags were not looked up
    1 file that is not read (a template) was passed over: f.yaml.gotpl: render it first, and give what comes of it to -f -
    2 files whose names go on behind .yaml, .yml or .json were passed over: e.yaml.in, g.json.dist: name with -f what is a definition, and render first what is a template
    ");
}

#[test]
fn near_misses_are_never_passed_over_in_a_folder() {
    let nack = "apiVersion: jetstream.nats.io/v1beta2\n";
    for (text, said) in [
        (
            "apiVersion: v1beta2\nkind: Stream\nspec: {name: A}".to_owned(),
            "v1beta2 is no version of NACK",
        ),
        (
            "apiVersion: jetstraem.nats.io/v1beta2\nkind: Steam".to_owned(),
            "is no version of NACK: write jetstream",
        ),
        (
            "apiVersion: jetstream.nats.io/v9\nkind: Stream\nspec: {name: A}".to_owned(),
            "v9 is no version of NACK",
        ),
        (
            "kind: stream\nspec: {name: A}".to_owned(),
            "write jetstream.nats.io/v1beta2, and the kind Stream",
        ),
        (
            format!("Kind: Stream\n{nack}spec: {{name: A}}"),
            "Kind: unknown field: kind is meant",
        ),
        (
            "Kind: PlacementPolicy\napiversion: leeward.dev/v1alpha1".to_owned(),
            "kind is meant",
        ),
        (WHOLE.replace("leeward.dev/", ""), "write leeward.dev/v1alpha1"),
        (
            "{\"Name\": \"A\", \"Subjects\": [\"a\"], \"Placement\": {\"Cluster\": \"x\"}}".to_owned(),
            "Name: unknown field: name is meant",
        ),
        (
            format!("{nack}kind: Consumer\nspec: {{streamname: A}}"),
            "spec.streamName: Required value: nobody reads spec.streamname",
        ),
        (
            format!("{nack}kind: Consumer\nspec: {{stream: A}}"),
            "nobody reads spec.stream,",
        ),
        (
            format!("{nack}kind: KeyValue\nspec: {{name: A}}"),
            "spec.bucket: Required value: nobody reads spec.name",
        ),
        (
            format!("{nack}kind: Stream\nSpec: {{name: A}}"),
            "spec.name: Required value: nobody reads Spec",
        ),
    ] {
        let document = of_folder(&[("policy.yaml", WHOLE), ("s.yaml", IN_HOME), ("x.yaml", &text)]);
        assert!(errors(&document).contains(said), "{said}: {document:#?}");
    }
}

#[test]
fn streams_by_name_are_read_and_those_within_something_else_are_told() {
    let map = format!("{{\"B\": {CONFIG}, \"C\": {}}}", CONFIG.replace("\"B\"", "\"C\""));
    let document = of_folder(&[("policy.yaml", WHOLE), ("a.json", &map)]);
    assert_eq!(
        all_rules(&document),
        ["LocationOpen", "LocationOpen"],
        "{document:#?}"
    );
    let within = format!("{{\"streams\": {map}, \"other\": 1}}");
    let document = of_folder(&[("policy.yaml", WHOLE), ("s.yaml", IN_HOME), ("a.json", &within)]);
    assert!(
        document.undecided[0].contains("streams.B: this is the configuration"),
        "{document:#?}"
    );
    let document = of_folder(&[
        ("policy.yaml", WHOLE),
        ("s.yaml", IN_HOME),
        ("values.yaml", &within),
    ]);
    assert_eq!(document.undecided, [""; 0], "values of a chart define nothing");
}

#[test]
fn small_files_of_others_are_no_definitions() {
    let others = [
        "retention: 30d",
        "{name: x, sources: [\"https://a\"]}",
        "{name: x, description: y}",
    ];
    for text in others {
        let document = of_folder(&[("policy.yaml", WHOLE), ("s.yaml", IN_HOME), ("x.yaml", text)]);
        assert_eq!(ending(&document), LookOutcome::InPlace, "{text}: {document:#?}");
    }
}

#[test]
fn policies_in_arrays_are_read_and_what_is_empty_defines_nothing() {
    let policy = "{\"apiVersion\": \"leeward.dev/v1alpha1\", \"kind\": \"PlacementPolicy\", \"metadata\": {\"name\": \"p\"}, \"spec\": {}}";
    let array = format!("[{policy}, {CONFIG}]");
    let document = of_folder(&[("a.json", &array), ("b.json", "[]"), ("c.json", "{}")]);
    assert_eq!(document.checked[0].policy.as_deref(), Some("p"), "{document:#?}");
    assert_eq!(document.undecided, [""; 0]);
    assert!(
        document
            .notes
            .contains(&"2 files have no document: b.json, c.json".to_owned()),
        "{document:#?}"
    );
}

#[test]
fn of_a_chart_only_the_problems_of_templates_are_told_once_and_the_reader_is_always_heard() {
    let document = of_folder(&[
        ("policy.yaml", WHOLE),
        ("x/Chart.yaml", "name: x"),
        ("x/templates/a.yaml", "a: {{ .b }}: c\n"),
        ("x/templates/b.yaml", "{{- if .x }}\n- [\n"),
        ("x/templates/c.yaml", "a: [\n"),
        ("y.yaml", "dest: \"a.{{wildcard(1)}}\"\nb: [\n"),
    ]);
    let files: Vec<&str> = document.errors.iter().map(|error| error.file.as_str()).collect();
    assert_eq!(files, ["x/templates/a.yaml", "x/templates/c.yaml", "y.yaml"]);
    for (at, is_template) in [(0, true), (1, false), (2, false)] {
        let said = &document.errors[at].message;
        assert!(
            said.starts_with("this is not YAML or JSON that can be read: "),
            "{said}"
        );
        assert_eq!(said.contains("helm template"), is_template, "{said}");
    }
}
