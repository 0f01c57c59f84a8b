//! One HTTP exchange with the servers of the script.

use super::time::sleep;
use super::{Answer, Sent, installed};
use crate::exchange::{Call, Error, Response};

/// The body of an answer. It comes in one piece.
#[derive(Debug)]
pub(crate) struct Body(Vec<u8>);

impl Body {
    /// Takes the next bytes; none when the body has ended.
    #[expect(clippy::unused_async, reason = "the true one waits")]
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let piece = std::mem::take(&mut self.0);
        Ok((!piece.is_empty()).then_some(piece))
    }
}

/// Looks the answer up, waits as long as it takes, and applies the request's own limits. The
/// response that is returned has no body yet.
#[expect(clippy::panic, reason = "a request that no test expected fails the test")]
pub(crate) async fn open(call: Call) -> Result<(Response, Body), Error> {
    let Call { method, url, headers, body, timeout, .. } = call;
    let sent = Sent { method, url: url.to_string(), headers, body, timeout };
    let answer = {
        let script = installed();
        let mut state = script.state();
        let answer = state.answer(&sent);
        state.sent.push(sent);
        answer
    };
    let Answer { result, delay } = match answer {
        Ok(answer) => answer,
        Err(text) => panic!("{text}"),
    };
    sleep(delay.min(timeout)).await;
    if delay > timeout {
        return Err(Error::Timeout(format!("the answer took over {} ms", timeout.as_millis())));
    }
    let Response { status, headers, body } = result?;
    Ok((Response { status, headers, body: Vec::new() }, Body(body)))
}
