//! What is reported while a view is briefly incomplete: the last complete report.
//!
//! A server that restarts, or crashes again and again, is a gap each time. The evaluation stops all actions from the
//! first look that shows it; the conditions report only a gap that lasts.

use std::time::Duration;

use jiff::Timestamp;
use leeward_core::evaluate::Evaluation;
use leeward_core::report::Report;
use leeward_core::snapshot::Gap;
use leeward_core::time::elapsed;

/// The last complete report, and since when there has been none.
#[derive(Debug, Default)]
pub(super) struct ReportHold {
    complete: Option<(i64, Report)>,
    incomplete_since: Option<Timestamp>,
}

impl ReportHold {
    /// The report to show: this one, or for up to `patience` the last complete one of the same generation.
    pub(super) fn report(
        &mut self,
        evaluation: &Evaluation,
        report: Report,
        generation: i64,
        patience: Duration,
        now: Timestamp,
    ) -> Report {
        if evaluation.conclusive() {
            self.incomplete_since = None;
            self.complete = Some((generation, report.clone()));
            return report;
        }
        let since = *self.incomplete_since.get_or_insert(now);
        let may_pass = !evaluation.stale && evaluation.gaps.iter().all(Gap::may_pass);
        match &self.complete {
            Some((of, complete)) if *of == generation && may_pass && elapsed(since, now) < patience => {
                complete.clone()
            }
            Some(_) | None => report,
        }
    }

    /// When the report changes although nothing else does.
    pub(super) fn ends(&self, patience: Duration) -> Option<Timestamp> {
        let _ = self.complete.as_ref()?;
        Some(leeward_core::time::later(self.incomplete_since?, patience))
    }
}
