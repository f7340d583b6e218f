//! `tools/versions` against the chart and the pages that repeat it: they name the tested versions, and no more.

use crate::generated::read;
use crate::tools::pinned;

/// `1.29` of `1.29.15`.
fn line_of(version: &str) -> &str {
    version.rsplit_once('.').unwrap().0
}

/// The pinned lines of a program such as `1.29`, the oldest first.
fn lines_of(program: &str) -> Vec<String> {
    let pinned = pinned();
    let of_program = pinned
        .iter()
        .filter_map(|(name, version)| Some((name.strip_prefix(program)?, version)));
    let mut lines: Vec<&str> = of_program
        .filter(|(rest, _)| rest.is_empty() || rest.starts_with('-'))
        .map(|(_, version)| line_of(version))
        .collect();
    lines.sort_by_key(|line| {
        line.split('.')
            .map(|part| part.parse().unwrap())
            .collect::<Vec<u32>>()
    });
    lines.into_iter().map(str::to_owned).collect()
}

/// `a, b and c`.
fn listed(lines: &[String]) -> String {
    let (last, others) = lines.split_last().unwrap();
    format!("{} and {last}", others.join(", "))
}

#[test]
fn a_tool_that_is_named_after_its_version_has_it() {
    for (name, version) in &pinned() {
        let suffix = name.rsplit_once('-').map(|(_, suffix)| suffix);
        if let Some(suffix) = suffix.filter(|suffix| suffix.starts_with(|first: char| first.is_ascii_digit()))
        {
            assert_eq!(suffix, line_of(version), "{name}");
        }
    }
}

#[test]
fn the_chart_and_the_pages_name_the_kubernetes_versions_that_are_tested() {
    let lines = lines_of("kube-apiserver");
    let oldest = &lines[0];
    let chart = read("charts/leeward/Chart.yaml");
    let wanted = format!("kubeVersion: \">={oldest}.0-0\"");
    assert!(chart.lines().any(|line| line == wanted), "{wanted}");
    let wanted = format!(
        "Kubernetes ({oldest} or newer, for the rules in the CRDs; tested with {})",
        listed(&lines)
    );
    assert!(read("docs/install.md").contains(&wanted), "{wanted}");
}

#[test]
fn the_pages_name_the_servers_that_are_tested() {
    let wanted = format!("tested with {}.", listed(&lines_of("nats-server")));
    assert!(read("docs/faq.md").contains(&wanted), "{wanted}");
}
