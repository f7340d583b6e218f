//! Documents as people keep them: files, folders and standard input, every value with its line and column.
//!
//! YAML and JSON go through one parser. What is read is bounded in size, number, depth and in what aliases expand to,
//! for all files together. Known files without meaning here are passed over and counted; what has to be rendered or
//! built first is reported with the tool for it. Which objects matter, and what they mean, is decided elsewhere.

mod bounds;
mod comments;
mod document;
mod files;
mod foreign;
mod helm;
mod kustomize;
mod located;
mod near;
mod object;
mod passed;
mod problem;
mod template;

use std::path::PathBuf;

use self::bounds::Bounds;
use self::files::InputSource;
use self::located::Unreadable;
pub use document::{Document, escaped, pointer};
pub use foreign::tool_of;
pub use kustomize::Unbuilt;
pub use near::{is_like_any, is_near, letters, nearest};
pub use object::{OBJECT_FIELDS, metadata, other_type, unknown_fields};
pub use passed::{Passed, SkipReason};
pub use problem::{Problem, Problems, TextPosition};
pub use template::{placeholder, unfilled};

/// What was read, and what was not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputDocuments {
    /// In the order of the arguments, of the names in a folder, and of a file.
    pub documents: Vec<Document>,
    /// What kustomize changes before it is applied; none of it is among the documents.
    pub unbuilt: Vec<Unbuilt>,
    /// What was passed over.
    pub passed: Vec<Passed>,
    /// What cannot be read.
    pub problems: Problems,
}

impl InputDocuments {
    /// The documents, unless files or policies have errors.
    pub fn strict(self) -> Result<Vec<Document>, Problems> {
        let mut problems = self.problems;
        let unbuilt = self.unbuilt.iter().filter(|unbuilt| unbuilt.has_policies);
        problems.extend(unbuilt.map(Unbuilt::problem));
        problems.none(self.documents)
    }
}

/// Reads all documents except of excluded files. An unreadable file does not hide the others.
pub fn read(paths: &[PathBuf], exclude: &[String]) -> InputDocuments {
    read_within(paths, exclude, Bounds::default())
}

fn read_within(paths: &[PathBuf], exclude: &[String], mut bounds: Bounds) -> InputDocuments {
    let mut input = InputDocuments::default();
    let mut charts = helm::Charts::default();
    for source in files::sources(paths, exclude, &mut input) {
        if bounds.are_used_up() {
            break;
        }
        match read_one(&source, &mut bounds) {
            Ok(Read::Documents(documents)) if documents.is_empty() => {
                input.passed.push(Passed::new(&source.name, SkipReason::Empty));
            }
            Ok(Read::Documents(documents)) => input.documents.extend(documents),
            Ok(Read::Passed(passed)) => input.passed.push(passed),
            Err(unreadable) => input.problems.extend(charts.once(&source, unreadable)),
        }
    }
    kustomize::set_aside(&mut input);
    input
}

enum Read {
    Documents(Vec<Document>),
    Passed(Passed),
}

fn read_one(source: &InputSource, bounds: &mut Bounds) -> Result<Read, Unreadable> {
    if let Some(language) = foreign::language(&source.name) {
        return Err(source.problem(language.refusal(&source.name)).into());
    }
    let text = source.text(bounds)?;
    let tool = foreign::tool(&source.name);
    let mut documents = match tool {
        // The content decides, as far as it can be read.
        Some(tool) if source.in_folder && !foreign::has_ours(&text) => {
            let mut share = bounds.share();
            let Ok(documents) = located::parse(&source.name, &text, &mut share) else {
                return Ok(Read::Passed(Passed::new(&source.name, SkipReason::Tool(tool))));
            };
            bounds.settle(&share);
            documents
        }
        Some(_) | None => located::parse(&source.name, &text, bounds)?,
    };
    for document in &mut documents {
        document.in_folder = source.in_folder;
        document.tool = tool;
    }
    Ok(Read::Documents(documents))
}

/// The documents of one text.
#[cfg(test)]
pub fn parse(file: &str, text: &str) -> Result<Vec<Document>, Problem> {
    located::parse(file, text, &mut Bounds::default()).map_err(|unreadable| unreadable.problem)
}

#[cfg(test)]
mod tests;
