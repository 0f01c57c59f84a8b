//! `tokens.revoke_jwt`: takes a JSON web token back before its time.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::clock::Timestamp;
use apflow_model::token::TokenDays;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// The longest `jti`, in bytes.
const JTI_BYTES_MAX: usize = 1_024;

/// Revokes the JSON web token with this `jti`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeJwt {
    /// The claim `jti` of the token, from 1 to 1024 bytes.
    #[schemars(length(min = 1, max = JTI_BYTES_MAX))]
    pub jti: String,
    /// When the token ends by itself: its claim `exp`. Ten years from now, if left out.
    pub expires_at: Option<Timestamp>,
}

/// A JSON web token that was revoked.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RevokedJwt {
    /// Its claim `jti`.
    pub jti: String,
    /// Until when it is remembered.
    pub expires_at: Timestamp,
}

impl Operation for RevokeJwt {
    const NAME: &'static str = "tokens.revoke_jwt";
    const PERMISSION: Permission = Permission::TokensManage;
    type Output = RevokedJwt;

    fn target(&self) -> Option<String> {
        Some(self.jti.clone())
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<RevokedJwt, ApiError> {
        if !(1..=JTI_BYTES_MAX).contains(&self.jti.len()) {
            let message = format!("`jti` has {} bytes: expected 1 to 1024", self.jti.len());
            return Err(ApiError::InvalidRequest(message));
        }
        let longest = engine.now().after(TokenDays::MAX.span());
        let expires_at = self.expires_at.unwrap_or(longest).min(longest);
        engine.revoke_jwt(&self.jti, expires_at).await?;
        Ok(RevokedJwt { jti: self.jti, expires_at })
    }
}

impl Remote for RevokeJwt {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/tokens/revoked";
    const BODY: Body = Body::Fields(&["jti", "expires_at"]);
    const ERRORS: &'static [Code] = &[Code::TooManyTokens];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        let missing = || ApiError::InvalidRequest("an object with `jti` is expected".to_owned());
        let body = input.body.take().ok_or_else(missing)?;
        let invalid = |error| ApiError::InvalidRequest(format!("the body is not valid: {error}"));
        serde_json::from_value(body).map_err(invalid)
    }
}
