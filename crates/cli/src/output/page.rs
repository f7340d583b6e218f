//! Lines around tables, none wider than the screen.

use super::text::{StyledChar, painted};
use super::{Emphasis, Screen, Table, Text};

/// Where the texts of facts begin.
const LABELS: usize = 16;
/// How far lines that follow a broken one are indented.
const HANGING: usize = 2;

/// A page that is written from top to bottom.
#[derive(Clone, Debug)]
pub struct Page {
    screen: Screen,
    written: String,
}

impl Page {
    /// An empty page.
    pub fn new(screen: Screen) -> Self {
        Self {
            screen,
            written: String::new(),
        }
    }

    /// A line; what does not fit on it follows indented.
    pub fn line(&mut self, text: impl Into<Text>) {
        self.hanging(&[], HANGING, &text.into());
    }

    /// A dimmed line.
    pub fn dim(&mut self, words: impl Into<String>) {
        self.line(Text::of(Emphasis::Dim, words));
    }

    /// A paragraph that is indented as a whole.
    pub fn item(&mut self, indent: usize, text: impl Into<Text>) {
        let margin = vec![(' ', Emphasis::Plain); indent];
        self.hanging(&margin, indent, &text.into());
    }

    /// One of several sentences.
    pub fn bullet(&mut self, text: impl Into<Text>) {
        let margin: Vec<StyledChar> = "  - ".chars().map(|mark| (mark, Emphasis::Plain)).collect();
        self.hanging(&margin, margin.len(), &text.into());
    }

    /// A labelled line, the label on the left.
    pub fn fact(&mut self, label: &str, text: impl Into<Text>) {
        let label = Text::of(Emphasis::Dim, format!("  {label}:"));
        let mut margin = label.lines(LABELS - 1).into_iter().next().unwrap_or_default();
        // A label's own indent is no gap between words.
        let missing = LABELS.saturating_sub(super::text::columns(&margin));
        margin.extend(std::iter::repeat_n((' ', Emphasis::Plain), missing));
        self.hanging(&margin, LABELS, &text.into());
    }

    /// One empty line; never two, and never at the top.
    pub fn blank(&mut self) {
        if !self.written.is_empty() && !self.written.ends_with("\n\n") {
            self.written.push('\n');
        }
    }

    /// A line above a part of the page.
    pub fn heading(&mut self, text: &str) {
        self.blank();
        self.line(Text::of(Emphasis::Strong, text));
    }

    /// A table; nothing if it has no rows.
    pub fn table<R>(&mut self, table: &Table<'_, R>) {
        self.written.push_str(&table.render(self.screen));
    }

    /// The screen that it is for.
    pub fn screen(&self) -> Screen {
        self.screen
    }

    /// What was written.
    pub fn finish(self) -> String {
        self.written
    }

    /// `margin` before the first line, `indent` blanks before the others.
    fn hanging(&mut self, margin: &[StyledChar], indent: usize, text: &Text) {
        let width = self.screen.width;
        let fits = margin.is_empty() && text.width() <= width;
        let room = if fits { width } else { width.saturating_sub(indent) };
        for (number, line) in text.lines(room).iter().enumerate() {
            let mut whole = match number {
                0 => margin.to_vec(),
                _ => vec![(' ', Emphasis::Plain); indent],
            };
            whole.extend_from_slice(line);
            self.written.push_str(&painted(&whole, self.screen.colour));
            self.written.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        Page::new(Screen {
            width: 44,
            colour: false,
        })
    }

    #[test]
    fn everything_hangs_where_it_belongs() {
        let mut page = page();
        page.blank();
        page.line("a line that is longer than the screen is wide, and so goes on");
        page.blank();
        page.blank();
        page.heading("Place");
        page.fact("Leader", "nats-us-east-1 in us-east, which leads since noon");
        page.item(4, "an item that is longer than the screen is wide");
        page.bullet("one of several sentences, longer than the screen");
        insta::assert_snapshot!(page.finish(), @r"
        a line that is longer than the screen is
          wide, and so goes on

        Place
          Leader:       nats-us-east-1 in us-east,
                        which leads since noon
            an item that is longer than the screen
            is wide
          - one of several sentences, longer than
            the screen
        ");
    }
}
