//! What a check is: how the rows that are wrong are found, and what can be done about them.
//!
//! It knows none: each family has its list.

use std::pin::Pin;

use apflow_model::clock::Timestamp;
use apflow_model::doctor::{EXAMPLES_MAX, Finding};
use apflow_model::id::{JobId, TaskId};

use crate::connection::{Connection, Query, query};
use crate::dialect::Sql;
use crate::error::StoreError;
use crate::row;
use crate::write::Write;

/// The most rows that one repair changes in a transaction.
const ROWS_PER_REPAIR_MAX: u32 = 1_000;

/// Something that should be true of the rows.
pub(crate) struct Check {
    /// Its name, kebab-case.
    pub(crate) name: &'static str,
    /// What is true when all is well, and why it matters.
    pub(crate) why: &'static str,
    /// What its rows are.
    pub(crate) subject: Subject,
    /// How the rows that are wrong are found.
    pub(crate) find: Find,
    /// What can be done about them.
    pub(crate) remedy: Remedy,
}

/// What a check names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Jobs by their ids. One that is being removed is left out: its rows go in slices.
    Job,
    /// Tasks by their ids, but those of a job that is being removed.
    Task,
    /// Neither.
    Other,
}

/// How the rows that are wrong are found.
pub(crate) enum Find {
    /// By a statement that reads their ids, as `id`.
    Rows(&'static str),
    /// By more than a statement.
    Read(for<'a, 'c> fn(&'a mut Connection<'c>) -> Soon<'a, Found>),
}

/// What can be done about rows that are wrong.
#[derive(Clone, Copy)]
pub(crate) enum Remedy {
    /// The host can repair them.
    Repair {
        /// What it does to them.
        what: &'static str,
        /// Does it.
        mend: Mending,
    },
    /// Somebody can do this.
    Advice(&'static str),
}

/// Repairs rows with these ids that are still wrong. Returns how many it changed.
pub(crate) type Mending =
    for<'a, 'c> fn(&'a mut Connection<'c>, &'a [i64], Timestamp) -> Soon<'a, u64>;

/// What a check or a repair answers, once it is done.
pub(crate) type Soon<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Rows that are wrong.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// How many.
    pub(crate) count: u64,
    /// The ids of the first thousand.
    pub(crate) ids: Vec<i64>,
    /// The first ten, as they are shown.
    pub(crate) examples: Vec<String>,
}

impl Found {
    /// These rows, in the order of their ids.
    pub(crate) fn of(subject: Subject, mut ids: Vec<i64>) -> Self {
        ids.sort_unstable();
        let count = ids.len() as u64;
        ids.truncate(usize::try_from(ROWS_PER_REPAIR_MAX).unwrap_or(usize::MAX));
        let show = |id: &i64| match subject {
            Subject::Job => JobId(*id).to_string(),
            Subject::Task => TaskId(*id).to_string(),
            Subject::Other => id.to_string(),
        };
        let examples = ids.iter().take(EXAMPLES_MAX).map(show).collect();
        Self { count, ids, examples }
    }
}

impl Check {
    /// Finds the rows that are wrong.
    pub(crate) async fn find(&self, connection: &mut Connection<'_>) -> Result<Found, StoreError> {
        let rows = match self.find {
            Find::Read(read) => return read(connection).await,
            Find::Rows(rows) => rows,
        };
        let mut sql = Query::build("SELECT id, count(*) OVER () FROM (SELECT DISTINCT id FROM (");
        sql.push(rows).push(") AS every) AS wrong").push(match self.subject {
            Subject::Job => {
                " WHERE NOT EXISTS (SELECT 1 FROM job \
                   WHERE job.id = wrong.id AND job.purged_at IS NOT NULL)"
            }
            Subject::Task => {
                " WHERE NOT EXISTS (SELECT 1 FROM task JOIN job ON job.id = task.job_id \
                   WHERE task.id = wrong.id AND job.purged_at IS NOT NULL)"
            }
            Subject::Other => "",
        });
        sql.push(" ORDER BY id LIMIT ").push_bind(ROWS_PER_REPAIR_MAX);
        let rows: Vec<(i64, i64)> = sql.read_all(connection).await?;
        let count = rows.first().map_or(0, |(_, count)| count.unsigned_abs());
        let found = Found::of(self.subject, rows.into_iter().map(|(id, _)| id).collect());
        Ok(Found { count, ..found })
    }

    /// What is to be said of the rows that were found.
    pub(crate) fn report(&self, found: Found) -> Finding {
        let (remedy, is_repairable) = match self.remedy {
            Remedy::Repair { what, .. } => (what, true),
            Remedy::Advice(advice) => (advice, false),
        };
        let Found { count, examples, .. } = found;
        Finding {
            check: self.name.into(),
            count,
            examples,
            why: self.why.into(),
            remedy: remedy.into(),
            is_repairable,
        }
    }
}

/// The repair of some rows, as a write.
pub(crate) struct Mend {
    pub(crate) how: Mending,
    pub(crate) ids: Vec<i64>,
    pub(crate) now: Timestamp,
}

impl Write for Mend {
    type Output = u64;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<u64, StoreError> {
        (self.how)(connection, &self.ids, self.now).await
    }
}

/// Runs a statement on the rows with these ids, which it takes as `$1`. Returns how many it changed.
pub(crate) fn run<'a>(
    connection: &'a mut Connection<'_>,
    sql: Sql,
    ids: &'a [i64],
) -> Soon<'a, u64> {
    Box::pin(async move { Ok(query(sql).bind(row::text(ids)?).execute(connection).await?) })
}
