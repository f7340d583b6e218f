//! Templates of Helm charts: a chart is rendered as a whole, so it is reported once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Problem;
use super::files::InputSource;
use super::located::Unreadable;

/// Charts that were reported.
#[derive(Debug, Default)]
pub struct Charts(BTreeSet<PathBuf>);

impl Charts {
    /// The problem of a file; that it is a template is reported once per chart.
    pub fn once(&mut self, source: &InputSource, unreadable: Unreadable) -> Option<Problem> {
        let Unreadable { problem, is_template } = unreadable;
        match of(&source.name).filter(|_| is_template) {
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
