//! The protocols of providers, each behind the same few words.

use serde_json::Value;

use crate::call::Call;
use crate::frames::Framing;
use crate::models::{Kind, Model};
use crate::reply::{Broken, Reply};
use crate::{anthropic, ollama, openai};

/// A request that asks a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// Where to.
    pub url: String,
    /// What says who asks, and which version.
    pub headers: Vec<(&'static str, String)>,
    /// The call.
    pub body: Value,
    /// How the answer is framed that is asked for.
    pub framing: Framing,
}

impl Sent {
    /// The request of a call, in the words of the model's provider. `key` opens it.
    pub fn new(call: &Call<'_>, model: &Model<'_>, key: Option<&str>) -> Self {
        let base = &model.provider.base_url;
        let name = &model.own_name;
        let (path, headers, body, streamed) = match model.provider.kind {
            Kind::Anthropic => {
                let body = anthropic::body(call, name);
                (anthropic::PATH, anthropic::headers(key), body, Framing::Events)
            }
            Kind::Ollama => {
                (ollama::PATH, ollama::headers(key), ollama::body(call, name), Framing::Lines)
            }
            Kind::Openai => {
                let body = openai::body(call, name, base);
                (openai::PATH, openai::headers(key), body, Framing::Events)
            }
        };
        let framing = if call.input.stream { streamed } else { Framing::Whole };
        Self { url: format!("{base}{path}"), headers, body, framing }
    }
}

/// Takes an event of an answer, or a whole one.
///
/// # Errors
///
/// See [`Broken`].
pub fn take(kind: Kind, reply: &mut Reply, event: &Value) -> Result<(), Broken> {
    match kind {
        Kind::Anthropic => anthropic::take(reply, event),
        Kind::Ollama => ollama::take(reply, event),
        Kind::Openai => openai::take(reply, event),
    }
}
