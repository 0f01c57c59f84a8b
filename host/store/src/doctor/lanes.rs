//! Checks of lanes: how many of their tasks are in which state.

use apflow_model::clock::Timestamp;

use crate::connection::{Connection, query};
use crate::dialect::{Sql, sql};
use crate::doctor::check::{Check, Find, Remedy, Soon, Subject};
use crate::row;

/// The checks of this family.
pub(crate) const CHECKS: &[Check] = &[Check {
    name: "tally",
    why: "each lane knows how many of its tasks are in each state: limits, fair shares and \
          admission count by it",
    subject: Subject::Other,
    find: Find::Rows(
        "SELECT coalesce(counted.lane_id, tally.lane_id) AS id FROM ( \
           SELECT lane_id, state, count(*) AS n FROM task GROUP BY lane_id, state \
         ) AS counted FULL JOIN tally \
           ON tally.lane_id = counted.lane_id AND tally.state = counted.state \
         WHERE coalesce(counted.n, 0) <> coalesce(tally.n, 0)",
    ),
    remedy: Remedy::Repair { what: "counts the tasks of the lane again", mend: count_again },
}];

const FORGET: Sql = sql!(
    "DELETE FROM tally WHERE lane_id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

const COUNT_AGAIN: Sql = sql!(
    "\
    INSERT INTO tally (state, lane_id, n) SELECT state, lane_id, count(*) FROM task \
    WHERE lane_id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given) GROUP BY state, lane_id"
);

fn count_again<'a>(
    connection: &'a mut Connection<'_>,
    ids: &'a [i64],
    _: Timestamp,
) -> Soon<'a, u64> {
    Box::pin(async move {
        let lanes = row::text(ids)?;
        let forgotten = query(FORGET).bind(&lanes).execute(connection).await?;
        let counted = query(COUNT_AGAIN).bind(lanes).execute(connection).await?;
        Ok(forgotten.max(counted))
    })
}
