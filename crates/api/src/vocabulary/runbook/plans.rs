//! Runbooks of plans that wait for a person.

use super::{Explained, NOTHING, Runbook};
use crate::vocabulary::{ApprovedReason, PlanState};

impl Explained for ApprovedReason {
    fn runbook(self) -> Runbook {
        match self {
            Self::NothingProposed => Runbook {
                see: "`status.approval` of the policy has no `plan`.",
                act: NOTHING,
            },
            Self::Approved => Runbook {
                see: "`kubectl get plan` shows how much of it is done, `-o wide` by whom it was approved.",
                act: NOTHING,
            },
            Self::AwaitingApproval => Runbook {
                see: "The message names the plan and counts its actions. `kubectl get plan NAME -o yaml` lists each of them, \
                      with what it costs and saves.",
                act: "`kubectl leeward approve NAME` or `kubectl leeward reject NAME`; or write its id into \
                      `approval.approvedPlan` of the policy and commit that.",
            },
            Self::Rejected => Runbook {
                see: "`spec.review` of the plan that the message names has who rejected it.",
                act: "Nothing: something else is proposed as soon as something else would be done, and the same again when \
                      `approval.planTTL` has passed. To have it done after all, approve it.",
            },
            Self::UnknownPlan => Runbook {
                see: "The message has the id in `approval.approvedPlan`, the id that is proposed, and in what the two differ.",
                act: "Read what is proposed now and approve that, or remove `approvedPlan`. Nothing is done meanwhile.",
            },
            Self::PlansUnavailable => Runbook {
                see: "The message has what the Kubernetes API said.",
                act: "Install the CRD `placementplans.leeward.dev` and the operator's rights to it, as the chart does \
                      ([upgrading](upgrading.md#plans)). Nothing is begun meanwhile; it is tried again every few seconds.",
            },
            Self::Withdrawn => Runbook {
                see: "`status.state` of the plan says how it ended.",
                act: "Nothing. What would be done now is in the policy's newest plan.",
            },
        }
    }
}

impl Explained for PlanState {
    fn runbook(self) -> Runbook {
        match self {
            Self::Proposed => Runbook {
                see: "`kubectl get plan NAME -o yaml` lists its actions and what they are expected to change.",
                act: "`kubectl leeward approve NAME` or `kubectl leeward reject NAME`.",
            },
            Self::Approved => Runbook {
                see: "`status.approval` says through what and by whom; the condition `Progressing` of the policy what it \
                      waits for.",
                act: "Nothing; `kubectl leeward cancel NAME` begins nothing of it.",
            },
            Self::Executing => Runbook {
                see: "`status.done` counts, `status.actions` lists what ended; `status.findings` of the policy says what the \
                      rest waits for.",
                act: "Nothing; `kubectl leeward cancel NAME` begins nothing more of it.",
            },
            Self::Completed => Runbook {
                see: "`status.inPlace` beside `spec.predicted` says whether it brought what was expected.",
                act: "Nothing. What came up since is in the policy's next plan, if there is one.",
            },
            Self::PartlyDone => Runbook {
                see: "`status.actions[].skipped` has the reason of each action that was not carried out.",
                act: "Nothing. What is still to be done is proposed anew.",
            },
            Self::Superseded => Runbook {
                see: "`status.supersededBy` has the id of what is proposed instead, if anything.",
                act: "Approve that one. If the same is proposed again, this plan waits again under its id.",
            },
            Self::Expired => Runbook {
                see: "`approval.planTTL` of the policy, and `status.proposedTime`.",
                act: "Approve the next plan in time, or raise `planTTL`.",
            },
            Self::Cancelled => Runbook {
                see: "`spec.review` has who cancelled it; without it the policy's mode is not `Propose` any more. \
                      `status.actions` lists what was done before.",
                act: "Nothing. What is still to be done is proposed anew.",
            },
            Self::Rejected => Runbook {
                see: "`spec.review` has who rejected it.",
                act: "Nothing, or `kubectl leeward approve NAME` after all.",
            },
        }
    }
}
