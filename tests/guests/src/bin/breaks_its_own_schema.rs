//! Promises a number and returns a text.

use apflow_guests::{Descriptor, Executor, Fault, Outcome, Task, executor, text};

struct BreaksItsOwnSchema;

impl Executor for BreaksItsOwnSchema {
    fn describe(honest: Descriptor) -> Descriptor {
        Descriptor { output_schema: r#"{"type":"integer"}"#.to_owned(), ..honest }
    }

    fn execute(_: Task, _: String) -> Result<Outcome, Fault> {
        Ok(text("a text"))
    }
}

executor!(BreaksItsOwnSchema);
