//! Runbooks of events. Most happen to something that has a value of its own, which explains more.

use super::{Explained, NOTHING, Runbook};
use crate::vocabulary::EventReason;

impl Explained for EventReason {
    fn runbook(self) -> Runbook {
        match self {
            Self::HomeChanged => Runbook {
                see: "The event has the location, its share and its connections, and the home before; \
                     `status.home.since` keeps the time. One that names a stream or consumer is about its \
                     own home, by the clients that use it.",
                act: "Nothing, if the clients have really moved. If it comes often, raise \
                     `home.hysteresisPercent` or `home.stabilizationWindow`.",
            },
            Self::LeaderMoved => Runbook {
                see: "The event has the stream or consumer, who led before and who leads now, and how long it \
                     took; `status.recentActions` has the same.",
                act: NOTHING,
            },
            Self::StreamMoveStarted => Runbook {
                see: "The event has the stream, where it moves to, its bytes, and about how long that will \
                      take and block writes; `status.operations` lists it until it ends, with its \
                      `deadline`.",
                act: "Nothing. To stop further moves, set `suspend` or disable `actions.streamPlacement`; one \
                     that has begun goes on in the servers.",
            },
            Self::StreamMoveCompleted => Runbook {
                see: "The event has the stream and how long it took; `status.recentActions` has the same.",
                act: NOTHING,
            },
            Self::PlanProposed => Runbook {
                see: "The event names the plan and counts its actions; `kubectl get plan NAME -o yaml` lists them.",
                act: "`kubectl leeward approve NAME` or `kubectl leeward reject NAME`.",
            },
            Self::PlanApproved => Runbook {
                see: "The event says through what, and by whom; `kubectl get plan NAME` counts what is done.",
                act: NOTHING,
            },
            Self::PlanEnded => Runbook {
                see: "The event has the plan's last state and how much of it was done; `status.actions` of the plan lists what was \
                      skipped, and why.",
                act: "Nothing. What is still to be done is proposed anew.",
            },
            Self::PlanCompleted => Runbook {
                see: "The event counts the actions by result and has what they changed: leaders in place and \
                      the share of bytes that crosses gateways, before and after.",
                act: "Nothing. If less is in place than you expect, `status.findings` says why.",
            },
            Self::BreakerClosed => Runbook {
                see: "One action has succeeded, and all others go on; `status.breaker` is gone or its \
                      `state` is `Closed`.",
                act: NOTHING,
            },
            Self::ObservationIncomplete => Runbook {
                see: "The event and the condition `Observed` name what is missing.",
                act: "See [ServersMissing](#observed-serversmissing). Nothing that depends on it is done \
                     meanwhile.",
            },
            Self::StepDownMissed => Runbook {
                see: "The event has the stream or consumer and who leads it now, outside home.",
                act: "Nothing at first; it is tried again after the cooldown. If it comes again, see \
                     [Missed](#result-missed).",
            },
            Self::StepDownFailed => Runbook {
                see: "The event has the stream or consumer and the server's words; `status.recentActions` has \
                     the `reason` where one fits. A move whose edit failed is told by this word too.",
                act: "Look the reason up on this page.",
            },
            Self::ConsumerStalled => Runbook {
                see: "The event names the consumer; the condition `Degraded` stays True until it goes on.",
                act: "See [ConsumerStalled](#degraded-consumerstalled).",
            },
            Self::StreamMoveTimedOut => Runbook {
                see: "The event names the stream and how long it was waited for.",
                act: "See [MoveTimedOut](#degraded-movetimedout).",
            },
            Self::PlacementContested => Runbook {
                see: "The event names the stream; somebody else undid its move twice, or wrote another \
                      placement while it moved.",
                act: "See [Contested](#contested).",
            },
            Self::AttemptsExhausted => Runbook {
                see: "The event names the stream or consumer and the number of attempts.",
                act: "See [AttemptsExhausted](#attemptsexhausted).",
            },
            Self::BreakerOpened => Runbook {
                see: "The event has the last failure and until when nothing is done; `status.breaker` has \
                      the same, and the condition `Progressing` says `BreakerOpen`.",
                act: "See [BreakerOpen](#breakeropen).",
            },
            Self::AnswersDiffer => Runbook {
                see: "The event says what was answered otherwise, and where.",
                act: "See [AnswersDiffer](#answersdiffer).",
            },
            Self::PermissionDenied => Runbook {
                see: "The event has the subject that the account's user may not publish, or the inbox \
                     that it may not subscribe to.",
                act: "See [PermissionDenied](#permissiondenied).",
            },
            Self::PolicyConflicted => Runbook {
                see: "The event names the other policy and a stream that both select; the condition \
                     `Accepted` says `Conflicted`.",
                act: "See [Conflicted](#accepted-conflicted).",
            },
        }
    }
}
