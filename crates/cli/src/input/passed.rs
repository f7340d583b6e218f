//! What was passed over.

use super::foreign::Language;

/// A file that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The file, as people name it.
    pub file: String,
    /// Why it was passed over.
    pub why: SkipReason,
}

/// Why a file was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// It belongs to this tool.
    Tool(&'static str),
    /// It is no known tool's, and nothing in it means anything here.
    Unknown,
    /// It is written in this language, which is not read.
    Language(&'static Language),
    /// Its name continues after a document's ending.
    Ending,
    /// It has no document.
    Empty,
    /// It is no regular file: a pipe, a socket, a device.
    Irregular,
    /// `--exclude` names it.
    Excluded,
}

impl Passed {
    /// A file that was passed over.
    pub fn new(file: &str, why: SkipReason) -> Self {
        Self {
            file: file.to_owned(),
            why,
        }
    }
}
