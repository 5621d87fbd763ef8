//! What the program prints: the only writer of standard output and standard error besides the log.
//!
//! A reader that goes away (`scim-bridge mapping list | head`) is no failure: see [`is_closed`].

use std::fmt::{self, Display};
use std::io::{self, ErrorKind, IsTerminal, Write};

/// Prints a line on standard output.
pub(super) fn print(line: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Tells the person at the terminal something that is not the command's result: on standard error.
pub(super) fn note(line: impl Display) {
    // Nobody is left to tell if this fails.
    let _told = writeln!(io::stderr().lock(), "{line}").is_ok();
}

/// Whether an error only means that the reader of our output has gone.
pub(super) fn is_closed(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    })
}

/// Whether standard output may be coloured: a terminal, and nobody said `NO_COLOR`.
pub(super) fn may_colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Rows under a header, in columns as wide as they need.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns and no rows.
    pub(super) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|&name| name.to_owned()).collect()] }
    }

    /// Adds a row; an empty cell shows as a dash.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let dash = |cell: String| if cell.is_empty() { "-".to_owned() } else { cell };
        self.rows.push(cells.into_iter().map(dash).collect());
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width_of = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<_> = (0..columns).map(|column| width_of(column).unwrap_or(0)).collect();
        for (at, row) in self.rows.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
            }
            f.write_str(line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_its_columns_up() {
        let mut table = Table::new(&["NAME", "STATUS"]);
        table.row(["jane".to_owned(), String::new()]);
        table.row(["Zoë Long".to_owned(), "member".to_owned()]);
        assert_eq!(table.to_string(), "NAME      STATUS\njane      -\nZoë Long  member");
    }

    #[test]
    fn a_reader_that_has_gone_is_told_from_other_failures() {
        let closed = anyhow::Error::new(io::Error::from(ErrorKind::BrokenPipe)).context("cannot print");
        assert!(is_closed(&closed));
        assert!(!is_closed(&anyhow::Error::new(io::Error::from(ErrorKind::StorageFull))));
    }
}
