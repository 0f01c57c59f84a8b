-- The roles that callers act in, and what they ask for. Where none is noted, it was admin: there was no
-- other.

ALTER TABLE job ADD COLUMN role TEXT;
ALTER TABLE schedule ADD COLUMN role TEXT;

-- Whether somebody must approve the task, since its role asks for that.
ALTER TABLE task ADD COLUMN needs_approval BOOLEAN NOT NULL DEFAULT FALSE;

CREATE INDEX task_to_approve ON task (id) WHERE needs_approval AND state = 2;
