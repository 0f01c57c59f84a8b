-- Files that callers uploaded, and files that tasks left. Their bytes are files of the data directory.

-- The bytes are a file named by `sha256`, which several uploads may share.
CREATE TABLE upload (
  id         BIGINT PRIMARY KEY,
  name       TEXT NOT NULL,
  size       BIGINT NOT NULL,
  sha256     TEXT NOT NULL,
  principal  TEXT NOT NULL,
  created_at BIGINT NOT NULL
);

-- What a completed task left in `/out`: written by its settlement.
CREATE TABLE task_file (
  id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task_id BIGINT NOT NULL REFERENCES task (id) ON DELETE CASCADE,
  -- The path below `/out`.
  name    TEXT NOT NULL,
  size    BIGINT NOT NULL
);

CREATE UNIQUE INDEX task_file_by_name ON task_file (task_id, name);
