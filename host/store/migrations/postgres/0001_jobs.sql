-- Jobs and what becomes of them: what `sqlite/0001_jobs.sql` says, in the types of PostgreSQL.
--
-- Rows that are updated often leave room in their pages, so that the update stays in the page.
--
-- Times are milliseconds since the Unix epoch. Faults, usage, grants and happenings are JSON text.
-- States of a task, as in `apflow_model::state::TaskState::code`:
--   0 blocked, 1 scheduled, 2 ready, 3 running, 4 parked,
--   8 completed, 9 failed, 10 cancelled, 11 skipped.

-- One start of the host. A number is never used twice.
CREATE TABLE session (
  id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  started_at BIGINT NOT NULL
);

CREATE TABLE job (
  id              BIGINT PRIMARY KEY,
  name            TEXT,
  principal       TEXT NOT NULL,
  idempotency_key TEXT,
  state           TEXT NOT NULL,
  grants          TEXT NOT NULL,
  task_count      BIGINT NOT NULL,
  -- How many of its tasks have not ended.
  open_count      BIGINT NOT NULL,
  -- The number of its last event.
  event_count     BIGINT NOT NULL,
  created_at      BIGINT NOT NULL,
  ended_at        BIGINT,
  CHECK (open_count BETWEEN 0 AND task_count),
  CHECK (ended_at IS NULL OR open_count = 0),
  CHECK ((ended_at IS NOT NULL) = (state IN ('completed', 'failed', 'cancelled')))
) WITH (fillfactor = 70);

CREATE UNIQUE INDEX job_by_idempotency_key ON job (principal, idempotency_key)
  WHERE idempotency_key IS NOT NULL;
CREATE INDEX job_by_principal ON job (principal, id);
CREATE INDEX job_by_state ON job (state, id);

-- The tasks of a job, in the order they were listed, have growing ids.
CREATE TABLE task (
  id            BIGINT PRIMARY KEY,
  job_id        BIGINT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
  reference     TEXT NOT NULL,
  name          TEXT,
  executor      TEXT NOT NULL,
  state         BIGINT NOT NULL,
  -- The task it is shown under. No foreign key: it is of the same job, and goes with it.
  parent_id     BIGINT,
  priority      BIGINT NOT NULL,
  run_at        BIGINT NOT NULL,
  timeout_ms    BIGINT,
  token_budget  BIGINT,
  model         TEXT,
  backoff       TEXT NOT NULL,
  attempts_max  BIGINT NOT NULL,
  -- The number of its last attempt: the fencing token.
  attempt       BIGINT NOT NULL DEFAULT 0,
  -- How often a host ended while it ran.
  host_losses   BIGINT NOT NULL DEFAULT 0,
  -- How many of its dependencies have not ended. Not kept up once it has ended itself.
  waiting_count BIGINT NOT NULL,
  session_id    BIGINT REFERENCES session (id),
  fault         TEXT,
  created_at    BIGINT NOT NULL,
  started_at    BIGINT,
  ended_at      BIGINT,
  CHECK (state IN (0, 1, 2, 3, 4, 8, 9, 10, 11)),
  CHECK ((state = 3) = (session_id IS NOT NULL)),
  CHECK ((state >= 8) = (ended_at IS NOT NULL)),
  CHECK (waiting_count >= 0),
  CHECK (state >= 8 OR (state = 0) = (waiting_count > 0))
) WITH (fillfactor = 70);

CREATE INDEX task_by_job ON task (job_id);
CREATE INDEX task_ready ON task (priority, run_at, id) WHERE state = 2;
CREATE INDEX task_scheduled ON task (run_at) WHERE state = 1;
CREATE INDEX task_running ON task (session_id) WHERE state = 3;

-- Inputs and outputs stand apart, so that a change of state rewrites a short row.
CREATE TABLE task_input (
  task_id BIGINT PRIMARY KEY REFERENCES task (id) ON DELETE CASCADE,
  body    TEXT NOT NULL
);

CREATE TABLE task_output (
  task_id BIGINT PRIMARY KEY REFERENCES task (id) ON DELETE CASCADE,
  body    TEXT NOT NULL
);

-- That `task_id` waits for `dependency_id`; `outcome` is the state in which that one ended.
CREATE TABLE dependency (
  dependency_id BIGINT NOT NULL REFERENCES task (id) ON DELETE CASCADE,
  task_id       BIGINT NOT NULL REFERENCES task (id) ON DELETE CASCADE,
  required      BOOLEAN NOT NULL,
  outcome       BIGINT,
  PRIMARY KEY (dependency_id, task_id),
  CHECK (outcome >= 8)
);

CREATE INDEX dependency_by_task ON dependency (task_id);

CREATE TABLE attempt (
  task_id    BIGINT NOT NULL REFERENCES task (id) ON DELETE CASCADE,
  n          BIGINT NOT NULL,
  session_id BIGINT NOT NULL REFERENCES session (id),
  started_at BIGINT NOT NULL,
  ended_at   BIGINT,
  fault      TEXT,
  usage      TEXT,
  PRIMARY KEY (task_id, n)
) WITH (fillfactor = 70);

CREATE TABLE checkpoint (
  task_id BIGINT NOT NULL REFERENCES task (id) ON DELETE CASCADE,
  n       BIGINT NOT NULL,
  step    TEXT NOT NULL,
  attempt BIGINT NOT NULL,
  at      BIGINT NOT NULL,
  value   BYTEA NOT NULL,
  PRIMARY KEY (task_id, n)
);

-- Numbers go 1, 2, 3 … without gaps within a job.
CREATE TABLE event (
  job_id  BIGINT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
  n       BIGINT NOT NULL,
  at      BIGINT NOT NULL,
  task_id BIGINT,
  attempt BIGINT NOT NULL,
  what    TEXT NOT NULL,
  PRIMARY KEY (job_id, n)
);

-- The component's bytes are a file named by `digest`.
CREATE TABLE plugin (
  name       TEXT COLLATE "C" PRIMARY KEY,
  version    TEXT NOT NULL,
  digest     TEXT NOT NULL,
  world      TEXT NOT NULL,
  manifest   TEXT NOT NULL,
  descriptor TEXT NOT NULL,
  grants     TEXT NOT NULL,
  builtin    BOOLEAN NOT NULL,
  loaded_at  BIGINT NOT NULL
);
