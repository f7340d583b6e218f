//! Values for findings, remedies and actions.

use super::vocabulary;

vocabulary! {
    /// What a finding is about.
    pub enum Check {
        /// A stream's leader is outside home.
        StreamLeaderMisplaced,
        /// A consumer's leader is outside home.
        ConsumerLeaderMisplaced,
        /// Many clients connect in a location that leads none of the account's streams.
        NoLocalLeader,
        /// A large share of the account's bytes crosses gateways between clusters.
        HighGatewayShare,
        /// A server carries several tags that name a location, of which the first counts.
        SeveralLocations,
    }
}

vocabulary! {
    /// What cures a finding.
    pub enum Remedy {
        /// The consumer's leader steps down in favour of a peer in home.
        ConsumerStepDown,
        /// The stream's leader steps down in favour of a peer in home.
        StreamStepDown,
        /// The consumer's only replica leaves its server; the servers choose another peer of its stream, until that is one in home.
        ConsumerEvacuation,
        /// The stream's placement is edited, and the servers move its replicas to home.
        StreamPlacement,
        /// Nothing to do for the consumer itself: it follows once its stream has moved.
        FollowsStream,
        /// Only a person can cure it; the advice in the status says how.
        Advice,
    }
}

vocabulary! {
    /// What was, or is being, done to a stream or a consumer.
    pub enum ActionType {
        /// A consumer's leader was asked to step down in favour of a peer in home.
        ConsumerStepDown,
        /// A stream's leader was asked to step down in favour of a peer in home.
        StreamStepDown,
        /// The only replica of a consumer was asked to leave its server for another peer of its stream.
        ConsumerEvacuation,
        /// A stream's placement was edited, so that the servers move its replicas.
        StreamPlacement,
    }
}

/// What an action is to the servers: what it costs, how long it takes and how it is proven depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionClass {
    /// Another peer takes the leadership over, within moments.
    StepDown,
    /// The stream's data is copied to other servers, its consumers come along.
    Move,
}

impl ActionType {
    /// What it is to the servers.
    pub const fn class(self) -> ActionClass {
        match self {
            Self::ConsumerStepDown | Self::StreamStepDown | Self::ConsumerEvacuation => ActionClass::StepDown,
            Self::StreamPlacement => ActionClass::Move,
        }
    }

    /// Whether it is done to a consumer; the others are done to a stream.
    pub const fn is_on_consumers(self) -> bool {
        match self {
            Self::ConsumerStepDown | Self::ConsumerEvacuation => true,
            Self::StreamStepDown | Self::StreamPlacement => false,
        }
    }

    /// Whether the stream's data is copied.
    pub const fn is_move(self) -> bool {
        matches!(self.class(), ActionClass::Move)
    }
}

impl Remedy {
    /// The action that fixes the asset itself; `None` where it comes along with another, or where only a person can.
    pub const fn action(self) -> Option<ActionType> {
        match self {
            Self::ConsumerStepDown => Some(ActionType::ConsumerStepDown),
            Self::StreamStepDown => Some(ActionType::StreamStepDown),
            Self::ConsumerEvacuation => Some(ActionType::ConsumerEvacuation),
            Self::StreamPlacement => Some(ActionType::StreamPlacement),
            Self::FollowsStream | Self::Advice => None,
        }
    }
}

vocabulary! {
    /// How an action ended, judged by what was read back and never by a reply alone.
    pub enum ActionResult {
        /// The leader was read back in home.
        Succeeded,
        /// Nobody in home took over.
        Missed,
        /// The leader was read back in home, but the consumer did not go on.
        Stalled,
        /// The server refused the request, or it could not be sent.
        Failed,
        /// The outcome was not seen in time.
        TimedOut,
        /// The action was given up before it was requested, or its outcome no longer matters.
        Abandoned,
    }
}

vocabulary! {
    /// What kind of change is advised.
    pub enum AdviceKind {
        /// A mirror of the stream near its readers.
        Mirror,
    }
}

vocabulary! {
    /// How a finding's reason behaves over time, and who can change it.
    pub enum ReasonClass {
        /// Nothing is wrong.
        Fine,
        /// It passes by itself: the asset is tried again.
        Soft,
        /// A person's choice stands against it, and a person can change that choice.
        Policy,
        /// It cannot be done as the system is now.
        Hard,
    }
}

vocabulary! {
    /// Why a stream or a consumer is fine where it is, or why nothing is being done about it now.
    pub enum FindingReason {
        /// The owner opted out with the metadata leeward.dev/ignore: "true"; remove it to have the asset kept in place.
        OptedOut,
        /// The consumer is ephemeral and is never moved; make it durable if its place matters.
        Ephemeral,

        /// It was acted on a short while ago; it is tried again when disruption.cooldown has passed.
        CoolingDown,
        /// The disruption budget is used up for now; it is tried again as the budget frees.
        BudgetExhausted,
        /// Maintenance windows do not allow the action now; it is tried again when one opens.
        OutsideWindow,
        /// The circuit breaker is open after repeated failures; it is tried again when the breaker lets one action through.
        BreakerOpen,
        /// Home has not been stable for home.stabilizationWindow yet; it is tried again once it is.
        Stabilizing,
        /// Who uses it is not known yet, or not any more; it is tried again when enough of its messages were sampled.
        UseUnknown,
        /// Too little of its use is known to decide by, and most of that is from elsewhere; it is tried again when more is known.
        UsedElsewhere,
        /// No location has the majority of its use; it is tried again when one has.
        NoMajorityOfUse,
        /// The peer in home has not caught up with the leader; it is tried again once it has.
        TargetLagging,
        /// The consumer has too many messages waiting for acknowledgement; it is tried again when they are fewer.
        AckPendingHigh,
        /// The leader was elected a moment ago; it is tried again when the asset has settled.
        RecentlyElected,
        /// The server that would lead started a moment ago; it is tried again when it has settled.
        ServerJustStarted,
        /// The servers are moving the stream's replicas already; it is looked at again when they have finished.
        MoveInProgress,
        /// The consumer's stream is moving, and the consumer with it; it is looked at again when that has finished.
        StreamMoving,

        /// The action that would cure it is disabled in the policy; enable it under actions to have it done.
        ActionDisabled,
        /// Another tool owns the stream's configuration; set its placement there.
        ManagedElsewhere,
        /// The stream is larger than actions.streamPlacement.maxBytes; raise the limit, or move the stream by hand.
        BytesOverLimit,
        /// A move would block the stream's writes for too long; raise actions.streamPlacement.maxStall, or move it by hand.
        StallTooLong,
        /// A move would cost more waiting than it saves in disruption.maxPayback; it is tried again when it is used more, or raise the limit.
        NotWorthIt,
        /// A client is pinned to the consumer and would lose its pin; it is tried again when none is, or move it by hand.
        PinnedClient,
        /// Another policy or another tool keeps changing it back; leave it to one of them.
        Contested,

        /// There is one replica only, so no other peer can lead; raise the replicas, or enable actions.streamPlacement (a stream) or actions.consumerEvacuation (a consumer, servers from 2.15 on).
        SinglePeer,
        /// No peer of the asset is in home; enable actions.streamPlacement, or place the stream there by hand.
        NoPeerInHome,
        /// No server matches the placement that home asks for; check the servers' clusters and tags.
        NoServersMatch,
        /// Home has fewer servers than the stream has replicas; add servers, or lower the replicas.
        NotEnoughServers,
        /// The servers of home have too little storage, or too few places for replicated assets, left for the stream; add servers or storage, or make the stream smaller.
        NoCapacity,
        /// The asset has no leader, so nothing can be asked of it; restore its peers first.
        NoLeader,
        /// Too few peers are online and caught up to act safely; restore the missing peers first.
        QuorumAtRisk,
        /// The policy's credentials may not do it; grant its user the JetStream API subjects that the message names.
        PermissionDenied,
        /// Somebody else may be answering in the servers' place, so nothing is sent; deny $JS.API.> and $SYS.REQ.> to all other users of the account.
        AnswersDiffer,
        /// The servers are too old for what has to be done; upgrade them.
        ServerTooOld,
        /// Servers of different versions would take part, and the older ones cannot; finish the upgrade first.
        MixedVersions,
        /// It was tried disruption.maxAttempts times without success; find out why, then change resetToken.
        AttemptsExhausted,
    }
}
