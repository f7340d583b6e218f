//! The words of a line: by position, by key, as lists and times.

use std::time::Duration;

use jiff::Timestamp;
use leeward_api::duration::GoDuration;

pub(super) struct Words(Vec<String>);

impl Words {
    pub(super) fn new(text: &str) -> Self {
        Self(text.split_whitespace().map(str::to_owned).collect())
    }

    pub(super) fn at(&self, position: usize) -> &str {
        &self.0[position]
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.0.iter().any(|found| found == word)
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    pub(super) fn list(&self, key: &str) -> Vec<&str> {
        self.get(key)
            .map(|list| list.split(',').collect())
            .unwrap_or_default()
    }
}

pub(super) fn span(text: &str) -> Duration {
    text.parse::<GoDuration>().unwrap().into()
}

/// `up=5m`, `led=5m`: an hour ago where nothing is said, never seen with `unknown`.
pub(super) fn since(words: &Words, key: &str, now: Timestamp) -> Option<Timestamp> {
    match words.get(key) {
        Some("unknown") => None,
        Some(text) => Some(now - span(text)),
        None => Some(now - Duration::from_hours(1)),
    }
}
