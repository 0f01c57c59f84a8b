-- API tokens: what `sqlite/0014_tokens.sql` says, in the types of PostgreSQL.

CREATE TABLE api_token (
  id           BIGINT PRIMARY KEY,
  name         TEXT NOT NULL,
  principal    TEXT NOT NULL,
  role         TEXT NOT NULL,
  -- The permissions that narrow the role, as a JSON array. Empty for all of them.
  scopes       TEXT NOT NULL,
  -- The first characters of the token.
  hint         TEXT NOT NULL,
  -- The sha256 of the token, which has 256 random bits: so there is nothing to salt.
  hash         TEXT NOT NULL UNIQUE,
  created_at   BIGINT NOT NULL,
  expires_at   BIGINT NOT NULL,
  revoked_at   BIGINT,
  -- To the minute.
  last_used_at BIGINT
);

CREATE INDEX api_token_by_principal ON api_token (principal, id);
CREATE INDEX api_token_by_expiry ON api_token (expires_at);
CREATE INDEX api_token_by_revocation ON api_token (revoked_at) WHERE revoked_at IS NOT NULL;

-- JSON web tokens that were revoked before their time, by the sha256 of their `jti`.
CREATE TABLE revoked_jwt (
  hash       TEXT PRIMARY KEY,
  -- When it would have ended by itself: then nothing has to be known of it.
  expires_at BIGINT NOT NULL
);

CREATE INDEX revoked_jwt_by_end ON revoked_jwt (expires_at);
