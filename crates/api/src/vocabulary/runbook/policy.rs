//! Runbooks of the conditions that only a `PlacementPolicy` has.

use super::{Explained, NOTHING, Runbook};
use crate::vocabulary::{
    AcceptedReason, DegradedReason, InPlaceReason, ProgressingReason, ResolvedRefsReason,
};

impl Explained for AcceptedReason {
    fn runbook(self) -> Runbook {
        match self {
            Self::Accepted => Runbook {
                see: "The message says whether the policy may act already: after a start it waits until no \
                     policy with precedence can turn up.",
                act: NOTHING,
            },
            Self::Invalid => Runbook {
                see: "The message names the field and what is wrong with it, or says that the object cannot \
                     be read at all. The apiserver refuses most such objects already; this is for what only \
                     the operator can check.",
                act: "Correct the field. The policy does nothing until then.",
            },
            Self::InvalidTimeZone => Runbook {
                see: "The message names the zone. It stands in `timeZone` of a window or a budget under \
                     `disruption`.",
                act: "Write an IANA name such as `Europe/Berlin` or `UTC`, not an offset such as `+02:00`. The policy does \
                     nothing until then.",
            },
            Self::Conflicted => Runbook {
                see: "The message names the other policy and a stream that both select. `kubectl get plp -A` \
                     lists all policies; the higher `priority` wins, then the older policy, then the name.",
                act: "Narrow `streams` in one of the two, or raise the `priority` of the one that should act. \
                     The loser goes on reporting and does nothing.",
            },
        }
    }
}

impl Explained for ResolvedRefsReason {
    fn runbook(self) -> Runbook {
        match self {
            Self::ResolvedRefs => Runbook {
                see: "The message names the NatsSystem and the Secret.",
                act: NOTHING,
            },
            Self::SystemNotFound => Runbook {
                see: "`kubectl get natssys -n NAMESPACE` does not list the system that `spec.systemRef` \
                     names; or the operator does not watch that namespace, which the message says.",
                act: "Create the NatsSystem, correct `systemRef` (its `namespace` is the policy's own if not \
                     given), or start the operator with `--watch-namespace` for that namespace as well.",
            },
            Self::RefNotPermitted => Runbook {
                see: "`kubectl get natssys NAME -n NAMESPACE -o jsonpath='{.spec.allowedNamespaces}'` shows \
                     whom the system lets in: by default policies of its own namespace only.",
                act: "The system's owner sets `allowedNamespaces.from` to `All`, or to `Selector` with labels \
                     that the policy's namespace has.",
            },
            Self::SecretNotFound => Runbook {
                see: "`kubectl get secret NAME` in the policy's namespace finds nothing, or the Secret lacks \
                     the key that the message names. The message also says if the operator may not read it.",
                act: "Create the Secret, correct `credentialsRef`, or grant the operator `get` on secrets in \
                     that namespace. It is looked for again every few seconds.",
            },
            Self::InvalidCredentials => Runbook {
                see: "The message says what is wrong with the Secret's contents, or that NATS refused the \
                     user. A Secret holds exactly one of `user.creds`, `nkey`, `token`, `username` with \
                     `password`, or `tls.crt` with `tls.key`, which alone may stand beside another. Secrets of types \
                     that something else owns, such as service account tokens, are refused.",
                act: "Correct the Secret, or renew the user if it has expired. `nats rtt` with the same \
                     credentials shows whether the servers take them. A changed Secret is picked up without a restart.",
            },
            Self::AccountUnconfirmed => Runbook {
                see: "The message has what was said instead: an error, an answer that makes no sense, accounts that \
                     differ, or that the system account's user does not see the connection. Nothing of any account is shown meanwhile.",
                act: "Where accounts differ, a client of the account answers in the servers' place: deny it \
                     `$SYS.REQ.>`, as [permissions](nats-permissions.md#who-else-could-answer) shows it. It is asked \
                     again every half a minute.",
            },
            Self::PermissionDenied => Runbook {
                see: "The message names the subjects: what an action needs, or, without a user of the system account, \
                     `$SYS.REQ.USER.INFO`, by which the account is learnt. The servers' logs show the refused publish as a permissions \
                     violation.",
                act: "Allow the subjects to the account's user, or disable the action that needs them under \
                     `spec.actions`. Refused actions are tried again after five minutes.",
            },
        }
    }
}

impl Explained for InPlaceReason {
    fn runbook(self) -> Runbook {
        match self {
            Self::AllInPlace => Runbook {
                see: "The In-Place column of `kubectl get plp NAME` shows as many as there are, such as \
                     `40/40`.",
                act: NOTHING,
            },
            Self::NothingSelected => Runbook {
                see: "`status.streams` and `status.consumers` count nothing but ignored ones. `nats stream \
                     list` shows what the account has.",
                act: "If that is not meant, correct the globs and the metadata under `spec.streams` and \
                     `spec.consumers`; they are case-sensitive. Also see whether `status.account` is the \
                     account that you mean.",
            },
            Self::ActionsPending => Runbook {
                see: "The message counts misplaced and held ones; `status.findings` without a `reason` are \
                     those that will be acted on. It also says if the policy's mode is `Observe` or the \
                     policy is suspended, so that nothing is done.",
                act: "Nothing in mode `Enforce`: `Progressing` says what is being done or waited for. In mode \
                     `Observe`, set `mode: Enforce` to have it cured.",
            },
            Self::Held => Runbook {
                see: "The message counts the reasons, such as `3 held: CoolingDown 2, TargetLagging 1`; \
                     `status.findings` has one of them each, with a message of its own.",
                act: "Look the reasons up on this page. Soft ones pass by themselves.",
            },
            Self::NoMajority => Runbook {
                see: "The message says why: too few connections, a tie, a share that is too small, unknown \
                     weights, no traffic, clients on servers without JetStream, or data that is missing (then \
                     see `Observed`). `status.locations` has the connections of each location.",
                act: "Nothing, if the clients really are spread: nothing is moved then. Otherwise lower \
                     `home.minConnections` or `home.majorityPercent`, leave out clients that do not matter \
                     (`clients`), or name the location yourself with `home.strategy: Preferred`. Clients of \
                     other accounts that use the streams through imports are never counted, see the [FAQ](faq.md). \
                     A location without a JetStream server cannot be home: where clients connect to plain leaf \
                     nodes, let the system's user publish `$SYS.REQ.SERVER.PING.LEAFZ`, and they count where \
                     their leaf node connects.",
            },
            Self::Unfixable => Runbook {
                see: "The message counts the reasons; all of them are hard: they do not pass by themselves.",
                act: "Look the reasons up in `status.findings` and on this page. Leave them, or take those \
                     streams out of the policy, if nothing can be done.",
            },
            Self::Contested => Runbook {
                see: "At least one finding says `Contested`, and nothing can be done about any of them now.",
                act: "See [Contested](#contested).",
            },
        }
    }
}

impl Explained for ProgressingReason {
    fn runbook(self) -> Runbook {
        match self {
            Self::SteppingDown => Runbook {
                see: "`status.operations` lists each step-down with the server that leads and the one that should. A new leader is there within a second as a rule; after 20 s without one it counts as timed out.",
                act: NOTHING,
            },
            Self::StreamMoving => Runbook {
                see: "`status.operations` lists the move with its `startTime` and `deadline`; `nats stream \
                     info S` shows the new replicas catching up.",
                act: "Nothing. A move may take long: it copies the stream's data. If it stands still, see \
                     [MoveInProgress](#moveinprogress).",
            },
            Self::Verifying => Runbook {
                see: "`status.operations` lists what was requested; the leader is home already, and what \
                     follows is read back until it is certain that clients go on.",
                act: "Nothing. It ends by itself, as a success or as one of the reasons of `Degraded`.",
            },
            Self::Idle => Runbook {
                see: "The message says that there is nothing to do, what is waited for, such as cooldowns or \
                      the system's limits, or that the account is not observed.",
                act: "Nothing, if `InPlace` is True or the message says what is waited for. If the account \
                      is not observed, see `Observed`. If the system's limits are waited for too long, raise \
                      `spec.limits` of the NatsSystem.",
            },
            Self::Observing => Runbook {
                see: "`kubectl get plp NAME` shows `Observe` under Mode; or the message says that the policy \
                     is not accepted.",
                act: "Set `mode: Propose`, or `mode: Enforce`, when the findings look right to you.",
            },
            Self::AwaitingApproval => Runbook {
                see: "The condition `Approved` names the plan, and `kubectl get plan` lists it.",
                act: "`kubectl leeward approve NAME`, or `kubectl leeward reject NAME`.",
            },
            Self::Suspended => Runbook {
                see: "`spec.suspend` of the policy or of its NatsSystem is true; the message says which.",
                act: "Set `suspend` to false to go on. Requests that were sent before take effect all the \
                     same; no further one is sent.",
            },
            Self::OutsideWindow => Runbook {
                see: "The message says how many wait and for which window; \
                      `status.windows.nextTransitionTime` is when actions go on.",
                act: "See [OutsideWindow](#outsidewindow).",
            },
            Self::BudgetExhausted => Runbook {
                see: "The message names the budget, how much of it is used, and when the next action is \
                      free; `status.budgets` has all of them.",
                act: "See [BudgetExhausted](#budgetexhausted).",
            },
            Self::GateClosed => Runbook {
                see: "The message counts what the gates hold: `TargetLagging`, `AckPendingHigh`, \
                      `RecentlyElected`, `ServerJustStarted`; `status.findings` says for which streams and \
                      consumers.",
                act: "Wait, or look the finding's reason up on this page. The gates are set under \
                     `disruption.gates`.",
            },
            Self::BreakerOpen => Runbook {
                see: "The message says how many wait and when one action is tried; `status.recentActions` \
                      says what failed.",
                act: "See [BreakerOpen](#breakeropen).",
            },
            Self::FenceHeldElsewhere => Runbook {
                see: "Another replica of the operator holds the Lease, or this one is about to end: `kubectl \
                     get leases -n NAMESPACE` in the operator's namespace shows who holds it and since when.",
                act: "Nothing: exactly one replica acts. If nobody acts for longer than a minute, look at the \
                     log of the replica that the Lease names.",
            },
        }
    }
}

impl Explained for DegradedReason {
    fn runbook(self) -> Runbook {
        match self {
            Self::StepDownsMissed => Runbook {
                see: "The message counts the step-downs that missed and the assets that used up their \
                     attempts. `status.recentActions` shows with result `Missed` who leads instead.",
                act: "Look at home's peers with `nats stream info S`: one that is always behind is never \
                     chosen. On servers before 2.11 step-downs are blind: upgrade, or raise \
                     `disruption.maxAttempts`. Then change `resetToken`.",
            },
            Self::ConsumerStalled => Runbook {
                see: "A consumer has messages to deliver and clients that wait, and does not go on since an \
                     action. In `nats consumer info S C` neither `Last Delivered Message` nor \
                     `Acknowledgment Floor` advances, while `Unprocessed Messages` is above 0.",
                act: "Look at its clients first: do they still pull, and are they connected? If they do, let \
                     another leader take over: `nats consumer cluster step-down S C`. It counts as a failure \
                     for the circuit breaker.",
            },
            Self::MoveTimedOut => Runbook {
                see: "`status.recentActions` has the move with result `TimedOut`; `nats stream info S` shows \
                     where its replicas are. Leeward cancels such a move where the servers allow that, and \
                     puts the old placement back; while the JetStream meta group has no leader, it asks \
                     again for three minutes. Otherwise the servers go on, and the stream is held as \
                     `MoveInProgress`.",
                act: "Find out what it waits for: a replica that does not catch up, a consumer that cannot \
                     move, a server of home that is not well (`nats server report health`). Raise \
                     `actions.streamPlacement.timeout` if the stream is simply large.",
            },
            Self::RepeatedFailures => Runbook {
                see: "The message counts the failures and the assets that gave up. `status.recentActions` has \
                     them with their `reason`; the operator's log line \"operation ended\" has the server's \
                     own words in `detail`.",
                act: "Look the reasons up on this page and cure them, then change `resetToken`.",
            },
            Self::Healthy => Runbook {
                see: "No operation keeps failing.",
                act: NOTHING,
            },
        }
    }
}
