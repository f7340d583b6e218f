//! The names of Leeward's connections.

use std::hash::{BuildHasher, Hasher, RandomState};

const PREFIX: &str = "leeward-";
const DIGITS: usize = 16;

/// The name that a connection sends: the servers' list of connections identifies it by this name. It is sent after TLS
/// has begun, so that nobody on the path knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionName(String);

impl ConnectionName {
    pub(crate) fn random() -> Self {
        Self(format!("{PREFIX}{}", random_digits()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether Leeward gave this name: such connections never count as clients.
    pub(crate) fn is_leewards(name: &str) -> bool {
        let is_digit = |one: char| one.is_ascii_digit() || ('a'..='f').contains(&one);
        name.strip_prefix(PREFIX)
            .is_some_and(|digits| digits.len() == DIGITS && digits.chars().all(is_digit))
    }
}

/// Hexadecimal digits that nobody can guess.
pub(crate) fn random_digits() -> String {
    // Its keys are the operating system's random numbers.
    let number = RandomState::new().build_hasher().finish();
    format!("{number:0DIGITS$x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_are_told_from_those_of_others() {
        let (one, other) = (ConnectionName::random(), ConnectionName::random());
        assert_ne!(one, other);
        assert!(ConnectionName::is_leewards(one.as_str()), "{one:?}");
        for theirs in [
            "leeward",
            "leeward-worker",
            "leeward-0123456789abcdeF",
            "my-leeward-0123456789abcdef",
        ] {
            assert!(!ConnectionName::is_leewards(theirs), "{theirs}");
        }
    }
}
