-- Cost policies that were put by API, for all hosts of the database, and when what they notify of is
-- posted.

CREATE TABLE cost_policy (
  name       TEXT PRIMARY KEY,
  -- A JSON array.
  thresholds TEXT NOT NULL,
  changed_at INTEGER NOT NULL,
  -- Who put it.
  changed_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How often it was posted, and when it is posted again. The first time is at once.
ALTER TABLE notification ADD COLUMN tries   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE notification ADD COLUMN next_at INTEGER NOT NULL DEFAULT 0;

CREATE INDEX notification_due ON notification (next_at, id);
