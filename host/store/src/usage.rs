//! What was used and what it cost: the ledger of charges, added up.
//!
//! It writes no charge: the settling of tasks does.

use apflow_model::clock::Timestamp;
use apflow_model::id::JobId;
use apflow_model::money::{MicroUsd, Tokens};
use apflow_model::usage_report::{UsageBy, UsageKey, UsageRow, UsageSums};

use crate::connection::{Connection, Query, Row};
use crate::error::StoreError;
use crate::row;
use crate::store::Store;

/// The most rows one page of a report holds.
pub const USAGE_ROWS_PER_PAGE_MAX: u32 = 1_000;

/// Which charges are added up. What is not said is any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageFilter {
    /// Charged at this moment or later.
    pub since: Option<Timestamp>,
    /// Charged before this moment.
    pub until: Option<Timestamp>,
    /// Whose jobs.
    pub principal: Option<String>,
    /// Of this executor, and no tool of that name.
    pub executor: Option<String>,
    /// Of this tool.
    pub tool: Option<String>,
    /// For calls of this model.
    pub model: Option<String>,
    /// Of this job.
    pub job: Option<JobId>,
}

/// A page of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsagePage {
    /// The rows, by their keys.
    pub rows: Vec<UsageRow>,
    /// All charges together, with those of other pages.
    pub total: UsageSums,
    /// What to pass as `after` for the next page. None on the last one.
    pub next: Option<UsageKey>,
}

impl Store {
    /// Adds charges up: all together, and for each of what `by` says. The rows come by their keys,
    /// after `after`. Rows and total are of the same moment.
    ///
    /// `limit` is brought into 1 to [`USAGE_ROWS_PER_PAGE_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn report_usage(
        &self,
        by: Option<UsageBy>,
        filter: &UsageFilter,
        after: Option<&UsageKey>,
        limit: u32,
    ) -> Result<UsagePage, StoreError> {
        let mut snapshot = self.readers().snapshot().await?;
        let mut connection = snapshot.connection();
        let total = total(filter).fetch_all(&mut connection).await?;
        let total = total.first().map(read_sums).transpose()?.unwrap_or_default();
        let Some(by) = by else { return Ok(UsagePage { rows: Vec::new(), total, next: None }) };
        let limit = limit.clamp(1, USAGE_ROWS_PER_PAGE_MAX);
        let mut rows = page(by, filter, after, limit, &mut connection).await?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > wanted;
        rows.truncate(wanted);
        let next = rows.last().filter(|_| has_more).map(|(key, _)| key.clone());
        let row = |(key, sums): (UsageKey, UsageSums)| {
            let key = Some(key.text(by)).filter(|key| !key.is_empty());
            UsageRow { key, sums }
        };
        Ok(UsagePage { rows: rows.into_iter().map(row).collect(), total, next })
    }
}

/// The first rows after a key, and one more than `limit` if there are more.
async fn page(
    by: UsageBy,
    filter: &UsageFilter,
    after: Option<&UsageKey>,
    limit: u32,
    connection: &mut Connection<'_>,
) -> Result<Vec<(UsageKey, UsageSums)>, StoreError> {
    let rows = rows(by, filter, after, limit).fetch_all(connection).await?;
    let read = |row: &Row| -> Result<_, StoreError> { Ok((read_key(by, row)?, read_sums(row)?)) };
    rows.iter().map(read).collect()
}

const SUMS: &str = "\
    count(*) AS calls, count(DISTINCT task_id) AS tasks, \
    CAST(COALESCE(sum(input), 0) AS BIGINT) AS input, \
    CAST(COALESCE(sum(output), 0) AS BIGINT) AS output, \
    CAST(COALESCE(sum(cached), 0) AS BIGINT) AS cached, \
    CAST(sum(micro_usd) AS BIGINT) AS micro_usd, count(micro_usd) AS calls_priced \
    FROM charge WHERE at >= ";

/// What a row is for.
const fn key(by: UsageBy) -> &'static str {
    match by {
        UsageBy::Task => "task_id",
        UsageBy::Job => "job_id",
        UsageBy::Principal => "principal",
        UsageBy::Executor => "CASE WHEN is_tool THEN '' ELSE executor END",
        UsageBy::Tool => "CASE WHEN is_tool THEN executor ELSE '' END",
        UsageBy::Model => "COALESCE(model, '')",
        UsageBy::Day => "at / 86400000",
    }
}

fn total(filter: &UsageFilter) -> Query {
    let mut total = Query::build("SELECT ");
    total.push(SUMS);
    push_filter(&mut total, filter);
    total
}

fn rows(by: UsageBy, filter: &UsageFilter, after: Option<&UsageKey>, limit: u32) -> Query {
    let mut rows = Query::build("SELECT ");
    rows.push(key(by)).push(" AS key, ").push(SUMS);
    push_filter(&mut rows, filter);
    match after {
        None => {}
        Some(UsageKey::Number(number)) => {
            rows.push(" AND ").push(key(by)).push(" > ").push_bind(*number);
        }
        Some(UsageKey::Name(name)) => {
            rows.push(" AND ").push(key(by)).push(" > ").push_bind(name);
        }
    }
    rows.push(" GROUP BY 1 ORDER BY 1 LIMIT ").push_bind(limit + 1);
    rows
}

/// Goes on after `at >= `.
fn push_filter(query: &mut Query, filter: &UsageFilter) {
    let UsageFilter { since, until, principal, executor, tool, model, job } = filter;
    query.push_bind(since.map_or(i64::MIN, Timestamp::unix_ms));
    if let Some(until) = until {
        query.push(" AND at < ").push_bind(until.unix_ms());
    }
    let texts = [
        (" AND principal = ", principal),
        (" AND NOT is_tool AND executor = ", executor),
        (" AND is_tool AND executor = ", tool),
        (" AND model = ", model),
    ];
    for (part, text) in texts {
        if let Some(text) = text {
            query.push(part).push_bind(text);
        }
    }
    if let Some(job) = job {
        query.push(" AND job_id = ").push_bind(job.0);
    }
}

fn read_key(by: UsageBy, row: &Row) -> Result<UsageKey, StoreError> {
    Ok(match by {
        UsageBy::Task | UsageBy::Job | UsageBy::Day => UsageKey::Number(row::column(row, "key")?),
        UsageBy::Principal | UsageBy::Executor | UsageBy::Tool | UsageBy::Model => {
            UsageKey::Name(row::column(row, "key")?)
        }
    })
}

fn read_sums(row: &Row) -> Result<UsageSums, StoreError> {
    let calls: u64 = row::number(row, "calls")?;
    if calls == 0 {
        return Ok(UsageSums::default());
    }
    let calls_priced: u64 = row::number(row, "calls_priced")?;
    let (input, output): (u64, u64) = (row::number(row, "input")?, row::number(row, "output")?);
    Ok(UsageSums {
        calls,
        tasks: row::number(row, "tasks")?,
        tokens_input: Tokens(input),
        tokens_output: Tokens(output),
        tokens_cached: Tokens(row::number(row, "cached")?),
        tokens: Tokens(input.saturating_add(output)),
        micro_usd: row::perhaps_number(row, "micro_usd")?.map(MicroUsd),
        calls_unpriced: calls.saturating_sub(calls_priced),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

    /// How the database goes about a report, step by step.
    async fn plan(filter: &UsageFilter) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::File(folder.path().join("apflow.db"));
        let store = Store::open(&address).await.unwrap();
        let rows = store.readers().fetch_all(total(filter).explained()).await.unwrap();
        rows.iter().map(|row| row::column(row, "detail").unwrap()).collect()
    }

    #[tokio::test]
    async fn the_charges_of_a_report_are_found_by_what_it_is_about() {
        let since = Some(Timestamp::from_unix_ms(0));
        let ada = Some("ada".to_owned());
        for (filter, index) in [
            (UsageFilter { since, ..UsageFilter::default() }, "charge_by_time"),
            (
                UsageFilter { principal: ada, since, ..UsageFilter::default() },
                "charge_by_principal",
            ),
            (UsageFilter { job: Some(JobId(1)), ..UsageFilter::default() }, "charge_by_job"),
        ] {
            let steps = plan(&filter).await;
            assert!(steps.iter().any(|step| step.contains(index)), "{index}: {steps:?}");
        }
    }
}
