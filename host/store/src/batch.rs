//! Statements that need nothing of each other's answers, run together.
//!
//! A statement on a file is a turn of that file's own thread, which takes longer than most of them
//! do. So a file is given all of them in one turn; a server takes them one by one.

use crate::connection::{Columns, Connection, Query, Row, query};
use crate::dialect::Sql;

/// Statements that run one after the other.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Batch(Vec<Query>);

impl Batch {
    /// Adds a statement.
    pub(crate) fn add(&mut self, next: Query) {
        self.0.push(next);
    }

    /// Adds a statement over a JSON array, unless there is none.
    pub(crate) fn add_rows(&mut self, sql: Sql, rows: Option<String>) {
        self.0.extend(rows.map(|rows| query(sql).bind(rows)));
    }

    /// Runs them no later than the next statement, or the commit.
    pub(crate) async fn later(self, on: &mut Connection<'_>) -> Result<(), sqlx::Error> {
        for query in self.0 {
            query.later(on).await?;
        }
        Ok(())
    }

    /// Runs them, and reads the columns of the rows of the last.
    pub(crate) async fn read_all<T: Columns>(
        self,
        on: &mut Connection<'_>,
    ) -> Result<Vec<T>, sqlx::Error> {
        self.fetch_all(on).await?.iter().map(Row::read).collect()
    }

    /// Runs them, and reads the rows of the last, which alone answers with any.
    pub(crate) async fn fetch_all(self, on: &mut Connection<'_>) -> Result<Vec<Row>, sqlx::Error> {
        let mut queries = self.0;
        let Some(last) = queries.pop() else { return Ok(Vec::new()) };
        for query in queries {
            query.later(on).await?;
        }
        last.fetch_all(on).await
    }
}
