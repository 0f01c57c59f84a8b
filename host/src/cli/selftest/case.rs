//! What a guest is given, and what must become of it.

use apflow_api::Code;
use apflow_model::fault::FaultCode;
use serde_json::{Value, json};

/// What a guest is given.
#[derive(Debug, Default)]
pub(super) struct Case {
    /// The lines of its manifest that ask for something or set a limit.
    pub(super) asks: String,
    /// What is granted.
    pub(super) grants: Vec<String>,
    /// The inputs, one task each. None for one task with an empty input.
    pub(super) inputs: Vec<Value>,
    /// The model tokens of each task.
    pub(super) token_budget: Option<u64>,
    /// What must become of it.
    pub(super) holds: Holds,
}

/// What must become of every task of a guest.
#[derive(Debug, Default)]
pub(super) enum Holds {
    /// It ends well: its deed came to nothing, and the receipt shows it.
    #[default]
    Ends,
    /// It ends well, and says of so many tries that each was out of reach.
    Tries(usize),
    /// It fails with this code and these words.
    Fails(FaultCode, &'static str),
    /// It is cancelled while it runs, and that ends it.
    Cancels,
    /// It is not even loaded, for a reason of this code and with these words.
    Refused(Code, &'static str),
}

/// A guest with these lines in its manifest.
pub(super) fn asks(lines: impl Into<String>) -> Case {
    Case { asks: lines.into(), ..Case::default() }
}

impl Case {
    /// Grants something.
    pub(super) fn granted(mut self, grant: impl Into<String>) -> Self {
        self.grants.push(grant.into());
        self
    }

    /// Adds a task with this input.
    pub(super) fn given(mut self, input: Value) -> Self {
        self.inputs.push(input);
        self
    }

    /// Adds a task for a command with these arguments.
    pub(super) fn told<const COUNT: usize>(self, arguments: [&str; COUNT]) -> Self {
        self.given(json!({ "args": arguments.as_slice() }))
    }

    /// Gives each task so many model tokens.
    pub(super) fn with_tokens(mut self, tokens: u64) -> Self {
        self.token_budget = Some(tokens);
        self
    }

    pub(super) fn tries(self, count: usize) -> Self {
        Self { holds: Holds::Tries(count), ..self }
    }

    pub(super) fn fails(self, code: FaultCode, words: &'static str) -> Self {
        Self { holds: Holds::Fails(code, words), ..self }
    }

    /// Fails at the limit that these words name.
    pub(super) fn meets(self, limit: &'static str) -> Self {
        self.fails(FaultCode::LimitExceeded, limit)
    }

    pub(super) fn cancels(self) -> Self {
        Self { holds: Holds::Cancels, ..self }
    }

    pub(super) fn refused(self, code: Code, words: &'static str) -> Self {
        Self { holds: Holds::Refused(code, words), ..self }
    }
}
