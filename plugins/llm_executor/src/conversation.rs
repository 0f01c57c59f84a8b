//! What is asked when: the turns of a conversation, and what is kept between them.

use apflow_sdk::checkpoint;
use apflow_sdk::log::{self, Level};
use serde::{Deserialize, Serialize};

use crate::input::{Input, Message};
use crate::usage::Used;

/// A conversation as far as it has come.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Conversation {
    /// How many turns are answered.
    turns: usize,
    /// What was said since the input.
    pub said: Vec<Message>,
    /// What all calls used.
    pub used: Used,
}

/// The input asks nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is nothing to answer: say a `prompt`, or `turns`, or `messages` whose last is of the user \
     or a tool"
)]
pub struct NothingAsked;

impl Conversation {
    /// The conversation that an earlier attempt kept, or a new one.
    ///
    /// # Errors
    ///
    /// That of the checkpoint.
    pub fn load() -> Result<Self, checkpoint::Error> {
        Ok(checkpoint::load()?.unwrap_or_default())
    }

    /// Keeps it, so that another attempt goes on from here. One that has become too much is not kept
    /// any more: another attempt goes on from what was kept last.
    ///
    /// # Errors
    ///
    /// That of the checkpoint.
    pub fn save(&self) -> Result<(), checkpoint::Error> {
        match checkpoint::save(format!("turn {}", self.turns), self) {
            Err(
                error @ (checkpoint::Error::TooLarge { .. } | checkpoint::Error::TooMany { .. }),
            ) => {
                log::write(Level::Warn, "turns are not kept any more", &[("reason", &error)]);
                Ok(())
            }
            saved => saved,
        }
    }

    /// The turns that are not answered yet: what the user says in each. None for the conversation of
    /// the input as it is.
    ///
    /// # Errors
    ///
    /// [`NothingAsked`].
    pub fn left<'a>(&self, input: &'a Input) -> Result<Vec<Option<&'a str>>, NothingAsked> {
        let is_open = match input.messages.last() {
            Some(Message::User { .. } | Message::Tool { .. }) => true,
            Some(Message::System { .. } | Message::Assistant { .. }) | None => false,
        };
        let first = is_open.then_some(None);
        let asked = input.prompt.iter().chain(&input.turns).map(|text| Some(text.as_str()));
        let all: Vec<_> = first.into_iter().chain(asked).collect();
        if all.is_empty() {
            return Err(NothingAsked);
        }
        Ok(all.into_iter().skip(self.turns).collect())
    }

    /// What the model is shown.
    pub fn messages(&self, input: &Input) -> Vec<Message> {
        input.messages.iter().chain(&self.said).cloned().collect()
    }

    /// Adds the answer of a turn.
    pub fn answer(&mut self, answer: Message) {
        self.said.push(answer);
        self.turns += 1;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn input(value: Value) -> Input {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_open_is_answered_first_and_each_turn_after_the_other() {
        let asked = input(json!({
            "messages": [{ "role": "user", "content": "a" }], "prompt": "b", "turns": ["c", "d"],
        }));
        let mut conversation = Conversation::default();
        assert_eq!(conversation.left(&asked), Ok(vec![None, Some("b"), Some("c"), Some("d")]));
        let content = "answer".to_owned();
        conversation.answer(Message::Assistant { content, tool_calls: Vec::new() });
        assert_eq!(conversation.left(&asked), Ok(vec![Some("b"), Some("c"), Some("d")]));
        assert_eq!(conversation.messages(&asked).len(), 2);
    }

    #[test]
    fn without_anything_to_answer_nothing_is_asked() {
        for empty in [
            json!({}),
            json!({ "messages": [{ "role": "assistant", "content": "a" }] }),
            json!({ "messages": [{ "role": "system", "content": "a" }] }),
        ] {
            assert_eq!(Conversation::default().left(&input(empty)), Err(NothingAsked));
        }
    }
}
