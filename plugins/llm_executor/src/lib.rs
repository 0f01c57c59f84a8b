//! First-party plugin `llm_executor`: asks language models.
//!
//! This file only goes from turn to turn; how a model is asked, the other files say.

pub mod anthropic;
pub mod call;
pub mod conversation;
pub mod exchange;
pub mod form;
pub mod frames;
pub mod input;
pub mod models;
pub mod ollama;
pub mod openai;
pub mod output;
pub mod patience;
pub mod protocol;
pub mod refusal;
pub mod reply;
pub mod usage;

use apflow_sdk::log::{self, Level};
use apflow_sdk::{Fault, Task};
use serde_json::Value;

use crate::call::Call;
use crate::conversation::{Conversation, NothingAsked};
use crate::exchange::Answered;
use crate::form::Form;
use crate::input::{Input, Message};
use crate::models::{ModelError, Models};
use crate::output::Output;
use crate::reply::Finish;
use crate::usage::Used;

/// Asks a language model, turn by turn, and gives its last answer: as text, as JSON that fits a
/// schema, or as calls of tools.
///
/// # Errors
///
/// [`Fault::InvalidInput`] when nothing is asked, or of no model, [`Fault::BudgetExhausted`] when a
/// budget or a cost policy does not allow the call, [`Fault::Retryable`] when the provider may answer
/// another time, with the wait that it named, [`Fault::Cancelled`] when the task was cancelled, and
/// [`Fault::Permanent`] otherwise.
#[apflow_sdk::executor(id = "llm_executor", name = "Language model", tags = ["llm", "ai", "model"])]
pub async fn ask(task: Task, input: Input) -> Result<Output, Fault> {
    #[expect(clippy::disallowed_methods, reason = "this is where the host says where models are")]
    let told = std::env::var(models::VARIABLE).ok();
    let models = Models::read(told.as_deref())?;
    converse(&models, &task, &input).await
}

/// Answers one turn after the other. What was said is kept between two, so that a retry goes on from
/// there.
async fn converse(models: &Models, task: &Task, input: &Input) -> Result<Output, Fault> {
    let wanted = input.model.as_ref().or(task.model.as_ref()).ok_or_else(|| {
        Fault::invalid_input("no model is named: say `model` in the task or in its inputs")
    })?;
    let form = input.schema.as_ref().map(Form::new).transpose();
    let form = form.map_err(|error| Fault::invalid_input(format!("`schema`: {error}")))?;
    let mut conversation = Conversation::load()?;
    let mut left = conversation.left(input)?.into_iter().peekable();
    while let Some(turn) = left.next() {
        let is_last = left.peek().is_none();
        if let Some(text) = turn {
            conversation.said.push(Message::User { content: text.to_owned() });
        }
        let asking = Asking { models, wanted, input, form: form.as_ref().filter(|_| is_last) };
        let (answered, json) = asking.answer(&mut conversation).await?;
        let (text, tool_calls) = (answered.reply.text.clone(), answered.reply.tool_calls());
        let has_calls = !tool_calls.is_empty();
        conversation
            .answer(Message::Assistant { content: text.clone(), tool_calls: tool_calls.clone() });
        // Somebody else calls the tools, and goes on with what they answer.
        if is_last || has_calls {
            let finish = answered.reply.finish.unwrap_or(Finish::Stop);
            let Conversation { said: messages, used: usage, .. } = conversation;
            let model = answered.model;
            return Ok(Output { model, text, json, tool_calls, finish, messages, usage });
        }
        conversation.save()?;
    }
    Err(NothingAsked.into())
}

/// How a turn is answered.
struct Asking<'a> {
    models: &'a Models,
    wanted: &'a str,
    input: &'a Input,
    /// What the answer must fit.
    form: Option<&'a Form>,
}

impl Asking<'_> {
    /// Asks until the answer fits, as often as the input allows. What does not fit is not kept.
    async fn answer(
        &self,
        conversation: &mut Conversation,
    ) -> Result<(Answered, Option<Value>), Fault> {
        let schema = self.form.and(self.input.schema.as_ref());
        let messages = conversation.messages(self.input);
        let mut call = Call { input: self.input, messages, schema };
        let mut repairs = 0;
        loop {
            let answered = exchange::ask(self.models, self.wanted, &call).await?;
            conversation.used = Used::and(conversation.used, answered.used);
            let Some(form) = self.form.filter(|_| answered.reply.calls() == 0) else {
                return Ok((answered, None));
            };
            let text = &answered.reply.text;
            let faults = match form.read(text) {
                Ok(json) => return Ok((answered, Some(json))),
                Err(faults) => faults,
            };
            match answered.reply.finish {
                Some(Finish::Length) => {
                    let limit = self.input.max_tokens;
                    return Err(Fault::permanent(format!(
                        "the answer has no end: it is longer than the {limit} tokens of `max_tokens`"
                    )));
                }
                Some(Finish::Refused) => {
                    return Err(Fault::permanent(format!("the model refuses to answer: {text}")));
                }
                Some(Finish::Stop | Finish::ToolCalls) | None => {}
            }
            if repairs == self.input.repairs_max {
                return Err(Fault::permanent(format!(
                    "the answer does not fit `schema`, after {repairs} corrections:\n{faults}"
                )));
            }
            repairs += 1;
            log::write(Level::Warn, "an answer does not fit the schema", &[("faults", &faults)]);
            let (content, tool_calls) = (text.clone(), Vec::new());
            if !content.is_empty() {
                call.messages.push(Message::Assistant { content, tool_calls });
            }
            call.messages.push(Message::User { content: form::correction(&faults) });
        }
    }
}

impl From<NothingAsked> for Fault {
    fn from(error: NothingAsked) -> Self {
        Self::invalid_input(error.to_string())
    }
}

impl From<ModelError> for Fault {
    fn from(error: ModelError) -> Self {
        Self::permanent(error.to_string())
    }
}

#[cfg(test)]
mod tests;
