//! Which files the arguments name, and what is in them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use leeward_core::policy::Globs;

use super::bounds::{Bounds, FILE_BYTES};
use super::{InputDocuments, Passed, Problem, SkipReason, foreign};

/// No folder may hold more files and folders, those of its folders included.
const MAX_ENTRIES: usize = 10_000;
/// Endings of document names, in any case.
const ENDINGS: [&str; 7] = ["yaml", "yml", "json", "jsonc", "json5", "jsonl", "ndjson"];
/// No folder may be nested deeper.
const MAX_DEPTH: usize = 32;

/// A file, or standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputSource {
    /// As people name it.
    pub name: String,
    /// Whether it was found in a folder, and not named itself.
    pub in_folder: bool,
    path: Option<PathBuf>,
}

impl InputSource {
    fn file(path: &Path, in_folder: bool) -> Self {
        Self {
            name: path.display().to_string(),
            in_folder,
            path: Some(path.to_owned()),
        }
    }

    /// What is in it.
    pub fn text(&self, bounds: &mut Bounds) -> Result<String, Problem> {
        let bytes = match &self.path {
            None => bounded(io::stdin().lock()),
            Some(path) => File::open(path).and_then(bounded),
        };
        let bytes = bytes.map_err(|error| self.problem(format!("cannot be read: {error}")))?;
        bounds.take_bytes(&self.name, bytes.len() as u64)?;
        String::from_utf8(bytes)
            .map_err(|_| self.problem("is not text in UTF-8: name files of YAML or JSON".to_owned()))
    }

    /// Something that is wrong with all of it.
    pub fn problem(&self, text: String) -> Problem {
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
    reader.take(FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES {
        let text = format!("it has more than {} MiB", FILE_BYTES / 1024 / 1024);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// The files that the arguments name, each once. A pipe is read if an argument names it, as shells do, but not in a
/// folder.
pub fn sources(paths: &[PathBuf], exclude: &[String], input: &mut InputDocuments) -> Vec<InputSource> {
    let exclude = Exclude::new(exclude);
    let mut found = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        if path.as_os_str() == "-" {
            let stdin = InputSource {
                name,
                in_folder: false,
                path: None,
            };
            // It can be read only once.
            if !found.contains(&stdin) {
                found.push(stdin);
            }
        } else if exclude.matches(path) {
            input.passed.push(Passed::new(&name, SkipReason::Excluded));
        } else if path.is_dir() {
            let (before, passed) = (found.len(), input.passed.len());
            let mut walk = Walk {
                exclude: &exclude,
                entries: 0,
                walked: BTreeSet::new(),
                found: &mut found,
                passed: &mut input.passed,
                problems: Vec::new(),
            };
            let whole = walk.folder(path, 0);
            let mut problems = walk.problems;
            problems.extend(whole.err());
            if problems.is_empty() && found.len() == before {
                let passed = input.passed.get(passed..).unwrap_or_default();
                problems.push(problem(&name, nothing_in_folder(passed)));
            }
            input.problems.extend(problems);
        } else {
            found.push(InputSource::file(path, false));
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|source| match &source.path {
        None => true,
        Some(path) => seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone())),
    });
    found
}

fn nothing_in_folder(passed: &[Passed]) -> String {
    const NOTHING: &str = "has no file whose name ends with .yaml, .yml or .json";
    let languages = passed.iter().find_map(|passed| foreign::language(&passed.file));
    let has = |why: SkipReason| passed.iter().any(|passed| passed.why == why);
    match languages {
        Some(language) => format!("{NOTHING}: {}", language.refusal("FILE")),
        None if has(SkipReason::Excluded) => format!("{NOTHING} but what --exclude leaves out"),
        None if has(SkipReason::Ending) => format!("{NOTHING}: name those that go on behind that with -f"),
        None => NOTHING.to_owned(),
    }
}

/// What is not read, though it was named or is in a folder.
struct Exclude(Option<Globs>);

impl Exclude {
    /// A glob matches whole paths and their ends.
    fn new(globs: &[String]) -> Self {
        let globs = globs
            .iter()
            .map(|glob| glob.trim_start_matches("./").trim_end_matches('/'));
        let globs: Vec<String> = globs
            .flat_map(|glob| [glob.to_owned(), format!("*/{glob}")])
            .collect();
        Self((!globs.is_empty()).then(|| Globs::new(&globs, &[])))
    }

    fn matches(&self, path: &Path) -> bool {
        let path = path.to_string_lossy();
        let path = path.strip_prefix("./").unwrap_or(&path);
        self.0.as_ref().is_some_and(|globs| globs.selects(path))
    }
}

struct Walk<'w> {
    exclude: &'w Exclude,
    entries: usize,
    /// Walked folders by canonical path: links may lead to them again.
    walked: BTreeSet<PathBuf>,
    found: &'w mut Vec<InputSource>,
    passed: &'w mut Vec<Passed>,
    /// Problems of single folders, which do not end the walk.
    problems: Vec<Problem>,
}

impl Walk<'_> {
    /// A folder's entries by name, its folders recursively; hidden ones are left out. Only too many end the walk.
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<(), Problem> {
        let name = folder.display().to_string();
        let too_much = |what: String| {
            problem(
                &name,
                format!("{what}: name a folder that holds definitions only"),
            )
        };
        if depth > MAX_DEPTH {
            self.problems
                .push(too_much(format!("is nested deeper than {MAX_DEPTH} folders")));
            return Ok(());
        }
        if !self
            .walked
            .insert(fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned()))
        {
            return Ok(());
        }
        // One more than allowed, so that a huge folder is not listed beyond the limit.
        let left = MAX_ENTRIES - self.entries + 1;
        let listed: io::Result<Vec<PathBuf>> = fs::read_dir(folder).and_then(|listed| {
            listed
                .take(left)
                .map(|entry| entry.map(|entry| entry.path()))
                .collect()
        });
        let mut paths = match listed {
            Ok(paths) => paths,
            Err(error) => {
                self.problems
                    .push(problem(&name, format!("cannot be read: {error}")));
                return Ok(());
            }
        };
        self.entries += paths.len();
        if self.entries > MAX_ENTRIES {
            return Err(too_much(format!(
                "makes more than {MAX_ENTRIES} files and folders"
            )));
        }
        paths.retain(|path| !is_hidden(path));
        paths.sort();
        for path in paths {
            self.entry(&path, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, depth: usize) -> Result<(), Problem> {
        let name = path.display().to_string();
        let is_document = is_document(path);
        if self.exclude.matches(path) {
            if is_document || path.is_dir() {
                self.passed.push(Passed::new(&name, SkipReason::Excluded));
            }
        } else if path.is_dir() {
            self.folder(path, depth + 1)?;
        } else if !is_document {
            let why = match foreign::language(&name) {
                Some(language) => Some(SkipReason::Language(language)),
                None => goes_on(path).then_some(SkipReason::Ending),
            };
            self.passed.extend(why.map(|why| Passed::new(&name, why)));
        } else if path.is_file() || fs::metadata(path).is_err() {
            // A missing file, such as behind a broken link, is reported when it is read.
            self.found.push(InputSource::file(path, true));
        } else {
            self.passed.push(Passed::new(&name, SkipReason::Irregular));
        }
        Ok(())
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn is_document(path: &Path) -> bool {
    let has_ending = path.extension().is_some_and(|extension| {
        let extension = extension.to_string_lossy().to_lowercase();
        ENDINGS.contains(&extension.as_str())
    });
    // kustomize knows this name as well.
    let is_document = has_ending || path.file_name().is_some_and(|name| name == "Kustomization");
    is_document && foreign::language(&path.to_string_lossy()).is_none()
}

/// Whether a name continues after a document's ending, as those of templates, samples and copies do.
fn goes_on(path: &Path) -> bool {
    path.file_stem()
        .is_some_and(|stem| path.extension().is_some() && is_document(Path::new(stem)))
}
