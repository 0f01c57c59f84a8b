//! Puts NUL, escapes and marks of direction into every text that it may say.

use apflow_guests::{Executor, Fault, Outcome, Task, checkpoint, executor, log};
const STRANGE: &str = "\0\x1b[2J\x1b]0;owned\x07\r\n\u{9b}\u{202e}\u{feff}\u{ffff}";

struct SpeaksInControlCharacters;

impl Executor for SpeaksInControlCharacters {
    fn execute(_: Task, _: String) -> Result<Outcome, Fault> {
        let field = log::Field { name: STRANGE.to_owned(), value: STRANGE.to_owned() };
        log::write(log::Level::Info, STRANGE, &[field]);
        log::progress(0.5, STRANGE);
        drop(checkpoint::save(STRANGE, STRANGE.as_bytes()));
        Ok(Outcome { output: r#""\u0000\u001b[2J\u202e""#.to_owned(), usage: None })
    }
}

executor!(SpeaksInControlCharacters);
