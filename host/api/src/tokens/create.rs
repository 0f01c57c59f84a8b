//! `tokens.create`: makes a token, whose text is shown once.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::token::TokenSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ShownToken;
use crate::body::Body;
use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Headers, Input, Method, Remote};

/// Makes a token.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CreateToken {
    /// What is asked for.
    pub spec: TokenSpec,
}

/// A token that was just made.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreatedToken {
    /// Its text: what its holder shows. It is nowhere else.
    #[serde(rename = "token")]
    pub text: String,
    /// What is known of it.
    #[serde(flatten)]
    pub shown: ShownToken,
}

impl Operation for CreateToken {
    const NAME: &'static str = "tokens.create";
    const PERMISSION: Permission = Permission::TokensManage;
    type Output = CreatedToken;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<CreatedToken, ApiError> {
        let TokenSpec { role, scopes, .. } = &self.spec;
        let holder = engine.roles().principal(self.spec.principal().as_str(), role);
        let unknown = || ApiError::UnknownRole(role.clone());
        let holder = scopes.narrow(holder.ok_or_else(unknown)?);
        // Nobody gets by a token of their own making what they may not do themselves.
        if let Some(more) = holder.permissions.iter().find(|one| !caller.may(**one)) {
            return Err(ApiError::Forbidden { operation: Self::NAME, permission: *more });
        }
        let (token, text) = engine.create_token(self.spec).await?;
        let shown = ShownToken::at(token.created_at)(token);
        Ok(CreatedToken { text: text.expose().to_owned(), shown })
    }
}

impl Remote for CreateToken {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/tokens";
    const BODY: Body = Body::Whole("spec");
    const STATUSES: &'static [u16] = &[201];
    const ERRORS: &'static [Code] = &[Code::UnknownRole, Code::TooManyTokens];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        let missing = || ApiError::InvalidRequest("a token is expected as the body".to_owned());
        let body = input.body.take().ok_or_else(missing)?;
        let spec = serde_json::from_value(body);
        let invalid = |error| ApiError::InvalidRequest(format!("the token is not valid: {error}"));
        Ok(Self { spec: spec.map_err(invalid)? })
    }

    fn status(_: &CreatedToken) -> u16 {
        201
    }

    fn headers(_: &CreatedToken) -> Headers {
        vec![("cache-control", "no-store".to_owned())]
    }
}
