//! `tokens.list`: tokens, the newest first, a page at a time.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::id::TokenId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ShownToken, owner};
use crate::error::ApiError;
use crate::operation::Operation;
use crate::page::Page;
use crate::remote::{Input, Method, Remote};

/// Lists the tokens of the caller, or all for who may manage them.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ListTokens {
    /// Which page.
    #[serde(flatten)]
    pub page: Page<TokenId>,
}

/// A page of tokens.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TokenList {
    /// The tokens, with those that have ended.
    pub tokens: Vec<ShownToken>,
    /// What to send as `cursor` for the next page. Null on the last one.
    pub cursor: Option<TokenId>,
}

impl Operation for ListTokens {
    const NAME: &'static str = "tokens.list";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = TokenList;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<TokenList, ApiError> {
        let limit = self.page.limit()?;
        let page = engine.list_tokens(owner(caller), self.page.cursor, limit).await?;
        let tokens = page.tokens.into_iter().map(ShownToken::at(engine.now())).collect();
        Ok(TokenList { tokens, cursor: page.next })
    }
}

impl Remote for ListTokens {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/tokens";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { page: Page::read(input)? })
    }
}
