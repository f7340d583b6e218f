use std::collections::BTreeSet;

use super::*;
use crate::{docs::anchor, generated::repository};

fn root() -> Command {
    let mut root = Args::command();
    root.build();
    root
}

/// The part below the heading of a command.
fn part<'a>(text: &'a str, heading: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("\n{heading}\n")).expect(heading);
    rest.split("\n## ").next().unwrap_or_default()
}

fn shown(command: &Command) -> impl Iterator<Item = &Arg> {
    let arguments = command.get_arguments();
    arguments.filter(|argument| !argument.is_hide_set() && argument.get_id() != "help")
}

#[test]
fn the_committed_reference_is_what_the_arguments_generate() {
    crate::generated::check(&generate().unwrap(), "docs").unwrap();
}

#[test]
fn every_command_option_and_value_is_explained() {
    let root = root();
    for command in commands(&root) {
        let name = command.get_name();
        assert!(command.get_about().is_some(), "{name}");
        for argument in shown(command) {
            let id = argument.get_id();
            assert!(argument.get_help().is_some(), "{name} {id}");
            // The names of shells need no words.
            let values = argument.get_possible_values();
            for value in values.iter().filter(|_| id != "shell") {
                assert!(value.get_help().is_some(), "{name} {id} {}", value.get_name());
            }
        }
    }
}

#[test]
fn every_option_is_found_from_its_command_with_all_that_sets_it() {
    let (root, text) = (root(), reference(&root()).unwrap());
    let common = part(&text, "## Options in common");
    for command in commands(&root) {
        let name = command.get_name();
        let own = part(&text, &format!("## leeward {name}"));
        for argument in shown(command) {
            let item = item(argument);
            let linked = argument.get_help_heading().is_some_and(|heading| {
                own.contains(&format!("[{heading}](#"))
                    && part(&text, &format!("### {heading} options")).contains(&item)
            });
            assert!(
                own.contains(&item) || (linked && common.contains(&item)),
                "{name}: {item}"
            );
            for source in argument
                .get_env()
                .into_iter()
                .chain(argument.get_long().map(AsRef::as_ref))
            {
                assert!(item.contains(&*source.to_string_lossy()), "{item}");
            }
        }
    }
}

#[test]
fn the_options_under_a_heading_are_the_same_for_every_command() {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let root = root();
    for command in commands(&root) {
        for (heading, options) in sections(command) {
            if [ARGUMENTS, OPTIONS].contains(&heading.as_str()) {
                continue;
            }
            let before = known.entry(heading.clone()).or_insert_with(|| options.clone());
            assert_eq!(
                *before,
                options,
                "{heading} of {}: in the arguments, own options go before those in common",
                command.get_name()
            );
        }
    }
    assert!(
        known.contains_key("Connection") && known.contains_key("Policy"),
        "{known:?}"
    );
}

#[test]
fn every_link_leads_to_exactly_one_heading() {
    let text = reference(&root()).unwrap();
    let mut anchors = BTreeSet::new();
    for heading in text
        .lines()
        .filter(|line| line.starts_with('#') && line.contains("# "))
    {
        let heading = heading.trim_start_matches('#').trim();
        assert!(anchors.insert(anchor(heading)), "two headings {heading:?}");
    }
    for link in text
        .split("](#")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
    {
        assert!(anchors.contains(link), "no heading for #{link}");
    }
}

#[test]
fn nothing_in_it_depends_on_when_and_where_it_was_generated() {
    let text = reference(&root()).unwrap();
    let folder = repository().canonicalize().unwrap();
    assert!(!text.contains(&*folder.to_string_lossy()) && !text.contains(env!("CARGO_PKG_VERSION")));
}
