//! The closed vocabulary: every value that a status, an event or a metric label may hold.
//!
//! Each enum reads and writes as its variant's name (`FindingReason::NoPeerInHome` is `"NoPeerInHome"`), sorts in the
//! order it is written here, and explains every value in one text for people: `explanation()`. Which value applies is
//! decided elsewhere; these types only make sure that no other value is ever used.

mod conditions;
mod events;
mod findings;
mod plans;
mod reason_behavior;
pub mod runbook;

pub use conditions::{
    AcceptedReason, ConditionReason, ConditionStatus, ConnectedReason, DegradedReason, InPlaceReason,
    ObservedReason, PolicyCondition, ProgressingReason, ReadyReason, ResolvedRefsReason, SystemCondition,
    SystemReadyReason,
};
pub use events::EventReason;
pub use findings::{
    ActionClass, ActionResult, ActionType, AdviceKind, Check, FindingReason, ReasonClass, Remedy,
};
pub use plans::{ApprovedBy, ApprovedReason, PlanCondition, PlanState, ReviewDecision, SkipReason};
pub use reason_behavior::{ClearedBy, ReasonBehavior};

/// A value of the vocabulary.
pub trait VocabularyValue: Copy + AsRef<str> + Into<&'static str> + strum::IntoEnumIterator {
    /// The name of its vocabulary, such as `FindingReason`.
    const VOCABULARY: &'static str;

    /// What it means and, where something is wrong, what to do: a text for people.
    fn meaning(self) -> &'static str;
}

/// Declares an enum of the vocabulary. The doc comment of a variant is also its `explanation()`.
macro_rules! vocabulary {
    (
        $(#[doc = $about:literal])+
        pub enum $name:ident {
            $( $(#[doc = $text:literal])+ $variant:ident, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            ::serde::Serialize, ::serde::Deserialize, ::schemars::JsonSchema,
            ::strum::Display, ::strum::AsRefStr, ::strum::IntoStaticStr, ::strum::EnumIter, ::strum::EnumString,
        )]
        pub enum $name {
            $( $(#[doc = $text])+ $variant, )+
        }

        impl $name {
            /// What the value means and, where something is wrong, what to do: a text for people.
            pub const fn explanation(self) -> &'static str {
                match self {
                    $( Self::$variant => concat!($($text),+).trim_ascii(), )+
                }
            }
        }

        impl $crate::vocabulary::VocabularyValue for $name {
            const VOCABULARY: &'static str = stringify!($name);

            fn meaning(self) -> &'static str {
                self.explanation()
            }
        }
    };
}
use vocabulary;

#[cfg(test)]
mod tests;
