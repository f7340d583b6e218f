//! What is promised of the number of acts, checked against everything that was done.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use leeward_core::admission::selected;
use leeward_core::budget::{Budget, BudgetLimit, Selected};
use leeward_core::names::AssetName;

use super::estate::MOVE;
use super::rules::{Act, Leeward};
use leeward_core::evaluate::evaluate;

/// How often each asset was acted on.
pub fn acts_per_asset(acts: &[Act]) -> BTreeMap<&AssetName, usize> {
    let mut counts = BTreeMap::new();
    for act in acts {
        *counts.entry(&act.asset).or_default() += 1;
    }
    counts
}

/// The first promise that was not kept:
///
/// - home never changes twice within the window;
/// - an asset rests for the cooldown after every act, and is acted on once for a home, as long as acts succeed and no
///   server fails: in a time T there are at most 1 + T / max(window, cooldown) of them;
/// - of every budget, never more than it allows are under way or ended within its span, at any instant;
/// - never more are under way at once than `maxConcurrent`, and never two on one stream.
pub fn why_broken(leeward: &Leeward) -> Option<String> {
    homes_too_close(leeward)
        .or_else(|| acts_too_close(leeward))
        .or_else(|| more_acts_than_homes(leeward))
        .or_else(|| over_budget(leeward))
        .or_else(|| too_many_at_once(leeward))
}

fn homes_too_close(leeward: &Leeward) -> Option<String> {
    let window = leeward.world.policy.home.stabilization_window;
    let pair = leeward
        .homes
        .windows(2)
        .find(|pair| pair[1].0 < pair[0].0 + window)?;
    Some(format!("home changed twice within {window:?}: {pair:?}"))
}

fn acts_too_close(leeward: &Leeward) -> Option<String> {
    let cooldown = leeward.world.policy.disruption.cooldown;
    let mut free: BTreeMap<&AssetName, Timestamp> = BTreeMap::new();
    for act in &leeward.acts {
        if free.get(&act.asset).is_some_and(|free| act.begun < *free) {
            return Some(format!("{act:?} before {cooldown:?} had passed"));
        }
        free.insert(
            &act.asset,
            act.ended.checked_add(cooldown).unwrap_or(Timestamp::MAX),
        );
    }
    None
}

fn more_acts_than_homes(leeward: &Leeward) -> Option<String> {
    let counts = acts_per_asset(&leeward.acts);
    let (asset, most) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    let homes = leeward.homes.len();
    (leeward.undisturbed && most > homes).then(|| format!("{most} acts on {asset} for {homes} homes"))
}

fn over_budget(leeward: &Leeward) -> Option<String> {
    let selected = selected_of(leeward);
    let budgets = &leeward.world.policy.disruption.budgets;
    budgets.iter().find_map(|budget| {
        let allowed = allowed(budget, selected);
        let counts = |act: &&Act| budget.actions.contains(act.kind);
        leeward.acts.iter().filter(counts).find_map(|act| {
            // More are counted at no instant than when one begins.
            let from = act.begun - budget.per.unwrap_or_default();
            let within = |other: &&Act| other.begun <= act.begun && other.ended > from;
            let used = leeward.acts.iter().filter(counts).filter(within).count();
            (used > allowed).then(|| format!("{used} of {allowed} of {} at {}", budget.name, act.begun))
        })
    })
}

/// The rule in so many words: a percentage of those that the budget's actions are about, rounded up.
fn allowed(budget: &Budget, selected: Selected) -> usize {
    use leeward_api::vocabulary::ActionType::{ConsumerStepDown, StreamPlacement, StreamStepDown};

    let count = match budget.max {
        BudgetLimit::Count(count) => count,
        BudgetLimit::Percent(percent) => {
            let about = |actions: &[_]| actions.iter().any(|action| budget.actions.contains(*action));
            let streams = if about(&[StreamPlacement, StreamStepDown]) {
                selected.streams
            } else {
                0
            };
            let consumers = if about(&[ConsumerStepDown]) {
                selected.consumers
            } else {
                0
            };
            ((streams + consumers) * u32::from(percent)).div_ceil(100)
        }
    };
    usize::try_from(count).unwrap()
}

fn selected_of(leeward: &Leeward) -> Selected {
    selected(&evaluate(&leeward.context()))
}

fn too_many_at_once(leeward: &Leeward) -> Option<String> {
    let most = leeward.world.policy.disruption.max_concurrent;
    leeward.acts.iter().find_map(|act| {
        let flies = |other: &&Act| other.begun <= act.begun && other.ended > act.begun;
        let flying = || leeward.acts.iter().filter(flies);
        let of_stream = flying()
            .filter(|other| other.asset.stream == act.asset.stream)
            .count();
        (flying().count() > most || of_stream > 1).then(|| format!("too many at once at {}", act.begun))
    })
}

/// How long it takes at most, from when clients stay, until everything is in place: home settles after the window; what
/// was acted on just before that rests; budgets let so many begin in each span, and moves go one by one.
pub fn rest_after(leeward: &Leeward) -> Duration {
    let policy = &leeward.world.policy;
    let selected = selected_of(leeward);
    let all = selected.streams + selected.consumers;
    let spans = policy.disruption.budgets.iter().map(|budget| {
        let each = u32::try_from(allowed(budget, selected)).unwrap().max(1);
        budget.per.unwrap_or_default() * all.div_ceil(each)
    });
    policy.home.stabilization_window
        + policy.disruption.cooldown
        + spans.max().unwrap_or_default()
        + MOVE * (selected.streams + 1)
        + policy.disruption.gates.quiet_after_leader_change
}
