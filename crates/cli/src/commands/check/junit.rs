//! What was checked as `JUnit` XML: a test case for each definition or asset.

use anyhow::Context as _;
use itertools::Itertools as _;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::document::{CheckDocument, Checked, DefinitionSource};

/// The document as XML. What no policy selects is skipped, what could not be decided is an error.
pub fn render(document: &CheckDocument) -> anyhow::Result<String> {
    let mut suite = TestSuite::new("leeward check");
    suite.add_test_cases(document.checked.iter().map(case));
    for error in &document.errors {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type("Error").set_message(error.to_string());
        let mut case = TestCase::new("everything can be read", status);
        case.set_classname(error.file.as_str());
        suite.add_test_case(case);
    }
    for text in &document.undecided {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type("Undecided").set_message(text.as_str());
        suite.add_test_case(TestCase::new("everything can be decided", status));
    }
    if !document.notes.is_empty() {
        suite.set_system_out(document.notes.join("\n"));
    }
    let mut report = Report::new("leeward check");
    report.add_test_suite(suite);
    report.to_string().context("the result cannot be written as XML")
}

fn case(checked: &Checked) -> TestCase {
    let status = if !checked.findings.is_empty() {
        failure(checked)
    } else if checked.policy.is_some() {
        TestCaseStatus::success()
    } else {
        let mut status = TestCaseStatus::skipped();
        status.set_message("no policy selects it");
        status
    };
    let mut case = TestCase::new(checked.subject.as_str(), status);
    let source = checked.source.as_ref();
    let class = source.map_or_else(|| checked.policy.clone(), |source| Some(source.file.clone()));
    case.set_classname(class.unwrap_or_default());
    if let Some(DefinitionSource { file, line, .. }) = source {
        case.extra.insert("file".into(), file.as_str().into());
        case.extra.insert("line".into(), line.to_string().into());
    }
    case
}

fn failure(checked: &Checked) -> TestCaseStatus {
    let findings = &checked.findings;
    let rules: Vec<&str> = findings.iter().map(|finding| finding.rule.as_str()).collect();
    let mut texts = findings.iter().map(|finding| {
        let source = finding.source.as_ref();
        let place = source.map_or_else(String::new, |source| format!("{source}: "));
        format!("{place}{}: {}", finding.rule, finding.message)
    });
    let text = texts.join("\n");
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type(rules.first().copied().unwrap_or_default());
    status.set_message(rules.join(", "));
    status.set_description(text);
    status
}
