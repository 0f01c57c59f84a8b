//! API tokens: making, finding and revoking them.
//!
//! A request must cost no read of the database, so what was found is remembered for seconds, and
//! forgotten at once when this host revokes anything.

use std::time::{Duration, Instant};

use apflow_model::clock::Timestamp;
use apflow_model::id::TokenId;
use apflow_model::plugin::Digest;
use apflow_model::token::{ApiToken, TokenSpec, TokenState, TokenText};
use apflow_store::{NewToken, TokenPage};
use sha2::{Digest as _, Sha256};

use crate::engine::Engine;
use crate::error::{EngineError, chain};

/// How seldom the last use of a token is written.
const USE_EVERY: Duration = Duration::from_mins(1);
/// How long tokens stay listed after they ended.
const KEPT: Duration = Duration::from_hours(24 * 90);

impl Engine {
    /// Makes a token. Its text is nowhere but in the answer.
    ///
    /// # Errors
    ///
    /// [`EngineError::TooManyTokens`], [`EngineError::NoRandom`] and [`EngineError::Store`].
    pub async fn create_token(
        &self,
        spec: TokenSpec,
    ) -> Result<(ApiToken, TokenText), EngineError> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| EngineError::NoRandom(error.to_string()))?;
        let (text, now) = (TokenText::of(random), self.now());
        let new = NewToken {
            principal: spec.principal().clone().into(),
            name: spec.name.into(),
            role: spec.role,
            scopes: spec.scopes,
            hint: text.hint().to_owned(),
            hash: hash(text.expose()),
            expires_at: now.after(spec.expires_days.span()),
        };
        let made = self.store.create_token(new, now).await?;
        Ok((made.ok_or(EngineError::TooManyTokens)?, text))
    }

    /// Finds a token, if it is `owner`'s, or whoever's it is when none is given.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownToken`] and [`EngineError::Store`].
    pub async fn show_token(
        &self,
        id: TokenId,
        owner: Option<&str>,
    ) -> Result<ApiToken, EngineError> {
        self.store.find_token(id, owner).await?.ok_or(EngineError::UnknownToken(id))
    }

    /// Lists tokens, of one owner or of all, the newest first. `limit` is brought into 1 to 1000.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn list_tokens(
        &self,
        owner: Option<&str>,
        before: Option<TokenId>,
        limit: u32,
    ) -> Result<TokenPage, EngineError> {
        Ok(self.store.list_tokens(owner, before, limit).await?)
    }

    /// Revokes a token, if it is `owner`'s. From now on it opens nothing here.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownToken`] and [`EngineError::Store`].
    pub async fn revoke_token(
        &self,
        id: TokenId,
        owner: Option<&str>,
    ) -> Result<ApiToken, EngineError> {
        let revoked = self.store.revoke_token(id, owner, self.now()).await?;
        self.remembered.forget();
        revoked.ok_or(EngineError::UnknownToken(id))
    }

    /// Revokes the JSON web token whose `jti` this is, which ends by itself at `expires_at`.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn revoke_jwt(&self, jti: &str, expires_at: Timestamp) -> Result<(), EngineError> {
        self.store.revoke_jwt(&hash(jti), expires_at).await?;
        self.remembered.forget();
        Ok(())
    }

    /// The token with this text, if it opens anything now. Notes that it was used.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn admit_token(&self, text: &TokenText) -> Result<Option<ApiToken>, EngineError> {
        let hash = hash(text.expose());
        let remembered = self.remembered.tokens().find(&hash, Instant::now());
        let found = match remembered {
            Some(token) => Some(token),
            None => self.look_up_token(hash).await?,
        };
        let now = self.now();
        let Some(token) = found.filter(|token| token.state(now) == TokenState::Active) else {
            return Ok(None);
        };
        if token.last_used_at.is_none_or(|last| now.since(last) >= USE_EVERY) {
            let used = ApiToken { last_used_at: Some(now), ..token.clone() };
            self.remembered.tokens().change(&hash, used);
            self.note_use(token.id, now);
        }
        Ok(Some(token))
    }

    /// Finds the token with this hash in the database, and remembers it.
    async fn look_up_token(&self, hash: Digest) -> Result<Option<ApiToken>, EngineError> {
        let look = self.remembered.tokens().look(Instant::now());
        let found = self.store.token_of(&hash).await?;
        if let Some(token) = &found {
            self.remembered.tokens().keep(look, hash, token.clone());
        }
        Ok(found)
    }

    /// Whether the JSON web token with this `jti` is revoked.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn is_jwt_revoked(&self, jti: &str) -> Result<bool, EngineError> {
        let hash = hash(jti);
        let remembered = self.remembered.jwts().find(&hash, Instant::now());
        if let Some(is_revoked) = remembered {
            return Ok(is_revoked);
        }
        let look = self.remembered.jwts().look(Instant::now());
        let is_revoked = self.store.is_jwt_revoked(&hash).await?;
        self.remembered.jwts().keep(look, hash, is_revoked);
        Ok(is_revoked)
    }

    /// Forgets tokens that ended long ago. Returns how many.
    pub(crate) async fn forget_tokens(&self) -> Result<u64, EngineError> {
        Ok(self.store.forget_tokens(self.now().before(KEPT)).await?)
    }

    /// Writes that a token was used. No request waits for that.
    fn note_use(&self, id: TokenId, now: Timestamp) {
        let store = self.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.use_token(id, now).await {
                tracing::warn!(token = %id, error = chain(&error), "its last use was not written");
            }
        });
    }
}

/// By what a text is known that must not be kept.
fn hash(text: &str) -> Digest {
    Digest(Sha256::digest(text).into())
}
