//! Reads an answer that comes one byte at a time.

use apflow_guests::calling::{get, read};
use wasip2::http::types::ErrorCode;

fn main() -> Result<(), ErrorCode> {
    let authority = std::env::args().nth(1).unwrap_or_default();
    read(&get(&authority, "/slow")?)
}
