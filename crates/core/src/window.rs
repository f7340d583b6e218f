//! Maintenance windows: whether an action may be taken now, and when that changes.
//!
//! An Allow window closes the rest of the time for the actions it is about; a Deny window wins over every Allow.
//! Windows limit when actions begin: what is in flight when they close continues.

use jiff::Timestamp;
use leeward_api::vocabulary::ActionType;

use crate::action_set::ActionSet;
use crate::schedule::Schedule;

/// How many changes of windows are looked through for one that changes the answer.
const MAX_STEPS: usize = 1000;

/// What an open window does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowEffect {
    /// Actions may be taken; outside of all windows of this kind, they may not.
    Allow,
    /// Actions may not be taken.
    Deny,
}

/// One maintenance window.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// What it does.
    pub kind: WindowEffect,
    /// To which actions.
    pub actions: ActionSet,
    /// When.
    pub schedule: Schedule,
}

/// The answer of all windows for an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Whether it may be taken.
    pub open: bool,
    /// When that becomes the opposite; none when it never does, as far as is looked ahead.
    pub changes: Option<Timestamp>,
    /// Why, for people.
    pub why: String,
}

/// Whether the windows are open for an action.
pub fn opening(windows: &[Window], action: ActionType, now: Timestamp) -> Opening {
    let applicable = Applicable::of(windows, action);
    let verdict = applicable.at(now);
    let open = verdict.open();
    let changes = applicable.changes(open, now);
    let why = match verdict {
        _ if windows.is_empty() => "no windows are given".to_owned(),
        _ if applicable.windows.is_empty() => format!("no window is about {action}"),
        WindowDecision::NotAllowed => match changes {
            Some(changes) => format!("no Allow window is open; the next opens at {changes}"),
            None => "no Allow window is open, and none will open".to_owned(),
        },
        WindowDecision::Denied(window) | WindowDecision::Allowed(window) => {
            format!("{}{}", applicable.name(window), until(changes))
        }
        WindowDecision::NotDenied => format!("no Deny window is open{}", until(changes)),
    };
    Opening { open, changes, why }
}

fn until(changes: Option<Timestamp>) -> String {
    changes.map_or(String::new(), |changes| format!(" until {changes}"))
}

/// The windows that are about one action.
struct Applicable<'windows> {
    windows: Vec<(usize, &'windows Window)>,
}

/// What decides at one moment; windows by their place in the list.
enum WindowDecision {
    Denied(usize),
    NotAllowed,
    Allowed(usize),
    NotDenied,
}

impl WindowDecision {
    fn open(&self) -> bool {
        match self {
            Self::Denied(_) | Self::NotAllowed => false,
            Self::Allowed(_) | Self::NotDenied => true,
        }
    }
}

impl<'windows> Applicable<'windows> {
    fn of(windows: &'windows [Window], action: ActionType) -> Self {
        let all = windows.iter().enumerate();
        Self {
            windows: all
                .filter(|(_, window)| window.actions.contains(action))
                .collect(),
        }
    }

    fn of_kind(&self, kind: WindowEffect) -> impl Iterator<Item = (usize, &'windows Window)> {
        self.windows
            .iter()
            .copied()
            .filter(move |(_, window)| window.kind == kind)
    }

    fn first_open(&self, kind: WindowEffect, now: Timestamp) -> Option<usize> {
        let mut windows = self.of_kind(kind);
        let open = windows.find(|(_, window)| window.schedule.is_open(now));
        open.map(|(place, _)| place)
    }

    fn at(&self, now: Timestamp) -> WindowDecision {
        if let Some(denies) = self.first_open(WindowEffect::Deny, now) {
            return WindowDecision::Denied(denies);
        }
        match self.first_open(WindowEffect::Allow, now) {
            Some(allows) => WindowDecision::Allowed(allows),
            None if self.of_kind(WindowEffect::Allow).next().is_some() => WindowDecision::NotAllowed,
            None => WindowDecision::NotDenied,
        }
    }

    /// The first moment after now at which the answer is another. Between two moments that are looked at, nothing can
    /// change it.
    fn changes(&self, open: bool, now: Timestamp) -> Option<Timestamp> {
        let mut moment = now;
        for _ in 0..MAX_STEPS {
            let next = match self.at(moment) {
                WindowDecision::Denied(_) => self.last_close(WindowEffect::Deny, moment),
                WindowDecision::NotAllowed => self.first_opening(WindowEffect::Allow, moment),
                WindowDecision::NotDenied => self.first_opening(WindowEffect::Deny, moment),
                WindowDecision::Allowed(_) => {
                    let denied = self.first_opening(WindowEffect::Deny, moment);
                    let closed = self.last_close(WindowEffect::Allow, moment);
                    denied.into_iter().chain(closed).min()
                }
            };
            moment = next.filter(|next| *next > moment)?;
            if self.at(moment).open() != open {
                return Some(moment);
            }
        }
        None
    }

    /// When the last of the windows of a kind that are open now closes; none when one of them never does.
    fn last_close(&self, kind: WindowEffect, now: Timestamp) -> Option<Timestamp> {
        let phases = self.of_kind(kind).map(|(_, window)| window.schedule.at(now));
        let closes = phases.filter(|phase| phase.open).map(|phase| phase.changes);
        closes.reduce(|one, other| Some(one?.max(other?))).flatten()
    }

    /// When the first of the windows of a kind that are closed now opens.
    fn first_opening(&self, kind: WindowEffect, now: Timestamp) -> Option<Timestamp> {
        let phases = self.of_kind(kind).map(|(_, window)| window.schedule.at(now));
        phases
            .filter(|phase| !phase.open)
            .filter_map(|phase| phase.changes)
            .min()
    }

    fn name(&self, place: usize) -> String {
        let mut windows = self.windows.iter();
        let Some((_, window)) = windows.find(|(other, _)| *other == place) else {
            return String::new();
        };
        let kind = match window.kind {
            WindowEffect::Allow => "Allow",
            WindowEffect::Deny => "Deny",
        };
        format!("window {} ({kind}, {})", place + 1, window.schedule)
    }
}

#[cfg(test)]
mod tests;
