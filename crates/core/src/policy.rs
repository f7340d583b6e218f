//! A policy as decisions need it: durations, selectors and limits resolved from the custom resource once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leeward_api::policy::OnManagedStream;
use leeward_api::vocabulary::ActionType;
use wildmatch::WildMatch;

use crate::breaker::BreakerRules;
use crate::budget::Budget;
use crate::names::Location;
use crate::snapshot::{ClientGroup, ClientKind, Consumer, Stream};
use crate::topology::TopologyKey;
use crate::window::Window;

/// Metadata by which an asset's owner opts out.
pub const IGNORE_KEY: &str = "leeward.dev/ignore";

/// One policy, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Whether it may act at all, by its own spec.
    pub mode: Mode,
    /// What a location is.
    pub topology: TopologyKey,
    /// The JetStream domain of the streams, if the policy names one.
    pub domain: Option<String>,
    /// How home is found.
    pub home: HomeRules,
    /// Whose connections count.
    pub clients: ClientSelector,
    /// Which streams it is about.
    pub streams: StreamSelector,
    /// Which consumers of them.
    pub consumers: Globs,
    /// What it may do.
    pub actions: Actions,
    /// How plans are approved, where it proposes.
    pub approval: ApprovalRules,
    /// How much at once and how often.
    pub disruption: Disruption,
    /// How many findings are listed in status.
    pub max_findings: usize,
    /// Clears exhausted attempts when it changes.
    pub reset_token: Option<String>,
}

/// What a policy does with its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Looks and reports.
    Observe,
    /// Does what was approved of its plans.
    Propose,
    /// Acts.
    Enforce,
    /// Would act, but a person suspended it.
    Suspended,
}

impl Mode {
    /// Whether it acts, on its own or when a person approves.
    pub const fn acts(self) -> bool {
        match self {
            Self::Propose | Self::Enforce => true,
            Self::Observe | Self::Suspended => false,
        }
    }
}

/// How plans are approved.
#[derive(Clone, Debug, PartialEq)]
pub struct ApprovalRules {
    /// How long a plan waits.
    pub plan_ttl: Duration,
    /// What begins without asking.
    pub auto: Option<AutoApproveRules>,
}

/// What begins without asking: an action for which all of it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoApproveRules {
    /// Of these types.
    pub actions: BTreeSet<ActionType>,
    /// Copying at most so many bytes.
    pub max_bytes: Option<u64>,
    /// At most so many at once; more all ask.
    pub max_actions: usize,
    /// Saving at least so many milliseconds of waiting a second.
    pub min_gain: Option<u32>,
}

/// How home is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeRules {
    /// Who decides.
    pub strategy: Strategy,
    /// Ordered locations.
    pub preferences: Vec<Location>,
    /// How the clients that use a stream decide; `None` where the account's clients do, or a preference.
    pub by_use: Option<UseRules>,
    /// What a client of the account weighs.
    pub weight_by: WeightBy,
    /// Below this many connections of the account there is no majority.
    pub min_connections: u32,
    /// The share that makes a majority.
    pub majority_percent: u8,
    /// By how many percent points a challenger must lead the present home.
    pub hysteresis_percent: u8,
    /// For how long, before home changes.
    pub stabilization_window: Duration,
    /// For how long, before the home of a stream changes that is decided by its own clients.
    pub stream_stabilization_window: Duration,
    /// What happens without a majority.
    pub on_no_majority: OnNoMajority,
    /// Names and globs of locations that are never home; their clients do not count for the majority either.
    pub exclude: Vec<Location>,
}

impl HomeRules {
    /// Whether a location is never home.
    pub fn excludes(&self, location: &Location) -> bool {
        let named = |glob: &Location| WildMatch::new(glob.as_str()).matches(location.as_str());
        self.exclude.iter().any(named)
    }
}

/// Who decides where home is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Live clients.
    ClientMajority,
    /// The first preference that is up.
    Preferred,
}

/// How the clients that use a stream decide where its home is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UseRules {
    /// The share of a stream's messages whose clients must be known.
    pub coverage_percent: u8,
    /// How many messages are sampled in a minute, over all streams.
    pub messages_per_minute: u32,
}

/// What a client weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightBy {
    /// One each.
    Connections,
    /// Its messages.
    Messages,
    /// Its bytes.
    Bytes,
}

/// What happens without a majority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnNoMajority {
    /// Nothing moves.
    Hold,
    /// The first preference that is up is home.
    UsePreferences,
}

/// Include and exclude globs over names (`*` any run, `?` one character).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Globs {
    include: Vec<WildMatch>,
    exclude: Vec<WildMatch>,
}

impl Globs {
    /// Compiles patterns; without an include pattern everything is included.
    pub fn new<T: AsRef<str>>(include: &[T], exclude: &[T]) -> Self {
        let compile = |patterns: &[T]| {
            patterns
                .iter()
                .map(|glob| WildMatch::new(glob.as_ref()))
                .collect()
        };
        Self {
            include: compile(include),
            exclude: compile(exclude),
        }
    }

    /// Whether a name is selected.
    pub fn selects(&self, name: &str) -> bool {
        (self.include.is_empty() || self.include.iter().any(|glob| glob.matches(name)))
            && !self.exclude.iter().any(|glob| glob.matches(name))
    }
}

/// Whose connections count.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientSelector {
    /// What kinds.
    pub kinds: Vec<ClientKind>,
    /// Globs over user names.
    pub users: Globs,
    /// Globs over connection names.
    pub names: Globs,
}

impl ClientSelector {
    /// Whether a group of connections counts.
    pub fn selects(&self, group: &ClientGroup) -> bool {
        self.kinds.contains(&group.kind)
            && self.users.selects(group.user.as_deref().unwrap_or(""))
            && self.names.selects(group.name.as_deref().unwrap_or(""))
    }
}

/// Which streams a policy is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamSelector {
    /// Globs over stream names.
    pub names: Globs,
    /// Metadata that a stream must carry, all of it.
    pub metadata: BTreeMap<String, String>,
}

impl StreamSelector {
    /// Whether a stream is selected.
    pub fn selects(&self, stream: &Stream) -> bool {
        self.names.selects(stream.name.as_str())
            && self
                .metadata
                .iter()
                .all(|(key, value)| stream.metadata.get(key) == Some(value))
    }
}

/// What a policy may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actions {
    /// Consumer step-downs.
    pub consumer_step_down: bool,
    /// Stream step-downs.
    pub stream_step_down: bool,
    /// Evacuations of consumers that have one replica.
    pub consumer_evacuation: bool,
    /// Placement edits; `None` when they are disabled.
    pub stream_placement: Option<MoveRules>,
}

/// Limits of placement edits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveRules {
    /// After this long a move counts as timed out.
    pub timeout: Duration,
    /// Larger streams are held.
    pub max_bytes: Option<u64>,
    /// Streams whose writes a move would block for longer are held.
    pub max_stall: Duration,
    /// Mirrors and sources that do not resume after a move get their leader stepped down.
    pub refresh_dependents: bool,
    /// What becomes of streams whose configuration belongs to another controller.
    pub on_managed: OnManagedStream,
}

/// How much at once, how often, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Disruption {
    /// Operations at once.
    pub max_concurrent: usize,
    /// Rest of an asset after an operation.
    pub cooldown: Duration,
    /// Requests without success, per asset.
    pub max_attempts: u32,
    /// In which time a move has to save more waiting than it causes; `None` for no limit.
    pub max_payback: Option<Duration>,
    /// What must hold of an asset and its servers.
    pub gates: Gates,
    /// How many may be acted on in a span of time.
    pub budgets: Vec<Budget>,
    /// When actions may be done.
    pub windows: Vec<Window>,
    /// When repeated failures stop all actions.
    pub circuit_breaker: BreakerRules,
}

/// What must hold of an asset and its servers right before an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gates {
    /// Raft entries that a peer which takes over may lack.
    pub max_replica_lag: u32,
    /// Consumers with more messages that wait for an acknowledgement are held.
    pub max_ack_pending: Option<u64>,
    /// A leader that leads for a shorter time is left alone.
    pub quiet_after_leader_change: Duration,
    /// A server that is up for a shorter time gets no leaders.
    pub quiet_after_server_start: Duration,
}

/// Whether the owner of a stream opted it out.
pub fn opted_out(metadata: &BTreeMap<String, String>) -> bool {
    metadata.get(IGNORE_KEY).is_some_and(|value| value == "true")
}

impl Policy {
    /// Whether a consumer is selected, given that its stream is.
    pub fn selects_consumer(&self, consumer: &Consumer) -> bool {
        self.consumers.selects(consumer.name.as_str())
    }
}

#[cfg(test)]
mod tests;
