use std::collections::BTreeSet;

use super::*;

fn all() -> impl Iterator<Item = (Chapter, Entry)> {
    chapters().into_iter().flat_map(|chapter| {
        let entries = chapter.entries.clone();
        entries.into_iter().map(move |entry| (chapter.clone(), entry))
    })
}

/// Every text of an entry, with what it is.
fn texts(entry: &Entry) -> [(&'static str, &'static str); 3] {
    let Runbook { see, act } = entry.runbook;
    [("meaning", entry.meaning), ("see", see), ("act", act)]
}

#[test]
fn every_word_says_what_it_means_how_to_see_it_and_what_to_do() {
    for (chapter, entry) in all() {
        for (part, text) in texts(&entry) {
            let name = format!("{} {}: {part}", chapter.title, entry.word);
            assert!(
                text.len() >= NOTHING.len() && text.ends_with('.'),
                "{name}: {text:?}"
            );
            assert!(!text.contains('\n') && text == text.trim(), "{name}: {text:?}");
            assert!(!text.contains("  "), "{name} has a gap: {text:?}");
            assert_eq!(
                text.matches('`').count() % 2,
                0,
                "{name}: an open quotation: {text:?}"
            );
        }
    }
}

#[test]
fn a_paragraph_has_five_sentences_at_most() {
    for (chapter, entry) in all() {
        for (part, text) in texts(&entry) {
            let sentences = text.matches(". ").count() + 1;
            assert!(
                sentences <= 5,
                "{} {}: {part}: {sentences}",
                chapter.title,
                entry.word
            );
        }
    }
}

#[test]
fn no_two_words_are_seen_in_the_same_way() {
    let mut seen = BTreeSet::new();
    for (chapter, entry) in all() {
        let is_new = seen.insert((chapter.qualifier, entry.runbook.see));
        assert!(is_new, "{} {}: {}", chapter.title, entry.word, entry.runbook.see);
    }
}

#[test]
fn what_is_wrong_has_a_cure() {
    let fine = ["fine", "Normal", "Degraded is False"];
    for (chapter, entry) in all() {
        let is_fine = fine.contains(&entry.kind.as_str()) || entry.kind.ends_with(" is True");
        let is_wrong = !is_fine && entry.word != "Succeeded";
        if is_wrong || entry.kind == "Degraded is True" {
            assert_ne!(entry.runbook.act, NOTHING, "{} {}", chapter.title, entry.word);
        }
    }
}

#[test]
fn every_vocabulary_that_people_look_words_up_in_has_its_chapter() {
    let titles: Vec<&str> = chapters().iter().map(|chapter| chapter.title).collect();
    let wanted = [
        "Reasons of findings",
        "Checks",
        "Reasons of Accepted",
        "Reasons of ResolvedRefs",
        "Reasons of Observed",
        "Reasons of InPlace",
        "Reasons of Approved",
        "Reasons of Progressing",
        "Reasons of Degraded",
        "Reasons of Connected",
        "Results of actions",
        "States of plans",
        "Events",
    ];
    assert_eq!(titles, wanted);
    assert!(chapters().iter().all(|chapter| !chapter.entries.is_empty()));
}

#[test]
fn a_word_is_told_from_the_same_one_of_another_chapter() {
    let mut named = BTreeSet::new();
    for (chapter, entry) in all() {
        assert!(
            named.insert((chapter.qualifier, entry.word)),
            "{} {} is told from nothing",
            chapter.title,
            entry.word
        );
    }
}

#[test]
fn the_kind_of_a_word_comes_from_the_vocabulary() {
    let kind = |qualifier, word| {
        let (_, entry) = all()
            .find(|(chapter, entry)| chapter.qualifier == qualifier && entry.word == word)
            .unwrap();
        entry.kind
    };
    assert_eq!(kind(None, "CoolingDown"), "soft");
    assert_eq!(kind(None, "NoLocalLeader"), "");
    assert_eq!(kind(Some("InPlace"), "NoMajority"), "InPlace is Unknown");
    assert_eq!(kind(Some("Degraded"), "MoveTimedOut"), "Degraded is True");
    assert_eq!(kind(Some("Event"), "BreakerOpened"), "Warning");
}

#[test]
fn glossaries_say_what_each_word_means() {
    for glossary in glossaries() {
        assert!(
            !glossary.words.is_empty() && glossary.shown.ends_with('.'),
            "{}",
            glossary.title
        );
        for (word, meaning) in glossary.words {
            assert!(meaning.ends_with('.'), "{word}: {meaning:?}");
        }
    }
}
