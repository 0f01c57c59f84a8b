-- Calls that go on are charged for what they used so far: the row of one is written anew until it has
-- ended, and less and less stays set aside for it.

ALTER TABLE charge ADD COLUMN goes_on BOOLEAN NOT NULL DEFAULT FALSE;

CREATE TRIGGER reservation_changed AFTER UPDATE OF amount ON reservation
  FOR EACH ROW EXECUTE FUNCTION count_reserved();

CREATE FUNCTION count_spent_anew() RETURNS TRIGGER LANGUAGE plpgsql AS $$
DECLARE
  tokens BIGINT := NEW.input + NEW.output - OLD.input - OLD.output;
  money  BIGINT := coalesce(NEW.micro_usd, 0) - coalesce(OLD.micro_usd, 0);
BEGIN
  UPDATE budget SET
    spent = spent + CASE unit WHEN 'tokens' THEN tokens ELSE money END,
    overrun = greatest(overrun, reserved + spent + lost - cap
                                + CASE unit WHEN 'tokens' THEN tokens ELSE money END)
  WHERE id IN (
    SELECT id FROM budget WHERE scope = 'task' AND owner = CAST(NEW.task_id AS TEXT)
    UNION ALL SELECT id FROM budget WHERE scope = 'job' AND owner = CAST(NEW.job_id AS TEXT)
    UNION ALL SELECT id FROM budget WHERE scope = 'principal' AND owner = NEW.principal
  ) AND NEW.at >= started_at;
  RETURN NULL;
END
$$;

CREATE TRIGGER charge_changed AFTER UPDATE OF input, output, micro_usd ON charge
  FOR EACH ROW EXECUTE FUNCTION count_spent_anew();
