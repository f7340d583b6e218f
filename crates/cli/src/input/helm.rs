//! Templates of Helm charts: a chart is rendered as a whole, so it is said once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Problem;
use super::files::Source;

/// Charts that were said already.
#[derive(Debug, Default)]
pub struct Charts(BTreeSet<PathBuf>);

impl Charts {
    /// The problem of a file, unless another template of its chart had one before.
    pub fn once(&mut self, source: &Source, problem: Problem) -> Option<Problem> {
        match of(&source.name) {
            Some(chart) => self.0.insert(chart).then_some(problem),
            None => Some(problem),
        }
    }
}

/// The folder of the chart that a file is a template of.
pub fn of(file: &str) -> Option<PathBuf> {
    let folders = Path::new(file).ancestors().skip(1);
    let mut templates = folders.filter(|folder| folder.file_name().is_some_and(|name| name == "templates"));
    let chart = templates.find_map(|folder| {
        let chart = folder.parent()?;
        chart.join("Chart.yaml").is_file().then_some(chart)
    })?;
    Some(chart.to_owned())
}
