//! One call of a model, in the words that all protocols share.

use serde_json::Value;

use crate::input::{Input, Message};
use crate::usage::Size;

/// What a model is asked once.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// What the task says of every call.
    pub input: &'a Input,
    /// The conversation, whose last word is not the model's.
    pub messages: Vec<Message>,
    /// What the answer must fit.
    pub schema: Option<&'a Value>,
}

impl Call<'_> {
    /// What stands before the conversation: what the task says, and what form the answer has.
    pub fn system(&self) -> Option<String> {
        let said = self.input.system.iter().cloned();
        let within = self.messages.iter().filter_map(|message| match message {
            Message::System { content } => Some(content.clone()),
            Message::User { .. } | Message::Assistant { .. } | Message::Tool { .. } => None,
        });
        let form = self.schema.map(|schema| {
            format!(
                "Answer with JSON alone, without words around it and without a code block. It must \
                 fit this JSON Schema:\n{schema}"
            )
        });
        let parts: Vec<String> = said.chain(within).chain(form).collect();
        (!parts.is_empty()).then(|| parts.join("\n\n"))
    }

    /// The conversation without what [`system`](Self::system) says.
    pub fn conversation(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(|message| !matches!(message, Message::System { .. }))
    }

    /// How much is sent.
    pub fn size(&self) -> Size {
        let tools = self.input.tools.iter();
        let tools = tools.map(|tool| {
            tool.name.len() + tool.description.len() + tool.parameters.to_string().len()
        });
        let texts = self.conversation().map(Message::bytes).chain(tools);
        let texts = texts.chain(self.system().map(|text| text.len()));
        let (parts, bytes) = texts.fold((0, 0), |(parts, all), bytes| (parts + 1, all + bytes));
        Size { parts, bytes: bytes as u64 }
    }
}
