//! An executor in as few lines as a bad deed deserves.

use crate::bindings::apflow::plugin::types::{Descriptor, Fault, Outcome, Task};

/// What an executor does. What is left out is done honestly.
pub trait Executor {
    /// Says what it is, given what it should say.
    fn describe(honest: Descriptor) -> Descriptor {
        honest
    }

    /// Does one attempt.
    ///
    /// # Errors
    ///
    /// What the guest likes to say.
    fn execute(_task: Task, _input: String) -> Result<Outcome, Fault> {
        Ok(text("done"))
    }
}

/// What an honest executor of this name says of itself.
pub fn honest(name: &str) -> Descriptor {
    Descriptor {
        id: name.to_owned(),
        name: name.to_owned(),
        description: "A guest.".to_owned(),
        version: "1.0.0".to_owned(),
        input_schema: "{}".to_owned(),
        output_schema: "{}".to_owned(),
        tags: Vec::new(),
    }
}

/// An output that is this text, in which nothing needs to be escaped but ends of lines.
pub fn text(text: &str) -> Outcome {
    let escaped = text.replace('\\', "/").replace('"', "'").replace('\n', "\\n");
    Outcome { output: format!("\"{escaped}\""), usage: None }
}

/// Makes a program an executor.
#[macro_export]
macro_rules! executor {
    ($executor:ident) => {
        impl $crate::bindings::exports::apflow::plugin::run::Guest for $executor {
            fn describe() -> $crate::Descriptor {
                <$executor as $crate::Executor>::describe($crate::honest(env!("CARGO_BIN_NAME")))
            }

            fn execute(task: $crate::Task, input: String) -> Result<$crate::Outcome, $crate::Fault> {
                <$executor as $crate::Executor>::execute(task, input)
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::bindings::export!($executor with_types_in $crate::bindings);

        // The host calls the exports; a program needs a `main` all the same.
        fn main() {
            let _ = $executor;
        }
    };
}
