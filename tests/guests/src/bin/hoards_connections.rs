//! Calls a silent server without an end, and waits for none of its answers.

use apflow_guests::calling::request;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::ErrorCode;

fn main() -> Result<(), ErrorCode> {
    let authority = std::env::args().nth(1).unwrap_or_default();
    let mut hoard = Vec::new();
    loop {
        hoard.push(handle(request(&authority, "/silent")?, None)?);
    }
}
