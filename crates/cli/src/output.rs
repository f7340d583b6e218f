//! Documents for people: tables that fit the terminal, colour only on a terminal and never alone; or JSON and YAML.
//!
//! Layout is a function of the document and a [`Screen`]: the same in a test as on a terminal. Nothing is ever wider than
//! the screen, and no name is ever cut. Where a document comes from is its command's matter.

pub mod amount;
mod page;
pub mod part;
mod screen;
mod table;
mod text;

use std::io::{self, Write as _};

use anyhow::Context as _;
use serde::Serialize;

pub use page::Page;
pub use screen::Screen;
pub use table::{Column, Table};
pub use text::{Text, Tone, harmless};

use crate::args::Format;

/// Writes one document in the format that was asked for. A table is made from the document only, so that all formats say
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

/// Pretty JSON, fields in the order of the schema.
pub fn json<T: Serialize>(document: &T) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(document).context("the result cannot be written as JSON")?;
    Ok(text + "\n")
}

/// YAML, likewise.
pub fn yaml<T: Serialize>(document: &T) -> anyhow::Result<String> {
    let text = serde_saphyr::to_string(document).context("the result cannot be written as YAML")?;
    Ok(text.trim_end().to_owned() + "\n")
}

/// Writes to standard output. Whoever closes it has seen enough.
pub fn write(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}
