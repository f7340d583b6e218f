//! What strangers have beside definitions: files of other tools, near misses, and files that cannot be read.

use super::*;

pub const WHOLE: &str =
    "apiVersion: leeward.dev/v1alpha1\nkind: PlacementPolicy\nmetadata: {name: p}\nspec: {mode: Enforce}\n";
pub const IN_HOME: &str = "apiVersion: jetstream.nats.io/v1beta2\nkind: Stream\nmetadata: {name: a}\nspec: {name: A, placement: {cluster: us-east}}\n";

/// What is checked of files in a folder, which paths are relative to.
pub fn of_files(files: &[(&str, &str)], words: &[&str]) -> CheckDocument {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let root = folder.path().display().to_string();
    let words = words.iter().map(|word| word.replace('@', &root));
    let words = ["leeward", "check", "--offline"]
        .map(str::to_owned)
        .into_iter()
        .chain(words);
    let Command::Check(args) = Args::try_parse_from(words).unwrap().command else {
        panic!("not a check");
    };
    let outcome = outcome(&args).unwrap();
    let text = serde_json::to_string(&document(outcome, fixtures::noon())).unwrap();
    serde_json::from_str(&text.replace(&format!("{root}/"), "").replace(&root, ".")).unwrap()
}

/// In home us-east.
pub fn of_folder(files: &[(&str, &str)]) -> CheckDocument {
    of_files(files, &["--home", "us-east", "-f", "@"])
}

/// Beside a policy for everything and a stream in home.
fn beside(file: &str, text: &str) -> CheckDocument {
    of_folder(&[("policy.yaml", WHOLE), ("stream.yaml", IN_HOME), (file, text)])
}

pub fn all_rules(document: &CheckDocument) -> Vec<&str> {
    let findings = document.checked.iter().flat_map(|checked| &checked.findings);
    findings.map(|finding| finding.rule.as_str()).collect()
}

pub fn errors(document: &CheckDocument) -> String {
    let errors: Vec<String> = document.errors.iter().map(ToString::to_string).collect();
    errors.join("\n")
}

#[test]
fn files_of_other_tools_are_passed_over_and_counted() {
    let document = of_folder(&[
        ("policy.yaml", WHOLE),
        ("stream.yaml", IN_HOME),
        (
            "Chart.yaml",
            "apiVersion: v2\nname: x\nsources: [https://a.example]\n",
        ),
        (
            "values.yaml",
            "name: x\nstorage: 10Gi\ncluster: \"{{ .Values.x }}\"\n",
        ),
        ("tsconfig.json", "{ // comments are allowed here\n \"a\": 1, }"),
        (
            "dashboards/orders.json",
            "{\"panels\": [{\"expr\": \"{{x}}\"}], \"title\": \"x\"}",
        ),
        ("rules.yaml", "groups:\n- name: x\n  rules: []\n"),
        ("compose/stack.yaml", "name: x\nservices: {nats: {image: nats}}\n"),
        ("notes.yaml", "just a text"),
        ("list.json", "[1, 2]"),
        ("empty.yaml", "# nothing\n"),
        ("windows.yaml", "\u{feff}\r\n"),
        ("site.tf", "resource {}"),
        (
            "app.yaml",
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: x}\nspec: {source: {helm: {values: \"{{ x }}\"}}}\n",
        ),
        (
            "others.yaml",
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap}\n- {apiVersion: v1, kind: ConfigMap}\n",
        ),
        (
            "kinesis.yaml",
            "apiVersion: kinesis.services.k8s.aws/v1alpha1\nkind: Stream\nmetadata: {name: x}\nspec: {name: X}\n",
        ),
        (
            "azure.yaml",
            "apiVersion: placement-policy.scheduling.x-k8s.io/v1alpha1\nkind: PlacementPolicy\nmetadata: {name: x}\n",
        ),
    ]);
    assert_eq!(ending(&document), LookOutcome::InPlace, "{document:#?}");
    assert_eq!(document.checked.len(), 1, "{document:#?}");
    insta::assert_snapshot!(document.notes.join("\n"));
}

#[test]
fn what_is_named_itself_and_cannot_be_recognised_is_undecided() {
    for text in ["{\"name\": \"x\"}", "just a text", "[1, 2]", "a: {b: 1}"] {
        let files = [
            ("policy.yaml", WHOLE),
            ("stream.yaml", IN_HOME),
            ("x/a.json", text),
        ];
        let words = [
            "--home",
            "us-east",
            "-f",
            "@/policy.yaml",
            "-f",
            "@/stream.yaml",
            "-f",
            "@/x/a.json",
        ];
        let document = of_files(&files, &words);
        assert_eq!(document.undecided.len(), 1, "{text}: {document:#?}");
        assert_eq!(ending(&document), LookOutcome::Incomplete);
    }
}

#[test]
fn what_has_anything_of_a_stream_or_consumer_is_not_passed_over_in_a_folder() {
    for text in [
        "{\"name\": \"ORDERS\"}",
        "{\"a\": 1, \"b\": 2, \"ack_policy\": \"explicit\"}",
        "{\"name\": \"ORDERS\", \"num_replcias\": 3, \"x\": 1}",
        "{\"storage\": \"file\", \"max_deliver\": 3}",
    ] {
        let document = beside("a.json", text);
        assert_eq!(document.undecided.len(), 1, "{text}: {document:#?}");
    }
}

#[test]
fn what_is_left_out_is_not_read() {
    let files = [
        ("policy.yaml", WHOLE),
        ("stream.yaml", IN_HOME),
        ("charts/a/templates/b.yaml", "{{ x }}"),
        ("old/c.yaml", "a: ["),
    ];
    let words = [
        "--home",
        "us-east",
        "-f",
        "@",
        "--exclude",
        "charts/",
        "--exclude",
        "old/*.yaml",
    ];
    let document = of_files(&files, &words);
    assert_eq!(ending(&document), LookOutcome::InPlace, "{document:#?}");
    assert!(
        document
            .notes
            .iter()
            .any(|note| note.contains("left out by --exclude: charts, old/c.yaml")),
        "{:?}",
        document.notes
    );
}

#[test]
fn one_bad_file_hides_no_finding_of_the_others_and_every_format_has_its_error() {
    let away = IN_HOME.replace("us-east", "eu-west");
    let files = [
        ("a.yaml", away.as_str()),
        ("b.yaml", "kind: ConfigMap\n- [\n"),
        ("policy.yaml", WHOLE),
        (
            "z.yaml",
            "apiVersion: jetstream.nats.io/v1beta2\nkind: Stream\nmetadata: {name: z}\nspec: {replicas: 3}\n",
        ),
    ];
    let document = of_folder(&files);
    assert_eq!(all_rules(&document), ["LocationNotHome", "Undone"]);
    assert_eq!(ending(&document), LookOutcome::Failed);
    let of: Vec<&str> = document.errors.iter().map(|error| error.file.as_str()).collect();
    assert_eq!(of, ["b.yaml", "z.yaml"]);
    let table = table::render(&document, SCREEN);
    assert!(
        table.contains("ERRORS\n  b.yaml:2:") && table.contains(", 2 errors"),
        "{table}"
    );
    let junit = junit::render(&document).unwrap();
    assert!(
        junit.contains("errors=\"2\"") && junit.contains("z.yaml:4:1: spec.name: Required value"),
        "{junit}"
    );
    let run = &sarif::render(&document)["runs"][0];
    let invocation = &run["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    let notification = &invocation["toolExecutionNotifications"][0];
    assert_eq!(notification["level"], "error");
    assert_eq!(
        notification["locations"][0]["physicalLocation"]["region"]["startLine"],
        2
    );
    assert_eq!(run["results"].as_array().unwrap().len(), 2);
}

#[test]
fn nothing_is_judged_where_the_only_policy_cannot_be_read() {
    let document = of_folder(&[
        ("a.yaml", IN_HOME),
        ("policy.yaml", &WHOLE.replace("Enforce", "enforce")),
    ]);
    assert!(document.checked.is_empty(), "{document:#?}");
    assert!(
        errors(&document).starts_with("policy.yaml:4:8: spec.mode: Unsupported value"),
        "{document:#?}"
    );
    assert_eq!(document.notes[0], notes::NOT_JUDGED);
}

#[test]
fn near_misses_of_groups_and_kinds_are_errors_that_say_what_is_meant() {
    for (text, said) in [
        (
            WHOLE.replace("leeward.dev", "leeward.io"),
            "apiVersion: Unsupported value: \"leeward.io/v1alpha1\": write leeward.dev/v1alpha1",
        ),
        (
            WHOLE.replace("leeward.dev", "leewrad.dev"),
            "write leeward.dev/v1alpha1",
        ),
        (
            WHOLE.replace("PlacementPolicy", "PlacmentPolicy"),
            "kind: Unsupported value",
        ),
        (
            WHOLE.replace("apiVersion: leeward.dev/v1alpha1\n", ""),
            "apiVersion: Required value",
        ),
        (
            IN_HOME.replace("jetstream.nats.io", "jetsteam.nats.io"),
            "is no version of NACK: write jetstream.nats.io/v1beta2",
        ),
        (
            IN_HOME.replace("jetstream.nats.io/v1beta2", "nats.io/v1"),
            "is no version of NACK",
        ),
        (
            IN_HOME.replace("apiVersion: jetstream.nats.io/v1beta2\n", ""),
            "apiVersion: Required value: write jetstream.nats.io/v1beta2",
        ),
        (IN_HOME.replace("kind: Stream", "kind: Steam"), "Stream is meant"),
        (
            WHOLE.replace("mode:", "moed:"),
            "unknown field \"spec.moed\": mode is meant",
        ),
    ] {
        let document = beside("near.yaml", &text);
        assert!(errors(&document).contains(said), "{said}: {document:#?}");
        assert_eq!(ending(&document), LookOutcome::Failed);
    }
}

#[test]
fn fields_that_nobody_reads_are_said() {
    let nack = |kind: &str, metadata: &str, spec: &str, more: &str| {
        format!(
            "apiVersion: jetstream.nats.io/v1beta2\nkind: {kind}\nmetadata: {metadata}\nspec: {spec}\n{more}"
        )
    };
    for (text, said) in [
        (
            nack(
                "Stream",
                "{name: a}",
                "{name: B, placement: {clusters: us-east}}",
                "",
            ),
            "spec.placement.clusters: unknown field: cluster is meant",
        ),
        (
            nack("Stream", "{name: a}", "{name: B, placement: {zone: a}}", ""),
            "spec.placement.zone: unknown field: cluster or tags is meant",
        ),
        (
            nack("Stream", "{name: a}", "{name: B, cluster: us-east}", ""),
            "spec.cluster: unknown field: placement.cluster is meant",
        ),
        (
            nack("Stream", "{name: a}", "{name: B, num_replicas: 3}", ""),
            "spec.num_replicas: unknown field: replicas is meant",
        ),
        (
            nack("Stream", "{name: a}", "{name: B, plcaement: {}}", ""),
            "spec.plcaement: unknown field: placement is meant",
        ),
        (
            nack(
                "Stream",
                "{name: a}",
                "{name: B}",
                "placement: {cluster: us-east}",
            ),
            "placement: it is outside of spec, where nobody reads it: write spec.placement",
        ),
        (
            nack(
                "Stream",
                "{name: a, annotations: {leeward.dev/ignore: \"true\"}}",
                "{name: B}",
                "",
            ),
            "metadata.annotations.leeward.dev/ignore: this is the object's",
        ),
        (
            nack(
                "Stream",
                "{name: a, labels: {leeward.dev/ignored: \"true\"}}",
                "{name: B}",
                "",
            ),
            "metadata.labels.leeward.dev/ignored: this is the object's",
        ),
        (
            nack(
                "Stream",
                "{name: a}",
                "{name: B, metadata: {leeward.dev/ingore: \"true\"}}",
                "",
            ),
            "nobody reads this key: leeward.dev/ignore is meant",
        ),
        (
            nack(
                "Stream",
                "{name: a}",
                "{name: B, metadata: {leeward.dev/ignore: \"yes\"}}",
                "",
            ),
            "only \"true\" opts out",
        ),
        (
            nack(
                "KeyValue",
                "{name: a}",
                "{bucket: b, metadata: {leeward.dev/ignore: \"true\"}}",
                "",
            ),
            "spec.metadata: unknown field: a bucket of NACK has no metadata",
        ),
        (
            "{\"name\": \"B\", \"subjects\": [\"b\"], \"replicas\": 3}".to_owned(),
            "replicas: unknown field: num_replicas is meant",
        ),
    ] {
        let document = beside("near.yaml", &text);
        assert!(
            document
                .notes
                .iter()
                .any(|note| note.starts_with("near.yaml:") && note.contains(said)),
            "{said}: {document:#?}"
        );
        assert_eq!(all_rules(&document), ["LocationOpen"], "{said}: {document:#?}");
        let message = &document
            .checked
            .iter()
            .find(|one| !one.findings.is_empty())
            .unwrap()
            .findings[0]
            .message;
        assert_eq!(message.contains(said), said.contains("placement"), "{message}");
    }
}

#[test]
fn fields_that_newer_servers_may_know_are_left_alone() {
    let text = "apiVersion: jetstream.nats.io/v1beta2\nkind: Stream\nspec: {name: B, quantumEntangled: true, placement: {cluster: us-east}}\n";
    let config = "{\"name\": \"C\", \"subjects\": [\"c\"], \"time_travel\": true, \"placement\": {\"cluster\": \"us-east\"}}";
    let document = of_folder(&[("policy.yaml", WHOLE), ("a.yaml", text), ("c.json", config)]);
    let expected = ["the files were judged alone: their clusters and tags were not looked up"];
    assert_eq!(document.notes, expected);
    assert_eq!(ending(&document), LookOutcome::InPlace);
}

#[test]
fn policies_that_select_nothing_and_defaults_are_said() {
    let policy = WHOLE.replace("{mode: Enforce}", "{mode: Enforce, streams: {include: [ODRERS]}}");
    let stream = IN_HOME.replace("name: A,", "name: ORDERS,");
    let document = of_folder(&[("policy.yaml", &policy), ("a.yaml", &stream)]);
    let note =
        "policy.yaml:1:1: policy p selects none of the definitions; ORDERS is defined, and ODRERS is not";
    assert!(
        document.notes.iter().any(|said| said == note),
        "{:?}",
        document.notes
    );
    let document = of_folder(&[("a.yaml", &stream)]);
    assert_eq!(document.notes[0], notes::BY_DEFAULTS);
}

#[test]
fn what_is_missing_or_empty_on_the_command_line_is_said() {
    let said = |words: &[&str]| command(words).unwrap_err().to_string();
    assert!(said(&["--offline", "--home", "us-east"]).starts_with("-f is missing"));
    assert!(said(&["--home", " ", "-f", "a.yaml"]).starts_with("--home is empty"));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("1.yaml"), WHOLE).unwrap();
    std::fs::write(folder.path().join("2.yaml"), "# moved\n").unwrap();
    let name = folder.path().display().to_string();
    let error = said(&["--offline", "-f", &name]);
    assert!(
        error.contains(&format!("defined in {name} ({name}/2.yaml: no document)")),
        "{error}"
    );
}

#[test]
fn places_are_never_broken_off_a_terminal() {
    let long = format!("{}/stream.yaml", ["a-long-name-of-a-folder"; 9].join("/"));
    let document = of_folder(&[
        ("policy.yaml", WHOLE),
        (&long, &IN_HOME.replace("us-east", "eu-west")),
    ]);
    let screen = SCREEN.without_end();
    let table = table::render(&document, screen);
    assert!(table.contains(&format!("{long}:4:")), "{table}");
    assert!(
        table.lines().any(|line| line.ends_with(&format!("{long}:1"))),
        "{table}"
    );
}
