//! Waits for a day that never comes.

use std::time::Duration;

fn main() {
    loop {
        std::thread::sleep(Duration::from_hours(24));
    }
}
