//! The facts of `docs/nats-facts.md`: each cited fact exists, and each fact is cited or background.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, bail, ensure};

use crate::generated::repository;
use crate::sources::rust_files;

const FILE: &str = "docs/nats-facts.md";
/// How comments name the file.
const NAME: &str = "nats-facts";

/// The text below a fact's heading.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fact {
    background: bool,
    /// The names of the tests that hold it.
    tests: Vec<String>,
}

/// By number.
fn facts(page: &str) -> anyhow::Result<BTreeMap<u32, Fact>> {
    let mut facts = BTreeMap::new();
    for section in page.split("\n### ").skip(1) {
        let (heading, body) = section.split_once('\n').context("a heading without text")?;
        let number = heading.strip_prefix('N').and_then(|number| number.parse().ok());
        let number = number.with_context(|| format!("{heading} is not a number such as N14"))?;
        let fact = fact(body).with_context(|| format!("N{number}"))?;
        ensure!(facts.insert(number, fact).is_none(), "N{number} is there twice");
    }
    Ok(facts)
}

fn fact(body: &str) -> anyhow::Result<Fact> {
    let last = body.lines().find(|line| line.starts_with("Servers: "));
    let last = last.context("it has no line that begins with \"Servers: \"")?;
    let (servers, tests) = last.split_once(". Test: ").context("it names no test")?;
    ensure!(servers.len() > "Servers: ".len(), "it names no servers");
    let (tests, background) = match tests.strip_suffix(" Background.") {
        Some(tests) => (tests, true),
        None => (tests, false),
    };
    if let Some(why) = tests.strip_prefix("none, ") {
        ensure!(why.len() > 1, "it does not say why there is no test");
        return Ok(Fact {
            background,
            tests: Vec::new(),
        });
    }
    let tests = tests.trim_end_matches('.').split(", ");
    let tests: Option<Vec<String>> = tests
        .map(|test| Some(test.strip_prefix('`')?.strip_suffix('`')?.to_owned()))
        .collect();
    let Some(tests) = tests else {
        bail!("its tests are not like `name`, `name`");
    };
    Ok(Fact { background, tests })
}

/// The numbers that a source file cites: `(nats-facts N14, N16)`, `(nats-facts N40–N49)`, over the end of a line too.
fn cited(source: &str) -> BTreeSet<u32> {
    let words: Vec<&str> = source
        .split_whitespace()
        .filter(|word| !["//", "///", "//!"].contains(word))
        .collect();
    let mut cited = BTreeSet::new();
    for (at, word) in words.iter().enumerate() {
        if !word.ends_with(NAME) {
            continue;
        }
        for word in words.iter().skip(at + 1) {
            let numbers: Option<Vec<u32>> = word
                .trim_end_matches(|end: char| !end.is_ascii_digit())
                .split('–')
                .map(|number| number.strip_prefix('N')?.parse().ok())
                .collect();
            match numbers.as_deref() {
                Some([one]) => cited.extend([*one]),
                Some([first, last]) => cited.extend(*first..=*last),
                _ => break,
            }
            if !word.ends_with(',') {
                break;
            }
        }
    }
    cited
}

#[test]
fn every_fact_that_is_cited_is_there_and_every_other_one_is_background() -> anyhow::Result<()> {
    let page = fs::read_to_string(repository().join(FILE)).context(FILE)?;
    let facts = facts(&page)?;
    let mut sources = String::new();
    let mut all = BTreeSet::new();
    for file in rust_files()? {
        let source = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        if !file.ends_with("xtask/src/facts.rs") {
            let cited = cited(&source);
            let lost = cited.iter().find(|number| !facts.contains_key(number));
            ensure!(
                lost.is_none(),
                "{} cites {lost:?}, which {FILE} lacks",
                file.display()
            );
            all.extend(cited);
        }
        sources += &source;
    }
    for (number, fact) in &facts {
        ensure!(
            all.contains(number) != fact.background,
            "N{number} has to be cited by a comment or to be background"
        );
        for test in &fact.tests {
            ensure!(
                sources.contains(&format!("fn {test}(")),
                "N{number}: there is no test {test}"
            );
        }
    }
    Ok(())
}

#[test]
fn numbers_are_read_where_comments_name_them() {
    let source = "
        //! A first one (nats-facts N4), a second N5.
        /// A range (nats-facts N40–N43, N51), and over a line (nats-facts
        /// N7).
        // One with words (nats-facts N29: R1, N30), and none (nats-facts).
    ";
    assert_eq!(Vec::from_iter(cited(source)), [4, 7, 29, 40, 41, 42, 43, 51]);
}

#[test]
fn a_fact_has_servers_and_tests_or_says_why_not() {
    let page = "# Title\n\n### N1\n\nText.\n\nServers: all. Test: `one`, `two`.\n\n\
                ### N2\n\nServers: 2.10 to 2.15. Test: none, a measure. Background.\n";
    let [one, two] = [
        Fact {
            background: false,
            tests: vec!["one".to_owned(), "two".to_owned()],
        },
        Fact {
            background: true,
            tests: Vec::new(),
        },
    ];
    assert_eq!(facts(page).unwrap(), BTreeMap::from([(1, one), (2, two)]));
    for bad in [
        "\n### N1\nText.",
        "\n### N1\nServers: . Test: `a`.",
        "\n### N1\nServers: all. Test: none, ",
        "\n### N1\nServers: all. Test: a.",
        "\n### N1\nServers: all. Test: `a`.\n### N1\nServers: all. Test: `a`.",
        "\n### Nx\nServers: all. Test: `a`.",
    ] {
        assert!(facts(bad).is_err(), "{bad}");
    }
}
