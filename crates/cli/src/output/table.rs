//! Tables as kubectl's: a head in capitals, no boxes, columns aligned.
//!
//! Never wider than the screen: sentences take the width that is left, or are left out; then names wrap, then words.

use super::text::{StyledChar, columns, painted};
use super::{Emphasis, Screen, Text};

/// Blanks between columns.
const GAP: usize = 2;

/// What a column holds, and so how it shrinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ColumnKind {
    Name,
    SpareName,
    Word,
    Number,
    Text { least: usize },
}

impl ColumnKind {
    fn is_text(self) -> bool {
        matches!(self, Self::Text { .. })
    }
}

/// One column, with a cell for each row.
#[derive(Clone, Debug)]
struct Column {
    kind: ColumnKind,
    head: Text,
    cells: Vec<Text>,
}

/// A table with a row for each item.
#[derive(Clone, Debug)]
pub struct Table<'r, R> {
    rows: &'r [R],
    columns: Vec<Column>,
}

impl<'r, R> Table<'r, R> {
    /// A table without columns.
    pub fn of(rows: &'r [R]) -> Self {
        let columns = Vec::new();
        Self { rows, columns }
    }

    /// Names: they wrap if too wide, and are never cut.
    #[must_use]
    pub fn name<T: Into<Text>>(self, head: &str, cell: impl Fn(&'r R) -> T) -> Self {
        self.column(ColumnKind::Name, head, cell)
    }

    /// Names that are written elsewhere too: left out where other names would have to wrap, but after sentences.
    #[must_use]
    pub fn spare_name<T: Into<Text>>(self, head: &str, cell: impl Fn(&'r R) -> T) -> Self {
        self.column(ColumnKind::SpareName, head, cell)
    }

    /// Words of the vocabulary: whole as long as names can shrink.
    #[must_use]
    pub fn word<T: Into<Text>>(self, head: &str, cell: impl Fn(&'r R) -> T) -> Self {
        self.column(ColumnKind::Word, head, cell)
    }

    /// Numbers, aligned right: whole as long as anything else can shrink.
    #[must_use]
    pub fn number<T: Into<Text>>(self, head: &str, cell: impl Fn(&'r R) -> T) -> Self {
        self.column(ColumnKind::Number, head, cell)
    }

    /// Sentences: they take the width that is left, and are left out if that is below `least`.
    #[must_use]
    pub fn text<T: Into<Text>>(self, head: &str, least: usize, cell: impl Fn(&'r R) -> T) -> Self {
        self.column(ColumnKind::Text { least }, head, cell)
    }

    fn column<T: Into<Text>>(mut self, kind: ColumnKind, head: &str, cell: impl Fn(&'r R) -> T) -> Self {
        self.columns.push(Column {
            kind,
            head: Text::of(Emphasis::Dim, head),
            cells: self.rows.iter().map(|row| cell(row).into()).collect(),
        });
        self
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether sentences do not fit, so that the user must be pointed elsewhere.
    pub fn leaves_out(&self, screen: Screen) -> bool {
        let shown = self.layout(screen.width);
        let is_shown = |at| shown.iter().any(|(of, _)| *of == at);
        let mut filled = self.filled().into_iter();
        filled.any(|at| self.columns[at].kind.is_text() && !is_shown(at))
    }

    /// Head and rows, each line ended; nothing without rows. A column without anything in it is left out.
    pub fn render(&self, screen: Screen) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let layout = self.layout(screen.width);
        let heads = self.lines(&layout, screen, |column| &column.head);
        let rows = (0..self.rows.len()).map(|row| self.lines(&layout, screen, |column| &column.cells[row]));
        std::iter::once(heads).chain(rows).collect()
    }

    /// The lines of one row.
    fn lines<'t>(
        &'t self,
        layout: &[(usize, usize)],
        screen: Screen,
        cell: impl Fn(&'t Column) -> &'t Text,
    ) -> String {
        let broken = |(at, width): &(usize, usize)| {
            let column = &self.columns[*at];
            (column.kind, *width, cell(column).lines(*width))
        };
        let cells: Vec<(ColumnKind, usize, Vec<Vec<StyledChar>>)> = layout.iter().map(broken).collect();
        let height = cells.iter().map(|(_, _, lines)| lines.len()).max().unwrap_or(0);
        let mut written = String::new();
        for number in 0..height {
            let mut line: Vec<StyledChar> = Vec::new();
            for (kind, width, lines) in &cells {
                let part = lines.get(number).map_or(&[][..], Vec::as_slice);
                let blank = (' ', Emphasis::Plain);
                let pad = std::iter::repeat_n(blank, width.saturating_sub(columns(part)));
                if *kind == ColumnKind::Number {
                    line.extend(pad);
                    line.extend_from_slice(part);
                } else {
                    line.extend_from_slice(part);
                    line.extend(pad);
                }
                line.extend([blank; GAP]);
            }
            written.push_str(&painted(&line, screen.colour));
            written.push('\n');
        }
        written
    }

    /// The columns that hold anything; the first always counts.
    fn filled(&self) -> Vec<usize> {
        let holds = |at: &usize| *at == 0 || self.columns[*at].cells.iter().any(|cell| !cell.is_empty());
        (0..self.columns.len()).filter(holds).collect()
    }

    /// Which columns are shown, and how wide.
    fn layout(&self, room: usize) -> Vec<(usize, usize)> {
        let columns = self.filled().into_iter();
        let mut layout: Vec<(usize, usize)> = columns.map(|at| (at, self.natural(at))).collect();
        self.shrink(&mut layout, room, |kind| match kind {
            ColumnKind::Text { least } => Some(least),
            ColumnKind::Name | ColumnKind::SpareName | ColumnKind::Word | ColumnKind::Number => None,
        });
        self.leave_out(&mut layout, room, ColumnKind::is_text);
        self.leave_out(&mut layout, room, |kind| kind == ColumnKind::SpareName);
        for (name, word, number) in [(12, None, None), (12, Some(12), None), (4, Some(4), None)] {
            self.shrink(&mut layout, room, |kind| match kind {
                ColumnKind::Name | ColumnKind::SpareName => Some(name),
                ColumnKind::Word => word,
                ColumnKind::Number => number,
                ColumnKind::Text { .. } => None,
            });
        }
        self.shrink(&mut layout, room, |_| Some(1));
        layout
    }

    /// Leaves columns out from the right, all but the first one, until the others fit.
    fn leave_out(&self, layout: &mut Vec<(usize, usize)>, room: usize, which: impl Fn(ColumnKind) -> bool) {
        while excess(layout, room) > 0 {
            let last = layout.iter().rposition(|(at, _)| which(self.columns[*at].kind));
            let Some(position) = last.filter(|position| *position > 0) else {
                return;
            };
            layout.remove(position);
        }
    }

    fn natural(&self, at: usize) -> usize {
        let column = &self.columns[at];
        let widths = column.cells.iter().chain([&column.head]).map(Text::width);
        widths.max().unwrap_or(0).max(1)
    }

    /// Shrinks the widest of the columns that may shrink, until everything fits or all are at their least.
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
