//! Every relative link of the documents resolves, with its heading, and every path that they name exists.
//!
//! Links are resolved as GitHub does it. Code blocks are left out, and so are links to the web.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::{docs::anchor, generated::repository};

/// Where documents are, besides the root.
const FOLDERS: [&str; 5] = ["charts", "crates", "docs", "examples", "tools"];
/// The first folders of the paths that are named in `code`.
const ROOTS: [&str; 7] = [
    "charts/",
    "crates/",
    "docs/",
    "examples/",
    "tests/",
    "tools/",
    "xtask/",
];

/// Files with an extension in a folder and the folders in it.
pub fn files(folder: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|other| other == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The documents, relative to the repository.
pub fn documents() -> anyhow::Result<Vec<PathBuf>> {
    let root = repository();
    let mut found = Vec::new();
    for entry in fs::read_dir(&root)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    for folder in FOLDERS {
        found.extend(files(&root.join(folder), "md")?);
    }
    let relative = found.iter().map(|path| path.strip_prefix(&root));
    let mut relative: Vec<PathBuf> = relative
        .collect::<Result<Vec<_>, _>>()?
        .iter()
        .map(PathBuf::from)
        .collect();
    relative.sort();
    Ok(relative)
}

/// The lines that are not in a code block.
pub fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The fragments of a document's headings; one that comes again is numbered.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let headings = prose(text).filter(|line| line.starts_with('#'));
    headings
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .map(|anchor| {
            let count = seen.entry(anchor.clone()).or_default();
            *count += 1;
            match *count {
                1 => anchor,
                more => format!("{anchor}-{}", more - 1),
            }
        })
        .collect()
}

/// A line in pieces: outside and inside of `code`, alternating.
pub fn pieces(line: &str) -> (String, Vec<&str>) {
    let parts = line.split('`').enumerate();
    let (code, plain): (Vec<_>, Vec<_>) = parts.partition(|(index, _)| index % 2 == 1);
    let plain: Vec<&str> = plain.into_iter().map(|(_, part)| part).collect();
    (plain.join("`"), code.into_iter().map(|(_, part)| part).collect())
}

fn links(line: &str) -> Vec<String> {
    let (plain, _) = pieces(line);
    let targets = plain.split("](").skip(1);
    targets
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// Why a link of a document does not resolve.
fn why_broken(document: &Path, link: &str) -> anyhow::Result<Option<String>> {
    if link.contains("://") || link.starts_with("mailto:") {
        return Ok(None);
    }
    let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() {
        repository().join(document)
    } else {
        repository().join(document).with_file_name("").join(path)
    };
    if !target.exists() {
        return Ok(Some("no such file".to_owned()));
    }
    if fragment.is_empty() {
        return Ok(None);
    }
    let text = fs::read_to_string(&target).with_context(|| target.display().to_string())?;
    Ok((!anchors(&text).contains(fragment)).then(|| "no such heading".to_owned()))
}

/// Paths in `code` that do not exist.
fn missing_paths(line: &str) -> Vec<String> {
    let (_, code) = pieces(line);
    let is_path = |text: &&str| {
        ROOTS.iter().any(|root| text.starts_with(root))
            && text
                .chars()
                .all(|character| character.is_alphanumeric() || "/._-".contains(character))
    };
    let missing = code
        .into_iter()
        .filter(is_path)
        .filter(|path| !repository().join(path).exists());
    missing.map(str::to_owned).collect()
}

/// Everything that is wrong with the documents.
fn wrong() -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for document in documents()? {
        let text = fs::read_to_string(repository().join(&document))?;
        for line in prose(&text) {
            for link in links(line) {
                let why = why_broken(&document, &link)?;
                wrong.extend(why.map(|why| format!("{}: {link}: {why}", document.display())));
            }
            let missing = missing_paths(line).into_iter();
            wrong.extend(missing.map(|path| format!("{}: `{path}` does not exist", document.display())));
        }
    }
    Ok(wrong)
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let documents = documents().unwrap();
    assert!(documents.contains(&PathBuf::from("README.md")), "{documents:?}");
    assert!(documents.len() >= 10, "{documents:?}");
    let wrong = wrong().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_of_the_documentation_is_in_its_index() {
    let index = fs::read_to_string(repository().join("docs/README.md")).unwrap();
    let linked: BTreeSet<String> = prose(&index).flat_map(links).collect();
    let pages = files(&repository().join("docs"), "md").unwrap();
    let names = pages.iter().filter_map(|path| path.file_name()?.to_str());
    let missing: Vec<&str> = names
        .filter(|name| *name != "README.md" && !linked.contains(*name))
        .collect();
    assert!(missing.is_empty(), "docs/README.md does not link to {missing:?}");
}

#[test]
fn a_link_to_nothing_is_found() {
    let readme = Path::new("README.md");
    let why = |link: &str| why_broken(readme, link).unwrap();
    assert_eq!(why("docs/nothing.md").as_deref(), Some("no such file"));
    assert_eq!(
        why("docs/operations.md#nothing").as_deref(),
        Some("no such heading")
    );
    assert_eq!(why("docs/operations.md#inplace-held"), None);
    assert_eq!(why("https://example.com/nothing"), None);
    assert_eq!(
        why_broken(Path::new("docs/cli.md"), "operations.md").unwrap(),
        None
    );
    assert_eq!(
        missing_paths("see `docs/nothing.md` and `docs/cli.md`"),
        ["docs/nothing.md"]
    );
}

#[test]
fn links_in_code_are_none_and_headings_that_come_again_are_numbered() {
    assert_eq!(links("[a](b.md), `[c](d.md)` and [e](#f)"), ["b.md", "#f"]);
    let text = "# One\n```\n# Two\n[x](y)\n```\n## One\n### A: `b` c\n";
    let expected = ["a-b-c", "one", "one-1"].map(str::to_owned);
    assert_eq!(anchors(text), BTreeSet::from(expected));
    assert_eq!(prose(text).flat_map(links).count(), 0);
}
