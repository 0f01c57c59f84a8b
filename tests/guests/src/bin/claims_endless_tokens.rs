//! Says that it used more tokens than there are numbers.

use apflow_guests::bindings::apflow::plugin::types::TokenUsage;
use apflow_guests::{Executor, Fault, Outcome, Task, budget, executor, text};

struct ClaimsEndlessTokens;

impl Executor for ClaimsEndlessTokens {
    fn execute(_: Task, _: String) -> Result<Outcome, Fault> {
        let most = TokenUsage { input: u64::MAX, output: u64::MAX, cached: u64::MAX };
        for _ in 0..2 {
            if let Ok(reservation) = budget::reserve(1) {
                budget::Reservation::commit(reservation, most);
            }
        }
        Ok(Outcome { usage: Some(most), ..text("done") })
    }
}

executor!(ClaimsEndlessTokens);
