//! Shows what is in flight: bars on a terminal, lines elsewhere. Always on standard error.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use itertools::Itertools as _;
use leeward_api::vocabulary::ActionResult;
use leeward_core::action::{Action, ActionKind, Move};
use leeward_core::names::{AssetName, ConsumerName};
use leeward_engine::execute::Stage;
use leeward_engine::in_flight::OperationInFlight;

use super::ask::print;
use crate::document::DonePart;
use crate::output::amount;

/// Often enough to look alive.
const TICK: Duration = Duration::from_millis(120);
const UNKNOWN: &str = "{spinner} {prefix}  {elapsed}  {msg}";
const COPYING: &str =
    "{spinner} {prefix}  {wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left  {msg}";
const COUNTING: &str = "{spinner} {prefix}  {wide_bar} {pos}/{len}  {msg}";

/// The progress of one policy.
pub(super) struct ApplyProgress {
    bars: Option<MultiProgress>,
    /// One for all step-downs.
    step_downs: Option<ProgressBar>,
    /// Those that it still counts; step-downs that follow a move are not included.
    counted: BTreeSet<AssetName>,
    moves: BTreeMap<AssetName, ProgressBar>,
}

impl ApplyProgress {
    /// Bars, if stderr is a terminal.
    pub(super) fn new() -> Self {
        Self {
            bars: io::stderr().is_terminal().then(MultiProgress::new),
            step_downs: None,
            counted: BTreeSet::new(),
            moves: BTreeMap::new(),
        }
    }

    /// For one policy's actions, in the same bars.
    pub(super) fn of(&self, actions: &[&Action]) -> Self {
        let step_downs = actions.iter().filter(|action| moving(action).is_none());
        let counted: BTreeSet<AssetName> = step_downs.map(|action| action.asset.clone()).collect();
        let step_downs = counted.len();
        let bar = |bars: &MultiProgress| {
            let bar = ProgressBar::new(u64::try_from(step_downs).unwrap_or(u64::MAX));
            show(bars, bar, COUNTING, "step-downs".to_owned())
        };
        Self {
            bars: self.bars.clone(),
            step_downs: self.bars.as_ref().filter(|_| step_downs > 0).map(bar),
            counted,
            moves: BTreeMap::new(),
        }
    }

    /// What is in flight now.
    pub(super) fn show(&mut self, underway: &[OperationInFlight]) {
        for one in underway {
            if let Some(moving) = moving(&one.action) {
                self.show_move(one, moving);
            }
        }
        if let Some(bar) = &self.step_downs {
            let is_step_down = |one: &&OperationInFlight| moving(&one.action).is_none();
            let step_downs = underway.iter().filter(is_step_down);
            bar.set_message(step_downs.map(|one| short(&one.action.asset)).join(", "));
        }
    }

    fn show_move(&mut self, one: &OperationInFlight, moving: &Move) {
        let known = self.moves.contains_key(&one.action.asset);
        let Some(bars) = &self.bars else {
            if !known {
                self.moves.insert(one.action.asset.clone(), ProgressBar::hidden());
                print(&beginning(&one.action, moving));
            }
            return;
        };
        let bar = self.moves.entry(one.action.asset.clone()).or_insert_with(|| {
            let prefix = format!("{} → {}", short(&one.action.asset), moving.target.location);
            show(bars, ProgressBar::no_length(), UNKNOWN, prefix)
        });
        let copying = one.copied.filter(|copied| !copied.is_all());
        if let Some(copied) = copying {
            let first = bar.length().is_none();
            bar.set_length(copied.total_bytes);
            bar.set_position(copied.done_bytes);
            if first {
                // Bytes copied before the first look have no known rate.
                bar.tick();
                bar.reset_eta();
                bar.set_style(style(COPYING));
            }
        } else if bar.length().is_some() {
            // What is left is not measured in bytes.
            bar.unset_length();
            bar.set_style(style(UNKNOWN));
        }
        bar.set_message(at(one.stage));
    }

    /// Something ended.
    pub(super) fn done(&mut self, part: &DonePart) {
        let action = &part.action;
        let asset = AssetName::of(&action.stream, action.consumer.as_deref());
        match (self.moves.remove(&asset), &self.step_downs) {
            (Some(bar), _) => bar.finish_and_clear(),
            (None, Some(bar)) if self.counted.remove(&asset) => bar.inc(1),
            (None, Some(_) | None) => {}
        }
        self.print(&ended(part));
    }

    /// A line that stays.
    pub(super) fn print(&self, line: &str) {
        match &self.bars {
            // There is nowhere to report a failure.
            Some(bars) => drop(bars.println(line)),
            None => print(line),
        }
    }

    /// Removes the bars, not the lines.
    pub(super) fn finish(self) {
        for bar in self.moves.into_values().chain(self.step_downs) {
            bar.finish_and_clear();
        }
    }
}

fn show(bars: &MultiProgress, bar: ProgressBar, template: &str, prefix: String) -> ProgressBar {
    let bar = bars.add(bar);
    bar.set_style(style(template));
    bar.set_prefix(prefix);
    bar.enable_steady_tick(TICK);
    bar
}

/// An invalid template falls back to the default bar; a test checks that all are valid.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn moving(action: &Action) -> Option<&Move> {
    match &action.kind {
        ActionKind::Move(moving) => Some(moving),
        ActionKind::StepDown(_) => None,
    }
}

fn at(stage: Stage) -> &'static str {
    match stage {
        Stage::Recording | Stage::Checking => "read once more",
        Stage::Requested => "",
        Stage::Verifying => "consumers are to go on",
        Stage::Refreshing => "streams that read it are to go on",
        Stage::Cancelling => "too slow, is cancelled",
    }
}

fn beginning(action: &Action, moving: &Move) -> String {
    format!(
        "moving {} {} → {}: {}, about {}",
        short(&action.asset),
        action.from,
        moving.target.location,
        amount::bytes(moving.cost.bytes),
        amount::about(moving.cost.time)
    )
}

/// `ORDERS` or `ORDERS/billing`.
pub(super) fn short(asset: &AssetName) -> String {
    let consumer = asset.consumer.as_ref().map(ConsumerName::as_str);
    amount::asset(asset.stream.as_str(), consumer)
}

/// `done StreamPlacement ORDERS west-1 → us-east 3.2 s`.
pub(super) fn ended(part: &DonePart) -> String {
    let action = &part.action;
    let asset = amount::asset(&action.stream, action.consumer.as_deref());
    let ends = [&action.from, &action.to].into_iter().flatten().join(" → ");
    let took = Duration::from_millis(action.duration_milliseconds.unsigned_abs()).as_secs_f64();
    let line = format!("{} {asset} {ends} {took:.1} s", action.action);
    match action.result {
        ActionResult::Succeeded => format!("done {line}"),
        ActionResult::Missed
        | ActionResult::Stalled
        | ActionResult::Failed
        | ActionResult::TimedOut
        | ActionResult::Abandoned => {
            let word = action.result.to_string().to_lowercase();
            format!("{word} {line}: {}", part.message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_templates_are_understood() {
        for template in [UNKNOWN, COPYING, COUNTING] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
