-- Circuit breakers: what `sqlite/0008_breakers.sql` says, in the types of PostgreSQL.

CREATE TABLE breaker (
  key        TEXT PRIMARY KEY,
  failures   BIGINT NOT NULL,
  times      BIGINT NOT NULL,
  open_until BIGINT,
  probes     TEXT NOT NULL,
  probes_max BIGINT NOT NULL,
  fault      TEXT,
  changed_at BIGINT NOT NULL,
  CHECK (failures > 0),
  CHECK ((times > 0) = (open_until IS NOT NULL))
);

CREATE INDEX breaker_open ON breaker (key) WHERE open_until IS NOT NULL;
CREATE INDEX breaker_by_change ON breaker (changed_at);
