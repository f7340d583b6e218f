use super::*;

fn lines(text: &str, width: usize) -> Vec<String> {
    let text = Text::from(text);
    text.lines(width)
        .iter()
        .map(|line| painted(line, false))
        .collect()
}

#[test]
fn words_are_kept_whole_where_they_fit() {
    assert_eq!(lines("one two three", 7), ["one two", "three"]);
    assert_eq!(lines("one  two", 8), ["one  two"]);
    assert_eq!(lines("", 8), [""]);
}

#[test]
fn long_names_break_behind_a_separator_if_it_is_near() {
    assert_eq!(lines("orders-north-america", 14), ["orders-north-", "america"]);
    assert_eq!(lines("a-bcdefghijkl", 6), ["a-bcde", "fghijk", "l"]);
}

#[test]
fn no_line_is_wider_than_asked_for_whatever_the_words() {
    let nasty = "日本語のストリーム \u{1f469}\u{200d}\u{1f680}\u{1f469}\u{200d}\u{1f680} ❤\u{fe0f}❤\u{fe0f}❤\u{fe0f} e\u{301}e\u{301}e\u{301} x";
    for width in 2..60 {
        for line in Text::from(nasty).lines(width) {
            let written = painted(&line, false);
            let width_of_all = unicode_width::UnicodeWidthStr::width(written.as_str());
            assert!(width_of_all <= width, "{written:?} at {width}");
        }
    }
}

#[test]
fn nothing_is_lost_when_lines_are_broken() {
    let name = "a-very.long_name/that:has-everything";
    for width in 1..40 {
        assert_eq!(lines(name, width).concat(), name);
    }
}

#[test]
fn what_steers_a_terminal_is_not_passed_on() {
    assert_eq!(
        lines("a\u{1b}[31mb\u{202e}c\nd", 40),
        ["a\u{fffd}[31mb\u{fffd}c d"]
    );
    assert_eq!(
        lines("a\u{61c}b\u{200e}c\u{200f}d", 40),
        ["a\u{fffd}b\u{fffd}c\u{fffd}d"]
    );
}

#[test]
fn tones_are_written_only_in_colour() {
    let text = Text::of(Emphasis::Plain, "now ").and(Emphasis::Bad, "not held");
    let line = &text.lines(80)[0];
    assert_eq!(painted(line, false), "now not held");
    assert_eq!(painted(line, true), "now \u{1b}[1m\u{1b}[31mnot held\u{1b}[0m");
}

#[test]
fn a_text_of_a_megabyte_is_cut_where_it_is_shown() {
    for text in ["x".repeat(1 << 20), "ü ".repeat(1 << 19)] {
        let broken = lines(&text, 80);
        assert!(broken.len() < 300, "{} lines", broken.len());
        assert!(
            broken.last().unwrap().ends_with("(1048576 characters)"),
            "{:?}",
            broken.last()
        );
    }
    assert_eq!(shortened("short"), "short");
}

#[test]
fn the_memory_of_broken_lines_grows_with_the_text_and_not_with_its_square() {
    let text = Text::from("x".repeat(MOST));
    let held: usize = text.lines(10).iter().map(Vec::capacity).sum();
    assert!(held < 4 * MOST, "room for {held} characters");
}
