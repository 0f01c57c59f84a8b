-- Schedules, and which jobs come from them.

CREATE TABLE schedule (
  name          TEXT PRIMARY KEY,
  principal     TEXT NOT NULL,
  cron          TEXT NOT NULL,
  time_zone     TEXT NOT NULL,
  -- What is submitted at each tick, as it was written.
  job           TEXT NOT NULL,
  grants        TEXT NOT NULL,
  overlap       TEXT NOT NULL,
  missed_policy TEXT NOT NULL,
  starts_at     INTEGER,
  ends_at       INTEGER,
  paused        INTEGER NOT NULL,
  -- How often it was written.
  revision      INTEGER NOT NULL,
  created_at    INTEGER NOT NULL,
  -- The first tick that nothing was done about. Whoever moves it on deals with the tick.
  next_at       INTEGER,
  last_at       INTEGER,
  -- No foreign key: the job may be gone by now.
  last_job      INTEGER,
  last_fault    TEXT,
  fired         INTEGER NOT NULL DEFAULT 0,
  skipped       INTEGER NOT NULL DEFAULT 0,
  missed        INTEGER NOT NULL DEFAULT 0,
  failed        INTEGER NOT NULL DEFAULT 0,
  CHECK (next_at IS NULL OR NOT paused)
) STRICT;

CREATE INDEX schedule_by_next_at ON schedule (next_at);

-- The schedule that a job comes from, and which tick of it.
ALTER TABLE job ADD COLUMN schedule TEXT;
ALTER TABLE job ADD COLUMN tick_at INTEGER;

CREATE INDEX job_open_by_schedule ON job (schedule)
  WHERE schedule IS NOT NULL AND ended_at IS NULL;
