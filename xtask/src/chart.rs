//! The chart's README, from the comments in its `values.yaml`: `# --` begins the description of the value below it.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::ensure;

use crate::generated::Generated;

const VALUES: &str = include_str!("../../charts/leeward/values.yaml");
const INTRODUCTION: &str = include_str!("chart/introduction.md");

struct ExplainedValue {
    path: String,
    default: String,
    text: String,
}

/// The file as it should be.
pub fn generate() -> anyhow::Result<Generated> {
    let mut text = format!("{INTRODUCTION}\n| Value | Default | What it is |\n|---|---|---|\n");
    for ExplainedValue {
        path,
        default,
        text: comment,
    } in explained(VALUES)?
    {
        writeln!(text, "| `{path}` | `{default}` | {comment} |")?;
    }
    Ok(Generated {
        path: PathBuf::from("charts/leeward/README.md"),
        text,
    })
}

/// The values in their order. A value without a description is an error, unless it only holds others.
fn explained(values: &str) -> anyhow::Result<Vec<ExplainedValue>> {
    let mut found = Vec::new();
    let mut parents: Vec<(usize, String)> = Vec::new();
    let mut comment: Option<String> = None;
    for line in values.lines() {
        let trimmed = line.trim_start();
        let depth = line.len() - trimmed.len();
        if let Some(begun) = trimmed.strip_prefix("# -- ") {
            comment = Some(begun.to_owned());
        } else if let (Some(comment), Some(more)) = (&mut comment, trimmed.strip_prefix("# ")) {
            comment.push(' ');
            comment.push_str(more);
        } else if let Some((key, default)) = trimmed.split_once(':').filter(|_| is_key(trimmed)) {
            parents.retain(|(above, _)| *above < depth);
            parents.push((depth, key.to_owned()));
            let keys: Vec<&str> = parents.iter().map(|(_, key)| key.as_str()).collect();
            let path = keys.join(".");
            let default = default.trim();
            match comment.take() {
                Some(text) => found.push(ExplainedValue {
                    path,
                    default: if default.is_empty() {
                        "see values.yaml"
                    } else {
                        default
                    }
                    .to_owned(),
                    text,
                }),
                None => ensure!(
                    default.is_empty(),
                    "values.yaml: nothing is said of {path}: put `# -- …` above it"
                ),
            }
        }
    }
    Ok(found)
}

fn is_key(line: &str) -> bool {
    line.starts_with(|first: char| first.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_readme_of_the_chart_is_what_its_values_say() {
        crate::generated::check(&[generate().unwrap()], "docs").unwrap();
    }

    #[test]
    fn a_value_has_its_path_its_default_and_all_that_is_said_of_it() {
        let values = "a:\n  # -- One thing.\n  # And more.\n  b: 1\n# -- Another.\nc: []\n";
        let found = explained(values).unwrap();
        let shown: Vec<String> = found
            .iter()
            .map(|value| format!("{} {} {}", value.path, value.default, value.text))
            .collect();
        assert_eq!(shown, ["a.b 1 One thing. And more.", "c [] Another."]);
    }

    #[test]
    fn a_value_of_which_nothing_is_said_is_an_error() {
        let comment = explained("a:\n  b: 1\n").err().unwrap().to_string();
        assert!(comment.contains("a.b"), "{comment}");
    }
}
