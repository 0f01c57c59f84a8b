//! One HTTP exchange with the servers of the script.

use super::time::sleep;
use super::{Answer, Sent, installed};
use crate::exchange::{Call, Error, Response};

/// Looks the answer up, waits as long as it takes, and applies the request's own limits.
#[expect(clippy::panic, reason = "a request that no test expected fails the test")]
pub(crate) async fn exchange(call: Call) -> Result<Response, Error> {
    let Call { method, url, headers, body, timeout, body_bytes_max } = call;
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
    match result {
        Ok(response) if response.body.len() > body_bytes_max => {
            Err(Error::TooLarge(format!("the body has over `{body_bytes_max}` bytes")))
        }
        result => result,
    }
}
