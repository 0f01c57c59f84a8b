//! Calls a server whose answer has headers without an end.

use apflow_guests::calling::get;
use apflow_guests::report;

fn main() {
    let authority = std::env::args().nth(1).unwrap_or_default();
    report("endless headers", get(&authority, "/headers"));
}
