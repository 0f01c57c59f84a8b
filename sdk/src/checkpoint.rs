//! Progress that outlives the attempt.
//!
//! A task that is retried starts from the beginning of its executor: one that saved its steps
//! loads the last one and goes on from there. Checkpoints belong to one task; nothing is shared
//! between tasks here.
//!
//! ```
//! use apflow_sdk::{Fault, checkpoint, testing::Host};
//!
//! fn count() -> Result<u64, Fault> {
//!     let done: u64 = checkpoint::load()?.unwrap_or(0);
//!     for page in done..3 {
//!         checkpoint::save("page", &(page + 1))?;
//!     }
//!     Ok(3 - done)
//! }
//!
//! let host = Host::new().checkpoint("page", &2);
//! assert_eq!(host.within(count), Ok(1));
//! ```

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use crate::backend;

/// A checkpoint as it was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The name the step was saved under.
    pub step: String,
    /// The attempt that saved it, perhaps an earlier one than this.
    pub attempt: u32,
    /// The bytes that were saved.
    pub value: Vec<u8>,
}

/// Saves `value`, as JSON, as the newest checkpoint of this task.
///
/// When this returns, the checkpoint is durable: it survives a crash of the host. Names of steps
/// need not be unique; every save is kept until the task ends well.
///
/// # Errors
///
/// See [`save_bytes`]; [`Error::NotReadable`] when `value` has no JSON form.
pub fn save(step: impl AsRef<str>, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
    let bytes = serde_json::to_vec(value).map_err(|error| Error::NotReadable(error.to_string()))?;
    save_bytes(step, &bytes)
}

/// Saves `value` as it is as the newest checkpoint of this task.
///
/// # Errors
///
/// [`Error::TooLarge`] and [`Error::TooMany`] beyond the host's limits, [`Error::Fenced`] when
/// another attempt has taken over, [`Error::Unavailable`] when the host cannot store it now.
/// Nothing is saved then.
pub fn save_bytes(step: impl AsRef<str>, value: &[u8]) -> Result<(), Error> {
    Ok(backend::checkpoint::save(step.as_ref(), value)?)
}

/// Loads the value of the newest checkpoint, whatever its step; none when nothing was saved yet.
///
/// A plugin whose steps save different types asks [`load_saved`] which step it was.
///
/// # Errors
///
/// [`Error::NotReadable`] when the checkpoint is not a `T`, for example because an older version
/// of the plugin saved it; otherwise see [`load_saved`].
pub fn load<T: DeserializeOwned>() -> Result<Option<T>, Error> {
    let Some(saved) = load_saved()? else { return Ok(None) };
    saved.json().map(Some)
}

/// Loads the newest checkpoint of this task, from this attempt or an earlier one.
///
/// # Errors
///
/// [`Error::Fenced`] when another attempt has taken over, [`Error::Unavailable`] when the host
/// cannot read it now.
pub fn load_saved() -> Result<Option<Saved>, Error> {
    Ok(backend::checkpoint::load()?.map(Saved::from))
}

impl Saved {
    /// Reads the value that [`save`] wrote.
    ///
    /// # Errors
    ///
    /// [`Error::NotReadable`] when it is not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.value)
            .map_err(|error| Error::NotReadable(format!("step `{}`: {error}", self.step)))
    }
}

impl From<backend::checkpoint::Saved> for Saved {
    fn from(saved: backend::checkpoint::Saved) -> Self {
        let backend::checkpoint::Saved { step, attempt, value } = saved;
        Self { step, attempt, value }
    }
}

/// Why a checkpoint was not saved or loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The value is larger than one checkpoint may be.
    TooLarge {
        /// The largest size of a checkpoint.
        bytes_max: u64,
    },
    /// The task has saved as many checkpoints as it may.
    TooMany {
        /// The largest number of checkpoints.
        count_max: u64,
    },
    /// Another attempt of this task has taken over. Nothing this one does counts any more.
    Fenced,
    /// The host cannot store or read it now.
    Unavailable(String),
    /// The value does not fit its JSON form.
    NotReadable(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes_max } => {
                write!(f, "checkpoint is larger than `{bytes_max}` bytes")
            }
            Self::TooMany { count_max } => write!(f, "task has `{count_max}` checkpoints already"),
            Self::Fenced => f.write_str("another attempt of this task has taken over"),
            Self::Unavailable(reason) => write!(f, "checkpoints are not available: {reason}"),
            Self::NotReadable(reason) => write!(f, "checkpoint does not fit its type: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<backend::checkpoint::Error> for Error {
    fn from(error: backend::checkpoint::Error) -> Self {
        match error {
            backend::checkpoint::Error::TooLarge(bytes_max) => Self::TooLarge { bytes_max },
            backend::checkpoint::Error::TooMany(count_max) => Self::TooMany { count_max },
            backend::checkpoint::Error::Fenced => Self::Fenced,
            backend::checkpoint::Error::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}
