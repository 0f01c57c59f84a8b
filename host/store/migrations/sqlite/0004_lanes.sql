-- Lanes: the tasks of one principal, one executor and one concurrency key. And how many tasks of a
-- lane are in which state, so that nothing is counted by reading tasks.

-- `key` is empty, and `key_max` 0, for tasks without a concurrency key.
CREATE TABLE lane (
  id        INTEGER PRIMARY KEY,
  principal TEXT NOT NULL,
  executor  TEXT NOT NULL,
  key       TEXT NOT NULL,
  -- How many tasks of the key may run at once, as the tasks of this lane say.
  key_max   INTEGER NOT NULL,
  CHECK ((key = '') = (key_max = 0))
) STRICT;

CREATE UNIQUE INDEX lane_by_name ON lane (principal, executor, key, key_max);

-- A row is there only while there is such a task.
CREATE TABLE tally (
  state   INTEGER NOT NULL,
  lane_id INTEGER NOT NULL,
  n       INTEGER NOT NULL,
  PRIMARY KEY (state, lane_id),
  CHECK (n > 0)
) STRICT, WITHOUT ROWID;

-- No foreign key: a lane stays as long as it has a tally.
ALTER TABLE task ADD COLUMN lane_id INTEGER NOT NULL DEFAULT 0;
-- It fails unless it has ended before this moment.
ALTER TABLE task ADD COLUMN deadline INTEGER;

INSERT INTO lane (principal, executor, key, key_max)
  SELECT DISTINCT job.principal, task.executor, '', 0 FROM task JOIN job ON job.id = task.job_id;

UPDATE task SET lane_id = (
  SELECT lane.id FROM job JOIN lane ON lane.principal = job.principal
  WHERE job.id = task.job_id AND lane.executor = task.executor
);

INSERT INTO tally (state, lane_id, n) SELECT state, lane_id, count(*) FROM task GROUP BY state, lane_id;

DROP INDEX task_ready;
CREATE INDEX task_ready ON task (lane_id, priority, run_at, id) WHERE state = 2;
-- The tasks that only a deadline ends: an attempt that runs is stopped by whoever runs it.
CREATE INDEX task_deadline ON task (deadline)
  WHERE deadline IS NOT NULL AND state < 8 AND state <> 3;

CREATE TRIGGER task_added AFTER INSERT ON task
BEGIN
  INSERT INTO tally (state, lane_id, n) VALUES (NEW.state, NEW.lane_id, 1)
    ON CONFLICT (state, lane_id) DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER task_moved AFTER UPDATE OF state, lane_id ON task
  WHEN OLD.state <> NEW.state OR OLD.lane_id <> NEW.lane_id
BEGIN
  INSERT INTO tally (state, lane_id, n) VALUES (NEW.state, NEW.lane_id, 1)
    ON CONFLICT (state, lane_id) DO UPDATE SET n = n + 1;
  DELETE FROM tally WHERE state = OLD.state AND lane_id = OLD.lane_id AND n = 1;
  UPDATE tally SET n = n - 1 WHERE state = OLD.state AND lane_id = OLD.lane_id;
END;

CREATE TRIGGER task_removed AFTER DELETE ON task
BEGIN
  DELETE FROM tally WHERE state = OLD.state AND lane_id = OLD.lane_id AND n = 1;
  UPDATE tally SET n = n - 1 WHERE state = OLD.state AND lane_id = OLD.lane_id;
END;
