//! Plans that wait for a person: their states, and how they get there.

use super::conditions::{ConditionReason, ConditionStatus};
use super::vocabulary;

vocabulary! {
    /// Where a plan stands.
    pub enum PlanState {
        /// It waits for its approval.
        Proposed,
        /// It is approved, and nothing of it has begun.
        Approved,
        /// Some of it has begun; the rest waits for windows, budgets and gates as in mode Enforce.
        Executing,
        /// All of it is done.
        Completed,
        /// It ended; some of it was skipped, because the stream or consumer had changed.
        PartlyDone,
        /// Something else is proposed now, or nothing any more.
        Superseded,
        /// Nobody approved it in approval.planTTL.
        Expired,
        /// A person cancelled it after its approval, or the policy's mode changed: nothing more of it is begun.
        Cancelled,
        /// A person rejected it: it is not proposed again until something else would be done, or approval.planTTL has passed.
        Rejected,
    }
}

vocabulary! {
    /// What a person decides about a plan.
    pub enum ReviewDecision {
        /// It may be carried out.
        Approved,
        /// It may not.
        Rejected,
        /// Nothing more of it is begun; what has begun ends by itself.
        Cancelled,
    }
}

vocabulary! {
    /// By what a plan was approved.
    pub enum ApprovedBy {
        /// A person wrote `spec.review` of the plan, as `kubectl leeward approve` does.
        Review,
        /// The policy names it in approval.approvedPlan.
        Policy,
        /// All of it is below the bounds of approval.autoApprove.
        AutoApprove,
    }
}

vocabulary! {
    /// Why an action of an approved plan was skipped.
    pub enum SkipReason {
        /// The stream or consumer does not exist any more.
        Gone,
        /// The policy does not select it any more, or its owner opted out.
        NotSelected,
        /// Its home is another location.
        HomeChanged,
        /// It is led from another location, though not from home.
        LeaderChanged,
        /// Another action would bring it home.
        ActionChanged,
        /// It is held for a reason that does not pass by itself.
        Held,
        /// The plan was cancelled before it was begun.
        Cancelled,
    }
}

vocabulary! {
    /// The condition types of a `PlacementPlan`.
    pub enum PlanCondition {
        /// It may be carried out.
        Approved,
        /// Nothing more of it will be done.
        Complete,
    }
}

vocabulary! {
    /// Reasons of `Approved`, of a policy of mode Propose and of a plan.
    pub enum ApprovedReason {
        /// Nothing has to be done, so there is nothing to approve.
        NothingProposed,
        /// What is proposed is approved, and is being carried out or done.
        Approved,
        /// A plan waits for a person.
        AwaitingApproval,
        /// A person rejected the plan.
        Rejected,
        /// approval.approvedPlan names a plan that is neither proposed now nor done; the message has the difference.
        UnknownPlan,
        /// Plans cannot be read or written, so nothing can be approved; the message says why.
        PlansUnavailable,
        /// The plan ended before anybody approved it.
        Withdrawn,
    }
}

impl PlanState {
    /// Whether nothing more will be done of it.
    pub const fn has_ended(self) -> bool {
        match self {
            Self::Proposed | Self::Approved | Self::Executing | Self::Rejected => false,
            Self::Completed | Self::PartlyDone | Self::Superseded | Self::Expired | Self::Cancelled => true,
        }
    }

    /// Whether its actions may be begun.
    pub const fn may_begin(self) -> bool {
        matches!(self, Self::Approved | Self::Executing)
    }

    /// Whether a person may still decide about it.
    pub const fn is_undecided(self) -> bool {
        matches!(self, Self::Proposed | Self::Rejected)
    }
}

impl ConditionReason for PlanState {
    fn status(self) -> ConditionStatus {
        if self.has_ended() {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        }
    }
}

impl ConditionReason for ApprovedReason {
    fn status(self) -> ConditionStatus {
        match self {
            Self::NothingProposed | Self::Approved => ConditionStatus::True,
            Self::AwaitingApproval
            | Self::Rejected
            | Self::UnknownPlan
            | Self::PlansUnavailable
            | Self::Withdrawn => ConditionStatus::False,
        }
    }
}
