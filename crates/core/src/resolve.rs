//! Custom resource → [`Policy`]: what the schema's rules could not check is checked here, once.

mod limits;

use leeward_api::policy::{
    Approval, ClientKind as ApiClientKind, HomeScope, HomeStrategy, Mode as ApiMode,
    OnNoMajority as ApiOnNoMajority, PlacementPolicySpec, TopologyKey as ApiTopologyKey, TopologySpec,
    WeightBy as ApiWeightBy,
};

use crate::names::Location;
use crate::policy::{
    Actions, ApprovalRules, AutoApproveRules, ClientSelector, Globs, HomeRules, Mode, MoveRules,
    OnNoMajority, Policy, Strategy, StreamSelector, UseRules, WeightBy,
};
use crate::snapshot::ClientKind;
use crate::topology::TopologyKey;

/// Why a policy cannot be used; the message names the field and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// `topology.tagPrefix` is missing.
    #[error(
        "topology.tagPrefix is required when topology.key is ServerTag: set it to the tag prefix, such as \"region:\""
    )]
    TagPrefixMissing,
    /// A `maxBytes` is not a quantity.
    #[error("{field} is not a number of bytes ({message}): write it as \"10Gi\"")]
    MaxBytes {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// A budget or window cannot be used; then nothing is allowed.
    #[error("{field}: {message}")]
    Limit {
        /// Which.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// The time zone of a budget or window is not known; then nothing is allowed.
    #[error("{field}.timeZone: {message}")]
    TimeZone {
        /// Which.
        field: String,
        /// What is wrong with it.
        message: String,
    },
}

/// Resolves a specification.
pub fn resolve(spec: &PlacementPolicySpec) -> Result<Policy, InvalidPolicy> {
    let topology = topology(&spec.topology)?;
    Ok(Policy {
        mode: match (spec.mode, spec.suspend) {
            (ApiMode::Observe, _) => Mode::Observe,
            (ApiMode::Propose | ApiMode::Enforce, true) => Mode::Suspended,
            (ApiMode::Propose, false) => Mode::Propose,
            (ApiMode::Enforce, false) => Mode::Enforce,
        },
        home: home(spec, &topology),
        topology,
        domain: spec.jet_stream_domain.clone(),
        clients: clients(spec),
        streams: StreamSelector {
            names: Globs::new(&spec.streams.include, &spec.streams.exclude),
            metadata: spec.streams.metadata.clone(),
        },
        consumers: Globs::new(&spec.consumers.include, &spec.consumers.exclude),
        actions: actions(spec)?,
        approval: approval(&spec.approval)?,
        disruption: limits::disruption(&spec.disruption)?,
        max_findings: usize::try_from(spec.report.max_findings).unwrap_or(0),
        reset_token: spec.reset_token.clone(),
    })
}

fn topology(spec: &TopologySpec) -> Result<TopologyKey, InvalidPolicy> {
    // Servers report their tags in lower case (nats-facts N2).
    let prefix = spec.tag_prefix.as_ref().map(|prefix| prefix.to_lowercase());
    match spec.key {
        ApiTopologyKey::Cluster => Ok(TopologyKey::Cluster { tag_prefix: prefix }),
        ApiTopologyKey::ServerTag => prefix
            .map(|prefix| TopologyKey::ServerTag { prefix })
            .ok_or(InvalidPolicy::TagPrefixMissing),
    }
}

fn home(spec: &PlacementPolicySpec, topology: &TopologyKey) -> HomeRules {
    let home = &spec.home;
    let location = |name: &String| match topology {
        TopologyKey::Cluster { tag_prefix: _ } => Location::from(name.as_str()),
        TopologyKey::ServerTag { prefix: _ } => Location::from(name.to_lowercase()),
    };
    let percent = |value: u32| u8::try_from(value).unwrap_or(100);
    let by_use = home.scope == HomeScope::Stream
        && home.strategy == HomeStrategy::ClientMajority
        && home.sampling.enabled;
    HomeRules {
        strategy: match home.strategy {
            HomeStrategy::ClientMajority => Strategy::ClientMajority,
            HomeStrategy::Preferred => Strategy::Preferred,
        },
        preferences: home.preferences.iter().map(location).collect(),
        by_use: by_use.then(|| UseRules {
            coverage_percent: percent(home.coverage_percent),
            messages_per_minute: home.sampling.messages_per_minute,
        }),
        weight_by: match home.weight_by {
            ApiWeightBy::Connections => WeightBy::Connections,
            ApiWeightBy::Messages => WeightBy::Messages,
            ApiWeightBy::Bytes => WeightBy::Bytes,
        },
        min_connections: home.min_connections,
        majority_percent: percent(home.majority_percent),
        hysteresis_percent: percent(home.hysteresis_percent),
        stabilization_window: home.stabilization_window.into(),
        stream_stabilization_window: home.stabilization_window.into(),
        on_no_majority: match home.on_no_majority {
            ApiOnNoMajority::Hold => OnNoMajority::Hold,
            ApiOnNoMajority::UsePreferences => OnNoMajority::UsePreferences,
        },
        exclude: home.exclude.iter().map(location).collect(),
    }
}

fn approval(spec: &Approval) -> Result<ApprovalRules, InvalidPolicy> {
    let auto = spec.auto_approve.as_ref().map(|auto| {
        let max_bytes = auto.max_bytes().map_err(|error| InvalidPolicy::MaxBytes {
            field: "approval.autoApprove.maxBytes",
            message: error.to_string(),
        })?;
        Ok(AutoApproveRules {
            actions: auto.actions.iter().copied().collect(),
            max_bytes,
            max_actions: usize::try_from(auto.max_actions).unwrap_or(0),
            min_gain: auto.min_gain,
        })
    });
    Ok(ApprovalRules {
        plan_ttl: spec.plan_ttl.into(),
        auto: auto.transpose()?,
    })
}

fn clients(spec: &PlacementPolicySpec) -> ClientSelector {
    let clients = &spec.clients;
    let kind = |kind: &ApiClientKind| match kind {
        ApiClientKind::Client => ClientKind::Client,
        ApiClientKind::Leafnode => ClientKind::Leafnode,
    };
    ClientSelector {
        kinds: clients.kinds.iter().map(kind).collect(),
        users: Globs::new(&clients.users, &clients.exclude_users),
        names: Globs::new(&clients.names, &clients.exclude_names),
    }
}

fn actions(spec: &PlacementPolicySpec) -> Result<Actions, InvalidPolicy> {
    let actions = &spec.actions;
    let max_bytes = actions
        .stream_placement
        .max_bytes()
        .map_err(|error| InvalidPolicy::MaxBytes {
            field: "actions.streamPlacement.maxBytes",
            message: error.to_string(),
        })?;
    Ok(Actions {
        consumer_step_down: actions.consumer_step_down.enabled,
        stream_step_down: actions.stream_step_down.enabled,
        consumer_evacuation: actions.consumer_evacuation.enabled,
        stream_placement: actions.stream_placement.enabled.then(|| MoveRules {
            timeout: actions.stream_placement.timeout.into(),
            max_bytes,
            max_stall: actions.stream_placement.max_stall.into(),
            refresh_dependents: actions.stream_placement.refresh_dependents,
            on_managed: actions.stream_placement.on_managed_stream,
        }),
    })
}

#[cfg(test)]
mod tests;
