//! Sends a body without an end.

use apflow_guests::calling::request;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::ErrorCode;

fn main() -> Result<(), ErrorCode> {
    let authority = std::env::args().nth(1).unwrap_or_default();
    let request = request(&authority, "/silent")?;
    let unfit = |()| ErrorCode::HttpRequestUriInvalid;
    request.set_method(&wasip2::http::types::Method::Post).map_err(unfit)?;
    let body = request.body().map_err(unfit)?;
    let stream = body.write().map_err(unfit)?;
    let _answer = handle(request, None)?;
    loop {
        let written = stream.blocking_write_and_flush(&[b'x'; 4096]);
        written.map_err(|_| ErrorCode::HttpRequestBodySize(None))?;
    }
}
