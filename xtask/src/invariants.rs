//! Every invariant of ARCHITECTURE.md has a test that is named after it: `fn p5_…` for P5.

use std::{collections::BTreeMap, fs};

use anyhow::Context as _;

use crate::generated::repository;
use crate::sources::rust_files;

/// The names of the tests of each invariant that ARCHITECTURE.md lists.
fn tests_by_invariant() -> anyhow::Result<BTreeMap<u32, Vec<String>>> {
    let architecture = fs::read_to_string(repository().join("ARCHITECTURE.md")).context("ARCHITECTURE.md")?;
    let mut tests: BTreeMap<u32, Vec<String>> = architecture
        .lines()
        .filter_map(invariant)
        .map(|id| (id, Vec::new()))
        .collect();
    for file in rust_files()? {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        for (id, name) in named_tests(&text) {
            tests.entry(id).or_default().push(name);
        }
    }
    Ok(tests)
}

/// The number of a row such as `| P7 | … |`.
fn invariant(line: &str) -> Option<u32> {
    line.strip_prefix("| P")?.split(' ').next()?.parse().ok()
}

/// Functions with `test` in their attributes, and the invariant that their name begins with.
fn named_tests(text: &str) -> Vec<(u32, String)> {
    let mut attributes = String::new();
    let mut tests = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            attributes += line;
            continue;
        }
        let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn p");
        let named = name.and_then(|name| {
            let (id, rest) = name.split_once('_')?;
            let name = rest.split('(').next()?;
            Some((id.parse().ok()?, format!("p{id}_{name}")))
        });
        tests.extend(named.filter(|_| attributes.contains("test")));
        attributes.clear();
    }
    tests
}

#[test]
fn every_invariant_has_a_test_that_is_named_after_it() -> anyhow::Result<()> {
    let tests = tests_by_invariant()?;
    assert_eq!(
        tests.keys().copied().collect::<Vec<u32>>(),
        (1..=12).collect::<Vec<u32>>()
    );
    let without: Vec<String> = tests
        .iter()
        .filter(|(_, tests)| tests.is_empty())
        .map(|(id, _)| format!("P{id}"))
        .collect();
    assert!(
        without.is_empty(),
        "no test is named after {}",
        without.join(", ")
    );
    Ok(())
}

#[test]
fn only_functions_that_are_run_as_tests_count() {
    let text = "
        #[test]
        fn p1_one() {}
        fn p2_helper() {}
        #[tokio::test(start_paused = true)]
        async fn p3_three() {}
        #[test]
        fn other() {}
        // fn p4_comment() {}
        #[allow(dead_code)]
        fn p5_unused() {}
        #[test]
        fn p12_values(number in 0..3) {}
    ";
    let expected = [(1, "p1_one"), (3, "p3_three"), (12, "p12_values")];
    assert_eq!(
        named_tests(text),
        expected.map(|(id, name)| (id, name.to_owned()))
    );
}
