//! What guests import of the own package, one interface a file, and what of WASI is watched.

mod budget;
mod checkpoint;
mod control;
mod dial;
mod log;
mod preopens;
mod secret;
pub(crate) mod sockets;
