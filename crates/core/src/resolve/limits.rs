//! Budgets, windows, gates and the circuit breaker from the custom resource.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use leeward_api::duration::GoDuration;
use leeward_api::policy::{
    Budget as ApiBudget, CircuitBreaker, Disruption as ApiDisruption, Gates as ApiGates, Window as ApiWindow,
    WindowKind,
};

use super::InvalidPolicy;
use crate::action_set::ActionSet;
use crate::breaker::BreakerRules;
use crate::budget::{Budget, BudgetLimit};
use crate::policy::{Disruption, Gates};
use crate::schedule::{Schedule, ScheduleError};
use crate::window::{Window, WindowEffect};

pub(super) fn disruption(spec: &ApiDisruption) -> Result<Disruption, InvalidPolicy> {
    let budgets = spec.budgets.iter().map(budget);
    let windows = spec.windows.iter().enumerate().map(|(at, spec)| window(at, spec));
    Ok(Disruption {
        max_concurrent: usize::try_from(spec.max_concurrent).unwrap_or(usize::MAX),
        cooldown: spec.cooldown.into(),
        max_attempts: spec.max_attempts,
        max_payback: Some(spec.max_payback.into()).filter(|most: &Duration| !most.is_zero()),
        gates: gates(&spec.gates),
        budgets: budgets.collect::<Result<_, _>>()?,
        windows: windows.collect::<Result<_, _>>()?,
        circuit_breaker: breaker(&spec.circuit_breaker),
    })
}

fn gates(gates: &ApiGates) -> Gates {
    Gates {
        max_replica_lag: gates.max_replica_lag,
        max_ack_pending: gates.max_ack_pending.map(u64::from),
        quiet_after_leader_change: gates.quiet_after_leader_change.into(),
        quiet_after_server_start: gates.quiet_after_server_start.into(),
    }
}

fn breaker(spec: &CircuitBreaker) -> BreakerRules {
    BreakerRules {
        failures: spec.failures,
        within: spec.within.into(),
        open_for: spec.open_for.into(),
    }
}

fn budget(spec: &ApiBudget) -> Result<Budget, InvalidPolicy> {
    let field = format!("disruption.budgets[{}]", spec.name);
    let schedule = match (&spec.schedule, spec.duration) {
        (Some(cron), Some(duration)) => Some(schedule(&field, cron, spec.time_zone.as_deref(), duration)?),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(InvalidPolicy::Limit {
                field,
                message: "schedule and duration belong together: give both, or neither".to_owned(),
            });
        }
    };
    Ok(Budget {
        name: spec.name.clone(),
        actions: ActionSet::of(&spec.actions),
        max: most(&field, &spec.max)?,
        per: spec.per.map(Duration::from),
        schedule,
    })
}

fn most(field: &str, max: &IntOrString) -> Result<BudgetLimit, InvalidPolicy> {
    let percent = |text: &str| {
        let number: u8 = text.strip_suffix('%')?.parse().ok()?;
        (number <= 100).then_some(BudgetLimit::Percent(number))
    };
    let most = match max {
        IntOrString::Int(number) => u32::try_from(*number).ok().map(BudgetLimit::Count),
        IntOrString::String(text) => percent(text),
    };
    most.ok_or_else(|| InvalidPolicy::Limit {
        field: field.to_owned(),
        message: "max must be a whole number, or a percentage from 0% to 100%, such as 5 or \"10%\""
            .to_owned(),
    })
}

fn window(at: usize, spec: &ApiWindow) -> Result<Window, InvalidPolicy> {
    let field = format!("disruption.windows[{at}]");
    Ok(Window {
        kind: match spec.kind {
            WindowKind::Allow => WindowEffect::Allow,
            WindowKind::Deny => WindowEffect::Deny,
        },
        actions: ActionSet::of(&spec.actions),
        schedule: schedule(&field, &spec.schedule, spec.time_zone.as_deref(), spec.duration)?,
    })
}

fn schedule(
    field: &str,
    cron: &str,
    zone: Option<&str>,
    duration: GoDuration,
) -> Result<Schedule, InvalidPolicy> {
    Schedule::parse(cron, zone, duration.into()).map_err(|error| match error {
        ScheduleError::Zone { .. } => InvalidPolicy::TimeZone {
            field: field.to_owned(),
            message: error.to_string(),
        },
        ScheduleError::Cron { .. } | ScheduleError::Duration { .. } => InvalidPolicy::Limit {
            field: field.to_owned(),
            message: error.to_string(),
        },
    })
}
