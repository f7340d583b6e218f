//! Named lies. Every lie that was ever found stays here.

mod amounts;
mod connections;
mod names;
mod numbers;
mod shapes;

use serde_json::Value;

use super::question::Call;
use super::script::{Change, Edit, Script, Wire};

/// What steers a terminal: a title, a colour, and text that runs backwards.
const ESCAPES: &str = "\u{1b}]0;owned\u{7}\u{1b}[31mRED\u{1b}[0m\u{202e}";
/// The stream that a server lists first.
const FIRST: &str = "/data/account_details/0/stream_detail/0";

#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: &'static str,
    /// What is wrong.
    pub describes: &'static str,
    pub script: Script,
    /// Believing the lie takes much memory or work: a test runs few of them at a time.
    pub heavy: bool,
    /// What must be shown to a person, as text of a condition or of a report; `None` where nothing can be seen, or
    /// where it may be believed.
    pub shown: Option<&'static str>,
}

impl Scenario {
    fn describes(self, describes: &'static str) -> Self {
        Self { describes, ..self }
    }

    fn edits(mut self, edits: impl IntoIterator<Item = Edit>) -> Self {
        self.script.edits.extend(edits);
        self
    }

    fn edit(self, call: Call, path: &str, change: Change) -> Self {
        self.edits([Edit::new(call, path, change)])
    }

    fn set(self, call: Call, path: &str, value: impl Into<Value>) -> Self {
        self.edits([set(call, path, value)])
    }

    /// Changes the stream that each server lists first.
    fn edit_first(self, path: &str, change: Change) -> Self {
        self.edits([of_first(path, change)])
    }

    fn set_first(self, path: &str, value: impl Into<Value>) -> Self {
        self.edit_first(path, Change::Set(value.into()))
    }

    fn wire(mut self, wire: Wire) -> Self {
        self.script.wire = wire;
        self
    }

    fn heavy(self) -> Self {
        Self { heavy: true, ..self }
    }

    fn shown(self, words: &'static str) -> Self {
        Self {
            shown: Some(words),
            ..self
        }
    }

    /// Whether only an account's own user is lied to, who has no system account to check with.
    pub fn is_of_tenants(&self) -> bool {
        let lists = [Call::StreamList, Call::ConsumerList];
        let about = |edit: &Edit| lists.iter().any(|call| edit.of.covers(*call));
        self.script.edits.iter().any(about)
    }
}

/// All scenarios, with distinct names.
pub fn all() -> Vec<Scenario> {
    [
        vec![lie("honest").describes("nothing is wrong")],
        numbers::all(),
        names::all(),
        shapes::all(),
        amounts::all(),
        connections::all(),
    ]
    .concat()
}

pub fn find(name: &str) -> Option<Scenario> {
    all().into_iter().find(|scenario| scenario.name == name)
}

/// Starts a lie; without additions it is the truth.
fn lie(name: &'static str) -> Scenario {
    Scenario {
        name,
        describes: "",
        script: Script::default(),
        heavy: false,
        shown: None,
    }
}

fn set(call: Call, path: &str, value: impl Into<Value>) -> Edit {
    Edit::new(call, path, Change::Set(value.into()))
}

/// A change of the stream that each server lists first.
fn of_first(path: &str, change: Change) -> Edit {
    Edit::new(Call::Jsz, &format!("{FIRST}{path}"), change)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_found() {
        let all = all();
        let names: BTreeSet<&str> = all.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.len() > 130, "{}", all.len());
        assert!(find("then-endless-message").is_some_and(|scenario| scenario.heavy));
        assert!(find("list-limit-0").is_some_and(|scenario| scenario.is_of_tenants()));
        assert!(find("nothing of the kind").is_none());
    }
}
