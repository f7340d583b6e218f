//! Tables as kubectl's: a head in capitals, no boxes, columns aligned.
//!
//! Never wider than the screen: sentences take what room is left, or are left out; then names wrap, then words.

use super::text::{StyledChar, columns, painted};
use super::{Emphasis, Screen, Text};

/// Blanks between columns.
const GAP: usize = 2;
/// A sentence in a narrower column is hard to read.
const SENTENCE: usize = 24;

/// What a column holds, and so how it gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ColumnKind {
    Name,
    Word,
    Number,
    Text { least: usize },
}

/// One column.
#[derive(Clone, Debug)]
pub struct Column {
    head: String,
    kind: ColumnKind,
    spare: bool,
}

impl Column {
    /// Names: they wrap where there is no room, and are never cut.
    pub fn name(head: &str) -> Self {
        Self::new(head, ColumnKind::Name)
    }

    /// Words of the vocabulary: whole as long as names can give room.
    pub fn word(head: &str) -> Self {
        Self::new(head, ColumnKind::Word)
    }

    /// Numbers, aligned right: whole as long as anything else can give room.
    pub fn number(head: &str) -> Self {
        Self::new(head, ColumnKind::Number)
    }

    /// Sentences: they take the room that is left.
    pub fn text(head: &str) -> Self {
        Self::new(head, ColumnKind::Text { least: SENTENCE })
    }

    /// Leaves the sentences out where there is less room than this.
    #[must_use]
    pub fn at_least(mut self, least: usize) -> Self {
        if let ColumnKind::Text { least: known } = &mut self.kind {
            *known = least;
        }
        self
    }

    fn new(head: &str, kind: ColumnKind) -> Self {
        Self {
            head: head.to_owned(),
            kind,
            spare: false,
        }
    }

    /// Leaves the column out where names would have to wrap otherwise; sentences go before it, and it is said elsewhere too.
    #[must_use]
    pub fn spare(mut self) -> Self {
        self.spare = true;
        self
    }
}

/// Rows under a head.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Text>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// One more row, a cell for each column.
    pub fn row<T: Into<Text>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let mut cells: Vec<Text> = cells.into_iter().map(Into::into).collect();
        cells.resize(self.columns.len(), Text::default());
        self.rows.push(cells);
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether there is no room for sentences, so that it has to be said where else they are.
    pub fn leaves_out(&self, screen: Screen) -> bool {
        let is_text = |at: &usize| matches!(self.columns[*at].kind, ColumnKind::Text { .. });
        let shown = self.layout(screen.width);
        self.filled()
            .iter()
            .any(|at| is_text(at) && !shown.iter().any(|(of, _)| of == at))
    }

    /// Head and rows, each line ended; nothing without rows. A column without anything in it is left out.
    pub fn render(&self, screen: Screen) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let layout = self.layout(screen.width);
        let heads: Vec<Text> = self
            .columns
            .iter()
            .map(|column| Text::of(Emphasis::Dim, column.head.as_str()))
            .collect();
        let mut written = String::new();
        for row in std::iter::once(&heads).chain(&self.rows) {
            self.write_row(&mut written, row, &layout, screen.colour);
        }
        written
    }

    fn write_row(&self, written: &mut String, row: &[Text], layout: &[(usize, usize)], colour: bool) {
        let cells: Vec<Vec<Vec<StyledChar>>> =
            layout.iter().map(|(at, width)| row[*at].lines(*width)).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(0);
        for number in 0..height {
            let mut line: Vec<StyledChar> = Vec::new();
            for ((at, width), cell) in layout.iter().zip(&cells) {
                let part = cell.get(number).map_or(&[][..], Vec::as_slice);
                let blank = (' ', Emphasis::Plain);
                let pad = std::iter::repeat_n(blank, width.saturating_sub(columns(part)));
                if self.columns[*at].kind == ColumnKind::Number {
                    line.extend(pad);
                    line.extend_from_slice(part);
                } else {
                    line.extend_from_slice(part);
                    line.extend(pad);
                }
                line.extend([blank; GAP]);
            }
            written.push_str(&painted(&line, colour));
            written.push('\n');
        }
    }

    /// The columns that hold anything; the first always counts.
    fn filled(&self) -> Vec<usize> {
        let holds = |at: &usize| *at == 0 || self.rows.iter().any(|row| !row[*at].is_empty());
        (0..self.columns.len()).filter(holds).collect()
    }

    /// Which columns are shown, and how wide.
    fn layout(&self, room: usize) -> Vec<(usize, usize)> {
        let mut layout: Vec<(usize, usize)> = self
            .filled()
            .into_iter()
            .map(|at| (at, self.natural(at)))
            .collect();
        self.shrink(&mut layout, room, |kind| match kind {
            ColumnKind::Text { least } => Some(least),
            ColumnKind::Name | ColumnKind::Word | ColumnKind::Number => None,
        });
        let is_text = |column: &Column| matches!(column.kind, ColumnKind::Text { .. });
        self.leave_out(&mut layout, room, is_text);
        self.leave_out(&mut layout, room, |column| column.spare);
        for (name, word, number) in [(12, None, None), (12, Some(12), None), (4, Some(4), None)] {
            self.shrink(&mut layout, room, |kind| match kind {
                ColumnKind::Name => Some(name),
                ColumnKind::Word => word,
                ColumnKind::Number => number,
                ColumnKind::Text { .. } => None,
            });
        }
        self.shrink(&mut layout, room, |_| Some(1));
        layout
    }

    /// Leaves columns out from the right, all but the first one, until the others fit.
    fn leave_out(&self, layout: &mut Vec<(usize, usize)>, room: usize, which: impl Fn(&Column) -> bool) {
        while excess(layout, room) > 0 {
            let last = layout.iter().rposition(|(at, _)| which(&self.columns[*at]));
            let Some(position) = last.filter(|position| *position > 0) else {
                return;
            };
            layout.remove(position);
        }
    }

    fn natural(&self, at: usize) -> usize {
        let head = Text::from(self.columns[at].head.as_str()).width();
        let cells = self.rows.iter().map(|row| row[at].width());
        cells.chain([head, 1]).max().unwrap_or(1)
    }

    /// Takes columns from the widest of those that may give some, until everything fits or all are at their least.
    fn shrink(
        &self,
        layout: &mut [(usize, usize)],
        room: usize,
        least: impl Fn(ColumnKind) -> Option<usize>,
    ) {
        while excess(layout, room) > 0 {
            let may_give = |(at, width): &(usize, usize)| {
                least(self.columns[*at].kind).is_some_and(|least| *width > least)
            };
            let widest = layout
                .iter_mut()
                .filter(|column| may_give(column))
                .max_by_key(|(_, width)| *width);
            let Some((_, width)) = widest else { return };
            *width -= 1;
        }
    }
}

/// By how much a layout is too wide.
fn excess(layout: &[(usize, usize)], room: usize) -> usize {
    let columns: usize = layout.iter().map(|(_, width)| *width).sum();
    (columns + GAP * layout.len().saturating_sub(1)).saturating_sub(room)
}

#[cfg(test)]
mod tests;
