//! Which models tasks called: what each asked for and what it got, added up from the ledger.

use std::collections::HashMap;

use apflow_model::id::JobId;
use apflow_model::job::Task;
use apflow_model::usage::ModelUse;

use crate::connection::{Connection, Query, Row, query};
use crate::error::StoreError;
use crate::row;

/// The calls of the tasks of a job, by task and models.
pub(crate) fn of_job(job: JobId) -> Query {
    const SQL: &str = "\
        SELECT task_id, wanted, model, count(*) AS calls, CAST(sum(input) AS BIGINT) AS input, \
               CAST(sum(output) AS BIGINT) AS output, CAST(sum(cached) AS BIGINT) AS cached, \
               CASE WHEN count(micro_usd) = count(*) THEN CAST(sum(micro_usd) AS BIGINT) END \
                 AS micro_usd \
        FROM charge WHERE job_id = $1 GROUP BY task_id, wanted, model \
        ORDER BY task_id, wanted, model";
    query(SQL).bind(job.0)
}

/// Says of these tasks which models they called, by the rows of [`of_job`].
pub(crate) fn tell_all(tasks: &mut [Task], rows: &[Row]) -> Result<(), StoreError> {
    let mut of_tasks = HashMap::<i64, Vec<ModelUse>>::new();
    for row in rows {
        of_tasks.entry(row::column(row, "task_id")?).or_default().push(read(row)?);
    }
    for task in tasks {
        task.models = of_tasks.remove(&task.id.0).unwrap_or_default();
    }
    Ok(())
}

/// Says of one task which models it called.
pub(crate) async fn of_task(
    connection: &mut Connection<'_>,
    task: &mut Task,
) -> Result<(), StoreError> {
    let rows = of_job(task.job_id).fetch_all(connection).await?;
    tell_all(std::slice::from_mut(task), &rows)
}

fn read(row: &Row) -> Result<ModelUse, StoreError> {
    Ok(ModelUse {
        wanted: row::column(row, "wanted")?,
        model: row::column(row, "model")?,
        calls: row::number(row, "calls")?,
        tokens_input: row::number(row, "input")?,
        tokens_output: row::number(row, "output")?,
        tokens_cached: row::number(row, "cached")?,
        micro_usd: row::perhaps_number(row, "micro_usd")?,
    })
}
