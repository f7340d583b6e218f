//! Words with tones, broken into lines. Everything here counts in columns of a terminal, not in bytes or characters.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthChar as _;

/// Emphasis of words. Colour is never alone: the words mean the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Emphasis {
    /// As any other.
    #[default]
    Plain,
    /// To be seen first.
    Strong,
    /// To be seen last.
    Dim,
    /// All is well.
    Good,
    /// To be looked at.
    Warn,
    /// Wrong.
    Bad,
}

impl Emphasis {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().bold(),
            Self::Dim => Style::new().dimmed(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
        }
    }
}

/// No text is longer on a screen: servers may send anything.
pub const MOST: usize = 8192;

/// Words with tones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(Vec<StyledChar>);

/// One character with its tone.
pub(super) type StyledChar = (char, Emphasis);

impl Text {
    /// Words in a tone.
    pub fn of(emphasis: Emphasis, words: impl Into<String>) -> Self {
        Self::default().and(emphasis, words)
    }

    /// These words, and more in another tone.
    #[must_use]
    pub fn and(mut self, emphasis: Emphasis, words: impl Into<String>) -> Self {
        let words = words.into();
        self.0
            .extend(shortened(&words).chars().map(|mark| (sanitized(mark), emphasis)));
        self
    }

    /// These words, and those.
    #[must_use]
    pub fn joined(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn width(&self) -> usize {
        columns(&self.0)
    }

    /// The text in lines of at most `width` columns. Words are broken where they are longer than a line: behind `-`,
    /// `.`, `_`, `/` or `:` if that leaves no more than half of it empty.
    pub(super) fn lines(&self, width: usize) -> Vec<Vec<StyledChar>> {
        let width = width.max(1);
        let mut lines: Vec<Vec<StyledChar>> = Vec::new();
        let mut line: Vec<StyledChar> = Vec::new();
        let mut gap = 0;
        for (number, word) in self.0.split(|(mark, _)| *mark == ' ').enumerate() {
            gap += usize::from(number > 0);
            if word.is_empty() {
                continue;
            }
            let needed = columns(&line) + gap + columns(word);
            if line.is_empty() || needed <= width {
                let gap = if lines.is_empty() || !line.is_empty() {
                    gap
                } else {
                    0
                };
                let gap = gap.min(width.saturating_sub(1));
                line.extend(std::iter::repeat_n((' ', between(&line, word)), gap));
            } else {
                lines.push(std::mem::take(&mut line));
            }
            gap = 0;
            let mut word = word;
            // What does not fit is a word at the beginning of a line, or behind a gap as wide as one.
            while exceeds(&line, word, width) {
                let taken = break_at(&line, word, width);
                line.extend_from_slice(&word[..taken]);
                word = &word[taken..];
                lines.push(std::mem::take(&mut line));
            }
            line.extend_from_slice(word);
        }
        if !line.is_empty() || lines.is_empty() {
            lines.push(line);
        }
        lines
    }
}

impl From<&str> for Text {
    fn from(words: &str) -> Self {
        Self::of(Emphasis::Plain, words)
    }
}

/// Nothing is an empty text.
impl From<Option<&str>> for Text {
    fn from(words: Option<&str>) -> Self {
        words.unwrap_or_default().into()
    }
}

impl From<String> for Text {
    fn from(words: String) -> Self {
        Self::of(Emphasis::Plain, words)
    }
}

/// A text, cut if too long, with its length.
pub fn shortened(words: &str) -> std::borrow::Cow<'_, str> {
    match words.char_indices().nth(MOST) {
        None => words.into(),
        Some((end, _)) => {
            let all = words.chars().count();
            format!("{}… ({all} characters)", &words[..end]).into()
        }
    }
}

/// Names and messages come from servers and are untrusted: what steers a terminal is not passed on.
pub fn sanitized(mark: char) -> char {
    match mark {
        '\n' | '\t' | '\r' => ' ',
        // XML allows neither of the first two, even escaped.
        '\u{fffe}'
        | '\u{ffff}'
        | '\u{61c}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        mark if mark.is_control() => char::REPLACEMENT_CHARACTER,
        mark => mark,
    }
}

/// The tone of a gap: that of the words around it, if it is one.
fn between(before: &[StyledChar], after: &[StyledChar]) -> Emphasis {
    match (before.last(), after.first()) {
        (Some((_, one)), Some((_, other))) if one == other => *one,
        (_, _) => Emphasis::Plain,
    }
}

/// How many columns characters take; never fewer than a terminal needs.
pub(super) fn columns(marks: &[StyledChar]) -> usize {
    marks.iter().map(|(mark, _)| column(*mark)).sum()
}

fn column(mark: char) -> usize {
    // The selector of emoji presentation widens the character before it.
    if mark == '\u{fe0f}' {
        return 1;
    }
    mark.width().unwrap_or(0)
}

/// Whether a line with a word after it is too wide; it is read only as far as needed.
fn exceeds(line: &[StyledChar], word: &[StyledChar], width: usize) -> bool {
    let mut taken = 0;
    line.iter().chain(word).any(|(mark, _)| {
        taken += column(*mark);
        taken > width
    })
}

/// How many characters of a word that is too long stay on the line; at least one of both together.
fn break_at(line: &[StyledChar], word: &[StyledChar], width: usize) -> usize {
    let mut taken = columns(line);
    let fitting = word
        .iter()
        .take_while(|(mark, _)| {
            taken += column(*mark);
            taken <= width
        })
        .count()
        .max(usize::from(line.is_empty()));
    let breaks = |mark: char| matches!(mark, '-' | '.' | '_' | '/' | ':');
    let behind = word.iter().take(fitting).rposition(|(mark, _)| breaks(*mark));
    behind
        .map(|last| last + 1)
        .filter(|kept| kept * 2 >= fitting)
        .unwrap_or(fitting)
}

/// A line as it is written, without blanks at its end.
pub(super) fn painted(line: &[StyledChar], colour: bool) -> String {
    let blank = line.iter().rev().take_while(|(mark, _)| *mark == ' ').count();
    let line = &line[..line.len() - blank];
    let mut written = String::new();
    for run in line.chunk_by(|(_, one), (_, other)| one == other) {
        let style = run
            .first()
            .map(|(_, emphasis)| emphasis.style())
            .filter(|_| colour);
        let style = style.unwrap_or_default();
        written.push_str(&style.render().to_string());
        written.extend(run.iter().map(|(mark, _)| *mark));
        written.push_str(&style.render_reset().to_string());
    }
    written
}

#[cfg(test)]
mod tests;
