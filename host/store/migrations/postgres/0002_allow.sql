-- What a task keeps of what the operator grants: JSON text. NULL for all of it.
ALTER TABLE task ADD COLUMN allow TEXT;

-- What a plugin is granted stands in `grants.lock` alone.
ALTER TABLE plugin DROP COLUMN grants;
