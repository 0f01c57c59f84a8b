//! HTTP requests, as guests without manners send them.

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingResponse, OutgoingRequest, Scheme,
};
use wasip2::io::streams::StreamError;

/// How much is read at once.
const READ_BYTES: u64 = 64 << 10;

/// A request that is ready to be sent.
///
/// # Errors
///
/// [`ErrorCode::HttpRequestUriInvalid`] when the host refuses to make it.
pub fn request(authority: &str, path: &str) -> Result<OutgoingRequest, ErrorCode> {
    let unfit = |()| ErrorCode::HttpRequestUriInvalid;
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).map_err(unfit)?;
    request.set_authority(Some(authority)).map_err(unfit)?;
    request.set_path_with_query(Some(path)).map_err(unfit)?;
    Ok(request)
}

/// Sends a request without a body, and waits for the head of the answer.
///
/// # Errors
///
/// What the host says.
pub fn get(authority: &str, path: &str) -> Result<IncomingResponse, ErrorCode> {
    answer(&handle(request(authority, path)?, None)?)
}

/// Waits for the head of an answer.
///
/// # Errors
///
/// What the host says.
pub fn answer(coming: &FutureIncomingResponse) -> Result<IncomingResponse, ErrorCode> {
    coming.subscribe().block();
    coming.get().and_then(Result::ok).ok_or(ErrorCode::ConnectionTerminated)?
}

/// Reads the body of an answer to its end, or for ever.
///
/// # Errors
///
/// [`ErrorCode::HttpResponseIncomplete`] when it ends badly.
pub fn read(answer: &IncomingResponse) -> Result<(), ErrorCode> {
    let cut = ErrorCode::HttpResponseIncomplete;
    let body = answer.consume().map_err(|()| cut.clone())?;
    let stream = body.stream().map_err(|()| cut.clone())?;
    loop {
        match stream.blocking_read(READ_BYTES) {
            Ok(_) => {}
            Err(StreamError::Closed) => return Ok(()),
            Err(StreamError::LastOperationFailed(_)) => return Err(cut),
        }
    }
}
