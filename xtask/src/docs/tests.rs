use std::{collections::BTreeSet, fs, path::Path};

use leeward_api::vocabulary::ActionType;
use strum::IntoEnumIterator as _;

use super::*;

fn manual() -> String {
    let pages = generate().unwrap();
    let file = pages.iter().find(|page| page.path.ends_with("operations.md"));
    file.unwrap().text.clone()
}

fn headings(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| line.starts_with('#'));
    lines.map(|line| line.trim_start_matches('#').trim()).collect()
}

#[test]
fn the_committed_manual_is_what_the_vocabulary_generates() {
    crate::generated::check(&generate().unwrap(), "docs").unwrap();
}

#[test]
fn every_word_has_a_heading_and_three_paragraphs_of_its_own() {
    let text = manual();
    for chapter in chapters() {
        for entry in &chapter.entries {
            let title = format!("\n### {}\n", heading(&chapter, entry));
            let sections: Vec<&str> = text.split(&title).skip(1).collect();
            let [section] = sections[..] else {
                panic!("{title:?} is there {} times", sections.len())
            };
            let own = section.split("\n#").next().unwrap_or_default();
            let paragraphs: Vec<&str> = own.split("\n\n").map(str::trim).collect();
            let [meaning, see, act] = paragraphs[..] else {
                panic!("{title:?} has {paragraphs:?}")
            };
            assert!(meaning.ends_with(entry.meaning), "{title:?}: {meaning}");
            assert_eq!(
                see,
                format!("**How to see it.** {}", entry.runbook.see),
                "{title:?}"
            );
            assert_eq!(act, format!("**What to do.** {}", entry.runbook.act), "{title:?}");
        }
    }
}

#[test]
fn every_link_leads_to_exactly_one_heading() {
    let text = manual();
    let mut anchors = BTreeSet::new();
    for heading in headings(&text) {
        assert!(anchors.insert(anchor(heading)), "two headings {heading:?}");
    }
    let links = text.split("](#").skip(1);
    for link in links.filter_map(|rest| rest.split(')').next()) {
        assert!(anchors.contains(link), "no heading for #{link}");
    }
}

#[test]
fn links_between_the_pages_lead_to_headings() {
    let pages = generate().unwrap();
    for page in &pages {
        for link in page
            .text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let Some((name, fragment)) = link.split_once(".md#") else {
                continue;
            };
            let name = format!("{name}.md");
            // Those to pages that people write are tested with all links of the documents.
            let Some(target) = pages.iter().find(|page| page.path.ends_with(&name)) else {
                continue;
            };
            let found = headings(&target.text)
                .into_iter()
                .any(|heading| anchor(heading) == fragment);
            assert!(found, "{}: no heading for {link}", page.path.display());
        }
    }
}

#[test]
fn a_finding_is_linked_by_its_word_and_another_word_by_its_place() {
    let text = manual();
    let found = headings(&text);
    let linked = |fragment: &str| found.iter().any(|heading| anchor(heading) == fragment);
    assert!(linked("coolingdown") && linked("progressing-outsidewindow") && linked("event-leadermoved"));
}

#[test]
fn the_manual_fits_markdown_tables() {
    for line in manual().lines().filter(|line| line.starts_with('|')) {
        assert!(line.ends_with('|'), "a row that breaks off: {line}");
        let columns = line.matches('|').count();
        assert!((3..=4).contains(&columns), "{columns} bars in {line}");
    }
}

/// The code that is shipped, without its tests.
fn sources(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push(text.split("#[cfg(test)]").next().unwrap_or_default().to_owned());
        }
    }
    found
}

/// Whether a text uses a word in an expression; patterns are followed by an arrow or by another pattern.
fn says(text: &str, word: &str) -> bool {
    text.split(word).skip(1).any(|rest| {
        let ends = !rest.starts_with(|next: char| next.is_alphanumeric());
        let rest = rest.trim_start_matches(')').trim_start();
        ends && !rest.starts_with("=>") && !rest.starts_with('|')
    })
}

#[test]
fn every_word_is_produced_by_the_code() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let folders = ["core", "engine", "nats", "operator", "cli"];
    let code: Vec<String> = folders
        .iter()
        .flat_map(|name| sources(&crates.join(name).join("src")))
        .collect();
    let mut unsaid = Vec::new();
    for chapter in chapters() {
        for entry in &chapter.entries {
            let word = format!("{}::{}", chapter.vocabulary, entry.word);
            if !code.iter().any(|text| says(text, &word)) {
                unsaid.push(word);
            }
        }
    }
    assert!(
        unsaid.is_empty(),
        "nothing produces {unsaid:?}: take them out of the vocabulary"
    );
}

#[test]
fn a_word_in_a_pattern_is_not_said() {
    assert!(says("Some(A::B)", "A::B") && says("A::B.into()", "A::B") && says("(A::B, text)", "A::B"));
    assert!(!says("A::B => 1", "A::B") && !says("Some(A::B) | None", "A::B") && !says("A::Bold", "A::B"));
}

#[test]
fn the_labels_of_metrics_name_every_kind_of_action() {
    let introduction = include_str!("metrics.md");
    for action in ActionType::iter() {
        assert!(introduction.contains(&format!("`{action}`")), "{action}");
    }
}
