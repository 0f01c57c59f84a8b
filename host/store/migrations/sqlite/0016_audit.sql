-- Who did what, when, and what was decided: lines that are only added at the end, and taken away at
-- the front once they were kept long enough. `apflow_model::audit` says how each is sealed.

CREATE TABLE audit_line (
  -- 1, 2, 3 … without gaps.
  n         INTEGER PRIMARY KEY,
  at        INTEGER NOT NULL,
  principal TEXT,
  role      TEXT,
  verb      TEXT NOT NULL,
  target    TEXT,
  decision  TEXT NOT NULL,
  code      TEXT,
  reason    TEXT,
  request   TEXT,
  peer      TEXT,
  hash      TEXT NOT NULL
) STRICT;

-- Where the lines end, and after which line they begin: in one row.
CREATE TABLE audit_chain (
  id           INTEGER PRIMARY KEY CHECK (id = 1),
  last_n       INTEGER NOT NULL,
  last_hash    TEXT NOT NULL,
  removed_n    INTEGER NOT NULL,
  removed_hash TEXT NOT NULL
) STRICT;

INSERT INTO audit_chain (id, last_n, last_hash, removed_n, removed_hash) VALUES
  (1, 0, '0000000000000000000000000000000000000000000000000000000000000000',
      0, '0000000000000000000000000000000000000000000000000000000000000000');
