-- The audit: what `sqlite/0016_audit.sql` says, in the types of PostgreSQL.

CREATE TABLE audit_line (
  -- 1, 2, 3 … without gaps.
  n         BIGINT PRIMARY KEY,
  at        BIGINT NOT NULL,
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
);

-- Where the lines end, and after which line they begin: in one row.
CREATE TABLE audit_chain (
  id           BIGINT PRIMARY KEY CHECK (id = 1),
  last_n       BIGINT NOT NULL,
  last_hash    TEXT NOT NULL,
  removed_n    BIGINT NOT NULL,
  removed_hash TEXT NOT NULL
);

INSERT INTO audit_chain (id, last_n, last_hash, removed_n, removed_hash) VALUES
  (1, 0, '0000000000000000000000000000000000000000000000000000000000000000',
      0, '0000000000000000000000000000000000000000000000000000000000000000');
