//! API tokens, by their hashes, and JSON web tokens that were revoked.
//!
//! It sees no token's text, and decides nothing: `apflow_model::token` says what opens.

use apflow_model::clock::Timestamp;
use apflow_model::id::TokenId;
use apflow_model::plugin::Digest;
use apflow_model::token::{ApiToken, Scopes};

use crate::chain;
use crate::connection::{Connection, Row, query};
use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::write::Write;

/// The most tokens one page holds.
pub const TOKENS_PER_PAGE_MAX: u32 = 1_000;
/// The most tokens that are kept, with those that ended.
pub const TOKENS_MAX: u32 = 10_000;

/// How many rows of what has ended one write removes.
const ENDED_PER_WRITE: u32 = 1_000;

/// A token to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// What it is for.
    pub name: String,
    /// Who calls with it.
    pub principal: String,
    /// The role that they act in.
    pub role: String,
    /// What of its role it may do.
    pub scopes: Scopes,
    /// Its first characters.
    pub hint: String,
    /// The sha256 of it.
    pub hash: Digest,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A page of tokens, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPage {
    /// The tokens.
    pub tokens: Vec<ApiToken>,
    /// What to pass as `before` for the next page. None on the last one.
    pub next: Option<TokenId>,
}

impl Store {
    /// Stores a token. None when [`TOKENS_MAX`] are kept.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn create_token(
        &self,
        new: NewToken,
        now: Timestamp,
    ) -> Result<Option<ApiToken>, StoreError> {
        let token = ApiToken {
            id: TokenId(self.ids(now, 1)[0]),
            name: new.name,
            principal: new.principal,
            role: new.role,
            scopes: new.scopes,
            hint: new.hint,
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        let hash = new.hash;
        chain::name_target(token.id);
        let is_stored = self.write(Create { token: token.clone(), hash }).await?;
        Ok(is_stored.then_some(token))
    }

    /// Finds the token with this hash, whatever its state.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn token_of(&self, hash: &Digest) -> Result<Option<ApiToken>, StoreError> {
        let find = query(OF_HASH).bind(hash.to_string());
        self.readers().fetch_optional(find).await?.as_ref().map(read).transpose()
    }

    /// Finds a token, if it is `owner`'s, or whoever's it is when none is given.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn find_token(
        &self,
        id: TokenId,
        owner: Option<&str>,
    ) -> Result<Option<ApiToken>, StoreError> {
        let find = query(FIND).bind(id.0).bind(owner.map(str::to_owned));
        self.readers().fetch_optional(find).await?.as_ref().map(read).transpose()
    }

    /// Lists the tokens that were made before `before`, of one owner or of all, the newest first.
    ///
    /// `limit` is brought into 1 to [`TOKENS_PER_PAGE_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn list_tokens(
        &self,
        owner: Option<&str>,
        before: Option<TokenId>,
        limit: u32,
    ) -> Result<TokenPage, StoreError> {
        let limit = limit.clamp(1, TOKENS_PER_PAGE_MAX);
        let before = before.map_or(i64::MAX, |id| id.0);
        let list = match owner {
            Some(owner) => query(LIST_OWN).bind(before).bind(limit + 1).bind(owner),
            None => query(LIST).bind(before).bind(limit + 1),
        };
        let rows = self.readers().fetch_all(list).await?;
        let mut tokens = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = tokens.len() > wanted;
        tokens.truncate(wanted);
        let next = tokens.last().filter(|_| has_more).map(|last| last.id);
        Ok(TokenPage { tokens, next })
    }

    /// Revokes a token, if it is `owner`'s. One that is revoked stays as it is. None when there is
    /// no such token.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn revoke_token(
        &self,
        id: TokenId,
        owner: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<ApiToken>, StoreError> {
        self.write(Revoke { id, owner: owner.map(str::to_owned), now }).await
    }

    /// Notes that a token was used, unless it is known to have been later.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn use_token(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
        self.write(Use { id, at }).await
    }

    /// Remembers that a JSON web token is revoked, by the sha256 of its `jti`, until it ends by
    /// itself.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn revoke_jwt(&self, hash: &Digest, expires_at: Timestamp) -> Result<(), StoreError> {
        self.write(RevokeJwt { hash: *hash, expires_at }).await
    }

    /// Whether the JSON web token with this sha256 of its `jti` is revoked.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn is_jwt_revoked(&self, hash: &Digest) -> Result<bool, StoreError> {
        let find = query(IS_REVOKED).bind(hash.to_string());
        Ok(self.readers().fetch_optional(find).await?.is_some())
    }

    /// Forgets tokens that ended before `before`, and that JSON web tokens were revoked which have
    /// ended by then, some of them if there are many. Returns how many.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn forget_tokens(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(Forget { before }).await
    }
}

const OF_HASH: &str = "SELECT * FROM api_token WHERE hash = $1";

const FIND: &str = "SELECT * FROM api_token WHERE id = $1 AND principal = COALESCE($2, principal)";

const LIST: &str = "SELECT * FROM api_token WHERE id < $1 ORDER BY id DESC LIMIT $2";

const LIST_OWN: &str =
    "SELECT * FROM api_token WHERE principal = $3 AND id < $1 ORDER BY id DESC LIMIT $2";

const IS_REVOKED: &str = "SELECT hash FROM revoked_jwt WHERE hash = $1";

fn read(row: &Row) -> Result<ApiToken, StoreError> {
    Ok(ApiToken {
        id: TokenId(row::column(row, "id")?),
        name: row::column(row, "name")?,
        principal: row::column(row, "principal")?,
        role: row::column(row, "role")?,
        scopes: row::json(row, "scopes")?,
        hint: row::column(row, "hint")?,
        created_at: row::moment(row, "created_at")?,
        expires_at: row::moment(row, "expires_at")?,
        revoked_at: row::perhaps_moment(row, "revoked_at")?,
        last_used_at: row::perhaps_moment(row, "last_used_at")?,
    })
}

struct Create {
    token: ApiToken,
    hash: Digest,
}

impl Write for Create {
    type Output = bool;

    fn is_change(is_stored: &bool) -> bool {
        *is_stored
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<bool, StoreError> {
        const COUNT: &str = "SELECT count(*) FROM api_token";
        const INSERT: &str = "\
            INSERT INTO api_token (id, name, principal, role, scopes, hint, hash, created_at, \
                                   expires_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let (count,): (i64,) = query(COUNT).read_one(connection).await?;
        if count >= i64::from(TOKENS_MAX) {
            return Ok(false);
        }
        let token = &self.token;
        let insert = query(INSERT)
            .bind(token.id.0)
            .bind(&token.name)
            .bind(&token.principal)
            .bind(&token.role)
            .bind(row::text(&token.scopes)?)
            .bind(&token.hint)
            .bind(self.hash.to_string())
            .bind(token.created_at.unix_ms())
            .bind(token.expires_at.unix_ms());
        insert.execute(connection).await?;
        Ok(true)
    }
}

struct Revoke {
    id: TokenId,
    owner: Option<String>,
    now: Timestamp,
}

const REVOKE: &str = "\
    UPDATE api_token SET revoked_at = COALESCE(revoked_at, $3) \
    WHERE id = $1 AND principal = COALESCE($2, principal) RETURNING *";

impl Write for Revoke {
    type Output = Option<ApiToken>;

    fn is_change(revoked: &Self::Output) -> bool {
        revoked.is_some()
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        let revoke =
            query(REVOKE).bind(self.id.0).bind(self.owner.clone()).bind(self.now.unix_ms());
        revoke.fetch_optional(connection).await?.as_ref().map(read).transpose()
    }
}

struct Use {
    id: TokenId,
    at: Timestamp,
}

const USE: &str = "\
    UPDATE api_token SET last_used_at = $2 \
    WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";

impl Write for Use {
    type Output = ();

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        query(USE).bind(self.id.0).bind(self.at.unix_ms()).execute(connection).await?;
        Ok(())
    }
}

struct RevokeJwt {
    hash: Digest,
    expires_at: Timestamp,
}

impl Write for RevokeJwt {
    type Output = ();

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        const INSERT: &str = "\
            INSERT INTO revoked_jwt (hash, expires_at) VALUES ($1, $2) \
            ON CONFLICT (hash) DO UPDATE SET expires_at = excluded.expires_at";
        let insert = query(INSERT).bind(self.hash.to_string()).bind(self.expires_at.unix_ms());
        insert.execute(connection).await?;
        Ok(())
    }
}

struct Forget {
    before: Timestamp,
}

const FORGET: [&str; 3] = [
    "DELETE FROM api_token WHERE id IN \
     (SELECT id FROM api_token WHERE expires_at < $1 LIMIT $2)",
    "DELETE FROM api_token WHERE id IN \
     (SELECT id FROM api_token WHERE revoked_at < $1 LIMIT $2)",
    "DELETE FROM revoked_jwt WHERE hash IN \
     (SELECT hash FROM revoked_jwt WHERE expires_at < $1 LIMIT $2)",
];

impl Write for Forget {
    type Output = u64;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<u64, StoreError> {
        let mut count = 0;
        for sql in FORGET {
            let forget = query(sql).bind(self.before.unix_ms()).bind(ENDED_PER_WRITE);
            count += forget.execute(connection).await?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Row as _};

    use super::*;
    use crate::address::Address;
    use crate::connection::Either;

    #[tokio::test]
    async fn every_token_is_found_by_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Address::File(folder.path().join("apflow.db"))).await.unwrap();
        let Either::Sqlite(readers) = store.readers() else { panic!("it is a file") };
        for sql in [OF_HASH, FIND, LIST, LIST_OWN, IS_REVOKED, REVOKE, USE].iter().chain(&FORGET) {
            let explain = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
            let rows = explain.fetch_all(readers).await.unwrap();
            let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            let scan = steps.iter().find(|step| step.starts_with("SCAN"));
            assert!(scan.is_none(), "{sql}: {steps:?}");
        }
    }
}
