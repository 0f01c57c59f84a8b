//! The schema, and bringing a database up to it.
//!
//! It never takes a database back to an older schema.

use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use crate::connection::{Connection, Either};
use crate::dialect::Sql;
use crate::error::StoreError;

/// A step of the schema, as each database takes it.
macro_rules! step {
    ($file:literal) => {
        Sql {
            sqlite: include_str!(concat!("../migrations/sqlite/", $file)),
            postgres: include_str!(concat!("../migrations/postgres/", $file)),
        }
    };
}

/// Every step of the schema, in order. One that was released is never changed again.
const STEPS: [(i64, &str, Sql); 4] = [
    (1, "jobs", step!("0001_jobs.sql")),
    (2, "allow", step!("0002_allow.sql")),
    (3, "files", step!("0003_files.sql")),
    (10, "retention", step!("0010_retention.sql")),
];

/// Brings the database up to the newest schema. Does nothing when it is there already.
pub(crate) async fn upgrade(connection: &mut Connection<'_>) -> Result<(), StoreError> {
    let steps = |of: fn(Sql) -> &'static str| {
        let steps = STEPS.map(|(version, name, sql)| {
            let text = of(sql).into_sql_str();
            Migration::new(version, name.into(), MigrationType::Simple, text, false)
        });
        Migrator::with_migrations(steps.into())
    };
    let upgraded = match connection {
        Either::Sqlite(connection) => steps(|sql| sql.sqlite).run(&mut **connection).await,
        Either::Postgres(connection) => steps(|sql| sql.postgres).run(&mut **connection).await,
    };
    let known = STEPS[STEPS.len() - 1].0;
    if let Err(MigrateError::VersionMissing(found)) = upgraded
        && found > known
    {
        return Err(StoreError::SchemaTooNew { found, known });
    }
    Ok(upgraded?)
}
