-- Calls that go on are charged for what they used so far: the row of one is written anew until it has
-- ended, and less and less stays set aside for it.

ALTER TABLE charge ADD COLUMN goes_on INTEGER NOT NULL DEFAULT 0;

CREATE TRIGGER reservation_changed AFTER UPDATE OF amount ON reservation
BEGIN
  UPDATE budget SET reserved = reserved + NEW.amount - OLD.amount WHERE id = NEW.budget_id;
END;

CREATE TRIGGER charge_changed AFTER UPDATE OF input, output, micro_usd ON charge
BEGIN
  UPDATE budget SET
    spent = spent + CASE unit
      WHEN 'tokens' THEN NEW.input + NEW.output - OLD.input - OLD.output
      ELSE coalesce(NEW.micro_usd, 0) - coalesce(OLD.micro_usd, 0) END,
    overrun = max(overrun, reserved + spent + lost - cap + CASE unit
      WHEN 'tokens' THEN NEW.input + NEW.output - OLD.input - OLD.output
      ELSE coalesce(NEW.micro_usd, 0) - coalesce(OLD.micro_usd, 0) END)
  WHERE id IN (
    SELECT id FROM budget WHERE scope = 'task' AND owner = CAST(NEW.task_id AS TEXT)
    UNION ALL SELECT id FROM budget WHERE scope = 'job' AND owner = CAST(NEW.job_id AS TEXT)
    UNION ALL SELECT id FROM budget WHERE scope = 'principal' AND owner = NEW.principal
  ) AND NEW.at >= started_at;
END;
