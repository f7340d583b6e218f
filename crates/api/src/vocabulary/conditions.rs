//! Conditions of both resources and their reasons. A reason decides its condition's status.

use std::fmt;

use super::vocabulary;

vocabulary! {
    /// The status of a condition, as Kubernetes writes it.
    pub enum ConditionStatus {
        /// The condition holds.
        True,
        /// The condition does not hold.
        False,
        /// It cannot be said whether the condition holds.
        Unknown,
    }
}

/// A reason of a condition: it fixes the condition's status, so that the two cannot contradict each other.
pub trait ConditionReason: AsRef<str> + Copy {
    /// The status that a condition with this reason has.
    fn status(self) -> ConditionStatus;
}

vocabulary! {
    /// The condition types of a `PlacementPolicy`.
    pub enum PolicyCondition {
        /// The policy is valid and conflicts with no other.
        Accepted,
        /// The system and the credentials that the policy names were found and work.
        ResolvedRefs,
        /// What the policy selects was seen completely and recently.
        Observed,
        /// Every selected leader is in home.
        InPlace,
        /// What is proposed is approved; in mode Propose only.
        Approved,
        /// Something is being done.
        Progressing,
        /// Actions went wrong.
        Degraded,
        /// The policy does its work; `readyWhen` says whether that includes everything being in place.
        Ready,
    }
}

vocabulary! {
    /// The condition types of a `NatsSystem`.
    pub enum SystemCondition {
        /// There is a working connection to the system.
        Connected,
        /// Every server that is expected answered, recently.
        Observed,
        /// Policies can use the system.
        Ready,
    }
}

vocabulary! {
    /// Reasons of a policy's `Accepted`.
    pub enum AcceptedReason {
        /// The policy is valid and in use.
        Accepted,
        /// The policy contradicts itself or the system; correct the field that the message names.
        Invalid,
        /// A time zone is not known; use an IANA name such as Europe/Berlin.
        InvalidTimeZone,
        /// Another policy with precedence selects the same assets; narrow one of them, or raise this one's priority.
        Conflicted,
    }
}

vocabulary! {
    /// Reasons of a policy's `ResolvedRefs`.
    pub enum ResolvedRefsReason {
        /// The system and the credentials were found and work.
        ResolvedRefs,
        /// The NatsSystem does not exist; create it, or correct systemRef.
        SystemNotFound,
        /// The NatsSystem does not let policies of this namespace use it; extend its allowedNamespaces.
        RefNotPermitted,
        /// The Secret, or the key in it, does not exist; create it, or correct credentialsRef.
        SecretNotFound,
        /// The Secret's contents cannot be used, or the server refused them; correct the Secret.
        InvalidCredentials,
        /// Nobody says in a way that can be relied on which account the user belongs to; the message says why.
        AccountUnconfirmed,
        /// The server lets the user connect, but not do what the policy needs; grant what the message names.
        PermissionDenied,
    }
}

vocabulary! {
    /// Reasons of `Observed`, of a policy and of a system.
    pub enum ObservedReason {
        /// Every expected server answered.
        Complete,
        /// Some servers did not answer, so that nothing that depends on them is done.
        ServersMissing,
        /// JetStream of another domain is seen than the policy asks for; correct jetStreamDomain, or the connection.
        DomainDiffers,
        /// The first complete look is still under way.
        WarmingUp,
        /// There is no connection to the system.
        Disconnected,
        /// The last complete look is too long ago to act on.
        Stale,
    }
}

vocabulary! {
    /// Reasons of a policy's `InPlace`.
    pub enum InPlaceReason {
        /// Every selected leader is in home.
        AllInPlace,
        /// The policy selects nothing; check streams and consumers if that is not meant.
        NothingSelected,
        /// Leaders are outside home, and there are actions that will cure it.
        ActionsPending,
        /// Leaders are outside home and held there for now; the findings say why.
        Held,
        /// No location has a majority of the clients, so there is no home to be in.
        NoMajority,
        /// Leaders are outside home, and nothing that the policy may do can cure it; the findings say why.
        Unfixable,
        /// Something else keeps moving the leaders away; leave them to one owner.
        Contested,
    }
}

vocabulary! {
    /// Reasons of a policy's `Progressing`.
    pub enum ProgressingReason {
        /// Leaders are being asked to step down.
        SteppingDown,
        /// The servers are moving a stream's replicas.
        StreamMoving,
        /// The outcome of actions is being read back.
        Verifying,
        /// There is nothing to do.
        Idle,
        /// The policy's mode is Observe: it looks and reports only.
        Observing,
        /// The policy's mode is Propose, and what could be done waits for a person.
        AwaitingApproval,
        /// The policy or its system is suspended.
        Suspended,
        /// Maintenance windows do not allow actions now.
        OutsideWindow,
        /// The disruption budgets are used up for now.
        BudgetExhausted,
        /// A safety gate is closed for everything that could be done.
        GateClosed,
        /// The circuit breaker is open after repeated failures.
        BreakerOpen,
        /// Another instance holds the right to act on this system.
        FenceHeldElsewhere,
    }
}

vocabulary! {
    /// Reasons of a policy's `Degraded`.
    pub enum DegradedReason {
        /// Step-downs were done, but the new leaders are not in home.
        StepDownsMissed,
        /// A consumer stopped delivering after an action.
        ConsumerStalled,
        /// A stream's move did not finish in actions.streamPlacement.timeout.
        MoveTimedOut,
        /// Actions fail again and again; the recent actions say how.
        RepeatedFailures,
        /// Actions work.
        Healthy,
    }
}

vocabulary! {
    /// Reasons of a system's `Connected`.
    pub enum ConnectedReason {
        /// There is a working connection.
        Connected,
        /// The first connection is being made.
        Connecting,
        /// A Secret, or the key in it, does not exist; create it, or correct credentialsRef or tls.
        SecretNotFound,
        /// A Secret's contents cannot be used, or the server refused them; correct the Secret.
        InvalidCredentials,
        /// The certificates for TLS cannot be used; check tls.caRef and tls.clientCertificateRef.
        TlsFailed,
        /// None of the servers can be reached; check servers and the network between.
        Unreachable,
        /// The server lets the user connect, but not see what is needed; grant what the message names.
        PermissionDenied,
    }
}

impl ConditionReason for AcceptedReason {
    fn status(self) -> ConditionStatus {
        match self {
            Self::Accepted => ConditionStatus::True,
            Self::Invalid | Self::InvalidTimeZone | Self::Conflicted => ConditionStatus::False,
        }
    }
}

impl ConditionReason for ResolvedRefsReason {
    fn status(self) -> ConditionStatus {
        match self {
            Self::ResolvedRefs => ConditionStatus::True,
            Self::SystemNotFound
            | Self::RefNotPermitted
            | Self::SecretNotFound
            | Self::InvalidCredentials
            | Self::AccountUnconfirmed
            | Self::PermissionDenied => ConditionStatus::False,
        }
    }
}

impl ConditionReason for ObservedReason {
    fn status(self) -> ConditionStatus {
        match self {
            Self::Complete => ConditionStatus::True,
            Self::ServersMissing
            | Self::DomainDiffers
            | Self::WarmingUp
            | Self::Disconnected
            | Self::Stale => ConditionStatus::False,
        }
    }
}

impl ConditionReason for InPlaceReason {
    fn status(self) -> ConditionStatus {
        match self {
            Self::AllInPlace | Self::NothingSelected => ConditionStatus::True,
            Self::NoMajority => ConditionStatus::Unknown,
            Self::ActionsPending | Self::Held | Self::Unfixable | Self::Contested => ConditionStatus::False,
        }
    }
}

impl ConditionReason for ProgressingReason {
    fn status(self) -> ConditionStatus {
        match self {
            Self::SteppingDown | Self::StreamMoving | Self::Verifying => ConditionStatus::True,
            Self::Idle
            | Self::Observing
            | Self::AwaitingApproval
            | Self::Suspended
            | Self::OutsideWindow
            | Self::BudgetExhausted
            | Self::GateClosed
            | Self::BreakerOpen
            | Self::FenceHeldElsewhere => ConditionStatus::False,
        }
    }
}

impl ConditionReason for DegradedReason {
    fn status(self) -> ConditionStatus {
        match self {
            Self::StepDownsMissed | Self::ConsumerStalled | Self::MoveTimedOut | Self::RepeatedFailures => {
                ConditionStatus::True
            }
            Self::Healthy => ConditionStatus::False,
        }
    }
}

impl ConditionReason for ConnectedReason {
    fn status(self) -> ConditionStatus {
        match self {
            Self::Connected => ConditionStatus::True,
            Self::Connecting
            | Self::SecretNotFound
            | Self::InvalidCredentials
            | Self::TlsFailed
            | Self::Unreachable
            | Self::PermissionDenied => ConditionStatus::False,
        }
    }
}

/// Reasons of a policy's `Ready`: what makes it so, or the reason of the first condition that fails, in the order
/// `Accepted`, `ResolvedRefs`, `Observed`, and `InPlace` where `readyWhen` asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReadyReason {
    /// The policy is evaluated completely, which is all that `readyWhen: Evaluated` asks.
    Evaluated,
    /// Everything is in place, as `readyWhen: InPlace` asks.
    InPlace,
    /// `Accepted` fails.
    Accepted(AcceptedReason),
    /// `ResolvedRefs` fails.
    ResolvedRefs(ResolvedRefsReason),
    /// `Observed` fails.
    Observed(ObservedReason),
    /// `InPlace` fails, and `readyWhen` asks for it.
    NotInPlace(InPlaceReason),
}

impl AsRef<str> for ReadyReason {
    fn as_ref(&self) -> &str {
        match self {
            Self::Evaluated => "Evaluated",
            Self::InPlace => "InPlace",
            Self::Accepted(reason) => reason.as_ref(),
            Self::ResolvedRefs(reason) => reason.as_ref(),
            Self::Observed(reason) => reason.as_ref(),
            Self::NotInPlace(reason) => reason.as_ref(),
        }
    }
}

impl fmt::Display for ReadyReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_ref())
    }
}

impl ConditionReason for ReadyReason {
    fn status(self) -> ConditionStatus {
        match self {
            Self::Evaluated | Self::InPlace => ConditionStatus::True,
            Self::Accepted(_) | Self::ResolvedRefs(_) | Self::Observed(_) => ConditionStatus::False,
            Self::NotInPlace(reason) => reason.status(),
        }
    }
}

/// Reasons of a system's `Ready`: `Ready` itself, or the reason of the first condition that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SystemReadyReason {
    /// The system is connected and observed completely.
    Ready,
    /// `Connected` fails.
    Connected(ConnectedReason),
    /// `Observed` fails.
    Observed(ObservedReason),
}

impl AsRef<str> for SystemReadyReason {
    fn as_ref(&self) -> &str {
        match self {
            Self::Ready => "Ready",
            Self::Connected(reason) => reason.as_ref(),
            Self::Observed(reason) => reason.as_ref(),
        }
    }
}

impl fmt::Display for SystemReadyReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_ref())
    }
}

impl ConditionReason for SystemReadyReason {
    fn status(self) -> ConditionStatus {
        match self {
            Self::Ready => ConditionStatus::True,
            Self::Connected(_) | Self::Observed(_) => ConditionStatus::False,
        }
    }
}
