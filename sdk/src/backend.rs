//! The seam between this crate's words and whoever answers them: the host, or natively the script
//! of a test.
//!
//! Both have the functions and the types of the contract's interfaces, and beside them `open` for
//! HTTP and `sleep` for time. The words turn these into what plugins see; nothing here knows a
//! word.

#[cfg(target_family = "wasm")]
mod component;
#[cfg(target_family = "wasm")]
pub(crate) use component::{
    Body, budget, checkpoint, control, dial, log, open, secret, sleep,
    sleep_until_something_is_ready,
};

#[cfg(not(target_family = "wasm"))]
pub(crate) mod script;
#[cfg(not(target_family = "wasm"))]
pub(crate) use script::{
    Body, budget, checkpoint, control, dial, log, open, secret, sleep,
    sleep_until_something_is_ready,
};
