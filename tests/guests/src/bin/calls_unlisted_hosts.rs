//! Sends a request to each authority of its arguments, whatever came of the one before, and says
//! what did.

use std::io::Write;

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{ErrorCode, Fields, OutgoingRequest, Scheme};

fn main() -> std::io::Result<()> {
    for authority in std::env::args().skip(1) {
        let word = match call(&authority) {
            Ok(status) => format!("answered {status}"),
            Err(error) => format!("was out of reach: {error:?}"),
        };
        writeln!(std::io::stdout(), "{authority} {word}")?;
    }
    Ok(())
}

fn call(authority: &str) -> Result<u16, ErrorCode> {
    let unfit = |()| ErrorCode::HttpRequestUriInvalid;
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).map_err(unfit)?;
    request.set_authority(Some(authority)).map_err(unfit)?;
    request.set_path_with_query(Some("/")).map_err(unfit)?;
    let answer = handle(request, None)?;
    answer.subscribe().block();
    let taken = answer.get().and_then(Result::ok);
    Ok(taken.ok_or(ErrorCode::ConnectionTerminated)??.status())
}
