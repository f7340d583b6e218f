//! What exactly blocks an asset: names and numbers, before what the reason means.

use leeward_api::policy::OnManagedStream;
use leeward_api::vocabulary::{FindingReason, Remedy};

use super::amounts;
use super::use_text;
use crate::asset::AssetIx;
use crate::context::DecisionContext;
use crate::demand::Home;
use crate::evaluate::Evaluation;
use crate::owner::{StreamOwner, is_repaired, wanted_placement};
use crate::safety::{SafetyContext, is_moving};
use crate::snapshot::{Consumer, Peer, RaftGroup, Stream};
use crate::target::{Destination, Shortage, TargetError};
use crate::topology::ServerIx;
use crate::topology::Storage;

/// How many servers are named; more only make the sentence longer.
const MOST_NAMED: usize = 3;

/// A held asset, and what its reason is about: for a consumer that follows its stream, the stream.
pub(super) struct HeldAsset<'a> {
    context: &'a DecisionContext<'a>,
    safety_context: Option<&'a SafetyContext<'a>>,
    evaluation: &'a Evaluation,
    asset: AssetIx,
    stream: &'a Stream,
    consumer: Option<&'a Consumer>,
    moves: bool,
}

impl<'a> HeldAsset<'a> {
    pub(super) fn new(
        context: &'a DecisionContext<'a>,
        safety_context: Option<&'a SafetyContext<'a>>,
        evaluation: &'a Evaluation,
        asset: AssetIx,
        remedy: Remedy,
    ) -> Option<Self> {
        let stream = context.view.streams.get(asset.stream() as usize)?;
        let (moves, consumer) = match remedy {
            Remedy::ConsumerStepDown | Remedy::StreamStepDown | Remedy::ConsumerEvacuation => {
                (false, asset.consumer_of(stream))
            }
            Remedy::StreamPlacement | Remedy::FollowsStream | Remedy::Advice => (true, None),
        };
        Some(Self {
            context,
            safety_context,
            evaluation,
            asset,
            stream,
            consumer,
            moves,
        })
    }

    fn home(&self) -> Option<&'a Destination<'a>> {
        self.safety_context?.destination(self.asset)
    }

    /// The reason, in this case and in general.
    pub(super) fn text(&self, reason: FindingReason) -> String {
        let waits_for_family = self.moves
            && matches!(
                reason,
                FindingReason::MoveInProgress | FindingReason::StreamMoving
            )
            && !is_moving(self.stream);
        if waits_for_family {
            return self.waits_for();
        }
        let meaning = reason.explanation();
        match self.detail(reason) {
            Some(detail) => format!("{detail}. {meaning}"),
            None => meaning.to_owned(),
        }
    }

    /// `None` where the reason's meaning is enough.
    fn detail(&self, reason: FindingReason) -> Option<String> {
        match reason {
            FindingReason::TargetLagging => {
                let safety_context = self.safety_context?;
                self.name_peers("not caught up", |peer| !safety_context.healthy(peer))
            }
            FindingReason::QuorumAtRisk => self.name_peers("offline", |peer| peer.offline),
            FindingReason::ManagedElsewhere => self.managed_elsewhere(),
            FindingReason::BytesOverLimit => self.bytes_over_limit(),
            FindingReason::StallTooLong => self.stall_too_long(),
            FindingReason::NotWorthIt => self.not_worth_it(),
            FindingReason::AckPendingHigh => self.ack_pending_high(),
            FindingReason::PinnedClient => self.pinned_client(),
            FindingReason::RecentlyElected => Some(self.recently_elected()),
            FindingReason::ServerJustStarted => self.server_just_started(),
            FindingReason::NotEnoughServers | FindingReason::NoCapacity => self.no_target(),
            FindingReason::Stabilizing => self.stabilizing(),
            FindingReason::UseUnknown | FindingReason::UsedElsewhere | FindingReason::NoMajorityOfUse => {
                self.used_from()
            }
            FindingReason::OptedOut
            | FindingReason::Ephemeral
            | FindingReason::CoolingDown
            | FindingReason::BudgetExhausted
            | FindingReason::OutsideWindow
            | FindingReason::BreakerOpen
            | FindingReason::MoveInProgress
            | FindingReason::StreamMoving
            | FindingReason::ActionDisabled
            | FindingReason::Contested
            | FindingReason::SinglePeer
            | FindingReason::NoPeerInHome
            | FindingReason::NoServersMatch
            | FindingReason::NoLeader
            | FindingReason::PermissionDenied
            | FindingReason::AnswersDiffer
            | FindingReason::ServerTooOld
            | FindingReason::MixedVersions
            | FindingReason::AttemptsExhausted => None,
        }
    }

    fn managed_elsewhere(&self) -> Option<String> {
        let object = match self.context.owners.owner(self.stream)? {
            StreamOwner::Object(object) => object,
            StreamOwner::Other(name) => return Some(format!("its configuration belongs to {name}")),
        };
        let rules = self.context.policy.actions.stream_placement.as_ref();
        let patches = rules.is_some_and(|rules| rules.on_managed == OnManagedStream::PatchOwner);
        let why = match &object.not_patched {
            Some(why) if patches => format!(", which {why}"),
            Some(_) | None => String::new(),
        };
        let belongs = format!("its configuration belongs to {}{why}", object.name);
        let Some(home) = self.home() else {
            return Some(belongs);
        };
        let wanted = serde_json::to_string(&wanted_placement(home, self.stream)).ok()?;
        Some(if is_repaired(home, self.stream) {
            format!(
                "{belongs}, and says {wanted} already, where it is not: remove its spec.placement and write it again"
            )
        } else {
            format!("{belongs}: write {wanted} into its spec.placement")
        })
    }

    fn group(&self) -> &'a RaftGroup {
        self.consumer
            .map_or(&self.stream.group, |consumer| &consumer.group)
    }

    fn name(&self, server: ServerIx) -> Option<&'a str> {
        Some(self.context.view.topology.get(server)?.name.as_str())
    }

    fn name_peers(&self, what: &str, wanted: impl Fn(&Peer) -> bool) -> Option<String> {
        let group = self.group();
        let names: Vec<&str> = group
            .peers
            .iter()
            .filter(|peer| Some(peer.server) != group.leader && wanted(peer))
            .filter_map(|peer| self.name(peer.server))
            .collect();
        (!names.is_empty()).then(|| format!("{what}: {}", names.join(", ")))
    }

    fn bytes_over_limit(&self) -> Option<String> {
        let limit = self.context.policy.actions.stream_placement.as_ref()?.max_bytes?;
        let stored = self.stream.bytes;
        Some(format!(
            "{stored} bytes stored, actions.streamPlacement.maxBytes is {limit}"
        ))
    }

    fn stall_too_long(&self) -> Option<String> {
        let most = self.context.policy.actions.stream_placement.as_ref()?.max_stall;
        Some(format!(
            "a move blocks writes for about {} ({}), actions.streamPlacement.maxStall is {}",
            amounts::about(self.safety_context?.move_cost(self.stream).stall),
            amounts::stalling_servers(),
            amounts::about(most),
        ))
    }

    fn not_worth_it(&self) -> Option<String> {
        let most = amounts::about(self.context.policy.disruption.max_payback?);
        let limit = format!("disruption.maxPayback is {most}");
        if self.stream.message_rate.is_none() {
            return Some(format!(
                "how many messages it stores a second is not known yet, {limit}"
            ));
        }
        let payback = self.safety_context?.payback(self.home()?, self.stream);
        Some(match payback {
            Some(payback) => {
                let after = amounts::about(payback);
                format!("a move has saved the waiting that it causes after about {after}, {limit}")
            }
            None => format!("a move saves no waiting, {limit}"),
        })
    }

    /// The consumer itself, or those that a move of the stream would take along.
    fn consumers(&self, wanted: impl Fn(&Consumer) -> bool) -> impl Iterator<Item = &'a Consumer> {
        let all = match self.consumer {
            Some(consumer) => std::slice::from_ref(consumer),
            None => self.stream.consumers.as_slice(),
        };
        all.iter().filter(move |consumer| wanted(consumer))
    }

    fn ack_pending_high(&self) -> Option<String> {
        let most = self.context.policy.disruption.gates.max_ack_pending?;
        let over = self.consumers(|consumer| consumer.durable && consumer.ack_pending > most);
        let worst = over.max_by_key(|consumer| consumer.ack_pending)?;
        Some(format!(
            "{} messages wait for consumer {}'s acknowledgement, disruption.gates.maxAckPending is {most}",
            worst.ack_pending, worst.name
        ))
    }

    fn pinned_client(&self) -> Option<String> {
        let pinned = self.consumers(|consumer| consumer.pinned).next()?;
        Some(format!("a client is pinned to consumer {}", pinned.name))
    }

    fn recently_elected(&self) -> String {
        let quiet = amounts::about(self.context.policy.disruption.gates.quiet_after_leader_change);
        let limit = format!("disruption.gates.quietAfterLeaderChange is {quiet}");
        match self.group().leader_since {
            Some(since) => format!("its leader leads since {since}, {limit}"),
            None => format!("since when its leader leads was not seen, {limit}"),
        }
    }

    fn server_just_started(&self) -> Option<String> {
        let (home, safety_context) = (self.home()?, self.safety_context?);
        let young = |server: &ServerIx| home.contains(*server) && safety_context.just_started(*server);
        let young: Vec<&str> = if self.moves {
            let all = self.context.view.topology.indices();
            all.filter(young).filter_map(|server| self.name(server)).collect()
        } else {
            let peers = self.group().peers.iter().map(|peer| peer.server);
            peers
                .filter(young)
                .filter_map(|server| self.name(server))
                .collect()
        };
        let quiet = amounts::about(self.context.policy.disruption.gates.quiet_after_server_start);
        (!young.is_empty()).then(|| {
            let names = young.join(", ");
            format!("started a moment ago: {names}; disruption.gates.quietAfterServerStart is {quiet}")
        })
    }

    fn no_target(&self) -> Option<String> {
        let replicas = self.stream.replicas;
        match self.home()?.target(self.stream) {
            Ok(_) => Some("what moves before it takes the room".to_owned()),
            Err(TargetError::NoServersMatch) => None,
            Err(TargetError::NotEnoughServers { matching, unique_tag }) => {
                let by = unique_tag.as_ref();
                let by = by.map_or_else(String::new, |prefix| format!(" of different {prefix:?} tags"));
                let whose = match (unique_tag, &self.context.view.topology.meta_leader) {
                    (None, _) => String::new(),
                    (Some(_), Some(leader)) => {
                        format!(" (unique_tag of {leader}, which leads the meta group)")
                    }
                    (Some(_), None) => " (unique_tag of one of the servers)".to_owned(),
                };
                Some(format!(
                    "{}{by} can take a replica, it has {replicas}{whose}",
                    amounts::counted(matching as u64, "server")
                ))
            }
            Err(TargetError::NoCapacity { with_capacity, short }) => {
                let short: Vec<String> = short.iter().take(MOST_NAMED).map(shortage_text).collect();
                let found = if with_capacity < usize::from(replicas) {
                    format!("{with_capacity} of {replicas} replicas find room")
                } else {
                    "the servers may choose one without room".to_owned()
                };
                Some(format!("{found}: {}", short.join("; ")))
            }
        }
    }

    fn waits_for(&self) -> String {
        let moving: Vec<&str> = self
            .safety_context
            .into_iter()
            .flat_map(|safety_context| safety_context.moving_relatives(self.stream))
            .take(MOST_NAMED)
            .map(|stream| stream.name.as_str())
            .collect();
        let movers = if moving.is_empty() {
            "another stream, which moves first".to_owned()
        } else {
            format!("{}, which moves now", moving.join(", "))
        };
        format!("waits for {movers}: of streams that mirror or source each other one moves at a time")
    }

    fn used_from(&self) -> Option<String> {
        let used = self.evaluation.homes.own(self.asset)?.used()?;
        Some(use_text(used))
    }

    fn stabilizing(&self) -> Option<String> {
        match self.evaluation.homes.of(self.asset)? {
            Home::Stabilizing {
                challenger,
                until,
                since: _,
                settled: _,
            } => Some(format!(
                "{challenger} becomes home at {until} if it goes on leading"
            )),
            Home::Settled { .. } | Home::NoMajority { .. } => None,
        }
    }
}

fn shortage_text(shortage: &Shortage) -> String {
    match shortage {
        Shortage::Bytes {
            server,
            storage,
            free,
            needed,
        } => {
            let kind = match storage {
                Storage::File => "file storage",
                Storage::Memory => "memory",
            };
            let lacking = amounts::bytes(needed.saturating_sub(*free));
            let needed = amounts::bytes(*needed);
            format!("{server} lacks {lacking} of the {needed} of {kind} that it takes")
        }
        Shortage::HaAssets {
            server,
            present,
            most,
            needed,
        } => format!("{server} holds {present} of at most {most} replicated assets, {needed} would come"),
    }
}
