-- How often plugins have changed: what was read of one holds as long as this number stands.

CREATE TABLE plugin_revision (
  id BIGINT PRIMARY KEY CHECK (id = 1),
  n  BIGINT NOT NULL
);

INSERT INTO plugin_revision (id, n) VALUES (1, 1);

CREATE FUNCTION count_plugin_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE plugin_revision SET n = n + 1;
  RETURN NULL;
END $$;

CREATE TRIGGER plugin_changed AFTER INSERT OR UPDATE OR DELETE ON plugin
  FOR EACH STATEMENT EXECUTE FUNCTION count_plugin_change();
CREATE TRIGGER component_quarantined AFTER UPDATE OF quarantined_at ON component
  FOR EACH STATEMENT EXECUTE FUNCTION count_plugin_change();
