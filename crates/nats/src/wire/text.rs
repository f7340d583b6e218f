//! Texts from servers, each with a bound that is enforced where the text is read.
//!
//! A name longer than NATS allows is no name: the reply that holds it is not understood, which makes a gap. Text that
//! is only displayed is cut instead.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor};

/// Bytes of a name; NATS allows one less for streams and consumers.
pub(crate) const MOST_NAME: usize = 256;
/// Bytes of displayed text.
pub(crate) const MAX_DISPLAY: usize = 512;

/// A name that borrows from the reply where it holds no escapes, also inside options and lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WireText<'a>(pub(crate) Cow<'a, str>);

/// An owned name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(String);

/// Text for display, cut where it is too long.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Words(String);

/// Text of any length that borrows where it can: the values of metadata, bounded by the servers or otherwise by the
/// reply's own bound.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub(crate) struct Value<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

fn name_of<E: serde::de::Error>(length: usize) -> Result<(), E> {
    if length > MOST_NAME {
        return Err(E::custom(format_args!(
            "a name has {length} bytes, and NATS lets it have {MOST_NAME}"
        )));
    }
    Ok(())
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = WireText<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<WireText<'de>, E> {
        name_of(text.len())?;
        Ok(WireText(Cow::Borrowed(text)))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<WireText<'de>, E> {
        name_of(text.len())?;
        Ok(WireText(Cow::Owned(text.to_owned())))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for WireText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        name_of::<D::Error>(text.len())?;
        Ok(Self(text))
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer).map_err(D::Error::custom)?;
        Ok(Self::cut(&text))
    }
}

impl Words {
    /// The beginning of a text.
    pub(crate) fn cut(text: &str) -> Self {
        Self(cut(text, MAX_DISPLAY))
    }
}

/// The first bytes of a text, as whole characters, with a mark where something is left out.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
    format!("{}…", text.get(..end.unwrap_or(0)).unwrap_or_default())
}

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for WireText<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Deref for Value<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

macro_rules! owned_text {
    ($type:ident) => {
        impl Deref for $type {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl From<$type> for String {
            fn from(text: $type) -> Self {
                text.0
            }
        }

        #[cfg(test)]
        impl From<&str> for $type {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

owned_text!(Name);
owned_text!(Words);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::read;

    #[test]
    fn a_name_that_is_too_long_is_not_read_and_words_are_cut() {
        let json = |length: usize| format!("\"{}\"", "é".repeat(length));
        assert!(read::<Name>(json(128).as_bytes()).is_ok());
        let error = read::<Name>(json(129).as_bytes()).unwrap_err();
        assert!(error.contains("a name has 258 bytes"), "{error}");
        assert!(read::<WireText<'_>>(json(129).as_bytes()).is_err());
        assert!(read::<Vec<WireText<'_>>>(b"[\"a\\nb\", \"c\"]").is_ok());
        let words = read::<Words>(json(10_000).as_bytes()).unwrap();
        assert!(words.len() <= MAX_DISPLAY + "…".len() && words.ends_with('…'));
        assert_eq!(cut("aé", 2), "a…");
        assert_eq!(cut("aé", 3), "aé");
    }

    #[test]
    fn an_error_quotes_no_more_than_people_read() {
        let error = read::<u64>(format!("\"{}\"", "x".repeat(1 << 20)).as_bytes()).unwrap_err();
        assert!(error.len() < 2 * MAX_DISPLAY, "{}", error.len());
    }
}
