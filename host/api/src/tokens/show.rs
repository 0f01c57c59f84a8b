//! `tokens.show`: one token, without its text.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::id::TokenId;
use schemars::JsonSchema;
use serde::Serialize;

use super::{ShownToken, owner};
use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Shows one token.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ShowToken {
    /// The id of the token.
    pub id: TokenId,
}

impl Operation for ShowToken {
    const NAME: &'static str = "tokens.show";
    // Whoever holds a token may show its own.
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = ShownToken;

    fn target(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<ShownToken, ApiError> {
        let token = engine.show_token(self.id, owner(caller)).await?;
        Ok(ShownToken::at(engine.now())(token))
    }
}

impl Remote for ShowToken {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/tokens/{id}";
    const ERRORS: &'static [Code] = &[Code::UnknownToken];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { id: input.require("id")? })
    }
}
