//! What a client is told of a call that came to nothing: what, where, and what to do.

use apflow_api::{ApiError, Code, chain, pages};
use apflow_model::fault::Fault;
use rmcp::ErrorData;
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::json;

use crate::remote::RemoteError;

/// The heading of the part of a page that says what to do.
const ADVICE: &str = "## What to do\n";

/// Why a call came to nothing.
#[derive(Debug)]
pub(super) struct Refused {
    /// The stable code, if there is one.
    code: Option<String>,
    /// What went wrong, for people and models.
    message: String,
    /// The place in what was sent, as a JSON pointer.
    pointer: Option<String>,
    /// How many seconds to wait before the same is tried again.
    retry_after: Option<u32>,
    /// What to do, where that is not what the page of the code says.
    advice: Option<&'static str>,
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        let code = error.code();
        // One that is about to end does not fail.
        if code.status() >= 500 && code != Code::Draining {
            tracing::error!(error = chain(&error), "the host failed");
        }
        Self {
            code: Some(code.name().to_owned()),
            message: error.detail(),
            pointer: error.pointer().map(str::to_owned),
            retry_after: error.retry_after(),
            advice: None,
        }
    }
}

impl From<RemoteError> for Refused {
    fn from(error: RemoteError) -> Self {
        let refusal = error.refusal();
        Self {
            code: error.code().map(str::to_owned),
            message: chain(&error),
            pointer: refusal.and_then(|refusal| refusal.pointer.clone()),
            retry_after: refusal.and_then(|refusal| refusal.retry_after),
            advice: error.advice(),
        }
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        let code = Some(fault.code.name().to_owned());
        Self { code, message: fault.message, pointer: None, retry_after: None, advice: None }
    }
}

impl Refused {
    /// A request that cannot be read.
    pub(super) fn invalid(message: String) -> Self {
        ApiError::InvalidRequest(message).into()
    }

    /// Whether there is no plugin of the name that was asked for.
    pub(super) fn is_unknown_plugin(&self) -> bool {
        self.code.as_deref() == Some(Code::UnknownPlugin.name())
    }

    /// The error of a request that is no call: its client shows it to people.
    pub(super) fn into_error(self) -> ErrorData {
        let data = json!({ "code": self.code, "retry_after": self.retry_after });
        ErrorData::internal_error(self.message, Some(data))
    }

    /// The same about inputs of a task, which are all that the caller sent.
    pub(super) fn of_inputs(mut self) -> Self {
        let inner = self.pointer.as_deref().and_then(inside_inputs).map(str::to_owned);
        if let (Some(outer), Some(inner)) = (&self.pointer, inner) {
            // The sentence begins with the place as well.
            if let Some(rest) = self.message.strip_prefix(outer.as_str()) {
                self.message = format!("{inner}{rest}");
            }
            self.pointer = Some(inner);
        }
        self
    }

    /// The answer: an error that a model reads, and may do better after.
    pub(super) fn into_result(self) -> CallToolResult {
        let Self { code, message, pointer, retry_after, advice } = self;
        let advice = advice.map(str::to_owned).or_else(|| advice_of(code.as_deref()?));
        let mut text = match &code {
            Some(code) => format!("error[{code}]: {message}"),
            None => format!("error: {message}"),
        };
        if let Some(pointer) = &pointer {
            text = format!("{text}\nat: {pointer}");
        }
        if let Some(seconds) = retry_after {
            text = format!("{text}\ntry again after: {seconds} s");
        }
        if let Some(advice) = &advice {
            text = format!("{text}\nwhat to do: {advice}");
        }
        let mut result = CallToolResult::error(vec![ContentBlock::text(text)]);
        result.structured_content = Some(json!({
            "code": code, "message": message, "pointer": pointer, "retry_after": retry_after,
            "advice": advice,
        }));
        result
    }
}

/// A place inside the inputs of a job's only task.
fn inside_inputs(pointer: &str) -> Option<&str> {
    let inside = pointer.strip_prefix("/tasks/0").unwrap_or(pointer).strip_prefix("/inputs")?;
    (inside.is_empty() || inside.starts_with('/')).then_some(inside)
}

/// What the page of a code says to do.
fn advice_of(code: &str) -> Option<String> {
    let (_, page) = pages().find(|(name, _)| *name == code)?;
    let (_, advice) = page.split_once(ADVICE)?;
    let advice = advice.split("\n## ").next().unwrap_or_default();
    Some(advice.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use apflow_model::fault::FaultCode;

    use super::*;

    #[test]
    fn every_code_says_what_to_do() {
        for (code, _) in pages() {
            assert!(advice_of(code).is_some_and(|advice| !advice.is_empty()), "{code}");
        }
        assert_eq!(advice_of("no-such"), None);
    }

    #[test]
    fn a_fault_of_inputs_is_placed_in_the_arguments() {
        let refused = |pointer: &str, message: &str| Refused {
            pointer: Some(pointer.to_owned()),
            message: message.to_owned(),
            ..Refused::from(Fault::new(FaultCode::InvalidInput, ""))
        };
        let inputs = refused("/inputs/url", "/inputs/url: 7 is no text").of_inputs();
        assert_eq!(inputs.pointer.as_deref(), Some("/url"));
        assert_eq!(inputs.message, "/url: 7 is no text");
        let inputs = refused("/tasks/0/inputs", "`url` is missing").of_inputs();
        assert_eq!((inputs.pointer.as_deref(), &*inputs.message), (Some(""), "`url` is missing"));
        let other = refused("/inputsx", "/inputsx: no").of_inputs();
        assert_eq!((other.pointer.as_deref(), &*other.message), (Some("/inputsx"), "/inputsx: no"));
    }

    #[test]
    fn a_fault_is_an_error_that_a_model_can_read() {
        let result = Refused::from(Fault::new(FaultCode::Trapped, "it broke")).into_result();
        assert_eq!(result.is_error, Some(true));
        let json = serde_json::to_value(&result).unwrap();
        let text = json["content"][0]["text"].as_str().unwrap();
        assert!(text.starts_with("error[trapped]: it broke\nwhat to do: Read"), "{text}");
        assert_eq!(json["structuredContent"]["code"], "trapped");
    }
}
