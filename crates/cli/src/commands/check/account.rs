//! Which account a definition is of, as far as files state it, and so which policy judges it.
//!
//! Files do not name accounts as servers do. A policy has its namespace and its user's Secret; a NACK object has its
//! namespace, and may name an `Account` of NACK, which has a Secret.

use std::collections::{BTreeMap, BTreeSet};

use super::definitions::Defined;
use super::form::NACK;
use super::part::DocumentPart;
use crate::input::Document;
use crate::loaded_policy::LoadedPolicy;
use crate::policies::NO_REFERENCE;

/// What a definition says of its account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DefinedOwner<'d> {
    /// The namespace of its object.
    pub namespace: Option<&'d str>,
    /// The `Account` of NACK that it names, or the account of `/jsz` that it is in.
    pub account: Option<&'d str>,
    /// The user that its object connects as, if it names one.
    pub user: Option<&'d str>,
    /// The Secret of that account.
    pub secret: Option<&'d str>,
    /// Its `JetStream` domain.
    pub domain: Option<&'d str>,
}

impl<'d> DefinedOwner<'d> {
    /// Of a definition; [`find`] fills in its Secret, since other files may have it.
    pub fn of(part: &DocumentPart<'d>) -> Self {
        let text = |pointer: &str| part.text(pointer).filter(|text| !text.is_empty());
        if part.value("/kind").is_none() {
            return Self {
                account: part.account(),
                ..Self::default()
            };
        }
        Self {
            namespace: text("/metadata/namespace"),
            account: text("/spec/account"),
            user: text("/spec/creds").or_else(|| text("/spec/nkey")),
            secret: None,
            domain: text("/spec/jsDomain"),
        }
    }

    /// Whether both may be of one account, as far as they state it.
    pub fn may_share_account(&self, other: &Self) -> bool {
        let pairs = [
            (self.account, other.account),
            (self.user, other.user),
            (self.domain, other.domain),
        ];
        pairs
            .into_iter()
            .all(|(one, other)| one.is_none() || other.is_none() || one == other)
    }
}

/// Fills in the Secrets of accounts that the documents define.
pub fn find<'d>(defined: &mut [Defined<'d>], documents: &'d [Document]) {
    let of_nack = |document: &&'d Document| {
        let version = document.text("/apiVersion").unwrap_or_default();
        version.split('/').next() == Some(NACK) && document.text("/kind") == Some("Account")
    };
    let secret = |document: &'d Document| {
        let mut fields = ["/spec/creds", "/spec/user", "/spec/token", "/spec/nkey"].into_iter();
        fields.find_map(|field| document.text(&format!("{field}/secret/name")))
    };
    let named = |document: &'d Document| {
        (
            document.text("/metadata/namespace"),
            document.text("/metadata/name"),
        )
    };
    let secrets: BTreeMap<(Option<&str>, Option<&str>), &'d str> = documents
        .iter()
        .filter(of_nack)
        .filter_map(|document| Some((named(document), secret(document)?)))
        .collect();
    for one in defined {
        let owner = &mut one.owner;
        if owner.account.is_some() {
            owner.secret = secrets.get(&(owner.namespace, owner.account)).copied();
        }
    }
}

/// Which of the policies that select a definition judges it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Its position; `None` where no policy selects the definition.
    pub judge: Option<usize>,
    /// Positions of the others.
    pub others: Vec<usize>,
    /// Positions of policies, the judge among them, that may be of several accounts where files do not say which is
    /// right; empty otherwise.
    pub unclear: BTreeSet<usize>,
}

/// Chooses by the account as far as files state it, and by rank among the policies of one account. Positions are in the
/// order of rank.
pub fn choose(selecting: &[usize], policies: &[LoadedPolicy], owner: &DefinedOwner<'_>) -> Choice {
    let is_here = |at: &&usize| {
        policies
            .get(**at)
            .is_some_and(|loaded| !is_of_other_domain(loaded, owner))
    };
    let here: Vec<usize> = selecting.iter().filter(is_here).copied().collect();
    let evidence: [fn(&LoadedPolicy, &DefinedOwner<'_>) -> bool; 3] = [has_secret, is_in_namespace, is_named];
    let matching = evidence.into_iter().find_map(|is_of| {
        let of: Vec<usize> = here
            .iter()
            .filter(|at| policies.get(**at).is_some_and(|loaded| is_of(loaded, owner)))
            .copied()
            .collect();
        (!of.is_empty()).then_some(of)
    });
    let candidates = matching.unwrap_or(here);
    let judge = candidates.first().copied();
    let accounts: BTreeSet<_> = candidates
        .iter()
        .filter_map(|at| policies.get(*at))
        .map(account_of)
        .collect();
    Choice {
        judge,
        others: selecting
            .iter()
            .filter(|at| Some(**at) != judge)
            .copied()
            .collect(),
        unclear: if accounts.len() > 1 {
            candidates.into_iter().collect()
        } else {
            BTreeSet::new()
        },
    }
}

/// What distinguishes the accounts of two policies.
fn account_of(loaded: &LoadedPolicy) -> (&str, &str, &str) {
    let spec = &loaded.spec;
    (
        &loaded.namespace,
        &spec.credentials_ref.name,
        &spec.system_ref.name,
    )
}

fn is_of_other_domain(loaded: &LoadedPolicy, owner: &DefinedOwner<'_>) -> bool {
    match (&loaded.spec.jet_stream_domain, owner.domain) {
        (Some(one), Some(other)) => one != other,
        (_, _) => false,
    }
}

fn has_secret(loaded: &LoadedPolicy, owner: &DefinedOwner<'_>) -> bool {
    let namespace = owner.namespace.unwrap_or_default();
    owner
        .secret
        .is_some_and(|secret| loaded.spec.credentials_ref.name == secret)
        && loaded.namespace == namespace
}

fn is_in_namespace(loaded: &LoadedPolicy, owner: &DefinedOwner<'_>) -> bool {
    owner
        .namespace
        .is_some_and(|namespace| namespace == loaded.namespace)
}

/// Namespaces, Secrets and accounts often share names.
fn is_named(loaded: &LoadedPolicy, owner: &DefinedOwner<'_>) -> bool {
    let secret = &loaded.spec.credentials_ref.name;
    owner
        .account
        .is_some_and(|account| account == loaded.namespace || (account == secret && secret != NO_REFERENCE))
}
