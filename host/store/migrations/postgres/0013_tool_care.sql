-- What is kept of tools: what `sqlite/0013_tool_care.sql` says, in the types of PostgreSQL.

-- A result that may be given again. `key` is a sha256, so that nothing of the inputs is kept here.
CREATE TABLE cached_result (
  key        TEXT PRIMARY KEY,
  tool       TEXT NOT NULL,
  output     TEXT NOT NULL,
  bytes      BIGINT NOT NULL,
  kept_at    BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);

CREATE INDEX cached_result_by_age ON cached_result (kept_at, key);
CREATE INDEX cached_result_by_tool ON cached_result (tool, kept_at, key);
CREATE INDEX cached_result_by_expiry ON cached_result (expires_at);

-- How much is kept, in one row, so that nothing is counted by reading results.
CREATE TABLE cached_total (
  id      BIGINT PRIMARY KEY CHECK (id = 1),
  results BIGINT NOT NULL,
  bytes   BIGINT NOT NULL
);

INSERT INTO cached_total (id, results, bytes) VALUES (1, 0, 0);

CREATE FUNCTION count_results() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'DELETE' THEN
    UPDATE cached_total SET results = results + added.n, bytes = cached_total.bytes + added.bytes
      FROM (SELECT count(*) AS n, coalesce(sum(bytes), 0) AS bytes FROM added_rows) AS added;
  END IF;
  IF TG_OP <> 'INSERT' THEN
    UPDATE cached_total SET results = results - gone.n, bytes = cached_total.bytes - gone.bytes
      FROM (SELECT count(*) AS n, coalesce(sum(bytes), 0) AS bytes FROM removed_rows) AS gone;
  END IF;
  RETURN NULL;
END
$$;

CREATE TRIGGER cached_result_added AFTER INSERT ON cached_result
  REFERENCING NEW TABLE AS added_rows FOR EACH STATEMENT EXECUTE FUNCTION count_results();
CREATE TRIGGER cached_result_changed AFTER UPDATE ON cached_result
  REFERENCING NEW TABLE AS added_rows OLD TABLE AS removed_rows FOR EACH STATEMENT
  EXECUTE FUNCTION count_results();
CREATE TRIGGER cached_result_removed AFTER DELETE ON cached_result
  REFERENCING OLD TABLE AS removed_rows FOR EACH STATEMENT EXECUTE FUNCTION count_results();

-- Whether a task has to do with the results that are kept.
ALTER TABLE task ADD COLUMN uses_cache BOOLEAN NOT NULL DEFAULT TRUE;

-- What a claim heeds of a tool or a plugin. There is a row only for those of which it heeds anything.
CREATE TABLE tool_rule (
  tool           TEXT PRIMARY KEY,
  needs_approval BOOLEAN NOT NULL,
  -- How many of its tasks may run at once.
  running_max    BIGINT,
  -- How many of them may start a minute.
  starts_per_minute BIGINT,
  -- When the next start is due by that, in microseconds since the Unix epoch.
  due_us         BIGINT NOT NULL DEFAULT 0,
  CHECK (needs_approval OR running_max IS NOT NULL OR starts_per_minute IS NOT NULL)
);

-- That somebody was asked to approve a task's run of a tool, and what became of it. A task is parked
-- while one of its rows is undecided.
CREATE TABLE approval (
  task_id     BIGINT NOT NULL REFERENCES task (id) ON DELETE CASCADE,
  tool        TEXT NOT NULL,
  asked_at    BIGINT NOT NULL,
  is_approved BOOLEAN,
  principal   TEXT,
  reason      TEXT,
  decided_at  BIGINT,
  PRIMARY KEY (task_id, tool),
  CHECK ((is_approved IS NULL) = (decided_at IS NULL)),
  CHECK ((is_approved IS NULL) = (principal IS NULL))
);

CREATE INDEX task_parked ON task (id) WHERE state = 4;

-- How the runs of a tool ended since it was installed.
CREATE TABLE tool_count (
  tool         TEXT PRIMARY KEY,
  successes    BIGINT NOT NULL,
  failures     BIGINT NOT NULL,
  cache_hits   BIGINT NOT NULL,
  cache_misses BIGINT NOT NULL,
  -- How often another tool was tried because this one had failed.
  fallbacks    BIGINT NOT NULL
);

-- How long the last 256 runs of a tool took, in microseconds. A run takes the place of the 256th
-- before it.
CREATE TABLE tool_run (
  tool    TEXT NOT NULL,
  place   BIGINT NOT NULL,
  took_us BIGINT NOT NULL,
  PRIMARY KEY (tool, place)
);
