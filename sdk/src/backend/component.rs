//! Answers from the host: each function is one import of the contract.

mod http;
mod poll;

use std::time::Duration;

pub(crate) use self::http::exchange;
pub(crate) use self::poll::{sleep, sleep_until_something_is_ready};

use crate::bindings::apflow::plugin::{budget as imports_budget, checkpoint as imports_checkpoint};
use crate::bindings::apflow::plugin::{control, log as imports_log};
use crate::budget::Tokens;
use crate::{Usage, budget, checkpoint, log};

pub(crate) fn save(step: &str, value: &[u8]) -> Result<(), checkpoint::Error> {
    imports_checkpoint::save(step, value).map_err(Into::into)
}

pub(crate) fn load() -> Result<Option<checkpoint::Saved>, checkpoint::Error> {
    let saved = imports_checkpoint::load()?;
    Ok(saved.map(|imports_checkpoint::Saved { step, attempt, value }| checkpoint::Saved {
        step,
        attempt,
        value,
    }))
}

impl From<imports_checkpoint::Error> for checkpoint::Error {
    fn from(error: imports_checkpoint::Error) -> Self {
        match error {
            imports_checkpoint::Error::TooLarge(bytes_max) => Self::TooLarge { bytes_max },
            imports_checkpoint::Error::TooMany(count_max) => Self::TooMany { count_max },
            imports_checkpoint::Error::Fenced => Self::Fenced,
            imports_checkpoint::Error::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

pub(crate) fn remaining() -> Option<Tokens> {
    imports_budget::remaining().map(Tokens)
}

pub(crate) fn reserve(amount: Tokens) -> Result<Hold, budget::Error> {
    match imports_budget::reserve(amount.0) {
        Ok(reservation) => Ok(Hold(reservation)),
        Err(imports_budget::Error::Exhausted(left)) => {
            Err(budget::Error::Exhausted { asked: amount, left: Tokens(left) })
        }
    }
}

/// The host's reservation; the host gives the tokens back when it is dropped.
#[derive(Debug)]
pub(crate) struct Hold(imports_budget::Reservation);

impl Hold {
    pub(crate) fn amount(&self) -> Tokens {
        Tokens(self.0.amount())
    }

    pub(crate) fn commit(self, used: Usage) {
        imports_budget::Reservation::commit(self.0, used.into());
    }
}

pub(crate) fn write(level: log::Level, message: &str, fields: Vec<(String, String)>) {
    let level = match level {
        log::Level::Trace => imports_log::Level::Trace,
        log::Level::Debug => imports_log::Level::Debug,
        log::Level::Info => imports_log::Level::Info,
        log::Level::Warn => imports_log::Level::Warn,
        log::Level::Error => imports_log::Level::Error,
    };
    let fields: Vec<imports_log::Field> =
        fields.into_iter().map(|(name, value)| imports_log::Field { name, value }).collect();
    imports_log::write(level, message, &fields);
}

pub(crate) fn progress(fraction: f64, message: &str) {
    imports_log::progress(fraction, message);
}

pub(crate) fn is_cancelled() -> bool {
    control::is_cancelled()
}

pub(crate) fn deadline() -> Duration {
    Duration::from_millis(control::deadline())
}
