//! The only file that prints: results on standard output, everything else on standard error.

use std::io::{IsTerminal, Write, stderr, stdout};

use apflow_api::chain;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::{Value, json};

use super::error::CliError;

/// The columns and rows of a terminal that does not say.
const TERMINAL_USUAL: (usize, usize) = (80, 24);

/// How to print.
pub(crate) struct Output {
    is_json: bool,
    /// How many columns and rows standard error has, when it is a terminal that may be redrawn.
    terminal: Option<(usize, usize)>,
}

impl Output {
    pub(crate) fn new(is_json: bool) -> Self {
        let size = || {
            let size = terminal_size::terminal_size_of(stderr());
            size.map_or(TERMINAL_USUAL, |(width, height)| (width.0.into(), height.0.into()))
        };
        let is_live = stderr().is_terminal() && !is_json;
        Self { is_json, terminal: is_live.then(size) }
    }

    /// Whether what happens may be drawn again and again.
    pub(crate) fn is_live(&self) -> bool {
        self.terminal.is_some()
    }

    /// How many columns a result may have: those of the terminal that it is printed on, else 80.
    #[expect(clippy::unused_self, reason = "what is printed is laid out by the output")]
    pub(crate) fn width(&self) -> usize {
        let size = terminal_size::terminal_size_of(stdout());
        size.map_or(TERMINAL_USUAL.0, |(width, _)| width.0.into())
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
            say(text);
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
            say(&pretty(&json!({ "error": said })));
            return;
        }
        match code {
            Some(code) => say(&format!("error[{code}]: {}", chain(error))),
            None => say(&format!("error: {}", chain(error))),
        }
        for fault in faults {
            say(&format!("  {fault}"));
        }
        if let Some(seconds) = retry_after {
            say(&format!("  try again in {seconds} s"));
        }
        if let Some(advice) = error.advice() {
            say(&format!("  {advice}"));
        }
        if let Some(request) = error.request() {
            say(&format!("  the server's log has it as request {request}"));
        }
        if let Some(code) = code {
            say(&format!("  `apflow-host explain {code}` says more"));
        }
    }

    /// Draws over what was drawn before, which had `lines_before` lines, and says how many lines
    /// this has. It is cut at the edges of the terminal: what wraps or scrolls cannot be drawn over.
    pub(crate) fn redraw(&self, lines_before: usize, text: &str) -> usize {
        let Some((columns, rows)) = self.terminal else { return 0 };
        let up =
            if lines_before > 0 { format!("\x1b[{lines_before}F\x1b[J") } else { String::new() };
        let lines = text.trim_end().lines().take(rows.saturating_sub(1));
        let lines: Vec<String> = lines.map(|line| shorten(&printable(line), columns)).collect();
        let text = lines.iter().fold(up, |text, line| text + line + "\n");
        drop(stderr().lock().write_all(text.as_bytes()));
        lines.len()
    }
}

/// A text without control characters: what a guest says must not steer the operator's terminal.
fn printable(text: &str) -> String {
    let is_steering = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.replace(is_steering, "\u{fffd}")
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

fn say(text: &str) {
    drop(writeln!(stderr().lock(), "{}", printable(text)));
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
