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
const STEPS: [(i64, &str, Sql); 21] = [
    (1, "jobs", step!("0001_jobs.sql")),
    (2, "allow", step!("0002_allow.sql")),
    (3, "files", step!("0003_files.sql")),
    (4, "lanes", step!("0004_lanes.sql")),
    (5, "keys", step!("0005_keys.sql")),
    (6, "leases", step!("0006_leases.sql")),
    (7, "cancel", step!("0007_cancel.sql")),
    (8, "breakers", step!("0008_breakers.sql")),
    (9, "schedules", step!("0009_schedules.sql")),
    (10, "retention", step!("0010_retention.sql")),
    (11, "hops", step!("0011_hops.sql")),
    (12, "tools", step!("0012_tools.sql")),
    (13, "tool_care", step!("0013_tool_care.sql")),
    (14, "tokens", step!("0014_tokens.sql")),
    (15, "roles", step!("0015_roles.sql")),
    (16, "audit", step!("0016_audit.sql")),
    (17, "files", step!("0017_files.sql")),
    (18, "budgets", step!("0018_budgets.sql")),
    (19, "cost_policies", step!("0019_cost_policies.sql")),
    (20, "charges", step!("0020_charges.sql")),
    (23, "plugin_revision", step!("0023_plugin_revision.sql")),
];

const UNHURRIED: &str = "SET statement_timeout = 0; SET lock_timeout = 0";
const HURRIED: &str = "RESET statement_timeout; RESET lock_timeout";

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
        Either::Sqlite(connection) => steps(|sql| sql.sqlite).run(connection.own()).await,
        Either::Postgres(connection) => {
            // A step through a large table takes its time, and another process may be at it.
            sqlx::raw_sql(UNHURRIED).execute(&mut **connection).await?;
            let upgraded = steps(|sql| sql.postgres).run(&mut **connection).await;
            sqlx::raw_sql(HURRIED).execute(&mut **connection).await?;
            upgraded
        }
    };
    let known = STEPS[STEPS.len() - 1].0;
    if let Err(MigrateError::VersionMissing(found)) = upgraded
        && found > known
    {
        return Err(StoreError::SchemaTooNew { found, known });
    }
    Ok(upgraded?)
}
