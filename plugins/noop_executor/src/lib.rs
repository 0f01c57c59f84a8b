//! Does nothing, as fast as a component can.
//!
//! It measures what an attempt costs without any work, so it stands on the raw bindings: no JSON
//! is read, no schema is computed. The WASI imports that it still has are those of the standard
//! library's panic message.

#[cfg(target_family = "wasm")]
use apflow_sdk::bindings;
use apflow_sdk::bindings::apflow::plugin::types::{Descriptor, Fault, Outcome, Task};
use apflow_sdk::bindings::exports::apflow::plugin::run::Guest;

/// The executor that returns null.
pub struct Noop;

impl Guest for Noop {
    fn describe() -> Descriptor {
        Descriptor {
            id: "noop_executor".into(),
            name: "No-op".into(),
            description: "Does nothing and returns null.".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            input_schema: "{}".into(),
            output_schema: r#"{"type":"null"}"#.into(),
            tags: Vec::new(),
        }
    }

    fn execute(_task: Task, _input: String) -> Result<Outcome, Fault> {
        Ok(Outcome { output: "null".into(), usage: None })
    }
}

#[cfg(target_family = "wasm")]
bindings::export!(Noop with_types_in bindings);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_is_null_as_the_schema_promises() {
        let task = Task {
            id: String::new(),
            job_id: String::new(),
            attempt: 1,
            idempotency_key: String::new(),
            model: None,
        };
        assert_eq!(Noop::execute(task, "{}".into()).unwrap().output, "null");
        assert_eq!(Noop::describe().output_schema, r#"{"type":"null"}"#);
    }
}
