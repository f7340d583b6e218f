//! Documents as people keep them: files, folders and standard input, every value with its line and column.
//!
//! YAML and JSON go through one parser. What is read is bounded in size, number, depth and in what aliases expand to. Which
//! objects mean something, and what they mean, is left to others.

mod files;
mod located;
mod problem;

use std::path::PathBuf;

pub use located::{Document, pointer};
pub use problem::{Place, Problem, Problems, both};

/// Reads all documents, in the order of the arguments, of the names in a folder, and of a file.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Document>, Problems> {
    let mut problems = Problems::default();
    let mut documents = Vec::new();
    for source in files::sources(paths, &mut problems) {
        match source.text() {
            Err(problem) => problems.push(problem),
            Ok(text) => match located::parse(&source.name, &text) {
                Ok(parsed) => documents.extend(parsed),
                Err(problem) => problems.push(problem),
            },
        }
    }
    problems.none(documents)
}

/// The documents of one text.
#[cfg(test)]
pub fn parse(file: &str, text: &str) -> Result<Vec<Document>, Problem> {
    located::parse(file, text)
}

#[cfg(test)]
mod tests;
