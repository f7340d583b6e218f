//! Custom resources of Leeward: types, defaults, validation rules and the closed vocabulary of reasons.
//!
//! The types here are the API `leeward.dev/v1alpha1`; the CRDs are generated from them ([`crds::crds`]), field
//! documentation included. Defaults live in the `Default` of each type and nowhere else: the schema and an object
//! read without the apiserver get the same ones. What a single object can get wrong is refused by the apiserver with
//! the rules written next to the fields; what needs a look at the system is left to the controllers.
#![warn(missing_docs)]

pub mod crds;
pub mod duration;
pub mod plan;
pub mod policy;
pub mod policy_status;
pub mod quantity;
pub mod system;
pub mod system_status;
pub mod vocabulary;

pub use duration::GoDuration;
pub use plan::{PlacementPlan, PlacementPlanSpec, PlacementPlanStatus};
pub use policy::{PlacementPolicy, PlacementPolicySpec};
pub use policy_status::PlacementPolicyStatus;
pub use system::{NatsSystem, NatsSystemSpec};
pub use system_status::NatsSystemStatus;

/// The API group of all resources.
pub const GROUP: &str = "leeward.dev";

/// Metadata of a stream or a consumer by which its owner opts out; the value is [`IGNORE_VALUE`].
pub const IGNORE_METADATA: &str = "leeward.dev/ignore";

/// The value of [`IGNORE_METADATA`] that opts out.
pub const IGNORE_VALUE: &str = "true";
