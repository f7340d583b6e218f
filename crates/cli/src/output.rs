//! Documents for people: tables that fit the terminal, colour only on a terminal and never alone; or JSON and YAML.
//!
//! Layout is a function of the document and a [`Screen`]: the same in a test as on a terminal. Nothing is ever wider
//! than the screen, and no name is ever cut. Commands make the documents.

pub mod amount;
mod page;
pub mod part;
mod screen;
mod table;
mod text;

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;

pub use page::Page;
pub use screen::Screen;
pub use table::Table;
pub use text::{Emphasis, Text, sanitized, shortened};

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// Writes one document in the format that was asked for. A table is made from the document only, so all formats show
/// the same.
pub fn print<T: Serialize>(
    format: Format,
    document: &T,
    table: impl FnOnce(&T, Screen) -> String,
) -> anyhow::Result<()> {
    write(&match format {
        Format::Table => table(document, Screen::stdout()),
        Format::Json => json(document)?,
        Format::Yaml => yaml(document)?,
    })
}

/// Pretty JSON, fields in the order of the schema. What steers a terminal is escaped.
pub fn json<T: Serialize>(document: &T) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(document).context("the result cannot be written as JSON")?;
    let mut written = String::with_capacity(text.len() + 1);
    for letter in text.chars() {
        if is_safe(letter) {
            written.push(letter);
        } else {
            // All are in strings, where JSON allows this; writing to a `String` cannot fail.
            let _ = write!(written, "\\u{:04x}", u32::from(letter));
        }
    }
    Ok(written + "\n")
}

/// YAML, likewise, but what steers a terminal is replaced: not every text of YAML has escapes.
pub fn yaml<T: Serialize>(document: &T) -> anyhow::Result<String> {
    let text = serde_saphyr::to_string(document).context("the result cannot be written as YAML")?;
    Ok(without_steering(text.trim_end()) + "\n")
}

/// A written document without what steers a terminal; its lines stay.
pub fn without_steering(text: &str) -> String {
    let replaced = |letter| {
        if is_safe(letter) {
            letter
        } else {
            char::REPLACEMENT_CHARACTER
        }
    };
    text.chars().map(replaced).collect()
}

fn is_safe(letter: char) -> bool {
    letter == '\n' || letter == '\t' || sanitized(letter) == letter
}

/// Writes to standard output. A closed pipe is no error.
pub fn write(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
