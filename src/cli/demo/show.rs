//! How the demo looks: numbered scenes of labelled lines, within 80 columns, in colour where that is welcome.

use std::fmt::Display;
use std::future::Future;
use std::io::{self, Write};
use std::time::Duration;

use crate::cli::out;

/// The width of a line.
const WIDTH: usize = 80;
/// Where the text begins beside a label.
const INDENT: usize = 12;
/// How often a wait shows that it goes on.
const TICK: Duration = Duration::from_millis(500);

/// Prints the show and counts its scenes.
#[derive(Debug)]
pub(super) struct Stage {
    colour: bool,
    scene: usize,
}

#[derive(Debug, Clone, Copy)]
enum Tone {
    Bold,
    Dim,
    Green,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self { colour: out::may_colour(), scene: 0 }
    }

    /// Opens a scene.
    pub(super) fn scene(&mut self, title: &str) -> io::Result<()> {
        self.scene += 1;
        let title = self.paint(Tone::Bold, &format!("{}. {title}", self.scene));
        out::print(format!("\n{title}"))
    }

    /// A heading outside the count.
    pub(super) fn heading(&self, title: &str) -> io::Result<()> {
        out::print(format!("\n{}", self.paint(Tone::Bold, title)))
    }

    /// Text beside a label; without a label it goes on below the one before.
    pub(super) fn label(&self, label: &str, text: impl Display) -> io::Result<()> {
        let label = self.paint(Tone::Green, &format!("{label:<width$}", width = INDENT - 3));
        let blank = " ".repeat(INDENT);
        for (at, line) in wrap(&text.to_string(), WIDTH - INDENT).into_iter().enumerate() {
            out::print(if at == 0 { format!("   {label}{line}") } else { format!("{blank}{line}") })?;
        }
        Ok(())
    }

    /// The same, in the background: bodies that are there to be seen, not to be read.
    pub(super) fn aside(&self, text: &str) -> io::Result<()> {
        let blank = " ".repeat(INDENT);
        wrap(text, WIDTH - INDENT)
            .into_iter()
            .try_for_each(|line| out::print(format!("{blank}{}", self.paint(Tone::Dim, &line))))
    }

    /// Waits for `work` and shows that time passes, so that nobody takes it for dead.
    pub(super) async fn wait<T>(
        &self,
        label: &str,
        what: &str,
        work: impl Future<Output = T>,
    ) -> io::Result<T> {
        let mut work = std::pin::pin!(work);
        let mut dots = 0;
        let ended = loop {
            match tokio::time::timeout(TICK, work.as_mut()).await {
                Ok(ended) => break ended,
                Err(_elapsed) => {
                    let mut out = io::stdout().lock();
                    if dots == 0 {
                        let label = self.paint(Tone::Green, &format!("{label:<width$}", width = INDENT - 3));
                        write!(out, "   {label}{what} ")?;
                    }
                    write!(out, ".")?;
                    out.flush()?;
                    dots += 1;
                }
            }
        };
        if dots > 0 {
            out::print("")?;
        }
        Ok(ended)
    }

    fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Bold => 1,
            Tone::Dim => 2,
            Tone::Green => 32,
        };
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Breaks text into lines: after a blank or a comma where there is one, else anywhere.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_inclusive([' ', ',']) {
            if !line.is_empty() && line.chars().count() + word.trim_end().chars().count() > width {
                lines.push(line.trim_end().to_owned());
                line.clear();
            }
            line.push_str(word);
            while line.trim_end().chars().count() > width {
                let rest = line.chars().skip(width).collect();
                lines.push(line.chars().take(width).collect());
                line = rest;
            }
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_after_blanks_and_commas() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap(r#"{"a":1,"b":2}"#, 8), [r#"{"a":1,"#, r#""b":2}"#]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("a\nb", 4), ["a", "b"]);
    }
}
