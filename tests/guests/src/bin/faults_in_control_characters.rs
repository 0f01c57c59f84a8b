//! Fails with NUL and escapes in its reason.

use apflow_guests::{Executor, Fault, Outcome, Task, executor};

struct FaultsInControlCharacters;

impl Executor for FaultsInControlCharacters {
    fn execute(_: Task, _: String) -> Result<Outcome, Fault> {
        Err(Fault::Permanent("\0\x1b[2J\u{202e}reason".to_owned()))
    }
}

executor!(FaultsInControlCharacters);
