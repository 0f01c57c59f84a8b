//! What the plugin tells the people who watch the task.
//!
//! Events of the `tracing` crate arrive here as well: the entry that [`macro@crate::executor`]
//! writes installs a subscriber. Lines beyond the attempt's log limit are dropped by the host.

use std::fmt::Display;

use crate::backend::{self, log::Field};

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Every detail, for the plugin's author.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What an operator wants to know.
    Info,
    /// Something unexpected that the plugin got over.
    Warn,
    /// Something that made the task, or part of it, fail.
    Error,
}

impl From<Level> for backend::log::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

/// Writes one line with named values.
///
/// # Examples
///
/// ```
/// use apflow_sdk::log::{self, Level};
/// # apflow_sdk::testing::Host::new().within(|| {
/// log::write(Level::Info, "fetched", &[("status", &200), ("url", &"https://example.com")]);
/// # });
/// ```
pub fn write(level: Level, message: impl AsRef<str>, fields: &[(&str, &dyn Display)]) {
    let fields: Vec<Field> = fields
        .iter()
        .map(|(name, value)| Field { name: (*name).to_owned(), value: value.to_string() })
        .collect();
    backend::log::write(level.into(), message.as_ref(), &fields);
}

/// Writes a line for the plugin's author.
pub fn trace(message: impl AsRef<str>) {
    write(Level::Trace, message, &[]);
}

/// Writes a line that helps to find a fault.
pub fn debug(message: impl AsRef<str>) {
    write(Level::Debug, message, &[]);
}

/// Writes a line that an operator wants to know.
pub fn info(message: impl AsRef<str>) {
    write(Level::Info, message, &[]);
}

/// Writes a line about something unexpected that the plugin got over.
pub fn warn(message: impl AsRef<str>) {
    write(Level::Warn, message, &[]);
}

/// Writes a line about something that made the task, or part of it, fail.
pub fn error(message: impl AsRef<str>) {
    write(Level::Error, message, &[]);
}

/// Says how far the attempt has come.
///
/// `fraction` goes from 0.0 to 1.0; values outside are clamped and NaN counts as 0.0.
pub fn progress(fraction: f64, message: impl AsRef<str>) {
    let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
    backend::log::progress(fraction, message.as_ref());
}
