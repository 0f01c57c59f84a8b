//! Multiplies: starts threads and processes.

use std::process::Command;
use std::thread;

use apflow_guests::report;

fn main() {
    report("a thread", thread::Builder::new().spawn(main));
    for program in ["/bin/sh", "sh", "self"] {
        report(program, Command::new(program).spawn());
    }
}
