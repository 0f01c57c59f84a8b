//! Keeps lines and progress. Without a script both are dropped, so that helpers which only log
//! need none.

use super::{Written, find};

pub(crate) use crate::bindings::apflow::plugin::log::{Field, Level};

pub(crate) fn write(level: Level, message: &str, fields: &[Field]) {
    if let Some(script) = find() {
        let (message, fields) = (message.to_owned(), fields.to_owned());
        script.state().lines.push(Written { level, message, fields });
    }
}

pub(crate) fn progress(fraction: f64, message: &str) {
    if let Some(script) = find() {
        script.state().progress.push((fraction, message.to_owned()));
    }
}
