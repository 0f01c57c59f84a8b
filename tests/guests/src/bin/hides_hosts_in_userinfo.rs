//! Hides the server that it calls behind the name of one that it may call.

use apflow_guests::calling::get;
use apflow_guests::report;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let granted = arguments.next().unwrap_or_default();
    let private = arguments.next().unwrap_or_default();
    for mark in ["@", ":@", "#@", "/@", "\\@", "?@", "%40", " ", "\t", "\0", "\r\nHost: "] {
        let authority = format!("{granted}{mark}{private}");
        report(&format!("{authority:?}"), get(&authority, "/"));
    }
}
