//! Everything that `leeward check` may find: what it means, what to do, and how bad it is.

use leeward_api::vocabulary::Check;
use leeward_core::definition::DefinitionRule;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// What it means.
    pub explanation: &'static str,
    /// What to do.
    pub hint: &'static str,
    /// How bad it is, as a SARIF level.
    pub level: &'static str,
}

const DEFINITIONS: [DefinitionRule; 6] = [
    DefinitionRule::LocationOpen,
    DefinitionRule::LocationNotHome,
    DefinitionRule::UnknownTag,
    DefinitionRule::UnknownCluster,
    DefinitionRule::Undone,
    DefinitionRule::SinglePeer,
];
/// Checks of live assets; the others are about no asset.
pub const ASSETS: [Check; 2] = [Check::StreamLeaderMisplaced, Check::ConsumerLeaderMisplaced];

/// All of them.
pub fn all() -> Vec<Rule> {
    let of_definitions = DEFINITIONS.into_iter().map(|rule| Rule {
        name: rule.to_string(),
        explanation: rule.explanation(),
        hint: rule.hint(),
        level: level(rule),
    });
    let of_assets = ASSETS.into_iter().map(|check| Rule {
        name: check.to_string(),
        explanation: check.explanation(),
        hint: "See `leeward plan` for what would bring it home, or `leeward explain` for what stands against that.",
        level: "warning",
    });
    of_definitions.chain(of_assets).collect()
}

/// Errors are what the servers refuse or the policy reverts; the rest works, at a distance.
fn level(rule: DefinitionRule) -> &'static str {
    match rule {
        DefinitionRule::UnknownTag
        | DefinitionRule::UnknownCluster
        | DefinitionRule::LocationNotHome
        | DefinitionRule::Undone => "error",
        DefinitionRule::LocationOpen | DefinitionRule::SinglePeer => "warning",
    }
}
