//! Calls a server that it may not call, again and again: each refusal is an event.

use apflow_guests::calling::get;

fn main() {
    loop {
        drop(get("example.com", "/"));
    }
}
