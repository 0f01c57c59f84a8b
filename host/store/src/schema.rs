//! The schema, and bringing a file up to it.
//!
//! It never takes a file back to an older schema.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{SqlSafeStr, SqliteConnection};

use crate::error::StoreError;

/// Every step of the schema, in order. One that was released is never changed again.
const STEPS: [(i64, &str, &str); 3] = [
    (1, "jobs", include_str!("../migrations/sqlite/0001_jobs.sql")),
    (2, "allow", include_str!("../migrations/sqlite/0002_allow.sql")),
    (3, "files", include_str!("../migrations/sqlite/0003_files.sql")),
];

/// Brings the database up to the newest schema. Does nothing when it is there already.
pub(crate) async fn upgrade(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let steps = STEPS.map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let known = STEPS[STEPS.len() - 1].0;
    let upgraded = Migrator::with_migrations(steps.into()).run(connection).await;
    if let Err(MigrateError::VersionMissing(found)) = upgraded
        && found > known
    {
        return Err(StoreError::SchemaTooNew { found, known });
    }
    Ok(upgraded?)
}
