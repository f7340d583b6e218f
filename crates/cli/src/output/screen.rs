//! What is written on: how wide it is and whether it shows colour.

use std::io;

use anstream::{AutoStream, ColorChoice};
use terminal_size::{Width, terminal_size_of};

/// Where nothing tells the width.
const USUAL: usize = 80;
/// Narrower ones are written as if they were this wide: the terminal breaks lines as well as anybody.
const NARROWEST: usize = 40;

/// What is written on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Columns.
    pub width: usize,
    /// Whether it shows colour, and whoever looks wants it.
    pub colour: bool,
}

impl Screen {
    /// Standard output. Colour only on a terminal, as `NO_COLOR`, `CLICOLOR` and `TERM` have it.
    pub fn stdout() -> Self {
        Self {
            width: width(terminal_size_of(io::stdout()).map(|(Width(width), _)| width)),
            colour: AutoStream::choice(&io::stdout()) != ColorChoice::Never,
        }
    }

    /// Standard error, likewise.
    pub fn stderr() -> Self {
        Self {
            width: width(terminal_size_of(io::stderr()).map(|(Width(width), _)| width)),
            colour: AutoStream::choice(&io::stderr()) != ColorChoice::Never,
        }
    }

    /// Standard output, and off a terminal as wide as a line needs: who reads places there wants each on one line.
    pub fn unbroken() -> Self {
        let terminal = terminal_size_of(io::stdout()).map(|(Width(width), _)| width);
        let screen = Self::stdout();
        if terminal.is_none() && std::env::var_os("COLUMNS").is_none() {
            screen.without_end()
        } else {
            screen
        }
    }

    /// As wide as a line needs.
    #[must_use]
    pub fn without_end(self) -> Self {
        Self {
            width: usize::MAX / 2,
            ..self
        }
    }
}

/// What `COLUMNS` says wins over the terminal; off a terminal the width is always the same.
fn width(terminal: Option<u16>) -> usize {
    let told = std::env::var("COLUMNS").ok();
    chosen(told.as_deref(), terminal)
}

fn chosen(told: Option<&str>, terminal: Option<u16>) -> usize {
    told.and_then(|columns| columns.trim().parse().ok())
        .filter(|columns| *columns > 0)
        .or(terminal.map(usize::from))
        .unwrap_or(USUAL)
        .max(NARROWEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_wins_over_the_terminal_and_eighty_is_usual() {
        assert_eq!(chosen(None, None), 80);
        assert_eq!(chosen(None, Some(200)), 200);
        assert_eq!(chosen(Some("120"), Some(200)), 120);
        assert_eq!(chosen(Some("wide"), Some(200)), 200);
        assert_eq!(chosen(Some("0"), None), 80);
        assert_eq!(chosen(None, Some(10)), 40);
    }
}
