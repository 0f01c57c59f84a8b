-- Budgets: what may be spent, what is set aside of it, and what was charged.
--
-- `reserved` and `spent` follow from other tables by triggers, so that no statement can forget them:
-- `reserved` is what `reservation` and `budget_block` hold together, and `spent` is the sum of the
-- charges since `started_at`.

-- The policy that says what happens on the way to the caps that have none of their own.
ALTER TABLE task ADD COLUMN cost_policy TEXT;

-- `owner` is the number of a task or job, or the name of a principal.
CREATE TABLE budget (
  id         INTEGER PRIMARY KEY,
  scope      TEXT NOT NULL,
  owner      TEXT NOT NULL,
  unit       TEXT NOT NULL,
  period     TEXT NOT NULL,
  -- The job that it goes with. None of a principal's.
  job_id     INTEGER REFERENCES job (id) ON DELETE CASCADE,
  -- Since when it counts, and when it begins anew.
  started_at INTEGER NOT NULL,
  ends_at    INTEGER,
  cap        INTEGER NOT NULL,
  reserved   INTEGER NOT NULL DEFAULT 0,
  spent      INTEGER NOT NULL DEFAULT 0,
  -- What hosts may have spent that ended without saying so.
  lost       INTEGER NOT NULL DEFAULT 0,
  -- How much more than the cap is gone.
  overrun    INTEGER NOT NULL DEFAULT 0,
  policy     TEXT,
  -- The highest threshold that was told in this period, in millionths.
  told_ppm   INTEGER NOT NULL DEFAULT 0,
  CHECK (scope IN ('task', 'job', 'principal')),
  CHECK ((scope = 'principal') = (job_id IS NULL)),
  CHECK (unit IN ('tokens', 'micro_usd')),
  CHECK (period IN ('all', 'day', 'week', 'month')),
  CHECK ((period = 'all') = (ends_at IS NULL)),
  CHECK (cap >= 0 AND reserved >= 0 AND spent >= 0 AND lost >= 0 AND overrun >= 0),
  CHECK (reserved + spent + lost <= cap + overrun)
) STRICT;

CREATE UNIQUE INDEX budget_by_owner ON budget (scope, owner, unit, period);
CREATE INDEX budget_by_job ON budget (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX budget_by_end ON budget (ends_at) WHERE ends_at IS NOT NULL;

-- What a running attempt has set aside for a call, in each budget that counts it.
CREATE TABLE reservation (
  task_id   INTEGER NOT NULL REFERENCES task (id) ON DELETE CASCADE,
  attempt   INTEGER NOT NULL,
  -- Which of the attempt's it is, from 1.
  number    INTEGER NOT NULL,
  budget_id INTEGER NOT NULL REFERENCES budget (id) ON DELETE CASCADE,
  amount    INTEGER NOT NULL,
  PRIMARY KEY (task_id, attempt, number, budget_id),
  CHECK (amount >= 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX reservation_by_budget ON reservation (budget_id);

-- What a host has set aside for small calls, and hands out from its memory.
CREATE TABLE budget_block (
  session_id INTEGER NOT NULL REFERENCES session (id),
  budget_id  INTEGER NOT NULL REFERENCES budget (id) ON DELETE CASCADE,
  amount     INTEGER NOT NULL,
  PRIMARY KEY (session_id, budget_id),
  CHECK (amount >= 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX budget_block_by_budget ON budget_block (budget_id);

CREATE TRIGGER reservation_added AFTER INSERT ON reservation
BEGIN
  UPDATE budget SET reserved = reserved + NEW.amount WHERE id = NEW.budget_id;
END;

CREATE TRIGGER reservation_removed AFTER DELETE ON reservation
BEGIN
  UPDATE budget SET reserved = reserved - OLD.amount WHERE id = OLD.budget_id;
END;

CREATE TRIGGER budget_block_added AFTER INSERT ON budget_block
BEGIN
  UPDATE budget SET reserved = reserved + NEW.amount WHERE id = NEW.budget_id;
END;

CREATE TRIGGER budget_block_changed AFTER UPDATE OF amount ON budget_block
BEGIN
  UPDATE budget SET reserved = reserved + NEW.amount - OLD.amount WHERE id = NEW.budget_id;
END;

CREATE TRIGGER budget_block_removed AFTER DELETE ON budget_block
BEGIN
  UPDATE budget SET reserved = reserved - OLD.amount WHERE id = OLD.budget_id;
END;

-- The ledger: a row a call that was charged, never changed. `number` is that of its reservation; 0
-- is what the attempt told at its end without having set it aside.
CREATE TABLE charge (
  task_id   INTEGER NOT NULL,
  attempt   INTEGER NOT NULL,
  number    INTEGER NOT NULL,
  job_id    INTEGER NOT NULL,
  at        INTEGER NOT NULL,
  principal TEXT NOT NULL,
  executor  TEXT NOT NULL,
  is_tool   INTEGER NOT NULL,
  -- The model that was asked for, and the one that was called.
  wanted    TEXT,
  model     TEXT,
  input     INTEGER NOT NULL,
  output    INTEGER NOT NULL,
  -- Of `input`, what the provider had kept from an earlier call.
  cached    INTEGER NOT NULL,
  -- None when the price of the model is not known.
  micro_usd INTEGER,
  PRIMARY KEY (task_id, attempt, number),
  CHECK (input >= 0 AND output >= 0 AND cached BETWEEN 0 AND input),
  CHECK (micro_usd >= 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX charge_by_time ON charge (at);
CREATE INDEX charge_by_job ON charge (job_id);
CREATE INDEX charge_by_principal ON charge (principal, at);

CREATE TRIGGER charge_added AFTER INSERT ON charge
BEGIN
  UPDATE budget SET
    spent = spent + CASE unit WHEN 'tokens' THEN NEW.input + NEW.output
                              ELSE coalesce(NEW.micro_usd, 0) END,
    overrun = max(overrun, reserved + spent + lost - cap
                           + CASE unit WHEN 'tokens' THEN NEW.input + NEW.output
                                       ELSE coalesce(NEW.micro_usd, 0) END)
  WHERE id IN (
    SELECT id FROM budget WHERE scope = 'task' AND owner = CAST(NEW.task_id AS TEXT)
    UNION ALL SELECT id FROM budget WHERE scope = 'job' AND owner = CAST(NEW.job_id AS TEXT)
    UNION ALL SELECT id FROM budget WHERE scope = 'principal' AND owner = NEW.principal
  ) AND NEW.at >= started_at;
END;

-- How far a job has gone along the chain of a policy: the place of the model that calls go to.
CREATE TABLE chain_place (
  job_id INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
  policy TEXT NOT NULL,
  place  INTEGER NOT NULL,
  PRIMARY KEY (job_id, policy)
) STRICT, WITHOUT ROWID;

-- That a task is parked until a budget has something left.
CREATE TABLE budget_wait (
  task_id   INTEGER PRIMARY KEY REFERENCES task (id) ON DELETE CASCADE,
  budget_id INTEGER NOT NULL REFERENCES budget (id) ON DELETE CASCADE
) STRICT;

CREATE INDEX budget_wait_by_budget ON budget_wait (budget_id, task_id);

-- What is to be sent, since a policy says so.
CREATE TABLE notification (
  id      INTEGER PRIMARY KEY,
  at      INTEGER NOT NULL,
  job_id  INTEGER NOT NULL,
  policy  TEXT NOT NULL,
  webhook TEXT NOT NULL,
  body    TEXT NOT NULL
) STRICT;

-- The budgets of tasks so far, and what their attempts have used.
INSERT INTO budget (scope, owner, unit, period, job_id, started_at, cap)
  SELECT 'task', CAST(id AS TEXT), 'tokens', 'all', job_id, created_at,
         min(token_budget, 1000000000000000)
  FROM task WHERE token_budget IS NOT NULL;

INSERT INTO charge (task_id, attempt, number, job_id, at, principal, executor, is_tool, wanted, model,
                    input, output, cached)
  SELECT attempt.task_id, attempt.n, 0, task.job_id, coalesce(attempt.ended_at, attempt.started_at),
         job.principal, task.executor, 0, task.model, task.model,
         CAST(min(coalesce(attempt.usage->>'$.tokens_input', 0), 1000000000000) AS INTEGER),
         CAST(min(coalesce(attempt.usage->>'$.tokens_output', 0), 1000000000000) AS INTEGER), 0
  FROM attempt JOIN task ON task.id = attempt.task_id JOIN job ON job.id = task.job_id
  WHERE attempt.usage->>'$.tokens_input' > 0 OR attempt.usage->>'$.tokens_output' > 0;
