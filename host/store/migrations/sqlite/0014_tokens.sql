-- API tokens: who calls with each, what they may do, and a hash by which a token is known.

CREATE TABLE api_token (
  id           INTEGER PRIMARY KEY,
  name         TEXT NOT NULL,
  principal    TEXT NOT NULL,
  role         TEXT NOT NULL,
  -- The permissions that narrow the role, as a JSON array. Empty for all of them.
  scopes       TEXT NOT NULL,
  -- The first characters of the token.
  hint         TEXT NOT NULL,
  -- The sha256 of the token, which has 256 random bits: so there is nothing to salt.
  hash         TEXT NOT NULL UNIQUE,
  created_at   INTEGER NOT NULL,
  expires_at   INTEGER NOT NULL,
  revoked_at   INTEGER,
  -- To the minute.
  last_used_at INTEGER
) STRICT;

CREATE INDEX api_token_by_principal ON api_token (principal, id);
CREATE INDEX api_token_by_expiry ON api_token (expires_at);
CREATE INDEX api_token_by_revocation ON api_token (revoked_at) WHERE revoked_at IS NOT NULL;

-- JSON web tokens that were revoked before their time, by the sha256 of their `jti`.
CREATE TABLE revoked_jwt (
  hash       TEXT PRIMARY KEY,
  -- When it would have ended by itself: then nothing has to be known of it.
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX revoked_jwt_by_end ON revoked_jwt (expires_at);
