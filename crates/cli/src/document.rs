//! Results of commands as plain data: the JSON and YAML of `-o`, and what tables are made from.
//!
//! Stable: fields are added, never renamed. `docs/schemas` holds a JSON Schema of each, generated from these types.

// Server data comes here: no sum may overflow and no index may be out of range.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

mod applied;
mod checked;
mod explained;
mod planned;
mod reported;

pub use applied::*;
pub use checked::*;
pub use explained::*;
pub use planned::*;
pub use reported::*;

use leeward_api::policy_status::Account;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A word of the vocabulary with a sentence for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Said")]
pub struct ReasonText {
    /// The word, as in the conditions of a policy.
    pub reason: String,
    /// The sentence.
    pub message: String,
}

impl ReasonText {
    /// A reason with its message, as reports have them.
    pub fn of<W: AsRef<str>>((reason, message): &(W, String)) -> Self {
        Self {
            reason: reason.as_ref().to_owned(),
            message: message.clone(),
        }
    }
}

/// Whom a part of a document is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DocumentHeader {
    /// The policy, as `NAME` or `NAMESPACE/NAME`; `defaults` where none was given.
    pub policy: String,
    /// The account.
    pub account: Account,
    /// The policy that acts instead on streams that both select.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outranked_by: Option<String>,
    /// Whether everything was seen, as in the condition Observed.
    pub observed: ReasonText,
    /// Nothing is known of the past of home: this look alone decided it, and `home.stabilizationWindow` was not waited for.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub home_from_this_look: bool,
}
