-- How often plugins have changed: what was read of one holds as long as this number stands.

CREATE TABLE plugin_revision (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  n  INTEGER NOT NULL
) STRICT;

INSERT INTO plugin_revision (id, n) VALUES (1, 1);

CREATE TRIGGER plugin_added AFTER INSERT ON plugin BEGIN
  UPDATE plugin_revision SET n = n + 1;
END;

CREATE TRIGGER plugin_changed AFTER UPDATE ON plugin BEGIN
  UPDATE plugin_revision SET n = n + 1;
END;

CREATE TRIGGER plugin_removed AFTER DELETE ON plugin BEGIN
  UPDATE plugin_revision SET n = n + 1;
END;

CREATE TRIGGER component_quarantined AFTER UPDATE OF quarantined_at ON component BEGIN
  UPDATE plugin_revision SET n = n + 1;
END;
