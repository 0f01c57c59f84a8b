-- Keys by which callers ask for the same job again: what `sqlite/0005_keys.sql` says.
CREATE TABLE idempotency (
  principal  TEXT COLLATE "C" NOT NULL,
  key        TEXT COLLATE "C" NOT NULL,
  -- The sha256 of the submission, in hexadecimal.
  hash       TEXT NOT NULL,
  job_id     BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (principal, key)
);

CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);

-- It was never written.
DROP INDEX job_by_idempotency_key;
ALTER TABLE job DROP COLUMN idempotency_key;
