//! Uses more tokens than its task has, and would go on when it has none.

use apflow_guests::bindings::apflow::plugin::types::TokenUsage;
use apflow_guests::{Executor, Fault, Outcome, Report, Task, budget, executor, text};

struct OverspendsItsBudget;

impl Executor for OverspendsItsBudget {
    fn execute(_: Task, _: String) -> Result<Outcome, Fault> {
        let mut report = Report::default();
        report.note("all the tokens there are", budget::reserve(u64::MAX));
        report.note("one too many", budget::reserve(101));
        if let Ok(reservation) = budget::reserve(100) {
            report.note("one beside a reservation", budget::reserve(1));
            let used = TokenUsage { input: u64::MAX, output: u64::MAX, cached: 0 };
            budget::Reservation::commit(reservation, used);
        }
        report.note("one after the last", budget::reserve(1));
        Ok(text(report.lines()))
    }
}

executor!(OverspendsItsBudget);
