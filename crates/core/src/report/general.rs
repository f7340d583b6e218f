//! What a report states about locations and the account, besides assets.

use leeward_api::policy_status::{
    Advice, Finding as FindingStatus, GatewayStatus, LocationStatus, MAX_ADVICE,
};
use leeward_api::vocabulary::{AdviceKind, Check, Remedy};

use crate::evaluate::Evaluation;
use crate::names::{Location, Tag};
use crate::policy::Policy;
use crate::snapshot::{AccountView, Traffic};

/// Bytes that cross gateways are worth a finding from this share on, in percent.
const HIGH_GATEWAY_PERCENT: u64 = 30;
/// And from this many bytes on.
const HIGH_GATEWAY_BYTES: u64 = 1_048_576;

/// Findings about locations and the account, not about one asset.
pub(super) fn general_findings(
    view: &AccountView,
    policy: &Policy,
    locations: &[LocationStatus],
) -> Vec<FindingStatus> {
    let blank = |check, location: Option<&str>, message| FindingStatus {
        check,
        stream: None,
        consumer: None,
        leader: None,
        location: location.map(str::to_owned),
        home: None,
        remedy: Remedy::Advice,
        reason: None,
        message,
        since: None,
        attempts: 0,
        next_attempt_time: None,
    };
    let lonely = locations.iter().filter(|location| location.no_local_leader).map(|location| {
        let message = format!(
            "{} connections ({} %) and no stream leader: every publish from here crosses to another location",
            location.connections, location.percent
        );
        blank(Check::NoLocalLeader, Some(location.name.as_str()), message)
    });
    let crossing = view.traffic.filter(|traffic| {
        traffic.gateway_bytes >= HIGH_GATEWAY_BYTES
            && traffic.gateway_bytes.saturating_mul(100) >= traffic.bytes.saturating_mul(HIGH_GATEWAY_PERCENT)
    });
    let crossing = crossing.map(|traffic| {
        let percent = gateway_percent(traffic);
        blank(
            Check::HighGatewayShare,
            None,
            format!("{percent} % of the account's bytes cross gateways"),
        )
    });
    let ambiguous = view.topology.servers().iter().filter_map(|server| {
        let details = server.details.as_ref()?;
        let tags: Vec<&str> = policy.topology.location_tags(details).map(Tag::as_str).collect();
        let (first, rest) = tags.split_first().filter(|(_, rest)| !rest.is_empty())?;
        let message = format!(
            "server {} carries several tags that name a location: {first}, which counts, and {}",
            server.name,
            rest.join(", ")
        );
        Some(blank(Check::SeveralLocations, Some(first), message))
    });
    lonely.chain(crossing).chain(ambiguous).collect()
}

/// Stored messages cross at another time than clients exchange them, and counters are read at slightly different
/// moments: at most 100.
fn gateway_percent(traffic: Traffic) -> u8 {
    let percent = traffic.gateway_bytes.saturating_mul(100) / traffic.bytes.max(1);
    u8::try_from(percent.min(100)).unwrap_or(100)
}

pub(super) fn gateway(view: &AccountView) -> Option<GatewayStatus> {
    let traffic = view.traffic?;
    let per_second = traffic.gateway_bytes.saturating_mul(1000) / traffic.span_milliseconds.max(1);
    Some(GatewayStatus {
        percent: gateway_percent(traffic).into(),
        bytes_per_second: i64::try_from(per_second).unwrap_or(i64::MAX),
    })
}

/// A location other than home without a leader is served best by a mirror of the busiest stream.
pub(super) fn advice(
    view: &AccountView,
    policy: &Policy,
    evaluation: &Evaluation,
    locations: &[LocationStatus],
) -> Vec<Advice> {
    let rate = |rate: Option<f32>| rate.unwrap_or(0.0);
    let selected = view
        .streams
        .iter()
        .filter(|stream| policy.streams.selects(stream));
    let busiest = selected.max_by(|a, b| {
        rate(a.message_rate)
            .total_cmp(&rate(b.message_rate))
            .then_with(|| b.name.cmp(&a.name))
    });
    let Some(stream) = busiest else { return Vec::new() };
    let home = evaluation.homes.account_location().map(Location::as_str);
    let lonely = locations.iter().filter(|location| location.no_local_leader);
    lonely
        .filter(|location| Some(location.name.as_str()) != home)
        .take(MAX_ADVICE)
        .map(|location| Advice {
            kind: AdviceKind::Mirror,
            stream: stream.name.to_string(),
            location: location.name.clone(),
            message: format!(
                "a mirror of {} placed in {} would let its clients read there",
                stream.name, location.name
            ),
        })
        .collect()
}
