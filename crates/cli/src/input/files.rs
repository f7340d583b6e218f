//! Which files the arguments name, and what is in them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Problem, Problems};

/// No file may be larger.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// No folder may hold more files and folders, those of its folders included.
const MAX_ENTRIES: usize = 10_000;
/// No folder may be nested deeper; links could make circles.
const MAX_DEPTH: usize = 32;

/// A file, or standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As people name it.
    pub name: String,
    path: Option<PathBuf>,
}

impl Source {
    fn file(path: &Path) -> Self {
        Self {
            name: path.display().to_string(),
            path: Some(path.to_owned()),
        }
    }

    /// What is in it.
    pub fn text(&self) -> Result<String, Problem> {
        let bytes = match &self.path {
            None => bounded(io::stdin().lock()),
            Some(path) => File::open(path).and_then(bounded),
        };
        let bytes = bytes.map_err(|error| self.problem(format!("cannot be read: {error}")))?;
        String::from_utf8(bytes)
            .map_err(|_| self.problem("is not text in UTF-8: name files of YAML or JSON".to_owned()))
    }

    fn problem(&self, text: String) -> Problem {
        problem(&self.name, text)
    }
}

fn problem(name: &str, text: String) -> Problem {
    Problem {
        file: name.to_owned(),
        place: None,
        text,
    }
}

fn bounded(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        let text = format!("it has more than {} MiB", MAX_BYTES / 1024 / 1024);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// The files that the arguments name, each once.
pub fn sources(paths: &[PathBuf], problems: &mut Problems) -> Vec<Source> {
    let mut found = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        if path.as_os_str() == "-" {
            let stdin = Source { name, path: None };
            // It can be read only once.
            if !found.contains(&stdin) {
                found.push(stdin);
            }
        } else if path.is_dir() {
            let before = found.len();
            match walk(path, 0, &mut 0, &mut found) {
                Err(problem) => problems.push(problem),
                Ok(()) if found.len() == before => {
                    let text = "has no file whose name ends with .yaml, .yml or .json".to_owned();
                    problems.push(problem(&name, text));
                }
                Ok(()) => {}
            }
        } else {
            found.push(Source::file(path));
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|source| match &source.path {
        None => true,
        Some(path) => seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone())),
    });
    found
}

/// A folder's files by name, then those of its folders; hidden ones are somebody else's.
fn walk(folder: &Path, depth: usize, entries: &mut usize, found: &mut Vec<Source>) -> Result<(), Problem> {
    let name = folder.display().to_string();
    let too_much = |what: String| {
        problem(
            &name,
            format!("{what}: name a folder that holds definitions only"),
        )
    };
    if depth > MAX_DEPTH {
        return Err(too_much(format!("is nested deeper than {MAX_DEPTH} folders")));
    }
    // One more than may be, so that the largest folder takes no more than the limit.
    let left = MAX_ENTRIES - *entries + 1;
    let listed: io::Result<Vec<PathBuf>> = fs::read_dir(folder).and_then(|listed| {
        listed
            .take(left)
            .map(|entry| entry.map(|entry| entry.path()))
            .collect()
    });
    let mut paths = listed.map_err(|error| problem(&name, format!("cannot be read: {error}")))?;
    *entries += paths.len();
    if *entries > MAX_ENTRIES {
        return Err(too_much(format!(
            "makes more than {MAX_ENTRIES} files and folders"
        )));
    }
    paths.retain(|path| !is_hidden(path));
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(&path, depth + 1, entries, found)?;
        } else if is_document(&path) {
            found.push(Source::file(&path));
        }
    }
    Ok(())
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn is_document(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}
