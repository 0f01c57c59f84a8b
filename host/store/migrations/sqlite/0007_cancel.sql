-- Cancelling and redriving tasks, and finding them.

-- When somebody cancelled it. It stays `running` until its attempt has ended.
ALTER TABLE task ADD COLUMN cancel_at INTEGER;
-- How many of its attempts count no more: a redrive came after them, or a clean stop cut them short.
-- So `attempts_max - attempts_before` is how often the caller asked to try it.
ALTER TABLE task ADD COLUMN attempts_before INTEGER NOT NULL DEFAULT 0;

CREATE INDEX task_by_parent ON task (parent_id) WHERE parent_id IS NOT NULL;

-- What is listed, newest first: what has not ended, what has ended how, and what an executor does.
CREATE INDEX task_open ON task (id) WHERE state < 8;
CREATE INDEX task_ended ON task (state, id) WHERE state >= 8;
CREATE INDEX task_by_executor ON task (executor, id);
