-- What is removed when it is over, and how it is found.

-- Since when a job is being removed. From then on nobody sees it, and its rows go slice by slice.
-- Only one that has ended can be, and it cannot be opened again.
ALTER TABLE job ADD COLUMN purged_at INTEGER CHECK (purged_at IS NULL OR ended_at IS NOT NULL);

CREATE INDEX job_by_end ON job (state, ended_at)
  WHERE ended_at IS NOT NULL AND purged_at IS NULL;
CREATE INDEX job_purged ON job (purged_at) WHERE purged_at IS NOT NULL;

-- When it came, or a job last named it.
ALTER TABLE upload ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0;
UPDATE upload SET used_at = created_at;

CREATE INDEX upload_by_use ON upload (used_at);
CREATE INDEX upload_by_digest ON upload (sha256);

-- That the inputs of a task name an upload.
CREATE TABLE task_upload (
  task_id   INTEGER NOT NULL REFERENCES task (id) ON DELETE CASCADE,
  upload_id INTEGER NOT NULL REFERENCES upload (id) ON DELETE CASCADE,
  PRIMARY KEY (task_id, upload_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX task_upload_by_upload ON task_upload (upload_id);

CREATE INDEX checkpoint_by_age ON checkpoint (at, task_id);
