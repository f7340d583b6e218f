//! How every reason of a finding behaves, in one table: the compiler requires an entry for a new reason.

use super::{FindingReason, ReasonClass};

/// How a reason behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasonBehavior {
    /// Over time, and who can change it.
    pub class: ReasonClass,
    /// What clears it.
    pub cleared_by: ClearedBy,
    /// Whether it comes from `disruption.gates`.
    pub is_gate: bool,
    /// Whether it is checked again right before a request.
    pub is_checked_before_request: bool,
}

/// What clears a reason. All but the last two are a matter of time, and when can be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClearedBy {
    /// A budget that frees, a window that opens, the circuit breaker that lets an action through.
    Limits,
    /// The end of `disruption.cooldown`.
    Cooldown,
    /// The end of `home.stabilizationWindow`.
    Stabilization,
    /// The end of `disruption.gates.quietAfterLeaderChange`.
    LeaderQuiet,
    /// The end of `disruption.gates.quietAfterServerStart`.
    ServerQuiet,
    /// Something else that is observed; nobody can say when.
    Observation,
    /// A person, who changes the policy, the asset or the system.
    Person,
}

impl ReasonBehavior {
    const fn soft(cleared_by: ClearedBy) -> Self {
        Self {
            class: ReasonClass::Soft,
            cleared_by,
            is_gate: false,
            is_checked_before_request: false,
        }
    }

    const fn for_a_person(class: ReasonClass) -> Self {
        Self {
            class,
            ..Self::soft(ClearedBy::Person)
        }
    }

    const fn gate(self) -> Self {
        Self {
            is_gate: true,
            ..self
        }
    }

    const fn checked_before_request(self) -> Self {
        Self {
            is_checked_before_request: true,
            ..self
        }
    }
}

impl FindingReason {
    /// How the reason behaves over time, and who can change it.
    pub const fn class(self) -> ReasonClass {
        self.behavior().class
    }

    /// How the reason behaves.
    pub const fn behavior(self) -> ReasonBehavior {
        match self {
            Self::OptedOut | Self::Ephemeral => ReasonBehavior::for_a_person(ReasonClass::Fine),
            Self::CoolingDown => ReasonBehavior::soft(ClearedBy::Cooldown),
            Self::BudgetExhausted | Self::OutsideWindow | Self::BreakerOpen => {
                ReasonBehavior::soft(ClearedBy::Limits)
            }
            Self::Stabilizing => ReasonBehavior::soft(ClearedBy::Stabilization),
            Self::RecentlyElected => ReasonBehavior::soft(ClearedBy::LeaderQuiet).gate(),
            Self::ServerJustStarted => ReasonBehavior::soft(ClearedBy::ServerQuiet).gate(),
            Self::TargetLagging | Self::AckPendingHigh => {
                let gate = ReasonBehavior::soft(ClearedBy::Observation).gate();
                gate.checked_before_request()
            }
            Self::MoveInProgress => ReasonBehavior::soft(ClearedBy::Observation).checked_before_request(),
            Self::StreamMoving | Self::UseUnknown | Self::UsedElsewhere | Self::NoMajorityOfUse => {
                ReasonBehavior::soft(ClearedBy::Observation)
            }
            Self::ActionDisabled
            | Self::ManagedElsewhere
            | Self::BytesOverLimit
            | Self::StallTooLong
            | Self::NotWorthIt
            | Self::PinnedClient
            | Self::Contested => ReasonBehavior::for_a_person(ReasonClass::Policy),
            Self::NoLeader | Self::QuorumAtRisk => {
                ReasonBehavior::for_a_person(ReasonClass::Hard).checked_before_request()
            }
            Self::SinglePeer
            | Self::NoPeerInHome
            | Self::NoServersMatch
            | Self::NotEnoughServers
            | Self::NoCapacity
            | Self::PermissionDenied
            | Self::AnswersDiffer
            | Self::ServerTooOld
            | Self::MixedVersions
            | Self::AttemptsExhausted => ReasonBehavior::for_a_person(ReasonClass::Hard),
        }
    }
}
