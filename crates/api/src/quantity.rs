//! Kubernetes quantities of bytes: `10Gi`, `500M`, `1048576`.

use std::fmt;

use schemars::{Schema, SchemaGenerator, json_schema};

/// Why a text is not a quantity of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseQuantityError {
    /// The text is not a number with a suffix of Kubernetes quantities; the text.
    Malformed(String),
    /// The quantity is 8Ei bytes or more, beyond what Kubernetes can count; the text.
    TooLarge(String),
}

impl fmt::Display for ParseQuantityError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(text) => {
                write!(
                    formatter,
                    "{text:?} is not a quantity of bytes: write one such as \"10Gi\" or \"500M\""
                )
            }
            Self::TooLarge(text) => write!(
                formatter,
                "{text:?} is too large: a quantity of bytes is below 8Ei"
            ),
        }
    }
}

impl std::error::Error for ParseQuantityError {}

/// Suffixes of a quantity and the factors they stand for.
const SUFFIXES: [(&str, u128); 13] = [
    ("", 1),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
];

/// Reads a quantity as whole bytes; a fraction of a byte is cut off.
pub fn parse_bytes(text: &str) -> Result<u64, ParseQuantityError> {
    let malformed = || ParseQuantityError::Malformed(text.to_owned());
    let end = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (_, factor) = SUFFIXES
        .iter()
        .find(|(name, _)| *name == suffix)
        .ok_or_else(malformed)?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || decimals.contains('.') || (number.contains('.') && decimals.is_empty()) {
        return Err(malformed());
    }
    scaled(whole, decimals, *factor).ok_or_else(|| ParseQuantityError::TooLarge(text.to_owned()))
}

/// `whole.decimals` times the factor, cut to a whole number; nothing where that is too large.
fn scaled(whole: &str, decimals: &str, factor: u128) -> Option<u64> {
    let whole: u128 = whole.parse().ok()?;
    let mut bytes = whole.checked_mul(factor)?;
    if !decimals.is_empty() {
        let scale = 10_u128.checked_pow(u32::try_from(decimals.len()).ok()?)?;
        let decimals: u128 = decimals.parse().ok()?;
        bytes = bytes.checked_add(decimals.checked_mul(factor)? / scale)?;
    }
    i64::try_from(bytes).ok().map(i64::unsigned_abs)
}

/// A positive quantity of bytes, as a whole number or a string.
pub fn byte_quantity_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "maxLength": 24,
        "x-kubernetes-validations": [{
            "rule": "type(self) == int ? self > 0 : self.matches('^[0-9]+([.][0-9]+)?(k|[MGTPE]|[KMGTPE]i)?$') && isQuantity(self) && quantity(self).compareTo(quantity('1')) >= 0 && quantity(self).isLessThan(quantity('8Ei'))",
            "message": "must be a quantity of at least one byte and below 8Ei: write one such as \"10Gi\" or \"500M\"",
        }],
    })
}

#[cfg(test)]
mod tests;
