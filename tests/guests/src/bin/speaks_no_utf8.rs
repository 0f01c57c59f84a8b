//! Passes bytes that are no UTF-8 as the text that its input names, `{"as": …}`.

use apflow_guests::{Executor, Fault, Outcome, Task, checkpoint, executor, log, text};

struct SpeaksNoUtf8;

impl Executor for SpeaksNoUtf8 {
    #[expect(unsafe_code, reason = "the deed")]
    fn execute(_: Task, input: String) -> Result<Outcome, Fault> {
        let wrong = unsafe { String::from_utf8_unchecked(vec![b'a', 0xff, 0xc0, 0x80]) };
        let field = || log::Field { name: wrong.clone(), value: wrong.clone() };
        match input.split('"').nth(3) {
            Some("log") => log::write(log::Level::Info, &wrong, &[]),
            Some("field") => log::write(log::Level::Info, "", &[field()]),
            Some("progress") => log::progress(0.5, &wrong),
            Some("step") => drop(checkpoint::save(&wrong, b"")),
            Some("output") => return Ok(Outcome { output: wrong, usage: None }),
            _ => return Err(Fault::Permanent(wrong)),
        }
        Ok(text("done"))
    }
}

executor!(SpeaksNoUtf8);
