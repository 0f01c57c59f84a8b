-- Files that callers uploaded, and files that tasks left. Their bytes are files of the data directory.

-- The bytes are a file named by `sha256`, which several uploads may share.
CREATE TABLE upload (
  id         INTEGER PRIMARY KEY,
  name       TEXT NOT NULL,
  size       INTEGER NOT NULL,
  sha256     TEXT NOT NULL,
  principal  TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

-- What a completed task left in `/out`: written by its settlement.
CREATE TABLE task_file (
  id      INTEGER PRIMARY KEY,
  task_id INTEGER NOT NULL REFERENCES task (id) ON DELETE CASCADE,
  -- The path below `/out`.
  name    TEXT NOT NULL,
  size    INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX task_file_by_name ON task_file (task_id, name);
