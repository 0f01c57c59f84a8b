//! Whether and how long the attempt may go on.

use std::time::Duration;

use crate::{Fault, backend};

/// True once somebody has cancelled the task.
///
/// A plugin that sees it should clean up and return [`Fault::Cancelled`]. It has as long as
/// `limits.cancel_grace` of its manifest says, and is ended then, wherever it is; without one it is
/// ended at once, and nothing needs to ask.
pub fn is_cancelled() -> bool {
    backend::control::is_cancelled()
}

/// How long the attempt may still run before it is stopped. Zero when the time is up.
pub fn deadline() -> Duration {
    Duration::from_millis(backend::control::deadline())
}

/// Ends a cancelled attempt by `?`.
///
/// # Errors
///
/// [`Fault::Cancelled`] once somebody has cancelled the task.
///
/// # Examples
///
/// ```
/// use apflow_sdk::{Fault, control, testing::Host};
///
/// fn work() -> Result<(), Fault> {
///     for _step in 0..3 {
///         control::check()?;
///     }
///     Ok(())
/// }
///
/// assert_eq!(Host::new().within(work), Ok(()));
/// assert_eq!(Host::new().cancelled().within(work), Err(Fault::Cancelled));
/// ```
pub fn check() -> Result<(), Fault> {
    if is_cancelled() { Err(Fault::Cancelled) } else { Ok(()) }
}
