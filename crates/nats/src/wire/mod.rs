//! The servers' messages, in their own shape (nats-facts N40–N50).
//!
//! Unknown fields are ignored. A field whose absence would decide something is an `Option`; only plain counters that
//! servers leave out when they are zero have a default. Large replies borrow from their bytes (N46).

pub(crate) mod api;
pub(crate) mod assets;
pub(crate) mod duration;
pub(crate) mod monitor;
pub(crate) mod text;

use serde::Deserialize;

/// Reads JSON; the error names the path of what was not understood.
pub(crate) fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut deserializer);
    // It may quote the input.
    read.map_err(|error| text::cut(&error.to_string(), text::MAX_DISPLAY))
}

#[cfg(test)]
mod tests;
