-- Tools are plugins, and a tool may stand in for another.

-- The tool that a plugin is. NULL for an executor, and for a command without arguments of its own.
ALTER TABLE plugin ADD COLUMN tool TEXT;
-- What its grants are bound to. NULL when that is its component alone.
ALTER TABLE plugin ADD COLUMN bound_to TEXT;

-- The tools that failed before the one that the task names now, first to last, as a JSON array.
ALTER TABLE task ADD COLUMN fallback_from TEXT;
