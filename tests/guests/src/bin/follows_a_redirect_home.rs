//! Follows the redirect of a server that it may call to one that it may not.

use apflow_guests::calling::get;
use apflow_guests::report;
use wasip2::http::types::ErrorCode;

fn main() -> Result<(), ErrorCode> {
    let authority = std::env::args().nth(1).unwrap_or_default();
    let location = get(&authority, "/redirect")?.headers().get("location").concat();
    let location = String::from_utf8_lossy(&location).into_owned();
    let home = location.trim_start_matches("http://").trim_end_matches('/');
    report(&location, get(home, "/"));
    Ok(())
}
