-- What is kept of tools beside their tasks: results to be given again, approvals, and how runs went.

-- A result that may be given again. `key` is a sha256, so that nothing of the inputs is kept here.
CREATE TABLE cached_result (
  key        TEXT PRIMARY KEY,
  tool       TEXT NOT NULL,
  output     TEXT NOT NULL,
  bytes      INTEGER NOT NULL,
  kept_at    INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX cached_result_by_age ON cached_result (kept_at, key);
CREATE INDEX cached_result_by_tool ON cached_result (tool, kept_at, key);
CREATE INDEX cached_result_by_expiry ON cached_result (expires_at);

-- How much is kept, in one row, so that nothing is counted by reading results.
CREATE TABLE cached_total (
  id      INTEGER PRIMARY KEY CHECK (id = 1),
  results INTEGER NOT NULL,
  bytes   INTEGER NOT NULL
) STRICT;

INSERT INTO cached_total (id, results, bytes) VALUES (1, 0, 0);

CREATE TRIGGER cached_result_added AFTER INSERT ON cached_result
BEGIN
  UPDATE cached_total SET results = results + 1, bytes = bytes + NEW.bytes;
END;

CREATE TRIGGER cached_result_changed AFTER UPDATE OF bytes ON cached_result
BEGIN
  UPDATE cached_total SET bytes = bytes + NEW.bytes - OLD.bytes;
END;

CREATE TRIGGER cached_result_removed AFTER DELETE ON cached_result
BEGIN
  UPDATE cached_total SET results = results - 1, bytes = bytes - OLD.bytes;
END;

-- Whether a task has to do with the results that are kept.
ALTER TABLE task ADD COLUMN uses_cache INTEGER NOT NULL DEFAULT 1;

-- What a claim heeds of a tool or a plugin. There is a row only for those of which it heeds anything.
CREATE TABLE tool_rule (
  tool           TEXT PRIMARY KEY,
  needs_approval INTEGER NOT NULL,
  -- How many of its tasks may run at once.
  running_max    INTEGER,
  -- How many of them may start a minute.
  starts_per_minute INTEGER,
  -- When the next start is due by that, in microseconds since the Unix epoch.
  due_us         INTEGER NOT NULL DEFAULT 0,
  CHECK (needs_approval OR running_max IS NOT NULL OR starts_per_minute IS NOT NULL)
) STRICT, WITHOUT ROWID;

-- That somebody was asked to approve a task's run of a tool, and what became of it. A task is parked
-- while one of its rows is undecided.
CREATE TABLE approval (
  task_id     INTEGER NOT NULL REFERENCES task (id) ON DELETE CASCADE,
  tool        TEXT NOT NULL,
  asked_at    INTEGER NOT NULL,
  is_approved INTEGER,
  principal   TEXT,
  reason      TEXT,
  decided_at  INTEGER,
  PRIMARY KEY (task_id, tool),
  CHECK ((is_approved IS NULL) = (decided_at IS NULL)),
  CHECK ((is_approved IS NULL) = (principal IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX task_parked ON task (id) WHERE state = 4;

-- How the runs of a tool ended since it was installed.
CREATE TABLE tool_count (
  tool         TEXT PRIMARY KEY,
  successes    INTEGER NOT NULL,
  failures     INTEGER NOT NULL,
  cache_hits   INTEGER NOT NULL,
  cache_misses INTEGER NOT NULL,
  -- How often another tool was tried because this one had failed.
  fallbacks    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How long the last 256 runs of a tool took, in microseconds. A run takes the place of the 256th
-- before it.
CREATE TABLE tool_run (
  tool    TEXT NOT NULL,
  place   INTEGER NOT NULL,
  took_us INTEGER NOT NULL,
  PRIMARY KEY (tool, place)
) STRICT, WITHOUT ROWID;
