//! Reserves nothing, again and again, and keeps it.

use apflow_guests::{Executor, Fault, Outcome, Task, budget, executor};

struct HoardsReservations;

impl Executor for HoardsReservations {
    fn execute(_: Task, _: String) -> Result<Outcome, Fault> {
        let mut hoard = Vec::new();
        loop {
            hoard.push(budget::reserve(0));
        }
    }
}

executor!(HoardsReservations);
