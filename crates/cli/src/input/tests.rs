use std::fs;

use serde_json::json;

use super::*;

fn one(text: &str) -> Document {
    let mut documents = parse("file.yaml", text).unwrap();
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents.remove(0)
}

fn at(document: &Document, pointer: &str) -> (u64, u64) {
    let Place { line, column } = document.place(pointer);
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
    let documents = read(&[folder.path().to_owned()]).unwrap();
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
    let documents = read(&[file.clone(), other, folder.path().to_owned(), file]).unwrap();
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
    assert_eq!(read(&folders).unwrap().len(), 1);
    fs::write(inner.join("more.txt"), "").unwrap();
    let error = read(&folders).unwrap_err().to_string();
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
    let error = read(&names.map(file)).unwrap_err();
    assert_eq!(error.all().len(), names.len(), "{error}");
    for name in names {
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
    assert!(error.to_string().contains("bad.yaml:1:"), "{error}");
}
