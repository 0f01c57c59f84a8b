//! Verbs on API tokens.

mod create;
mod list;
mod revoke;
mod revoke_jwt;
mod show;

use apflow_model::access::{Permission, Principal};
use apflow_model::clock::Timestamp;
use apflow_model::token::{ApiToken, TokenState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use create::{CreateToken, CreatedToken};
pub use list::{ListTokens, TokenList};
pub use revoke::RevokeToken;
pub use revoke_jwt::{RevokeJwt, RevokedJwt};
pub use show::ShowToken;

/// A token as callers see it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShownToken {
    /// What is known of it.
    #[serde(flatten)]
    pub token: ApiToken,
    /// Whether it opens anything now.
    pub state: TokenState,
}

impl ShownToken {
    fn at(now: Timestamp) -> impl Fn(ApiToken) -> Self {
        move |token| Self { state: token.state(now), token }
    }
}

/// Whose tokens a caller sees and revokes: its own, or everybody's, which is none in particular.
fn owner(caller: &Principal) -> Option<&str> {
    (!caller.may(Permission::TokensManage)).then_some(caller.name.as_str())
}
