-- Keys by which callers ask for the same job again.
--
-- No foreign key to the job: a key is kept until it expires, even when its job was removed before,
-- so that the job is not run once more.
CREATE TABLE idempotency (
  principal  TEXT NOT NULL,
  key        TEXT NOT NULL,
  -- The sha256 of the submission, in hexadecimal.
  hash       TEXT NOT NULL,
  job_id     INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (principal, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);

-- It was never written.
DROP INDEX job_by_idempotency_key;
ALTER TABLE job DROP COLUMN idempotency_key;
