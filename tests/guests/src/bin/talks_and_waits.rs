//! Says something on both of its streams, a line and a half, and then waits for a day that never
//! comes.

use std::io::Write;
use std::time::Duration;

fn main() -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    write!(stdout, "first line\nsecond ")?;
    stdout.flush()?;
    writeln!(std::io::stderr(), "grün")?;
    loop {
        std::thread::sleep(Duration::from_hours(24));
    }
}
