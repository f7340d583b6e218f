//! Which policy may act where two select one stream: all policies of one account, in order of rank.
//!
//! The claims come from the last reconciles; changing one returns the policies that are affected. A policy that was not
//! reconciled yet may still make a claim: those below it wait until it has, or stands aside.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use leeward_api::PlacementPolicy;
use leeward_core::conflict::outranked;
use leeward_core::names::AccountId;
use leeward_core::policy::Policy;
use leeward_core::snapshot::{AccountView, Gap};

use crate::key::Key;

/// The order of precedence; less is first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    priority: Reverse<i32>,
    created: Option<Timestamp>,
    key: Key,
}

impl Rank {
    /// The rank of a policy: the higher priority, then the older, then the name.
    pub fn new(priority: i32, created: Option<Timestamp>, key: Key) -> Self {
        Self {
            priority: Reverse(priority),
            created,
            key,
        }
    }
}

/// What a policy claims.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The system.
    pub system: Key,
    /// The account in it.
    pub account: AccountId,
    /// The Secret of the user, and the key in it, where only that account's own clients report which account it is:
    /// such a claim counts only among policies with the same user, since it could be forged.
    pub unconfirmed: Option<(Key, Option<String>)>,
    /// Its precedence.
    pub rank: Rank,
    /// Which specification the claim is from: the uid and the generation.
    pub edition: (String, i64),
    /// What it selects.
    pub policy: Arc<Policy>,
}

impl Claim {
    fn concerns(&self, other: &Self) -> bool {
        self.system == other.system && self.account == other.account && self.unconfirmed == other.unconfirmed
    }

    fn is_equal_to(&self, other: &Self) -> bool {
        self.concerns(other) && self.rank == other.rank && self.edition == other.edition
    }
}

/// The rank of a policy.
pub fn rank(policy: &PlacementPolicy) -> Rank {
    let created = policy.metadata.creation_timestamp.as_ref().map(|time| time.0);
    Rank::new(policy.spec.priority, created, Key::of(policy))
}

/// What a policy claims, as it was resolved.
pub fn claim(policy: &PlacementPolicy, system: &Key, account: AccountId, resolved: Arc<Policy>) -> Claim {
    let meta = &policy.metadata;
    Claim {
        system: system.clone(),
        account,
        unconfirmed: None,
        rank: rank(policy),
        edition: (
            meta.uid.clone().unwrap_or_default(),
            meta.generation.unwrap_or_default(),
        ),
        policy: resolved,
    }
}

/// Whether a policy may act.
pub type Precedence = leeward_engine::precedence::Precedence<Key>;

/// All claims.
#[derive(Debug, Default)]
pub struct Claims {
    by_policy: Mutex<BTreeMap<Key, Claim>>,
    without_claim: Mutex<BTreeSet<Key>>,
    waiting: Mutex<BTreeSet<Key>>,
}

impl Claims {
    /// Makes a claim; returns the other policies that are affected if it differs from the one before.
    pub fn add(&self, key: &Key, claim: &Claim) -> Vec<Key> {
        self.forget(key);
        let mut claims = lock(&self.by_policy);
        let before = claims.insert(key.clone(), claim.clone());
        if before.as_ref().is_some_and(|before| before.is_equal_to(claim)) {
            return Vec::new();
        }
        let changed: Vec<&Claim> = before.iter().chain([claim]).collect();
        concerned(&claims, key, &changed)
    }

    /// Withdraws a claim; returns the policies that are affected.
    pub fn withdraw(&self, key: &Key) -> Vec<Key> {
        let mut claims = lock(&self.by_policy);
        let before = claims.remove(key);
        let changed: Vec<&Claim> = before.iter().collect();
        concerned(&claims, key, &changed)
    }

    /// Notes that a policy makes no claim until something about it changes; returns whether that is new.
    pub fn mark_without_claim(&self, key: &Key) -> bool {
        lock(&self.without_claim).insert(key.clone())
    }

    /// Forgets that a policy stood aside.
    pub fn forget(&self, key: &Key) {
        lock(&self.without_claim).remove(key);
    }

    /// Notes that a policy waits for others' claims.
    pub fn wait(&self, key: &Key) {
        lock(&self.waiting).insert(key.clone());
    }

    /// Takes out those that wait.
    pub fn take_waiting(&self) -> BTreeSet<Key> {
        std::mem::take(&mut *lock(&self.waiting))
    }

    /// Whether it is known if a policy makes a claim.
    pub fn knows(&self, key: &Key) -> bool {
        lock(&self.by_policy).contains_key(key) || lock(&self.without_claim).contains(key)
    }

    /// Decides for one policy on the newest view of its account.
    pub fn decide(&self, key: &Key, view: &AccountView) -> Precedence {
        let ranked = self.ranked(key);
        let Some(own) = ranked.iter().position(|(name, _)| name == key) else {
            return Precedence::Free;
        };
        if own > 0 && view.gaps.contains(&Gap::WarmingUp) {
            return Precedence::Undecided;
        }
        let policies: Vec<&Policy> = ranked.iter().map(|(_, policy)| &**policy).collect();
        let mut results = outranked(view, &policies);
        if own >= results.len() {
            return Precedence::Free;
        }
        match results.swap_remove(own) {
            None => Precedence::Free,
            Some((winner, over)) => {
                ranked
                    .get(winner)
                    .map_or(Precedence::Undecided, |(by, _)| Precedence::Outranked {
                        by: by.clone(),
                        over,
                    })
            }
        }
    }

    /// Those of the same account, in order of rank, up to and including this one.
    fn ranked(&self, key: &Key) -> Vec<(Key, Arc<Policy>)> {
        let claims = lock(&self.by_policy);
        let Some(own) = claims.get(key) else {
            return Vec::new();
        };
        let mut conflicts: Vec<(&Key, &Claim)> = claims
            .iter()
            .filter(|(_, claim)| claim.concerns(own) && claim.rank <= own.rank)
            .collect();
        conflicts.sort_by(|(_, one), (_, other)| one.rank.cmp(&other.rank));
        conflicts
            .into_iter()
            .map(|(key, claim)| (key.clone(), Arc::clone(&claim.policy)))
            .collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn concerned(claims: &BTreeMap<Key, Claim>, own: &Key, changed: &[&Claim]) -> Vec<Key> {
    claims
        .iter()
        .filter(|(key, claim)| *key != own && changed.iter().any(|changed| changed.concerns(claim)))
        .map(|(key, _)| key.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use leeward_api::policy::{CredentialsRef, PlacementPolicySpec, StreamSelection, SystemRef};
    use leeward_core::names::StreamName;
    use leeward_core::resolve::resolve;
    use leeward_core::snapshot::Stream;
    use leeward_core::topology::Topology;

    use super::*;

    fn policy(streams: &str) -> Arc<Policy> {
        let mut spec: PlacementPolicySpec = serde_json::from_value(serde_json::json!({
            "systemRef": SystemRef { name: "prod".into(), namespace: None },
            "credentialsRef": CredentialsRef { name: "secret".into(), key: None },
        }))
        .unwrap();
        spec.streams = StreamSelection {
            include: vec![streams.to_owned()],
            ..StreamSelection::default()
        };
        Arc::new(resolve(&spec).unwrap())
    }

    fn claim(key: &Key, priority: i32, created: i64, streams: &str) -> Claim {
        let created = Timestamp::from_second(created).unwrap();
        Claim {
            system: Key::new("nats", "prod"),
            account: AccountId::from("A"),
            unconfirmed: None,
            rank: Rank::new(priority, Some(created), key.clone()),
            edition: ("uid".into(), 1),
            policy: policy(streams),
        }
    }

    fn view(streams: &[&str], gaps: Vec<Gap>) -> AccountView {
        let stream = |name: &&str| Stream {
            name: StreamName::from(*name),
            replicas: 1,
            group: leeward_core::snapshot::RaftGroup::default(),
            moving: false,
            placement: None,
            metadata: BTreeMap::new(),
            bytes: 0,
            storage: leeward_core::topology::Storage::File,
            max_bytes: None,
            upstreams: Vec::new(),
            subjects: Vec::new(),
            allow_direct: false,
            answers_gets_of: None,
            message_rate: None,
            consumers: Vec::new(),
        };
        AccountView {
            account: AccountId::from("A"),
            topology: Arc::new(Topology::default()),
            observed_at: Timestamp::UNIX_EPOCH,
            gaps,
            clients: Vec::new(),
            streams: streams.iter().map(stream).collect(),
            traffic: None,
        }
    }

    #[test]
    fn priority_goes_before_age_and_age_before_the_name() {
        let rank = |priority, created: i64, name: &str| {
            let created = Timestamp::from_second(created).unwrap();
            Rank::new(priority, Some(created), Key::new("a", name))
        };
        assert!(rank(1, 20, "z") < rank(0, 10, "a"));
        assert!(rank(0, 10, "z") < rank(0, 20, "a"));
        assert!(rank(0, 10, "a") < rank(0, 10, "b"));
    }

    #[test]
    fn the_loser_learns_who_won_over_which_stream() {
        let (old, new) = (Key::new("a", "orders"), Key::new("b", "orders"));
        let claims = Claims::default();
        assert_eq!(claims.add(&old, &claim(&old, 0, 10, "ORDERS")), Vec::<Key>::new());
        assert_eq!(claims.add(&new, &claim(&new, 0, 20, "*")), vec![old.clone()]);
        let seen = view(&["AUDIT", "ORDERS"], Vec::new());
        assert_eq!(claims.decide(&old, &seen), Precedence::Free);
        let lost = Precedence::Outranked {
            by: old.clone(),
            over: StreamName::from("ORDERS"),
        };
        assert_eq!(claims.decide(&new, &seen), lost);
        assert_eq!(claims.withdraw(&old), vec![new.clone()]);
        assert_eq!(claims.decide(&new, &seen), Precedence::Free);
    }

    #[test]
    fn who_is_outranked_waits_until_the_streams_were_seen() {
        let (first, second) = (Key::new("a", "one"), Key::new("a", "two"));
        let claims = Claims::default();
        claims.add(&first, &claim(&first, 5, 20, "A"));
        claims.add(&second, &claim(&second, 0, 10, "B"));
        let warming = view(&[], vec![Gap::WarmingUp]);
        assert_eq!(claims.decide(&second, &warming), Precedence::Undecided);
        assert_eq!(claims.decide(&first, &warming), Precedence::Free);
        assert_eq!(
            claims.decide(&second, &view(&["A", "B"], Vec::new())),
            Precedence::Free
        );
    }

    #[test]
    fn a_policy_is_known_once_it_lays_a_claim_or_stands_aside() {
        let key = Key::new("a", "one");
        let claims = Claims::default();
        assert!(!claims.knows(&key));
        assert!(claims.mark_without_claim(&key) && !claims.mark_without_claim(&key));
        assert!(claims.knows(&key));
        claims.add(&key, &claim(&key, 0, 10, "*"));
        claims.withdraw(&key);
        assert!(!claims.knows(&key), "it may lay another claim soon");
    }

    #[test]
    fn p11_an_account_that_only_its_clients_tell_gives_no_precedence_over_another_user() {
        let (one, two, three) = (Key::new("a", "one"), Key::new("b", "one"), Key::new("a", "two"));
        let claims = Claims::default();
        let unconfirmed = |key: &Key, priority: i32, secret: &str| {
            let mut claim = claim(key, priority, 10, "*");
            claim.unconfirmed = Some((Key::new("a", secret), None));
            claim
        };
        claims.add(&one, &unconfirmed(&one, 1000, "spoofed"));
        assert_eq!(claims.add(&two, &claim(&two, 0, 10, "*")), Vec::<Key>::new());
        let decide = |key: &Key| claims.decide(key, &view(&["ORDERS"], Vec::new()));
        assert_eq!((decide(&one), decide(&two)), (Precedence::Free, Precedence::Free));
        claims.add(&three, &unconfirmed(&three, 0, "other"));
        assert_eq!(decide(&three), Precedence::Free);
        claims.add(&three, &unconfirmed(&three, 0, "spoofed"));
        assert!(matches!(decide(&three), Precedence::Outranked { by, .. } if by == one));
    }

    #[test]
    fn other_accounts_are_no_rivals_and_an_equal_claim_concerns_nobody() {
        let (one, two) = (Key::new("a", "one"), Key::new("b", "one"));
        let claims = Claims::default();
        claims.add(&one, &claim(&one, 0, 10, "*"));
        let mut elsewhere = claim(&two, 0, 20, "*");
        elsewhere.account = AccountId::from("B");
        assert_eq!(claims.add(&two, &elsewhere), Vec::<Key>::new());
        assert_eq!(
            claims.decide(&two, &view(&["ORDERS"], Vec::new())),
            Precedence::Free
        );
        assert_eq!(claims.add(&two, &claim(&two, 0, 20, "*")), vec![one.clone()]);
        assert_eq!(claims.add(&two, &claim(&two, 0, 20, "*")), Vec::<Key>::new());
    }
}
