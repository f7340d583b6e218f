//! One asset of a judged look, as a document. Pure.

use itertools::Itertools as _;
use jiff::Timestamp;
use leeward_api::policy_status::RecentAction;
use leeward_api::vocabulary::{FindingReason, Remedy};
use leeward_core::asset::asset_index;
use leeward_core::evaluate::{Finding, Verdict};
use leeward_core::explain::{basis_text, explain};
use leeward_core::names::{AssetName, ConsumerName, StreamName};
use leeward_core::policy::opted_out;
use leeward_core::safety::is_moving;
use leeward_core::snapshot::{Consumer, RaftGroup, Stream};
use leeward_core::topology::LocationMap;

use super::changes::changes;
use crate::commands::usage;
use crate::document::{ActionPart, ExplainDocument, ExplainedDecision, PeerPart, PeerPlace, Usage};
use crate::exit::LookOutcome;
use crate::judge::Assessment;
use crate::loaded_policy::name_of;

/// An asset in a judged look.
#[derive(Clone, Copy, Debug)]
pub(super) struct AssessedAsset<'a> {
    pub(super) judged: &'a Assessment<'a>,
    pub(super) asset: &'a AssetName,
    pub(super) stream: &'a Stream,
    pub(super) consumer: Option<&'a Consumer>,
}

/// A policy's verdict on an asset.
#[derive(Clone, Copy, Debug)]
pub(super) enum AssetStanding<'a> {
    /// The policy does not select it.
    NotSelected,
    /// Out of scope.
    Ignored(FindingReason),
    /// Not enough was seen, or there is no home.
    Undecided,
    /// Led from home.
    InPlace,
    /// Led from elsewhere, and movable.
    Misplaced(&'a Finding, Remedy),
    /// Led from elsewhere, and not movable now.
    Held(&'a Finding, Remedy, FindingReason),
}

/// The document, by the first policy that selects the asset; `None` without a policy or without such an asset.
pub(super) fn answer(judged: &[Assessment<'_>], asset: &AssetName) -> Option<(ExplainDocument, LookOutcome)> {
    let subjects: Vec<AssessedAsset<'_>> = judged
        .iter()
        .filter_map(|judged| AssessedAsset::new(judged, asset))
        .collect();
    let selects = |subject: &&AssessedAsset<'_>| !matches!(subject.stands(), AssetStanding::NotSelected);
    let acts = |subject: &&AssessedAsset<'_>| selects(subject) && subject.judged.outranked_by.is_none();
    let chosen = subjects
        .iter()
        .find(acts)
        .or_else(|| subjects.iter().find(selects))
        .or_else(|| subjects.first())?;
    let mut document = chosen.document();
    if let (AssetStanding::NotSelected, [_, _, ..]) = (chosen.stands(), judged) {
        let names = judged.iter().map(|judged| name_of(judged.loaded)).join(", ");
        document.decision.because = format!("none of the policies selects it: {names}");
    }
    Some((document, chosen.found()))
}

impl AssetStanding<'_> {
    /// What would bring the asset home, where it is elsewhere.
    pub(super) fn remedy(self) -> Option<Remedy> {
        match self {
            Self::Misplaced(_, remedy) | Self::Held(_, remedy, _) => Some(remedy),
            Self::NotSelected | Self::Ignored(_) | Self::Undecided | Self::InPlace => None,
        }
    }
}

impl<'a> AssessedAsset<'a> {
    fn new(judged: &'a Assessment<'a>, asset: &'a AssetName) -> Option<Self> {
        let stream = judged.seen.view.stream(&asset.stream)?;
        let consumer = match &asset.consumer {
            Some(name) => Some(stream.consumers.iter().find(|consumer| consumer.name == *name)?),
            None => None,
        };
        Some(Self {
            judged,
            asset,
            stream,
            consumer,
        })
    }

    pub(super) fn stands(&self) -> AssetStanding<'a> {
        let Assessment { policy, decision, .. } = self.judged;
        let evaluation = &decision.evaluation;
        let (stream, consumer) = (self.stream, self.consumer);
        if !policy.streams.selects(stream)
            || consumer.is_some_and(|consumer| !policy.selects_consumer(consumer))
        {
            return AssetStanding::NotSelected;
        }
        if opted_out(&stream.metadata) || consumer.is_some_and(|consumer| consumer.opted_out) {
            return AssetStanding::Ignored(FindingReason::OptedOut);
        }
        if consumer.is_some_and(|consumer| !consumer.durable) {
            return AssetStanding::Ignored(FindingReason::Ephemeral);
        }
        let at = asset_index(&self.judged.seen.view, self.asset);
        let homes = &evaluation.homes;
        let judged = at.is_some_and(|at| homes.reference(at).is_some() || homes.is_anywhere(at));
        if !evaluation.conclusive() || !judged {
            return AssetStanding::Undecided;
        }
        match self.finding().map(|finding| (finding, finding.verdict)) {
            Some((finding, Verdict::Misplaced(remedy))) => AssetStanding::Misplaced(finding, remedy),
            Some((finding, Verdict::Held(remedy, reason))) => AssetStanding::Held(finding, remedy, reason),
            Some((_, Verdict::Ignored(reason))) => AssetStanding::Ignored(reason),
            Some((_, Verdict::InPlace)) | None => AssetStanding::InPlace,
        }
    }

    fn finding(&self) -> Option<&'a Finding> {
        let at = asset_index(&self.judged.seen.view, self.asset)?;
        let mut all = self.judged.decision.evaluation.findings.iter();
        all.find(|finding| finding.asset == at)
    }

    fn found(&self) -> LookOutcome {
        match self.stands() {
            _ if !self.judged.decision.evaluation.conclusive() => LookOutcome::Incomplete,
            AssetStanding::Undecided => LookOutcome::Incomplete,
            AssetStanding::Misplaced(_, _) | AssetStanding::Held(_, _, _) => LookOutcome::Findings,
            AssetStanding::NotSelected | AssetStanding::Ignored(_) | AssetStanding::InPlace => {
                LookOutcome::InPlace
            }
        }
    }

    fn document(&self) -> ExplainDocument {
        ExplainDocument {
            time: self.judged.now,
            stream: self.asset.stream.to_string(),
            consumer: self.asset.consumer.as_ref().map(ToString::to_string),
            about: self.judged.about(),
            place: self.place(),
            usage: self.usage(),
            decision: self.decision(),
        }
    }

    fn group(&self) -> &'a RaftGroup {
        self.consumer
            .map_or(&self.stream.group, |consumer| &consumer.group)
    }

    fn place(&self) -> PeerPlace {
        let topology = &self.judged.seen.view.topology;
        let map = LocationMap::new(topology, &self.judged.policy.topology);
        let (group, placement) = (self.group(), self.stream.placement.clone().unwrap_or_default());
        let mut peers: Vec<PeerPart> = group
            .peers
            .iter()
            .map(|peer| PeerPart {
                server: topology
                    .get(peer.server)
                    .map_or_else(|| "unknown".to_owned(), |server| server.name.to_string()),
                location: map.of(peer.server).map(ToString::to_string),
                leader: group.leader == Some(peer.server),
                current: peer.current,
                offline: peer.offline,
                lag: peer.lag,
            })
            .collect();
        peers.sort_by_key(|peer| !peer.leader);
        PeerPlace {
            peers,
            leader_since: group.leader_since,
            replicas: self.stream.replicas,
            bytes: self.stream.bytes,
            placement_cluster: placement.cluster.map(|cluster| cluster.to_string()),
            placement_tags: placement.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
            moving: is_moving(self.stream),
        }
    }

    fn usage(&self) -> Usage {
        let sampled = usage::of_asset(self.judged, self.stream, self.consumer);
        let names = |names: &[StreamName]| names.iter().map(ToString::to_string).collect();
        let locations = self.judged.report.locations.clone();
        if let Some(consumer) = self.consumer {
            return Usage {
                message_rate: consumer.message_rate,
                consumers: Vec::new(),
                upstreams: Vec::new(),
                dependents: Vec::new(),
                ack_pending: Some(consumer.ack_pending),
                locations,
                sampled,
            };
        }
        let streams = self.judged.seen.view.streams.iter();
        let reads_it = |stream: &&Stream| stream.upstreams.contains(&self.stream.name);
        let consumers = self.stream.consumers.iter();
        Usage {
            message_rate: self.stream.message_rate,
            consumers: consumers.map(|consumer| consumer.name.to_string()).collect(),
            upstreams: names(&self.stream.upstreams),
            dependents: streams
                .filter(reads_it)
                .map(|stream| stream.name.to_string())
                .collect(),
            ack_pending: None,
            locations,
            sampled,
        }
    }

    fn decision(&self) -> ExplainedDecision {
        let stands = self.stands();
        let (verdict, reason, finding) = match stands {
            AssetStanding::NotSelected => ("NotSelected", None, None),
            AssetStanding::Ignored(reason) => ("Ignored", Some(reason), None),
            AssetStanding::Undecided => ("Undecided", None, None),
            AssetStanding::InPlace => ("InPlace", None, None),
            AssetStanding::Misplaced(finding, _) => ("Misplaced", None, Some(finding)),
            AssetStanding::Held(finding, _, reason) => ("Held", Some(reason), Some(finding)),
        };
        let (action, action_time) = self.forecast(stands).unzip();
        let homes = &self.judged.decision.evaluation.homes;
        let at = asset_index(&self.judged.seen.view, self.asset);
        ExplainedDecision {
            verdict: verdict.to_owned(),
            reason: reason.map(|reason| reason.to_string()),
            remedy: stands.remedy(),
            gain: finding.and_then(|finding| finding.known_gain(&self.judged.seen.view)),
            because: self.because(stands),
            changes: changes(self, stands, action_time),
            own_home: at.and_then(|at| homes.differing(at)).map(ToString::to_string),
            home: self.judged.report.home.clone(),
            action,
            action_time,
            recent: self.recent(),
        }
    }

    fn because(&self, stands: AssetStanding<'_>) -> String {
        let judged = self.judged;
        match stands {
            AssetStanding::NotSelected => {
                let policy = name_of(judged.loaded);
                let selects = if judged.policy.streams.selects(self.stream) {
                    "its stream, but not this consumer (consumers.include, consumers.exclude)"
                } else {
                    "other streams (streams.include, streams.exclude, streams.metadata)"
                };
                format!("policy {policy} selects {selects}")
            }
            AssetStanding::Ignored(reason) => reason.explanation().to_owned(),
            AssetStanding::Undecided if judged.decision.evaluation.conclusive() => {
                judged.report.in_place.1.clone()
            }
            AssetStanding::Undecided => format!("not everything could be seen: {}", judged.report.observed.1),
            AssetStanding::InPlace => self.led_from(),
            AssetStanding::Misplaced(finding, _) | AssetStanding::Held(finding, _, _) => {
                explain(&judged.context(), &judged.decision.evaluation, finding)
            }
        }
    }

    fn led_from(&self) -> String {
        let at = asset_index(&self.judged.seen.view, self.asset);
        let is_anywhere = at.is_some_and(|at| self.judged.decision.evaluation.homes.is_anywhere(at));
        let peers = self.place().peers;
        let leader = peers.into_iter().find(|peer| peer.leader);
        let text = match leader {
            Some(leader) => {
                let location = leader.location.unwrap_or_else(|| "no location".to_owned());
                let is = if is_anywhere { "" } else { ", which is home" };
                format!("{} leads it, in {location}{is}", leader.server)
            }
            None => "it is led from home".to_owned(),
        };
        let basis = at.and_then(|at| basis_text(&self.judged.decision.evaluation.homes, at));
        match basis {
            Some(basis) => format!("{text}; {basis}"),
            None => text,
        }
    }

    /// What would be done to it, or to the stream that it follows, and when.
    fn forecast(&self, stands: AssetStanding<'_>) -> Option<(ActionPart, Timestamp)> {
        let wanted = if stands.remedy() == Some(Remedy::FollowsStream) {
            AssetName::stream(self.asset.stream.clone())
        } else {
            self.asset.clone()
        };
        self.judged.forecast().waves.iter().find_map(|wave| {
            let action = wave.actions.iter().find(|action| action.asset == wanted)?;
            Some((self.judged.action(action), wave.at))
        })
    }

    /// What was done to it lately; for a consumer also to its stream, since that takes it along.
    fn recent(&self) -> Vec<RecentAction> {
        let Some(past) = self.judged.past() else {
            return Vec::new();
        };
        let own = self.asset.consumer.as_ref().map(ConsumerName::as_str);
        let actions = past.recent_actions.iter();
        actions
            .filter(|action| {
                action.stream == self.asset.stream.as_str()
                    && (action.consumer.is_none() || action.consumer.as_deref() == own)
            })
            .cloned()
            .collect()
    }
}
