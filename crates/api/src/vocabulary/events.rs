//! Reasons of Kubernetes events.

use super::vocabulary;

vocabulary! {
    /// What an event tells.
    pub enum EventReason {
        /// The account's home changed.
        HomeChanged,
        /// A leader was moved to home.
        LeaderMoved,
        /// A stream's placement was edited, and its move began.
        StreamMoveStarted,
        /// A stream's move finished.
        StreamMoveCompleted,
        /// A plan waits for a person's approval.
        PlanProposed,
        /// A plan was approved, and is being carried out.
        PlanApproved,
        /// A plan was carried out, cancelled, or waited too long; the message has its state.
        PlanEnded,
        /// Actions ended, and no other may begin now.
        PlanCompleted,
        /// The circuit breaker closed: actions go on.
        BreakerClosed,
        /// Some servers did not answer, so that what depends on them is not done.
        ObservationIncomplete,
        /// A step-down was done, but the new leader is not in home.
        StepDownMissed,
        /// A step-down was refused or could not be requested.
        StepDownFailed,
        /// A consumer stopped delivering after an action.
        ConsumerStalled,
        /// A stream's move did not finish in time.
        StreamMoveTimedOut,
        /// Something else keeps changing a placement back.
        PlacementContested,
        /// An asset was tried as often as allowed without success.
        AttemptsExhausted,
        /// The circuit breaker opened: nothing is done for a while.
        BreakerOpened,
        /// Somebody else may be answering in the servers' place, so nothing was sent.
        AnswersDiffer,
        /// The credentials may not do what the policy needs.
        PermissionDenied,
        /// Another policy with precedence selects the same assets.
        PolicyConflicted,
    }
}

impl EventReason {
    /// Whether the event is of type `Warning` rather than `Normal`.
    pub const fn warning(self) -> bool {
        match self {
            Self::HomeChanged
            | Self::LeaderMoved
            | Self::StreamMoveStarted
            | Self::StreamMoveCompleted
            | Self::PlanProposed
            | Self::PlanApproved
            | Self::PlanEnded
            | Self::PlanCompleted
            | Self::BreakerClosed => false,
            Self::ObservationIncomplete
            | Self::StepDownMissed
            | Self::StepDownFailed
            | Self::ConsumerStalled
            | Self::StreamMoveTimedOut
            | Self::PlacementContested
            | Self::AttemptsExhausted
            | Self::BreakerOpened
            | Self::AnswersDiffer
            | Self::PermissionDenied
            | Self::PolicyConflicted => true,
        }
    }
}
