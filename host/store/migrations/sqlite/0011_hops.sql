-- Who this host is, and which hosts a job came through: `apflow_model::hops`.

-- One row, which every process of the database reads.
CREATE TABLE host (
  id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

INSERT INTO host (id) VALUES ('h_' || lower(hex(randomblob(8))));

-- As the header has them. NULL for a job that no guest submitted.
ALTER TABLE job ADD COLUMN hops TEXT;
