-- Circuit breakers that are open, or have counted failures: `apflow_model::breaker`. One without a
-- row is closed, and nothing is known against what it guards.

-- `key` is `executor:NAME` or `destination:SCHEME://HOST:PORT`.
CREATE TABLE breaker (
  key        TEXT PRIMARY KEY,
  failures   INTEGER NOT NULL,
  -- How many times it opened since the last success: 0 for a closed one.
  times      INTEGER NOT NULL,
  open_until INTEGER,
  -- A JSON array of the moments at which the places of probes lapse. Those of executors hold none:
  -- attempts that run are counted.
  probes     TEXT NOT NULL,
  -- How many probes may be under way.
  probes_max INTEGER NOT NULL,
  -- What the last failure said.
  fault      TEXT,
  changed_at INTEGER NOT NULL,
  CHECK (failures > 0),
  CHECK ((times > 0) = (open_until IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX breaker_open ON breaker (key) WHERE open_until IS NOT NULL;
CREATE INDEX breaker_by_change ON breaker (changed_at);
