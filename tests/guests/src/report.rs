//! The words in which a guest says what came of its tries.

use std::fmt::Debug;
use std::io::Write;

/// What came of each try of an executor, a line each.
#[derive(Debug, Default)]
pub struct Report(String);

impl Report {
    /// Notes a try.
    pub fn note<T, E: Debug>(&mut self, deed: &str, result: Result<T, E>) {
        self.0 += &line(deed, result);
    }

    /// The lines.
    pub fn lines(&self) -> &str {
        &self.0
    }
}

/// Says on standard output what came of a try.
pub fn report<T, E: Debug>(deed: &str, result: Result<T, E>) {
    drop(std::io::stdout().write_all(line(deed, result).as_bytes()));
}

fn line<T, E: Debug>(deed: &str, result: Result<T, E>) -> String {
    match result {
        Ok(_) => format!("{deed}: done\n"),
        Err(error) => format!("{deed}: out of reach: {error:?}\n"),
    }
}
