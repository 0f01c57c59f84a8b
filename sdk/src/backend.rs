//! The seam between this crate's words and whoever answers them: the host, through the contract's
//! imports, or natively the script of a test.

#[cfg(target_family = "wasm")]
mod component;
#[cfg(target_family = "wasm")]
pub(crate) use component::{
    Hold, deadline, exchange, is_cancelled, load, progress, remaining, reserve, save, sleep,
    sleep_until_something_is_ready, write,
};

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::backend::{
    Hold, deadline, exchange, is_cancelled, load, progress, remaining, reserve, save, sleep,
    sleep_until_something_is_ready, write,
};
