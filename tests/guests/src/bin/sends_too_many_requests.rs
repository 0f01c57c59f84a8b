//! Sends requests without an end.

use apflow_guests::calling::get;
use wasip2::http::types::ErrorCode;

fn main() -> Result<(), ErrorCode> {
    let authority = std::env::args().nth(1).unwrap_or_default();
    loop {
        get(&authority, "/")?;
    }
}
