//! Tools that take the place of others: the task names the next one, in the lane of that.
//!
//! It does not decide which comes next: the engine does.

use apflow_model::id::TaskId;

use crate::attempts::{End, Ending};
use crate::connection::{Connection, query};
use crate::error::StoreError;
use crate::row;

/// The lane of the same principal and key, for the next tool.
const ADD_LANE: &str = "\
    INSERT INTO lane (principal, executor, key, key_max) \
    SELECT lane.principal, $2, lane.key, lane.key_max \
    FROM task JOIN lane ON lane.id = task.lane_id \
    WHERE task.id = $1 \
      AND NOT EXISTS (SELECT 1 FROM lane AS known WHERE known.principal = lane.principal \
                        AND known.executor = $2 AND known.key = lane.key \
                        AND known.key_max = lane.key_max)";

/// A task that was cancelled meanwhile has ended, and keeps its tool.
const REPLACE: &str = "\
    UPDATE task SET executor = $2, fallback_from = $3, needs_approval = $4, \
                    attempts_max = attempt + attempts_max - attempts_before, \
                    attempts_before = attempt, \
                    lane_id = (SELECT next.id FROM lane JOIN lane AS next \
                                 ON next.principal = lane.principal AND next.executor = $2 \
                                    AND next.key = lane.key AND next.key_max = lane.key_max \
                               WHERE lane.id = task.lane_id) \
    WHERE id = $1 AND state = 2";

/// What one tool saved is of no use to another.
const FORGET: &str = "DELETE FROM checkpoint WHERE task_id = $1";

/// Puts the next tools in the place of those that failed. Their tasks are ready.
pub(crate) async fn replace(
    connection: &mut Connection<'_>,
    endings: impl Iterator<Item = &Ending>,
) -> Result<(), StoreError> {
    for Ending { task: TaskId(task), end, .. } in endings {
        let End::Fallback { from, to, needs_approval, .. } = end else { continue };
        query(ADD_LANE).bind(*task).bind(to).execute(connection).await?;
        let replace = query(REPLACE).bind(*task).bind(to).bind(row::text(from)?);
        let replace = replace.bind(*needs_approval);
        replace.execute(connection).await?;
        query(FORGET).bind(*task).execute(connection).await?;
    }
    Ok(())
}
