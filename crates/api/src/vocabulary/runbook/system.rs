//! Runbooks of a `NatsSystem`'s conditions; `Observed` is a policy's too.

use super::{Explained, NOTHING, Runbook};
use crate::vocabulary::{ConnectedReason, ObservedReason};

impl Explained for ObservedReason {
    fn runbook(self) -> Runbook {
        match self {
            Self::Complete => Runbook {
                see: "All servers that are expected answered; of a NatsSystem, `status.servers` has both \
                     numbers. In tenant mode the system's message says that each policy looks for itself.",
                act: NOTHING,
            },
            Self::ServersMissing => Runbook {
                see: "The message names servers that did not answer, servers that share a name, members of \
                     JetStream's meta group that do not run JetStream, answers that could not be read, or \
                     subjects that the user may not publish. `nats server list` and `nats server report \
                     jetstream`, as a user of the system account, show who answers and who is a member. A gap \
                     that is over within three of the system's `observeInterval` stops actions at once and \
                     does not get as far as this condition.",
                act: "Bring the servers back, allow the subjects, or, where servers were silent from a reload of their \
                     configuration on, give the NatsSystem credentials of the system account: an account's user \
                     is not answered until they are started again. A server that was taken away stays a \
                     member of JetStream's meta group for ever: if it is gone for good, take it out with `nats \
                     server cluster peer-remove NAME-OR-PEER-ID`, as a user of the system account; the message \
                     has the name, or the peer id where no server knows the name any more. Give each server a \
                     `server_name` of its own, also those of leaf nodes that share the system account: \
                     JetStream names leaders and replicas by it. Where a member does not run JetStream, turn it \
                     on again, or take the member out. Nothing that depends on what is missing is done \
                     meanwhile; `status` shows what was seen last.",
            },
            Self::DomainDiffers => Runbook {
                see: "The message names both domains: the one whose servers are observed, and the one that \
                     `spec.jetStreamDomain` (or `--js-domain`) asks for, or, without it, that of the server to which \
                     the account's user is connected, such as a leaf node. Streams of the two may have the same \
                     names and are not the same streams. `nats server list` shows the servers; `jetstream: \
                     {domain: …}` in their configuration is the domain.",
                act: "Correct, remove or add `spec.jetStreamDomain`, or let the policy's `systemRef` name the system \
                     of that domain: with the system account, or with servers, of the leaf nodes themselves. \
                     Nothing is asked of the other domain and nothing is done meanwhile.",
            },
            Self::WarmingUp => Runbook {
                see: "The operator, the system or the policy has just started, or the policy is not accepted: \
                     the message says which.",
                act: "Wait: a first look takes seconds, or minutes with very many streams. If it stays, look \
                     at the operator's log.",
            },
            Self::Disconnected => Runbook {
                see: "The message says why: no server can be reached, `Connected` of the NatsSystem is False, \
                     `ResolvedRefs` of the policy is, or the system account's user does not see the policy's \
                     connection. `kubectl get natssys NAME -n NAMESPACE -o yaml` shows the system's side.",
                act: "Follow the other condition. If servers cannot be reached, check `spec.servers` and the \
                     network from the operator's pod. If the connection is not seen, let `spec.servers` name \
                     servers of the system that its user sees, and no leaf nodes of another. It connects again by \
                     itself.",
            },
            Self::Stale => Runbook {
                see: "The last complete look is older than three times `spec.observeInterval` of the \
                     NatsSystem (for a policy, never less than 15 s). `status.lastEvaluationTime` and \
                     `status.lastObservationTime` only change when something else does.",
                act: "Look at the operator's log and its CPU: sweeps may take longer than the interval. Raise \
                     `observeInterval` for a very large system.",
            },
        }
    }
}

impl Explained for ConnectedReason {
    fn runbook(self) -> Runbook {
        match self {
            Self::Connected => Runbook {
                see: "The message names the server and its version, or says that the system is in tenant \
                     mode.",
                act: NOTHING,
            },
            Self::Connecting => Runbook {
                see: "The operator has just started, or the system's Secrets have changed.",
                act: "Wait: it takes seconds. If it stays, check `spec.servers` and the network from the \
                     operator's pod.",
            },
            Self::SecretNotFound => Runbook {
                see: "`kubectl get secret NAME` in the system's namespace finds nothing, or the Secret lacks \
                     the key that the message names. The message also says if the operator may not read it.",
                act: "Create the Secret, correct `credentialsRef`, `tls.caRef` or `tls.clientCertificateRef`, \
                     or grant the operator `get` on secrets there.",
            },
            Self::InvalidCredentials => Runbook {
                see: "The message says what is wrong with the Secret, that the servers refused the user, or \
                     that the user does not belong to the system account.",
                act: "Correct the Secret: it needs a user of the system account. With the same \
                     credentials `nats request '$SYS.REQ.SERVER.PING.STATSZ' ''` is answered only for such a user. For tenant mode remove \
                     `credentialsRef`.",
            },
            Self::TlsFailed => Runbook {
                see: "The message says which certificate or key cannot be used. A handshake that fails with a \
                     server is reported as `Unreachable`, with the TLS library's words.",
                act: "Correct the PEM in the Secrets that `tls.caRef` and `tls.clientCertificateRef` name. A \
                     change is picked up without a restart.",
            },
            Self::Unreachable => Runbook {
                see: "The message has the last error, a failed TLS handshake included. `nats rtt -s URL` from the operator's network shows whether it is the network.",
                act: "Correct `spec.servers`, or open the network (ports, NetworkPolicy, DNS). For TLS, see \
                     that `tls.caRef` is the servers' authority, that their certificates have the names in \
                     `spec.servers`, and that `tls.handshakeFirst` is set exactly where the servers ask for \
                     it. Where they want a client certificate (`CertificateRequired`), name it in \
                     `tls.clientCertificateRef`, and in the Secret of each policy. It connects again by itself.",
            },
            Self::PermissionDenied => Runbook {
                see: "The message names the subject that the system account's user may not publish, or the inbox \
                     that it may not subscribe to; the servers' logs show a permissions violation. A user of \
                     another account is refused in the same way.",
                act: "Allow the subject to the user. If its permissions name a prefix of inboxes, set \
                     `spec.inboxPrefix`.",
            },
        }
    }
}
