//! The only file that prints: results on standard output, everything else on standard error.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::sync::{Mutex, PoisonError};

use apflow_api::chain;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::{Value, json};
use terminal_size::{Height, Width, terminal_size_of};

use super::error::CliError;
use super::screen::{Line, Screen, Size};

/// A terminal that does not say how large it is.
const TERMINAL_USUAL: Size = Size { columns: 80, rows: 24 };

/// How to print.
pub(crate) struct Output {
    is_json: bool,
    has_colours: bool,
    /// Whether a terminal can be drawn on.
    can_draw: bool,
    /// What is drawn now. None while nothing is.
    screen: Mutex<Option<Screen>>,
}

/// Until this is dropped, what is said stands above what is drawn.
pub(crate) struct Drawing<'output>(&'output Output);

impl Output {
    pub(crate) fn new(is_json: bool, has_colours: bool, can_draw: bool) -> Self {
        Self { is_json, has_colours, can_draw, screen: Mutex::default() }
    }

    /// Whether what happens may be drawn again and again: where a person reads it.
    pub(crate) fn is_live(&self) -> bool {
        !self.is_json && self.can_draw && stderr().is_terminal()
    }

    /// Whether results go to a person as well.
    pub(crate) fn is_shown(&self) -> bool {
        !self.is_json && stdout().is_terminal()
    }

    /// Begins to draw.
    pub(crate) fn drawing(&self) -> Drawing<'_> {
        self.with_screen(|screen| *screen = Some(Screen::default()));
        Drawing(self)
    }

    fn with_screen<T>(&self, work: impl FnOnce(&mut Option<Screen>) -> T) -> T {
        work(&mut self.screen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many columns a result may have: those of the terminal that it is printed on, else 80.
    #[expect(clippy::unused_self, reason = "what is printed is laid out by the output")]
    pub(crate) fn width(&self) -> usize {
        let size = terminal_size_of(stdout());
        size.map_or(TERMINAL_USUAL.columns, |(Width(columns), _)| columns.into())
    }

    /// Prints a result as JSON, whatever was asked for.
    #[expect(clippy::unused_self, reason = "what is printed is printed by the output")]
    pub(crate) fn json(&self, value: &impl Serialize) {
        print(&pretty(value));
    }

    /// Prints a result in a form of its own, unless JSON was asked for.
    pub(crate) fn document(&self, value: &impl Serialize, text: &str) {
        if self.is_json {
            print(&pretty(value));
        } else if !text.is_empty() {
            print(text.trim_end());
        }
    }

    /// Prints a result: as JSON if that was asked for, else as text.
    pub(crate) fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        if self.is_json {
            print(&pretty(value));
        } else {
            print(text().trim_end());
        }
    }

    /// Prints a result only as JSON: as text, everything about it has been said.
    pub(crate) fn json_only(&self, value: &impl Serialize) {
        if self.is_json {
            print(&pretty(value));
        }
    }

    /// Prints one of many results: as JSON on a line of its own if that was asked for, else as text.
    pub(crate) fn line(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        if self.is_json {
            print(&serde_json::to_string(value).unwrap_or_else(|error| no_json(&error)));
        } else {
            print(&text());
        }
    }

    /// Prints one of many results that are JSON whatever was asked for.
    #[expect(clippy::unused_self, reason = "what is printed is printed by the output")]
    pub(crate) fn json_line(&self, value: &impl Serialize) {
        print(&serde_json::to_string(value).unwrap_or_else(|error| no_json(&error)));
    }

    /// Says something on the way. Silent when JSON was asked for.
    pub(crate) fn note(&self, text: &str) {
        if !self.is_json {
            self.say(text);
        }
    }

    /// Says what went wrong, and where to read more.
    pub(crate) fn error(&self, error: &CliError) {
        let faults = error.faults();
        let (code, retry_after) = (error.code(), error.retry_after());
        if self.is_json {
            let message = chain(error);
            let mut said = json!({
                "code": code, "message": message, "pointer": error.pointer(), "faults": faults,
            });
            let more = [
                ("retry_after", retry_after.map(Value::from)),
                ("request", error.request().map(Value::from)),
                ("advice", error.advice().map(Value::from)),
            ];
            for (name, value) in more {
                if let Some(value) = value {
                    said[name] = value;
                }
            }
            self.say(&pretty(&json!({ "error": said })));
            return;
        }
        match code {
            Some(code) => self.say(&format!("error[{code}]: {}", chain(error))),
            None => self.say(&format!("error: {}", chain(error))),
        }
        for fault in faults {
            self.say(&format!("  {fault}"));
        }
        if let Some(seconds) = retry_after {
            self.say(&format!("  try again in {seconds} s"));
        }
        if let Some(advice) = error.advice() {
            self.say(&format!("  {advice}"));
        }
        if let Some(request) = error.request() {
            self.say(&format!("  the server's log has it as request {request}"));
        }
        if let Some(code) = code {
            self.say(&format!("  `apflow-host explain {code}` says more"));
        }
    }

    /// Says something on standard error: above what is drawn, and with the next drawing.
    fn say(&self, text: &str) {
        let text = printable(text);
        self.with_screen(|screen| match screen {
            Some(screen) => screen.say(&text),
            None => drop(writeln!(stderr().lock(), "{text}")),
        });
    }
}

impl Drawing<'_> {
    /// How large the terminal is now.
    pub(crate) fn size() -> Size {
        terminal_size_of(stderr()).map_or(TERMINAL_USUAL, |(Width(columns), Height(rows))| Size {
            columns: columns.into(),
            rows: rows.into(),
        })
    }

    /// Draws these lines in place of those before.
    pub(crate) fn draw(&self, lines: &[Line]) {
        self.0.with_screen(|screen| {
            let text = screen.as_mut().map(|screen| screen.draw(lines, self.0.has_colours));
            drop(stderr().lock().write_all(text.unwrap_or_default().as_bytes()));
        });
    }
}

impl Drop for Drawing<'_> {
    fn drop(&mut self) {
        self.draw(&[]);
        self.0.with_screen(|screen| *screen = None);
    }
}

/// A text without control characters: what a guest says must not steer the operator's terminal.
fn printable(text: &str) -> String {
    let is_steering = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.replace(is_steering, "\u{fffd}")
}

/// A text as a part of one line.
pub(crate) fn one_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ")
}

/// Lays rows out in columns. The columns named in `right` are aligned to the right.
pub(crate) fn columns(head: &[&str], rows: Vec<Vec<String>>, right: &[usize]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !head.is_empty() {
        table.set_header(head.iter().copied());
    }
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// Cuts a text to so many characters, and shows that it was cut.
pub(crate) fn shorten(text: &str, characters_max: usize) -> String {
    if text.chars().count() <= characters_max {
        return text.to_owned();
    }
    text.chars().take(characters_max.saturating_sub(1)).chain(['…']).collect()
}

fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|error| no_json(&error))
}

fn no_json(error: &serde_json::Error) -> String {
    format!("no JSON: {error}")
}

fn print(text: &str) {
    // A reader that has gone away, like `head`, is no fault of this program.
    drop(writeln!(stdout().lock(), "{}", printable(text)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n\tc\u{9b}"), "a\u{fffd}[2Jb\n\tc\u{fffd}");
    }

    #[test]
    fn a_text_is_cut_by_characters() {
        assert_eq!(shorten("grün", 4), "grün");
        assert_eq!(shorten("grüner", 4), "grü…");
    }
}
