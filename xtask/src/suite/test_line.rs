//! libtest's one-line result of a test, with the time that `--report-time` adds.

use std::time::Duration;

/// The line without the time, and its test with the time it took: `test a::b ... ok <0.123s>`.
pub fn read(line: &str) -> (&str, Option<(&str, Duration)>) {
    let without_time = || {
        let (before, time) = line.strip_suffix("s>")?.rsplit_once(" <")?;
        let (name, end) = before.strip_prefix("test ")?.split_once(" ... ")?;
        let took = Duration::try_from_secs_f64(time.parse().ok()?).ok()?;
        (end == "ok" || end.starts_with("FAILED")).then_some((before, (name, took)))
    };
    match without_time() {
        Some((before, test)) => (before, Some(test)),
        None => (line, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_test_is_read_and_taken_off_and_other_lines_stay() {
        let took = Duration::from_millis(1250);
        assert_eq!(
            read("test a::b ... ok <1.250s>"),
            ("test a::b ... ok", Some(("a::b", took)))
        );
        assert_eq!(
            read("test a::b ... FAILED <1.250s>"),
            ("test a::b ... FAILED", Some(("a::b", took)))
        );
        let others = [
            "test a::b has been running for over 60 seconds",
            "test result: ok. 1 passed; 0 failed; finished in 1.25s",
            "test a::b ... ok",
            "test a::b ... ok <fast>",
            "somebody printed <1.250s>",
            "",
        ];
        for line in others {
            assert_eq!(read(line), (line, None));
        }
    }
}
