//! When the token ends that this machine shows to a server: as it says itself, or as the server tells.
//!
//! It verifies nothing: whether the token is good, the server has said already.

use apflow_api::{ListTokens, Page};
use apflow_model::clock::Timestamp;
use apflow_model::token::TokenText;

use crate::http::jwt::Jwt;
use crate::remote::Client;

/// How many pages of tokens are looked through.
const PAGES_MAX: usize = 10;
/// How many tokens a page has.
const PAGE_TOKENS_MAX: u32 = 1_000;

/// When it ends. None when nobody says: the operator's token has no end, and a server may not tell.
pub(super) async fn end(client: &Client) -> Option<Timestamp> {
    let shown = client.token()?;
    if Jwt::is_like(shown) {
        let seconds = Jwt::read(shown).ok()?.claims.all().get("exp")?.as_i64()?;
        return Some(Timestamp::from_unix_ms(seconds.saturating_mul(1_000)));
    }
    let text = TokenText::parse(shown).ok()?;
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let page = Page { limit: Some(PAGE_TOKENS_MAX), cursor };
        let listed = client.invoke(&ListTokens { page }).await.ok()?;
        let mut tokens = listed.tokens.into_iter().map(|shown| shown.token);
        if let Some(own) = tokens.find(|token| token.hint == text.hint()) {
            return Some(own.expires_at);
        }
        cursor = Some(listed.cursor?);
    }
    None
}
