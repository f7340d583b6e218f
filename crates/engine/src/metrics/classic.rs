//! The page in Prometheus's own text format, for readers that do not accept `OpenMetrics`.
//!
//! The two differ in what describes a metric, not in its samples: counters and infos are described under the name of their
//! samples, an info is a gauge, and there are neither units nor an end mark.

use std::fmt::Write as _;

/// Rewrites a page in the `OpenMetrics` format.
pub(super) fn classic(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut help = None;
    for line in page.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
        } else if let Some(described) = line.strip_prefix("# TYPE ") {
            let (name, kind) = described.split_once(' ').unwrap_or((described, "untyped"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some((_, words)) = help.take() {
                let _ = writeln!(text, "# HELP {name}{suffix} {words}");
            }
            let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_describes_a_metric_has_the_name_of_its_samples() {
        let page = "# HELP l_a Some words.\n# TYPE l_a counter\n# UNIT l_a seconds\nl_a_total{x=\"# HELP\"} 1\n\
                    # HELP l_b More.\n# TYPE l_b info\nl_b_info{v=\"1\"} 1\n# HELP l_c C.\n# TYPE l_c gauge\nl_c 2\n# EOF\n";
        let text = "# HELP l_a_total Some words.\n# TYPE l_a_total counter\nl_a_total{x=\"# HELP\"} 1\n\
                    # HELP l_b_info More.\n# TYPE l_b_info gauge\nl_b_info{v=\"1\"} 1\n# HELP l_c C.\n# TYPE l_c gauge\nl_c 2\n";
        assert_eq!(classic(page), text);
    }
}
