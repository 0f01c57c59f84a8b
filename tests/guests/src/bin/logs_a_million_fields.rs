//! Writes one line with a million empty fields.

use apflow_guests::{Executor, Fault, Outcome, Task, executor, log, text};

struct LogsAMillionFields;

impl Executor for LogsAMillionFields {
    fn execute(_: Task, _: String) -> Result<Outcome, Fault> {
        let field = log::Field { name: String::new(), value: String::new() };
        log::write(log::Level::Info, "", &vec![field; 1_000_000]);
        Ok(text("done"))
    }
}

executor!(LogsAMillionFields);
