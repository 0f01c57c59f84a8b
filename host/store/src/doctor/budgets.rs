//! Checks of budgets: what is reserved has somebody who holds it, and what is spent was charged.

use apflow_model::clock::Timestamp;

use crate::connection::{Connection, query};
use crate::dialect::{Sql, sql};
use crate::doctor::check::{Check, Find, Remedy, Soon, Subject};
use crate::row;

/// The checks of this family.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "reservation-without-attempt",
        why: "only a running attempt has something set aside: else nobody ever gives it back",
        subject: Subject::Task,
        find: Find::Rows(
            "SELECT DISTINCT task_id AS id FROM reservation WHERE NOT EXISTS ( \
               SELECT 1 FROM task WHERE task.id = reservation.task_id AND task.state = 3 \
                 AND task.attempt = reservation.attempt)",
        ),
        remedy: Remedy::Repair { what: "gives it back", mend: give_back },
    },
    Check {
        name: "block-without-session",
        why: "only a host that works holds a block of a budget: else nobody ever gives it back",
        subject: Subject::Other,
        find: Find::Rows(
            "SELECT DISTINCT session_id AS id FROM budget_block WHERE NOT EXISTS ( \
               SELECT 1 FROM session WHERE session.id = budget_block.session_id \
                 AND session.ended_at IS NULL)",
        ),
        remedy: Remedy::Repair {
            what: "gives it back, but what may have been spent of it is not known",
            mend: end_blocks,
        },
    },
    Check {
        name: "budget-reserved",
        why: "what a budget has reserved is what attempts and hosts hold of it, and with what is gone \
              no more than its cap, unless a call used more than was set aside for it",
        subject: Subject::Other,
        find: Find::Rows(
            "SELECT id FROM budget WHERE reserved + spent + lost > cap + overrun OR reserved <> \
               coalesce((SELECT sum(amount) FROM reservation WHERE budget_id = budget.id), 0) \
               + coalesce((SELECT sum(amount) FROM budget_block WHERE budget_id = budget.id), 0)",
        ),
        remedy: Remedy::Advice("rows were lost or changed by hand: set the budget anew"),
    },
    Check {
        name: "budget-spent",
        why: "what a budget has spent is the sum of the charges that it counts, as far as these are \
              still kept",
        subject: Subject::Other,
        find: Find::Rows(
            "SELECT id FROM ( \
               SELECT budget.id, budget.spent, budget.started_at, ( \
                 SELECT coalesce(sum(CASE budget.unit WHEN 'tokens' THEN charge.input + charge.output \
                                     ELSE coalesce(charge.micro_usd, 0) END), 0) \
                 FROM charge WHERE charge.at >= budget.started_at AND ( \
                   budget.scope = 'principal' AND charge.principal = budget.owner \
                   OR budget.scope = 'job' AND charge.job_id = budget.job_id \
                   OR budget.scope = 'task' AND charge.job_id = budget.job_id \
                      AND CAST(charge.task_id AS TEXT) = budget.owner)) AS charged \
               FROM budget) AS counted \
             WHERE spent < charged \
                OR spent > charged AND started_at >= (SELECT min(at) FROM charge)",
        ),
        remedy: Remedy::Advice("rows were lost or changed by hand: set the budget anew"),
    },
];

fn give_back<'a>(
    connection: &'a mut Connection<'_>,
    ids: &'a [i64],
    _: Timestamp,
) -> Soon<'a, u64> {
    const SQL: Sql = sql!(
        "\
        DELETE FROM reservation WHERE task_id IN (SELECT CAST(value AS BIGINT) FROM ",
        ROWS,
        " AS given) AND NOT EXISTS (SELECT 1 FROM task WHERE task.id = reservation.task_id \
                             AND task.state = 3 AND task.attempt = reservation.attempt)"
    );
    Box::pin(async move { Ok(query(SQL).bind(row::text(ids)?).execute(connection).await?) })
}

fn end_blocks<'a>(
    connection: &'a mut Connection<'_>,
    ids: &'a [i64],
    _: Timestamp,
) -> Soon<'a, u64> {
    const SQL: Sql = sql!(
        "\
        DELETE FROM budget_block WHERE session_id IN (SELECT CAST(value AS BIGINT) FROM ",
        ROWS,
        " AS given) AND NOT EXISTS (SELECT 1 FROM session WHERE session.id = budget_block.session_id \
                             AND session.ended_at IS NULL)"
    );
    Box::pin(async move { Ok(query(SQL).bind(row::text(ids)?).execute(connection).await?) })
}
