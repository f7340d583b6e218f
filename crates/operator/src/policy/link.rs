//! The connection of one policy as its account's user, and who observes that account.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leeward_api::policy_status::Account;
use leeward_api::vocabulary::{ObservedReason, ResolvedRefsReason};
use leeward_core::snapshot::AccountView;
use leeward_engine::condition::ReasonMessage;
use leeward_engine::ports::Observe;
use leeward_nats::{
    AccountClient, AccountInfo, AccountProblem, CertificateProblem, ConnectProblem, ConnectionState,
    TenantObserver,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::validate::{ConnectionIdentity, Refs, Unresolved};
use crate::key::Key;
use crate::reconcile_queue::{ReconcileQueue, enqueue_on};

/// A server that has not reported the account in this time may not be allowed to.
const ACCOUNT_LIMIT: Duration = Duration::from_secs(15);

/// A connection with everything that depends on it.
pub struct AccountLink {
    /// What it depends on.
    pub identity: ConnectionIdentity,
    /// Acts in the account.
    pub client: Arc<AccountClient>,
    /// Sees the account.
    pub observe: Arc<dyn Observe>,
    account: watch::Receiver<Option<AccountInfo>>,
    alone: bool,
    /// An account that nobody watches is not observed.
    kept: Option<watch::Receiver<Arc<AccountView>>>,
    state: watch::Receiver<ConnectionState>,
    opened: Instant,
    /// Ends with the link.
    _watchers: JoinSet<()>,
}

impl std::fmt::Debug for AccountLink {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("AccountLink")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl AccountLink {
    /// Starts to connect; changes of its state enqueue the policy.
    pub fn open(refs: &Refs, key: &Key, reconcile_queue: &ReconcileQueue) -> Self {
        let (config, domain) = (refs.connect.clone(), refs.identity.domain.as_deref());
        let client = match &refs.route.observer {
            Some(observer) => AccountClient::connect_witnessed(config, domain, observer.witness()),
            None => AccountClient::connect(config, domain),
        };
        let observe: Arc<dyn Observe> = match &refs.route.observer {
            Some(observer) => Arc::clone(observer) as Arc<dyn Observe>,
            None => TenantObserver::start(Arc::clone(&client), refs.system.interval),
        };
        let mut watchers = JoinSet::new();
        let (state, account) = (client.state(), client.account());
        watchers.spawn(enqueue_on(client.state(), key.clone(), reconcile_queue.clone()));
        watchers.spawn(enqueue_on(client.account(), key.clone(), reconcile_queue.clone()));
        watchers.spawn(enqueue_on(
            client.account_problem(),
            key.clone(),
            reconcile_queue.clone(),
        ));
        Self {
            identity: refs.identity.clone(),
            client,
            observe,
            account,
            alone: refs.route.observer.is_none(),
            kept: None,
            state,
            opened: Instant::now(),
            _watchers: watchers,
        }
    }

    /// Whether only the account itself reports which account it is (tenant mode).
    pub fn is_tenant_mode(&self) -> bool {
        self.alone
    }

    /// Has the account observed from now on, also while no policy runs in it.
    pub fn keep_observed(&mut self, account: &AccountInfo) {
        self.kept = Some(self.observe.watch(&account.id));
    }

    /// Why nothing can be sent now, if a connection that was there is lost.
    pub fn lost(&self) -> Option<String> {
        match &*self.state.borrow() {
            ConnectionState::Disconnected { message } => Some(disconnected(message)),
            ConnectionState::Connecting
            | ConnectionState::Connected { .. }
            | ConnectionState::Refused { .. } => None,
        }
    }

    /// Whether the account is unknown although there was time to learn it.
    pub fn is_long_without_account(&self) -> bool {
        self.account.borrow().is_none() && self.opened.elapsed() > ACCOUNT_LIMIT
    }

    /// The account, or why it is not known.
    pub fn account(&self) -> Result<AccountInfo, Unresolved> {
        let state = self.state.borrow().clone();
        if let ConnectionState::Refused { problem, message } = &state {
            return Err(refused(*problem, message));
        }
        if let Some(account) = self.account.borrow().clone() {
            return Ok(account);
        }
        let problem = self.client.account_problem().borrow().clone();
        let soon = self.opened.elapsed() <= ACCOUNT_LIMIT;
        Err(match (state, problem) {
            (ConnectionState::Connected { .. }, Some(AccountProblem::Unseen { message })) if !soon => {
                unseen(ObservedReason::Disconnected, message)
            }
            (ConnectionState::Connected { .. }, Some(AccountProblem::OtherDomain { message })) => {
                unseen(ObservedReason::DomainDiffers, message)
            }
            (ConnectionState::Connected { .. }, problem) if !soon => unknown(problem),
            (
                ConnectionState::Connected { .. },
                Some(problem @ (AccountProblem::Denied { .. } | AccountProblem::Unconfirmed { .. })),
            ) => unknown(Some(problem)),
            (ConnectionState::Connected { .. } | ConnectionState::Connecting, _) => unseen(
                ObservedReason::WarmingUp,
                "connecting to NATS as the account's user".into(),
            ),
            (ConnectionState::Disconnected { message } | ConnectionState::Refused { message, .. }, _) => {
                unseen(ObservedReason::Disconnected, disconnected(&message))
            }
        })
    }
}

fn unknown(problem: Option<AccountProblem>) -> Unresolved {
    Unresolved::Refs(match problem {
        Some(AccountProblem::Denied { subject }) => {
            let text = format!(
                "the server does not tell which account the user belongs to, because the user may not use {subject}: allow \
                 it to publish $SYS.REQ.USER.INFO and to subscribe to its inbox"
            );
            ReasonMessage::new(ResolvedRefsReason::PermissionDenied, text)
        }
        Some(
            AccountProblem::Unconfirmed { message }
            | AccountProblem::OtherDomain { message }
            | AccountProblem::Unseen { message },
        ) => ReasonMessage::new(ResolvedRefsReason::AccountUnconfirmed, message),
        None => {
            let text =
                "the server does not tell in time which account the user belongs to; it is asked again";
            ReasonMessage::new(ResolvedRefsReason::AccountUnconfirmed, text)
        }
    })
}

fn unseen(reason: ObservedReason, text: String) -> Unresolved {
    Unresolved::System(ReasonMessage::new(reason, text))
}

fn refused(problem: ConnectProblem, message: &str) -> Unresolved {
    match problem {
        ConnectProblem::InvalidCredentials => {
            let text = format!(
                "NATS refused the credentials ({message}): correct the Secret that credentialsRef names"
            );
            Unresolved::Refs(ReasonMessage::new(ResolvedRefsReason::InvalidCredentials, text))
        }
        ConnectProblem::InvalidTls | ConnectProblem::InvalidServers => {
            unseen(ObservedReason::Disconnected, disconnected(message))
        }
    }
}

fn disconnected(message: &str) -> String {
    let remedy = match CertificateProblem::of(message) {
        Some(CertificateProblem::NotTrusted) => {
            ": name the authority of the servers' certificates in the system's tls.caRef"
        }
        Some(CertificateProblem::NoneShown) => {
            ": the servers want a client certificate: add tls.crt and tls.key to the Secret that credentialsRef names"
        }
        None => "",
    };
    format!("no connection to NATS as the account's user: {message}{remedy}")
}

/// An account as a status has it.
pub fn account_status(account: &AccountInfo) -> Account {
    Account {
        id: account.id.to_string(),
        name: Some(account.name.clone()),
    }
}
