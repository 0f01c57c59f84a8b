//! Sends a request to each authority of its arguments, with the path behind it if there is one,
//! whatever came of the one before, and says what did.

use std::io::Write;

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{ErrorCode, Fields, OutgoingRequest, Scheme};

fn main() -> std::io::Result<()> {
    for to in std::env::args().skip(1) {
        let word = match call(&to) {
            Ok(status) => format!("answered {status}"),
            Err(error) => format!("was out of reach: {error:?}"),
        };
        writeln!(std::io::stdout(), "{to} {word}")?;
    }
    Ok(())
}

fn call(to: &str) -> Result<u16, ErrorCode> {
    let (authority, path) = to.split_at(to.find('/').unwrap_or(to.len()));
    let unfit = |()| ErrorCode::HttpRequestUriInvalid;
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).map_err(unfit)?;
    request.set_authority(Some(authority)).map_err(unfit)?;
    request.set_path_with_query(Some(if path.is_empty() { "/" } else { path })).map_err(unfit)?;
    let answer = handle(request, None)?;
    answer.subscribe().block();
    let taken = answer.get().and_then(Result::ok);
    Ok(taken.ok_or(ErrorCode::ConnectionTerminated)??.status())
}
