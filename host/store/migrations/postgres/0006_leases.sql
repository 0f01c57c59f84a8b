-- Sessions with a lease, and what is known of the components that run: what
-- `sqlite/0006_leases.sql` says, in the types of PostgreSQL.

-- Who it is, for people.
ALTER TABLE session ADD COLUMN name TEXT NOT NULL DEFAULT '';
-- Its tasks may be taken up by others after this moment.
ALTER TABLE session ADD COLUMN lease_until BIGINT NOT NULL DEFAULT 0;
-- When it ended or was taken up; it claims no more.
ALTER TABLE session ADD COLUMN ended_at BIGINT;

CREATE INDEX session_open ON session (lease_until) WHERE ended_at IS NULL;

-- One row for each component that was ever installed, whatever its plugin was called.
CREATE TABLE component (
  id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  digest         TEXT NOT NULL UNIQUE,
  -- Since when it is not run, because hosts ended while it ran.
  quarantined_at BIGINT
);

INSERT INTO component (digest) SELECT DISTINCT digest FROM plugin;

-- The component that an attempt ran. NULL when its plugin was not installed, or it is older than
-- this column. No foreign key, so that a claim looks nothing up for it.
ALTER TABLE attempt ADD COLUMN component_id BIGINT;

CREATE INDEX attempt_by_component ON attempt (component_id, started_at)
  WHERE component_id IS NOT NULL;

-- How many attempts of a component ran in a session that was lost.
CREATE TABLE component_loss (
  component_id BIGINT NOT NULL REFERENCES component (id) ON DELETE CASCADE,
  session_id   BIGINT NOT NULL,
  at           BIGINT NOT NULL,
  attempts     BIGINT NOT NULL,
  PRIMARY KEY (component_id, session_id)
);

-- Numbers the processes that make ids, so that no two make the same.
CREATE SEQUENCE node;
