//! The least that durable tasks can cost: their rows, written by set statements alone.
//!
//! It checks nothing, fences nothing and answers nothing. Benchmarks measure the store against it.

use apflow_model::clock::Timestamp;
use apflow_model::event::Happening;
use apflow_model::retry::Backoff;
use apflow_model::state::TaskState;
use apflow_model::usage::Usage;

use crate::address::Address;
use crate::connect;
use crate::connection::{Connection, Own, query};
use crate::dialect::{BEGIN, Sql, sql};
use crate::error::StoreError;
use crate::row;
use crate::sessions::SessionId;

/// Writes what tasks leave that do nothing, into a database whose tables a [`crate::Store`] made.
#[derive(Debug)]
pub struct Floor {
    own: Own,
    session: SessionId,
    lane: i64,
    next: i64,
}

/// Ids are counted from 1, and stay below those that a store makes.
const IDS_END: i64 = 1 << 40;

const JOBS: Sql = sql!(
    "\
    INSERT INTO job (id, name, principal, state, grants, task_count, open_count, event_count, \
                     created_at) \
    SELECT CAST(value AS BIGINT), NULL, 'operator', 'pending', '[]', 1, 1, 1, $2 FROM ",
    ROWS,
    " AS given"
);

const TASKS: Sql = sql!(
    "\
    INSERT INTO task (id, job_id, reference, executor, state, priority, run_at, backoff, \
                      attempts_max, waiting_count, created_at, lane_id) \
    SELECT CAST(value AS BIGINT), CAST(value AS BIGINT), 'task', 'noop_executor', 2, 2, $2, $3, \
           3, 0, $2, $4 FROM ",
    ROWS,
    " AS given"
);

const INPUTS: Sql = sql!(
    "INSERT INTO task_input (task_id, body) SELECT CAST(value AS BIGINT), '{}' FROM ",
    ROWS,
    " AS given"
);

const TAKE: Sql = sql!(
    "UPDATE task SET state = 3, attempt = 1, session_id = $2, started_at = $3 \
     WHERE id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

const ATTEMPTS: Sql = sql!(
    "INSERT INTO attempt (task_id, n, session_id, started_at) \
     SELECT CAST(value AS BIGINT), 1, $2, $3 FROM ",
    ROWS,
    " AS given"
);

const START_JOBS: Sql = sql!(
    "UPDATE job SET state = 'running', event_count = 2 \
     WHERE id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

const END_TASKS: Sql = sql!(
    "UPDATE task SET state = 8, session_id = NULL, ended_at = $2 \
     WHERE id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

const END_ATTEMPTS: Sql = sql!(
    "UPDATE attempt SET ended_at = $2, usage = $3 WHERE n = 1 AND task_id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

const OUTPUTS: Sql = sql!(
    "INSERT INTO task_output (task_id, body) SELECT CAST(value AS BIGINT), 'null' FROM ",
    ROWS,
    " AS given"
);

const END_JOBS: Sql = sql!(
    "UPDATE job SET state = 'completed', open_count = 0, event_count = 3, ended_at = $2 \
     WHERE id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

const EVENTS: Sql = sql!(
    "INSERT INTO event (job_id, n, at, task_id, attempt, what) \
     SELECT CAST(value AS BIGINT), $2, $3, CAST(value AS BIGINT), 1, $4 FROM ",
    ROWS,
    " AS given"
);

/// What a server does by itself within minutes of many new rows. Table by table: each statement has a
/// limit of time.
const TIDY: [&str; 6] = [
    "VACUUM (ANALYZE) job",
    "VACUUM (ANALYZE) task",
    "VACUUM (ANALYZE) task_input",
    "VACUUM (ANALYZE) task_output",
    "VACUUM (ANALYZE) attempt",
    "VACUUM (ANALYZE) event",
];

impl Floor {
    /// Connects to the database of a store.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unopened`] and [`StoreError::Database`].
    pub async fn open(address: &Address, session: SessionId) -> Result<Self, StoreError> {
        const INSERT_LANE: &str = "INSERT INTO lane (principal, executor, key, key_max) \
                                   VALUES ('operator', 'noop_executor', '', 0) \
                                   ON CONFLICT DO NOTHING";
        const LANE: &str = "SELECT id FROM lane WHERE principal = 'operator' \
                            AND executor = 'noop_executor' AND key = ''";
        const LAST: &str = "SELECT coalesce(max(id), 0) FROM job WHERE id < $1";
        let mut own = connect::writer(address).await.map_err(StoreError::unopened(address))?;
        let (last,): (i64,) = query(LAST).bind(IDS_END).read_one(&mut own.connection()).await?;
        query(INSERT_LANE).execute(&mut own.connection()).await?;
        let (lane,): (i64,) = query(LANE).read_one(&mut own.connection()).await?;
        Ok(Self { own, session, lane, next: last + 1 })
    }

    /// Writes all that `count` tasks of a job each leave, from their submission to their end, in
    /// one commit.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is written then.
    pub async fn write(&mut self, count: u32, now: Timestamp) -> Result<(), StoreError> {
        let last = self.next + i64::from(count);
        let ids = row::text(&(self.next..last).collect::<Vec<_>>())?;
        self.next = last;
        let (session, now) = (self.session.0, now.unix_ms());
        let (backoff, usage) = (row::text(&Backoff::default())?, row::text(&Usage::default())?);
        let event = |n: i64, state| {
            let what = row::text(&Happening::State { state, fault: None })?;
            Ok::<_, StoreError>(query(EVENTS).bind(&ids).bind(n).bind(now).bind(what))
        };
        let mut connection = self.own.connection();
        connection.run(BEGIN).await?;
        for statement in [
            query(JOBS).bind(&ids).bind(now),
            query(TASKS).bind(&ids).bind(now).bind(backoff).bind(self.lane),
            query(INPUTS).bind(&ids),
            event(1, TaskState::Ready)?,
            query(TAKE).bind(&ids).bind(session).bind(now),
            query(ATTEMPTS).bind(&ids).bind(session).bind(now),
            query(START_JOBS).bind(&ids),
            event(2, TaskState::Running)?,
            query(END_TASKS).bind(&ids).bind(now),
            query(END_ATTEMPTS).bind(&ids).bind(now).bind(usage),
            query(OUTPUTS).bind(&ids),
            query(END_JOBS).bind(&ids).bind(now),
            event(3, TaskState::Completed)?,
        ] {
            statement.execute(&mut connection).await?;
        }
        Ok(connection.run("COMMIT").await?)
    }

    /// Has a server tidy up now after what was written. Else it does so while somebody measures. A
    /// file needs nothing of the kind.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn tidy(&mut self) -> Result<(), StoreError> {
        let mut connection = self.own.connection();
        if let Connection::Postgres(_) = connection {
            for table in TIDY {
                connection.run(table).await?;
            }
        }
        Ok(())
    }

    /// Closes the connection.
    pub async fn close(self) {
        // It is of no more use either way.
        drop(self.own.close().await);
    }
}
