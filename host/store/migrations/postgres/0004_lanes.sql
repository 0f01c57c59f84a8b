-- Lanes and tallies: what `sqlite/0004_lanes.sql` says, in the types of PostgreSQL.

CREATE TABLE lane (
  id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  principal TEXT NOT NULL,
  executor  TEXT NOT NULL,
  key       TEXT NOT NULL,
  -- How many tasks of the key may run at once, as the tasks of this lane say.
  key_max   BIGINT NOT NULL,
  CHECK ((key = '') = (key_max = 0))
);

CREATE UNIQUE INDEX lane_by_name ON lane (principal, executor, key, key_max);

-- A row is there only while there is such a task. Rows are updated all the time: no column of an
-- index changes with the count, so that the update stays in the page.
CREATE TABLE tally (
  state   BIGINT NOT NULL,
  lane_id BIGINT NOT NULL,
  n       BIGINT NOT NULL,
  PRIMARY KEY (state, lane_id),
  CHECK (n >= 0)
) WITH (fillfactor = 50);

-- No foreign key: a lane stays as long as it has a tally.
ALTER TABLE task ADD COLUMN lane_id BIGINT NOT NULL DEFAULT 0;
-- It fails unless it has ended before this moment.
ALTER TABLE task ADD COLUMN deadline BIGINT;

INSERT INTO lane (principal, executor, key, key_max)
  SELECT DISTINCT job.principal, task.executor, '', 0 FROM task JOIN job ON job.id = task.job_id;

UPDATE task SET lane_id = lane.id FROM job JOIN lane ON lane.principal = job.principal
  WHERE job.id = task.job_id AND lane.executor = task.executor;

INSERT INTO tally (state, lane_id, n) SELECT state, lane_id, count(*) FROM task GROUP BY state, lane_id;

DROP INDEX task_ready;
CREATE INDEX task_ready ON task (lane_id, priority, run_at, id) WHERE state = 2;
-- The tasks that only a deadline ends: an attempt that runs is stopped by whoever runs it.
CREATE INDEX task_deadline ON task (deadline)
  WHERE deadline IS NOT NULL AND state < 8 AND state <> 3;

-- `added` and `removed` are the rows of one statement, as they are after and before it.
CREATE FUNCTION count_tasks() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO tally (state, lane_id, n)
      SELECT state, lane_id, count(*) FROM added GROUP BY state, lane_id
      ON CONFLICT (state, lane_id) DO UPDATE SET n = tally.n + excluded.n;
  END IF;
  IF TG_OP <> 'INSERT' THEN
    UPDATE tally SET n = tally.n - gone.n
      FROM (SELECT state, lane_id, count(*) AS n FROM removed GROUP BY state, lane_id) AS gone
      WHERE tally.state = gone.state AND tally.lane_id = gone.lane_id;
    DELETE FROM tally USING removed
      WHERE tally.n = 0 AND tally.state = removed.state AND tally.lane_id = removed.lane_id;
  END IF;
  RETURN NULL;
END
$$;

CREATE TRIGGER task_added AFTER INSERT ON task
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_tasks();
CREATE TRIGGER task_moved AFTER UPDATE ON task
  REFERENCING NEW TABLE AS added OLD TABLE AS removed FOR EACH STATEMENT
  EXECUTE FUNCTION count_tasks();
CREATE TRIGGER task_removed AFTER DELETE ON task
  REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION count_tasks();
