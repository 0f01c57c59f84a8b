//! What guests import of the own package, one interface a file.

mod budget;
mod checkpoint;
mod control;
mod log;
mod preopens;
mod secret;
