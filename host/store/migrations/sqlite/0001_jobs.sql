-- Jobs and what becomes of them.
--
-- Times are milliseconds since the Unix epoch. Faults, usage, grants and happenings are JSON text.
-- States of a task, as in `apflow_model::state::TaskState::code`:
--   0 blocked, 1 scheduled, 2 ready, 3 running, 4 parked,
--   8 completed, 9 failed, 10 cancelled, 11 skipped.

-- One start of the host. A number is never used twice.
CREATE TABLE session (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  started_at INTEGER NOT NULL
) STRICT;

CREATE TABLE job (
  id              INTEGER PRIMARY KEY,
  name            TEXT,
  principal       TEXT NOT NULL,
  idempotency_key TEXT,
  state           TEXT NOT NULL,
  grants          TEXT NOT NULL,
  task_count      INTEGER NOT NULL,
  -- How many of its tasks have not ended.
  open_count      INTEGER NOT NULL,
  -- The number of its last event.
  event_count     INTEGER NOT NULL,
  created_at      INTEGER NOT NULL,
  ended_at        INTEGER,
  CHECK (open_count BETWEEN 0 AND task_count),
  CHECK (ended_at IS NULL OR open_count = 0),
  CHECK ((ended_at IS NOT NULL) = (state IN ('completed', 'failed', 'cancelled')))
) STRICT;

CREATE UNIQUE INDEX job_by_idempotency_key ON job (principal, idempotency_key)
  WHERE idempotency_key IS NOT NULL;
CREATE INDEX job_by_principal ON job (principal, id);
CREATE INDEX job_by_state ON job (state, id);

-- The tasks of a job, in the order they were listed, have growing ids.
CREATE TABLE task (
  id            INTEGER PRIMARY KEY,
  job_id        INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
  reference     TEXT NOT NULL,
  name          TEXT,
  executor      TEXT NOT NULL,
  state         INTEGER NOT NULL,
  -- The task it is shown under. No foreign key: it is of the same job, and goes with it.
  parent_id     INTEGER,
  priority      INTEGER NOT NULL,
  run_at        INTEGER NOT NULL,
  timeout_ms    INTEGER,
  token_budget  INTEGER,
  model         TEXT,
  backoff       TEXT NOT NULL,
  attempts_max  INTEGER NOT NULL,
  -- The number of its last attempt: the fencing token.
  attempt       INTEGER NOT NULL DEFAULT 0,
  -- How often a host ended while it ran.
  host_losses   INTEGER NOT NULL DEFAULT 0,
  -- How many of its dependencies have not ended. Not kept up once it has ended itself.
  waiting_count INTEGER NOT NULL,
  session_id    INTEGER REFERENCES session (id),
  fault         TEXT,
  created_at    INTEGER NOT NULL,
  started_at    INTEGER,
  ended_at      INTEGER,
  CHECK (state IN (0, 1, 2, 3, 4, 8, 9, 10, 11)),
  CHECK ((state = 3) = (session_id IS NOT NULL)),
  CHECK ((state >= 8) = (ended_at IS NOT NULL)),
  CHECK (waiting_count >= 0),
  CHECK (state >= 8 OR (state = 0) = (waiting_count > 0))
) STRICT;

CREATE INDEX task_by_job ON task (job_id);
CREATE INDEX task_ready ON task (priority, run_at, id) WHERE state = 2;
CREATE INDEX task_scheduled ON task (run_at) WHERE state = 1;
CREATE INDEX task_running ON task (session_id) WHERE state = 3;

-- Inputs and outputs stand apart, so that a change of state rewrites a short row.
CREATE TABLE task_input (
  task_id INTEGER PRIMARY KEY REFERENCES task (id) ON DELETE CASCADE,
  body    TEXT NOT NULL
) STRICT;

CREATE TABLE task_output (
  task_id INTEGER PRIMARY KEY REFERENCES task (id) ON DELETE CASCADE,
  body    TEXT NOT NULL
) STRICT;

-- That `task_id` waits for `dependency_id`; `outcome` is the state in which that one ended.
CREATE TABLE dependency (
  dependency_id INTEGER NOT NULL REFERENCES task (id) ON DELETE CASCADE,
  task_id       INTEGER NOT NULL REFERENCES task (id) ON DELETE CASCADE,
  required      INTEGER NOT NULL,
  outcome       INTEGER,
  PRIMARY KEY (dependency_id, task_id),
  CHECK (outcome >= 8)
) STRICT, WITHOUT ROWID;

CREATE INDEX dependency_by_task ON dependency (task_id);

CREATE TABLE attempt (
  task_id    INTEGER NOT NULL REFERENCES task (id) ON DELETE CASCADE,
  n          INTEGER NOT NULL,
  session_id INTEGER NOT NULL REFERENCES session (id),
  started_at INTEGER NOT NULL,
  ended_at   INTEGER,
  fault      TEXT,
  usage      TEXT,
  PRIMARY KEY (task_id, n)
) STRICT, WITHOUT ROWID;

-- With a rowid, since its rows are large.
CREATE TABLE checkpoint (
  task_id INTEGER NOT NULL REFERENCES task (id) ON DELETE CASCADE,
  n       INTEGER NOT NULL,
  step    TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  value   BLOB NOT NULL,
  PRIMARY KEY (task_id, n)
) STRICT;

-- Numbers go 1, 2, 3 … without gaps within a job.
CREATE TABLE event (
  job_id  INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
  n       INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  task_id INTEGER,
  attempt INTEGER NOT NULL,
  what    TEXT NOT NULL,
  PRIMARY KEY (job_id, n)
) STRICT, WITHOUT ROWID;

-- The component's bytes are a file named by `digest`.
CREATE TABLE plugin (
  name       TEXT PRIMARY KEY,
  version    TEXT NOT NULL,
  digest     TEXT NOT NULL,
  world      TEXT NOT NULL,
  manifest   TEXT NOT NULL,
  descriptor TEXT NOT NULL,
  grants     TEXT NOT NULL,
  builtin    INTEGER NOT NULL,
  loaded_at  INTEGER NOT NULL
) STRICT;
