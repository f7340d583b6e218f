//! The output device: its width and whether it shows colour.

use std::io;
use std::os::fd::AsFd;

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use terminal_size::{Width, terminal_size_of};

/// Where the width is not known.
const USUAL: usize = 80;
/// Narrower ones are treated as this wide: the terminal breaks the lines.
const NARROWEST: usize = 40;

/// The output device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Columns.
    pub width: usize,
    /// Whether it shows colour, and the user wants it.
    pub colour: bool,
}

impl Screen {
    /// Standard output. Colour only on a terminal, as `NO_COLOR`, `CLICOLOR` and `TERM` have it.
    pub fn stdout() -> Self {
        Self::of(&io::stdout())
    }

    /// Standard error, likewise.
    pub fn stderr() -> Self {
        Self::of(&io::stderr())
    }

    /// `COLUMNS` wins over the terminal; off a terminal the width is always the same.
    fn of(stream: &(impl AsFd + RawStream)) -> Self {
        let terminal = terminal_size_of(stream).map(|(Width(width), _)| width);
        Self {
            width: chosen(std::env::var("COLUMNS").ok().as_deref(), terminal),
            colour: AutoStream::choice(stream) != ColorChoice::Never,
        }
    }

    /// Standard output, and off a terminal as wide as a line needs: programs that read places need each on one line.
    pub fn unbroken() -> Self {
        let screen = Self::stdout();
        if terminal_size_of(io::stdout()).is_none() && std::env::var_os("COLUMNS").is_none() {
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

fn chosen(variable: Option<&str>, terminal: Option<u16>) -> usize {
    variable
        .and_then(|columns| columns.trim().parse().ok())
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
