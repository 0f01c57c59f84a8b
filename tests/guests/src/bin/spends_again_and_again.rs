//! Reserves and commits as often as its input says, and tells how it went and how long it took.

use std::time::Instant;

use apflow_guests::bindings::apflow::plugin::types::TokenUsage;
use apflow_guests::budget::{Error, Reservation};
use apflow_guests::{Executor, Fault, Outcome, Task, budget, executor};

struct SpendsAgainAndAgain;

impl Executor for SpendsAgainAndAgain {
    /// The input holds two numbers: how many calls, and how many tokens each.
    fn execute(_: Task, input: String) -> Result<Outcome, Fault> {
        let mut numbers = input.split(|letter: char| !letter.is_ascii_digit());
        let mut number = || numbers.find_map(|text| text.parse().ok()).unwrap_or(0);
        let (calls, tokens): (u64, u64) = (number(), number());
        let (mut said, mut took) = (Vec::new(), Vec::new());
        for _ in 0..calls {
            let started = Instant::now();
            said.push(call(tokens));
            took.push(started.elapsed().as_nanos().to_string());
        }
        let (said, took) = (said.join(","), took.join(","));
        let output = format!("{{\"said\":[{said}],\"took_ns\":[{took}]}}");
        Ok(Outcome { output, usage: None })
    }
}

/// Says the model that was to be called, or why none was.
fn call(tokens: u64) -> String {
    let said = match budget::reserve(tokens) {
        Ok(reservation) => {
            let model = reservation.model().unwrap_or_default();
            let used = TokenUsage { input: 0, output: tokens, cached: 0 };
            Reservation::commit(reservation, used);
            model
        }
        Err(Error::Blocked(reason)) => reason,
        Err(Error::Exhausted(left)) => format!("{left} are left"),
    };
    format!("\"{}\"", said.replace('"', "'"))
}

executor!(SpendsAgainAndAgain);
