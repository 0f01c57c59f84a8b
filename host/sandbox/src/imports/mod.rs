//! What guests import of the own package, one interface a file.

mod budget;
mod checkpoint;
mod control;
mod log;

#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub use budget::Reservation;
