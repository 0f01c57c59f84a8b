//! `tokens.revoke`: takes a token back.

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

/// Revokes one token: it opens nothing any more. It stays listed for 90 days.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RevokeToken {
    /// The id of the token.
    pub id: TokenId,
}

impl Operation for RevokeToken {
    const NAME: &'static str = "tokens.revoke";
    // Whoever holds a token may revoke its own.
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = ShownToken;

    fn target(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<ShownToken, ApiError> {
        let token = engine.revoke_token(self.id, owner(caller)).await?;
        Ok(ShownToken::at(engine.now())(token))
    }
}

impl Remote for RevokeToken {
    const METHOD: Method = Method::Delete;
    const PATH: &'static str = "/api/v1/tokens/{id}";
    const ERRORS: &'static [Code] = &[Code::UnknownToken];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { id: input.require("id")? })
    }
}
