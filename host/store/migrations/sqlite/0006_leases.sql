-- Sessions with a lease, and what is known of the components that run.

-- Who it is, for people.
ALTER TABLE session ADD COLUMN name TEXT NOT NULL DEFAULT '';
-- Its tasks may be taken up by others after this moment.
ALTER TABLE session ADD COLUMN lease_until INTEGER NOT NULL DEFAULT 0;
-- When it ended or was taken up; it claims no more.
ALTER TABLE session ADD COLUMN ended_at INTEGER;

CREATE INDEX session_open ON session (lease_until) WHERE ended_at IS NULL;

-- One row for each component that was ever installed, whatever its plugin was called.
CREATE TABLE component (
  id             INTEGER PRIMARY KEY,
  digest         TEXT NOT NULL UNIQUE,
  -- Since when it is not run, because hosts ended while it ran.
  quarantined_at INTEGER
) STRICT;

INSERT INTO component (digest) SELECT DISTINCT digest FROM plugin;

-- The component that an attempt ran. NULL when its plugin was not installed, or it is older than
-- this column. No foreign key, so that a claim looks nothing up for it.
ALTER TABLE attempt ADD COLUMN component_id INTEGER;

CREATE INDEX attempt_by_component ON attempt (component_id, started_at)
  WHERE component_id IS NOT NULL;

-- How many attempts of a component ran in a session that was lost.
CREATE TABLE component_loss (
  component_id INTEGER NOT NULL REFERENCES component (id) ON DELETE CASCADE,
  session_id   INTEGER NOT NULL,
  at           INTEGER NOT NULL,
  attempts     INTEGER NOT NULL,
  PRIMARY KEY (component_id, session_id)
) STRICT, WITHOUT ROWID;
