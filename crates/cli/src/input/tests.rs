use std::fs;

use serde_json::json;

use super::*;

fn one(text: &str) -> Document {
    let mut documents = parse("file.yaml", text).unwrap();
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents.remove(0)
}

fn at(document: &Document, pointer: &str) -> (u64, u64) {
    let TextPosition { line, column } = document.place(pointer);
    (line, column)
}

fn refused(text: &str) -> String {
    parse("file.yaml", text).unwrap_err().to_string()
}

#[test]
fn every_field_and_item_has_its_line_and_column() {
    let document = one("# about\nkind: A\nspec:\n  names:\n    - one\n    - {two: 2}\n  über: true\n");
    assert_eq!(
        document.value,
        json!({"kind": "A", "spec": {"names": ["one", {"two": 2}], "über": true}})
    );
    assert_eq!(at(&document, ""), (2, 1));
    assert_eq!(at(&document, "/spec/names"), (4, 3));
    assert_eq!(at(&document, "/spec/names/0"), (5, 7));
    assert_eq!(at(&document, "/spec/names/1/two"), (6, 8));
    assert_eq!(at(&document, "/spec/über"), (7, 3));
    assert_eq!(
        at(&document, "/spec/names/7/none"),
        (4, 3),
        "what is missing is in its parent"
    );
    assert_eq!(at(&document, "/none"), (2, 1));
    let problem = document.problem_at_path("spec.names[1].two", "is not three");
    assert_eq!(
        problem.to_string(),
        "file.yaml:6:8: spec.names[1].two: is not three"
    );
}

#[test]
fn json_is_read_by_the_same_parser() {
    let document =
        one("{\n  \"name\": \"AUDIT\",\n  \"placement\":{\"tags\":[\"a\\/b\\u00e9\"]},\n  \"max\": -1\n}\n");
    assert_eq!(
        document.value,
        json!({"name": "AUDIT", "placement": {"tags": ["a/bé"]}, "max": -1})
    );
    assert_eq!(at(&document, "/placement/tags/0"), (3, 24));
    let tabs = one("{\n\t\"name\": \"AUDIT\",\n\t\"n\": 1.5\n}\n");
    assert_eq!(tabs.value, json!({"name": "AUDIT", "n": 1.5}));
}

#[test]
fn several_documents_and_lists_are_taken_apart() {
    let text = "---\nkind: A\n---\n---\nkind: List\nitems:\n- kind: B\n- kind: PlacementPolicyList\n  items:\n  - kind: C\n";
    let documents = parse("file.yaml", text).unwrap();
    let kinds: Vec<_> = documents
        .iter()
        .map(|document| document.text("/kind").unwrap())
        .collect();
    assert_eq!(kinds, ["A", "B", "C"]);
    assert_eq!(at(&documents[2], "/kind"), (10, 5));
}

#[test]
fn names_with_slashes_are_found() {
    let document = one("metadata:\n  leeward.dev/ignore: \"true\"\n");
    assert_eq!(at(&document, "/metadata/leeward.dev~1ignore"), (2, 3));
    assert_eq!(document.text("/metadata/leeward.dev~1ignore"), Some("true"));
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    let text = refused("a: 1\nb: [1, 2\nc: 3\n");
    assert!(text.starts_with("file.yaml:3:"), "{text}");
    let text = refused("a: 1\nb: 2\na: 3\n");
    assert!(
        text.starts_with("file.yaml:3:1: ") && text.ends_with("duplicate mapping key: a"),
        "{text}"
    );
}

#[test]
fn what_has_no_bounds_is_refused() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    assert!(refused(&deep).contains("can be read"), "{}", refused(&deep));
    let level = |level: usize| {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        format!("a{level}: &a{level} [{items}]\n")
    };
    let bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned() + &(1..9).map(level).collect::<String>();
    assert!(refused(&bomb).starts_with("file.yaml:"), "{}", refused(&bomb));
    let many = "---\na: 1\n".repeat(10_001);
    assert!(refused(&many).starts_with("file.yaml"), "{}", refused(&many));
}

#[test]
fn a_folder_is_read_by_name_and_without_what_is_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("b.yml", "kind: B");
    write("a.yaml", "kind: A");
    write("c/d.json", "{\"kind\": \"D\"}");
    write("c/readme.md", "no: yaml: at: all");
    write(".git/config.yaml", "kind: Hidden");
    write(".hidden.yaml", "kind: Hidden");
    let documents = read(&[folder.path().to_owned()], &[]).strict().unwrap();
    let kinds: Vec<_> = documents
        .iter()
        .map(|document| document.text("/kind").unwrap())
        .collect();
    assert_eq!(kinds, ["A", "B", "D"]);
    assert!(documents[2].file.ends_with("c/d.json"), "{}", documents[2].file);
}

#[test]
fn a_file_is_read_once_however_often_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    fs::write(&file, "kind: A").unwrap();
    let other = folder.path().join(".").join("a.yaml");
    let documents = read(&[file.clone(), other, folder.path().to_owned(), file], &[])
        .strict()
        .unwrap();
    assert_eq!(documents.len(), 1, "{documents:?}");
}

#[test]
fn whatever_a_folder_holds_counts_against_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(folder.path().join("a.yaml"), "kind: A").unwrap();
    for number in 0..9_998 {
        fs::write(inner.join(format!("{number}.txt")), "").unwrap();
    }
    let folders = [folder.path().to_owned()];
    assert_eq!(read(&folders, &[]).documents.len(), 1);
    fs::write(inner.join("more.txt"), "").unwrap();
    let error = read(&folders, &[]).problems.to_string();
    assert!(error.contains("more than 10000 files and folders"), "{error}");
}

#[test]
fn every_file_that_cannot_be_read_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    fs::write(file("bad.yaml"), "a: [").unwrap();
    fs::write(file("binary.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    fs::write(file("large.yaml"), " ".repeat(8 * 1024 * 1024 + 1)).unwrap();
    fs::create_dir(file("empty")).unwrap();
    let names = ["missing.yaml", "bad.yaml", "binary.yaml", "large.yaml", "empty"];
    let error = read(&names.map(file), &[]).problems;
    assert_eq!(error.all().len(), names.len(), "{error}");
    for name in names {
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
    assert!(error.to_string().contains("bad.yaml:1:"), "{error}");
}

#[test]
fn comments_and_depth_do_not_stop_the_reader() {
    let comments = "  # remark\n".repeat(2000);
    let document = one(&format!("kind: A\nspec:\n{comments}  mode: Enforce\n# end\n"));
    assert_eq!(at(&document, "/spec/mode"), (2003, 3));
    let deep = |levels: usize| {
        let line = |level: usize| format!("{}a:\n", " ".repeat(level));
        (0..levels).map(line).collect::<String>() + &" ".repeat(levels) + "b: 1\n"
    };
    assert!(one(&deep(100)).value.is_object());
    let flow = format!("a: {}{}", "[".repeat(100), "]".repeat(100));
    assert!(one(&flow).value.is_object());
    assert!(
        refused(&deep(200)).contains("nested deeper than 128 levels"),
        "{}",
        refused(&deep(200))
    );
}

#[test]
fn several_values_behind_one_another_each_have_their_places() {
    let text = "\u{feff}{\"name\": \"A\"}\n{\"name\": \"B\",\n \"x\": 1} {\"name\": \"C\"}\r\n[1]\n";
    let documents = parse("a.jsonl", text).unwrap();
    let places: Vec<_> = documents.iter().map(|document| at(document, "/name")).collect();
    assert_eq!(places, [(1, 2), (2, 2), (3, 11), (4, 1)]);
    assert_eq!(documents[1].text("/name"), Some("B"));
    let error = parse("a.json", "{\"a\": 1}\n{\"b\": [}\n")
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("a.json:2:"), "{error}");
}

#[test]
fn marks_line_ends_and_tags_of_others_are_no_trouble() {
    let document = one("\u{feff}kind: A\r\nspec:\r\n  x: !vault secret\r\n  y: !reference [a, b]\r\n");
    assert_eq!(
        document.value,
        json!({"kind": "A", "spec": {"x": "secret", "y": ["a", "b"]}})
    );
    assert_eq!(at(&document, "/spec/x"), (3, 3));
    assert!(parse("a.yaml", "").unwrap().is_empty());
    assert!(
        parse("a.yaml", "\u{feff}---\r\n# nothing\r\n")
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_list_of_the_api_may_have_no_items() {
    for items in ["[]", "null"] {
        let text = format!("{{\"kind\": \"List\", \"items\": {items}}}");
        assert!(parse("a.json", &text).unwrap().is_empty(), "{text}");
    }
}

#[test]
fn a_field_without_a_name_is_refused_in_words_for_people() {
    let said = refused("labels: {~: x}\n");
    assert!(
        said.contains("a field has no name here") && !said.contains("Option"),
        "{said}"
    );
}

#[test]
fn a_pipe_in_a_folder_is_passed_over_and_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), "kind: A").unwrap();
    let pipe = folder.path().join("x.yaml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("y.json")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("z.yml")).unwrap();
    let input = read(&[folder.path().to_owned()], &[]);
    assert!(input.problems.is_empty(), "{}", input.problems);
    assert_eq!(input.documents.len(), 1);
    let passed: Vec<SkipReason> = input.passed.iter().map(|passed| passed.why).collect();
    assert_eq!(passed, [SkipReason::Irregular; 3]);
}

#[test]
fn all_files_together_have_bounds_and_reading_ends_there() {
    let folder = tempfile::tempdir().unwrap();
    let values = "[".to_owned() + &"1,".repeat(40) + "1]";
    for name in ["a.json", "b.json", "c.json", "d.json"] {
        fs::write(folder.path().join(name), &values).unwrap();
    }
    let within = |bounds| read_within(&[folder.path().to_owned()], &[], bounds);
    for (bounds, most) in [
        (Bounds::of(10_000, 100, 100), "1000000 values"),
        (Bounds::of(200, 10_000, 100), "64 MiB"),
        (Bounds::of(10_000, 10_000, 2), "10000 documents"),
    ] {
        let input = within(bounds);
        assert_eq!(input.documents.len(), 2, "{most}");
        assert_eq!(input.problems.all().len(), 1, "{}", input.problems);
        let said = input.problems.to_string();
        let expected = format!("c.json: all files together may not have more than {most}");
        assert!(said.contains(&expected), "{said}");
    }
    assert!(within(Bounds::of(10_000, 10_000, 100)).problems.is_empty());
}

#[test]
fn who_wants_policies_is_told_what_has_to_be_built() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "kustomization.yaml",
        "resources: [p.yaml]\npatches: [{path: q.yaml}]\n",
    );
    write(
        "p.yaml",
        "apiVersion: leeward.dev/v1alpha1\nkind: PlacementPolicy\nmetadata: {name: p}\n",
    );
    write(
        "q.yaml",
        "apiVersion: leeward.dev/v1alpha1\nkind: PlacementPolicy\nmetadata: {name: p}\nspec: {mode: Enforce}\n",
    );
    let error = read(&[folder.path().to_owned()], &[])
        .strict()
        .unwrap_err()
        .to_string();
    assert!(error.contains("build it first: kustomize build"), "{error}");
    write("kustomization.yaml", "resources: [p.yaml]\n");
    fs::remove_file(folder.path().join("q.yaml")).unwrap();
    assert_eq!(read(&[folder.path().to_owned()], &[]).strict().unwrap().len(), 1);
}

#[test]
fn a_folder_that_cannot_be_walked_hides_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let deep = root.join("a/".repeat(40));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("deep.yaml"), "kind: A").unwrap();
    for name in ["b", "c"] {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("x.yaml"), "kind: A").unwrap();
        // Links in a circle, from more than one place.
        std::os::unix::fs::symlink(root, root.join(name).join("again")).unwrap();
    }
    let input = read(&[root.to_owned()], &[]);
    let said = input.problems.to_string();
    assert_eq!(input.problems.all().len(), 1, "{said}");
    assert!(said.contains("is nested deeper than 32 folders"), "{said}");
    assert_eq!(input.documents.len(), 2);
}

#[test]
fn what_is_left_out_of_a_folder_is_told_apart_from_what_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.json"), "{}").unwrap();
    let said = |exclude: &str| read(&[folder.path().to_owned()], &[exclude.to_owned()]);
    let nothing = said("*.json").problems.to_string();
    assert!(nothing.ends_with("but what --exclude leaves out"), "{nothing}");
    let name = folder.path().file_name().unwrap().to_string_lossy().into_owned();
    let input = said(&name);
    assert!(input.problems.is_empty(), "{}", input.problems);
    assert_eq!(input.passed[0].why, SkipReason::Excluded);
}
