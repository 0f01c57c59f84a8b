//! `tokens.list`: tokens, the newest first, a page at a time.

use std::sync::Arc;

use apflow_engine::{Engine, TOKENS_PER_PAGE_MAX};
use apflow_model::access::{Permission, Principal};
use apflow_model::id::TokenId;
use serde::Serialize;

use super::{ShownToken, owner};
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// How many tokens a page holds when the caller does not say.
const LIMIT_USUAL: u32 = 100;

/// Lists the tokens of the caller, or all for who may manage them.
#[derive(Debug, Default)]
pub struct ListTokens {
    /// How many, from 1 to 1000; 100 if not said.
    pub limit: Option<u32>,
    /// The `cursor` of the page before.
    pub cursor: Option<TokenId>,
}

/// A page of tokens.
#[derive(Debug, Serialize)]
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
        let limit = self.limit.unwrap_or(LIMIT_USUAL);
        if !(1..=TOKENS_PER_PAGE_MAX).contains(&limit) {
            let message = format!("`limit` is {limit}: expected 1 to {TOKENS_PER_PAGE_MAX}");
            return Err(ApiError::InvalidRequest(message));
        }
        let page = engine.list_tokens(owner(caller), self.cursor, limit).await?;
        let tokens = page.tokens.into_iter().map(ShownToken::at(engine.now())).collect();
        Ok(TokenList { tokens, cursor: page.next })
    }
}

impl Remote for ListTokens {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/tokens";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { limit: input.take("limit")?, cursor: input.take("cursor")? })
    }
}
