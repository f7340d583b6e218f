//! Several runs of the same thing: their median, and how far they spread.

use std::fmt;
use std::time::{Duration, Instant};

/// How long each run took.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs(Vec<Duration>);

impl Runs {
    /// Measures one more.
    pub(super) async fn time<T>(
        &mut self,
        run: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let began = Instant::now();
        let done = run.await?;
        self.add(began.elapsed());
        Ok(done)
    }

    pub(super) fn add(&mut self, took: Duration) {
        self.0.push(took);
        self.0.sort_unstable();
    }

    /// The middle one; of an even number the later of the two.
    pub(super) fn median(&self) -> Duration {
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }

    /// How many times as long as others these took.
    pub(super) fn ratio(&self, others: &Self) -> f64 {
        self.median().as_secs_f64() / others.median().as_secs_f64()
    }
}

/// In seconds: the median, and in brackets the shortest and the longest.
impl fmt::Display for Runs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Option<&Duration>| time.copied().unwrap_or_default().as_secs_f64();
        let (least, most) = (seconds(self.0.first()), seconds(self.0.last()));
        let text = format!("{:.2} ({least:.2}-{most:.2})", self.median().as_secs_f64());
        formatter.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_spread_are_said() {
        let mut runs = Runs::default();
        for millis in [3_000, 1_000, 2_500] {
            runs.add(Duration::from_millis(millis));
        }
        assert_eq!(runs.to_string(), "2.50 (1.00-3.00)");
        let mut others = Runs::default();
        others.add(Duration::from_secs(1));
        assert!((runs.ratio(&others) - 2.5).abs() < f64::EPSILON);
    }
}
