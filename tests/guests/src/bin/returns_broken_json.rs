//! Returns something that is no JSON.

use apflow_guests::{Executor, Fault, Outcome, Task, executor};

struct ReturnsBrokenJson;

impl Executor for ReturnsBrokenJson {
    fn execute(_: Task, _: String) -> Result<Outcome, Fault> {
        Ok(Outcome { output: "{\"half\": ".to_owned(), usage: None })
    }
}

executor!(ReturnsBrokenJson);
