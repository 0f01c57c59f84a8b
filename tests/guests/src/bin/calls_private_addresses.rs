//! Calls this machine and its neighbours by every spelling of their addresses, at the port of its
//! argument.

use apflow_guests::calling::get;
use apflow_guests::report;

const HOSTS: [&str; 16] = [
    "127.0.0.1",
    "127.0.0.1.",
    "0.0.0.0",
    "[::]",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "169.254.169.254",
    "10.0.0.1",
    "[fe80::1]",
    "[fd00::1]",
];

fn main() {
    let port = std::env::args().nth(1).unwrap_or_default();
    for host in HOSTS {
        report(host, get(&format!("{host}:{port}"), "/"));
    }
}
