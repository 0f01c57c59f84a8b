//! What there is in a database, in numbers.

use std::collections::BTreeMap;

use apflow_model::clock::Timestamp;
use apflow_model::doctor::Figures;

use crate::connection::{Connection, query};
use crate::dialect::Sql;
use crate::error::StoreError;
use crate::row;

/// All bytes, the unused ones, and whether those can go back to the file system.
const SIZE: Sql = Sql {
    sqlite: "SELECT page_count * page_size, freelist_count * page_size, auto_vacuum > 0 \
             FROM pragma_page_count, pragma_page_size, pragma_freelist_count, pragma_auto_vacuum",
    postgres: "SELECT pg_database_size(current_database()), CAST(0 AS BIGINT), TRUE",
};

/// Counts what there is. It reads all tasks.
pub(crate) async fn read(connection: &mut Connection<'_>) -> Result<Figures, StoreError> {
    const SCHEMA: &str = "SELECT max(version) FROM _sqlx_migrations";
    const JOBS: &str = "SELECT state, count(*) FROM job WHERE purged_at IS NULL GROUP BY state";
    const GOING: &str = "SELECT count(*) FROM job WHERE purged_at IS NOT NULL";
    const TASKS: &str = "\
        SELECT task.state, count(*) FROM task JOIN job ON job.id = task.job_id \
        WHERE job.purged_at IS NULL GROUP BY task.state";
    const OLDEST: &str = "SELECT min(run_at) FROM task WHERE state = 2";
    let (bytes, unused, gives_space_back): (i64, i64, bool) =
        query(SIZE).read_one(connection).await?;
    let (schema,): (i64,) = query(SCHEMA).read_one(connection).await?;
    let (going,): (i64,) = query(GOING).read_one(connection).await?;
    let (oldest,): (Option<i64>,) = query(OLDEST).read_one(connection).await?;
    let jobs: Vec<(String, i64)> = query(JOBS).read_all(connection).await?;
    let codes: Vec<(i64, i64)> = query(TASKS).read_all(connection).await?;
    let mut tasks = BTreeMap::new();
    for (code, count) in codes {
        tasks.insert(row::state_of(code)?.name().to_owned(), count.unsigned_abs());
    }
    Ok(Figures {
        database: String::new(),
        schema,
        bytes: bytes.unsigned_abs(),
        unused_bytes: unused.unsigned_abs(),
        gives_space_back,
        jobs: jobs.into_iter().map(|(state, count)| (state, count.unsigned_abs())).collect(),
        tasks,
        jobs_going: going.unsigned_abs(),
        oldest_ready: oldest.map(Timestamp::from_unix_ms),
    })
}
