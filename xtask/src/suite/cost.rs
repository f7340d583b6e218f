//! The cost of a run, and the table that shows it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use super::programs::Level;

/// How many of the slowest tests are shown.
const SLOWEST: usize = 10;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub wall: Duration,
    /// Of all processes together that have ended; `None` where the system does not report it.
    pub cpu: Option<Duration>,
    pub tests: usize,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.wall += other.wall;
        self.cpu = match (self.cpu, other.cpu) {
            (Some(one), Some(other)) => Some(one + other),
            (one, other) => one.or(other),
        };
        self.tests += other.tests;
    }
}

pub struct CpuMeter {
    begun: Instant,
    cpu: Option<Duration>,
}

impl CpuMeter {
    pub fn start() -> Self {
        Self {
            begun: Instant::now(),
            cpu: spent().map(|spent| spent.by_children),
        }
    }

    /// From the start of this process, which was a shell that had cargo build this program and then became it.
    pub fn from_the_beginning() -> Self {
        let now = Instant::now();
        let age = spent()
            .zip(since_boot())
            .map(|(spent, now)| now.saturating_sub(spent.began));
        Self {
            begun: age.and_then(|age| now.checked_sub(age)).unwrap_or(now),
            cpu: spent().map(|_| Duration::ZERO),
        }
    }

    /// The cost since then.
    pub fn read(&self) -> Cost {
        let by_children = spent().map(|spent| spent.by_children);
        Cost {
            wall: self.begun.elapsed(),
            cpu: by_children
                .zip(self.cpu)
                .map(|(now, then)| now.saturating_sub(then)),
            tests: 0,
        }
    }
}

/// Linux's data on this process; other systems do not report it.
#[derive(Debug, PartialEq, Eq)]
struct Spent {
    /// CPU time of all children, and of theirs, that have ended and were waited for.
    by_children: Duration,
    /// After the machine was booted.
    began: Duration,
}

fn spent() -> Option<Spent> {
    read_spent(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// Fields 16, 17 and 22 of `proc_pid_stat(5)`, in hundredths of a second. The name, field 2, may hold anything.
fn read_spent(stat: &str) -> Option<Spent> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = after_name.split(' ').collect();
    let ticks = |number: usize| {
        let hundredths: u64 = fields.get(number.checked_sub(3)?)?.parse().ok()?;
        Some(Duration::from_millis(hundredths.saturating_mul(10)))
    };
    Some(Spent {
        by_children: ticks(16)? + ticks(17)?,
        began: ticks(22)?,
    })
}

fn since_boot() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds = text.split(' ').next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// What each level cost, and the slowest tests.
pub fn table(costs: &BTreeMap<Level, Cost>, tests: &[(String, Duration)]) -> String {
    let mut text = format!(
        "{:<28}  {:>6}  {:>8}  {:>8}\n",
        "what it cost", "tests", "wall", "CPU"
    );
    let mut all = Cost::default();
    for (level, cost) in costs {
        row(&mut text, level.name(), *cost);
        all += *cost;
    }
    row(&mut text, "together", all);
    let mut slowest: Vec<&(String, Duration)> = tests.iter().collect();
    slowest.sort_by_key(|(name, took)| (std::cmp::Reverse(*took), name));
    let _ = writeln!(text, "\nthe slowest tests");
    for (name, took) in slowest.into_iter().take(SLOWEST) {
        let _ = writeln!(text, "{:>8}  {name}", seconds(*took));
    }
    text
}

fn row(text: &mut String, name: &str, cost: Cost) {
    let tests = if cost.tests == 0 {
        String::new()
    } else {
        cost.tests.to_string()
    };
    let cpu = cost.cpu.map_or_else(|| "unknown".to_owned(), seconds);
    let _ = writeln!(
        text,
        "{name:<28}  {tests:>6}  {:>8}  {cpu:>8}",
        seconds(cost.wall)
    );
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spent_is_read_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 10 20 150 75 20 0 1 0 500 6 7";
        let spent = Spent {
            by_children: Duration::from_millis(2250),
            began: Duration::from_secs(5),
        };
        assert_eq!(read_spent(stat), Some(spent));
        assert_eq!(read_spent("7 (a) S 1"), None);
        assert_eq!(read_spent(""), None);
    }

    #[test]
    fn the_table_has_each_level_their_sum_and_the_slowest_first() {
        let cost = |wall, cpu, tests| Cost {
            wall: Duration::from_secs(wall),
            cpu: Some(Duration::from_secs(cpu)),
            tests,
        };
        let costs = BTreeMap::from([(Level::Unit, cost(20, 30, 12)), (Level::Build, cost(100, 190, 0))]);
        let tests: Vec<(String, Duration)> = (0..12)
            .map(|number| (format!("test_{number}"), Duration::from_secs(number)))
            .collect();
        let table = table(&costs, &tests);
        let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
        assert_eq!(
            lines[1],
            "build                                  100.0 s   190.0 s"
        );
        assert_eq!(
            lines[2],
            "unit                              12    20.0 s    30.0 s"
        );
        assert_eq!(
            lines[3],
            "together                          12   120.0 s   220.0 s"
        );
        assert_eq!(lines[6], "  11.0 s  test_11");
        assert_eq!(lines.len(), 16, "{table}");
    }
}
