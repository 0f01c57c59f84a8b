//! Where the two databases differ.
//!
//! Every other statement is written once, in what both understand: `$1`, `RETURNING`,
//! `ON CONFLICT`, `CAST`. Rows travel as one JSON array, whose items are arrays of columns.
//!
//! `state + 0 = 3`, beside an id, compares the state of the task with that id. For `state = 3`,
//! `PostgreSQL` may go through the index of all running tasks instead, and through those that ran
//! since it last tidied up.

/// A statement, as each database understands it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sql {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

impl From<&'static str> for Sql {
    fn from(both: &'static str) -> Self {
        Self { sqlite: both, postgres: both }
    }
}

/// Writes a statement once for both databases, where it needs a word that they do not share:
///
/// - `ROWS`: the items of the JSON array `$1`, each in the column `value`, by a name that must
///   follow. `SQLite` keeps them in its binary form of JSON: as text, each would be written out and
///   read again;
/// - `EACH`: the same, for statements that take many columns of each row and look nothing up by
///   them. `SQLite` hands each row on, where it would copy it out for each column;
/// - `SKIP_LOCKED`: the rows that are read are taken, and those that another has taken left out.
macro_rules! sql {
    ($($part:tt),+ $(,)?) => {
        $crate::dialect::Sql {
            sqlite: concat!($($crate::dialect::sql!(@sqlite $part)),+),
            postgres: concat!($($crate::dialect::sql!(@postgres $part)),+),
        }
    };
    (@sqlite ROWS) => { "jsonb_each($1)" };
    // A limit that is none keeps it from being merged with what reads it.
    (@sqlite EACH) => { "(SELECT value FROM jsonb_each($1) LIMIT -1 OFFSET 0)" };
    (@postgres EACH) => { "jsonb_array_elements(CAST($1 AS JSONB))" };
    // It takes an array for a hundred rows, and may read a small table as a whole to find them. What
    // it knows nothing of, as of this, it takes for one of as many as there are: so it expects one.
    (@postgres ROWS) => {
        "(SELECT value FROM jsonb_array_elements(CAST($1 AS JSONB)) \
          WHERE CAST(value IS NOT NULL AS INTEGER) = 1)"
    };
    // There is one writer at a time, so nothing is locked.
    (@sqlite SKIP_LOCKED) => { "" };
    (@postgres SKIP_LOCKED) => { "FOR UPDATE SKIP LOCKED" };
    (@$_database:ident $text:literal) => { $text };
}
pub(crate) use sql;

/// Begins a change, as the only one of all processes: `SQLite` by its lock on the file, and
/// `PostgreSQL` by a lock that ends with the transaction. It is 0x6170666c6f77, which spells
/// "apflow".
pub(crate) const BEGIN: Sql = Sql {
    sqlite: "BEGIN IMMEDIATE",
    postgres: "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(107135382613879)",
};

/// Begins a change as [`BEGIN`] does, whose commit does not wait for the disk. On a file it is
/// [`sync_of_file`] that says so.
pub(crate) const BEGIN_UNSYNCED: Sql = Sql {
    sqlite: BEGIN.sqlite,
    postgres: "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit TO off; \
               SELECT pg_advisory_xact_lock(107135382613879)",
};

/// Says whether all commits to a file from now on wait for the disk.
pub(crate) const fn sync_of_file(is_synced: bool) -> &'static str {
    if is_synced { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" }
}

/// Begins reads that all see the same moment.
pub(crate) const BEGIN_SNAPSHOT: Sql =
    Sql { sqlite: "BEGIN", postgres: "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY" };

/// The first `$2` ready tasks of each of the lanes `$1`, by their place in the order of a lane.
///
/// A subquery for each row is read by an index where `SQLite` finds `IN`, and `PostgreSQL` finds
/// `LATERAL`.
pub(crate) const FIRST_OF_LANES: Sql = Sql {
    sqlite: "\
    SELECT head.lane_id, head.priority, head.run_at, head.id \
    FROM json_each($1) AS wanted JOIN task AS head ON head.id IN ( \
      SELECT id FROM task WHERE lane_id = CAST(wanted.value AS BIGINT) AND state = 2 \
      ORDER BY priority, run_at, id LIMIT $2)",
    postgres: "\
    SELECT head.lane_id, head.priority, head.run_at, head.id \
    FROM jsonb_array_elements(CAST($1 AS JSONB)) AS wanted CROSS JOIN LATERAL ( \
      SELECT lane_id, priority, run_at, id FROM task \
      WHERE lane_id = CAST(wanted.value AS BIGINT) AND state = 2 \
      ORDER BY priority, run_at, id LIMIT $2) AS head",
};

/// The first `$3` ready tasks of each of the first `$2` lanes after `$1` that have some, as
/// [`FIRST_OF_LANES`] finds them.
pub(crate) const FIRST_OF_READY: Sql = Sql {
    sqlite: "\
    SELECT head.lane_id, head.priority, head.run_at, head.id \
    FROM (SELECT lane_id FROM tally WHERE state = 2 AND lane_id > $1 \
          ORDER BY lane_id LIMIT $2) AS wanted \
    JOIN task AS head ON head.id IN ( \
      SELECT id FROM task WHERE lane_id = wanted.lane_id AND state = 2 \
      ORDER BY priority, run_at, id LIMIT $3)",
    postgres: "\
    SELECT head.lane_id, head.priority, head.run_at, head.id \
    FROM (SELECT lane_id FROM tally WHERE state = 2 AND lane_id > $1 \
          ORDER BY lane_id LIMIT $2) AS wanted \
    CROSS JOIN LATERAL ( \
      SELECT lane_id, priority, run_at, id FROM task \
      WHERE lane_id = wanted.lane_id AND state = 2 \
      ORDER BY priority, run_at, id LIMIT $3) AS head",
};

/// A number for a process that makes ids, which no other has that makes some at the same time. Two
/// processes on one file are few, so there it is drawn.
pub(crate) const NODE: Sql =
    Sql { sqlite: "SELECT random() & 1023", postgres: "SELECT nextval('node') % 1024" };

/// Where the processes of a server give each other hints.
pub(crate) const HINT_CHANNEL: &str = "apflow";

/// Changes nothing, durably: fails as long as nothing can be written.
pub(crate) const PROBE: &str = "\
    UPDATE session SET started_at = started_at WHERE id = (SELECT max(id) FROM session)";

/// What an error means for what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The connection is gone: only a new one may work.
    Lost,
    /// Nothing can be written or read at present, for example because the disk is full.
    Unavailable,
    /// Another transaction was in the way: the same one may work now.
    Conflict,
    /// It is what was asked for that failed.
    Refused,
}

impl Trouble {
    /// What this error means.
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "`sqlx` may add errors")]
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => Self::Lost,
            sqlx::Error::PoolTimedOut => Self::Unavailable,
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default();
                let is_server =
                    error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some();
                if is_server { Self::of_server(&code) } else { Self::of_file(&code) }
            }
            _ => Self::Refused,
        }
    }

    /// See <https://www.sqlite.org/rescode.html>: the low byte of a code is its kind.
    fn of_file(code: &str) -> Self {
        /// Busy, read-only, I/O error, full, cannot be opened.
        const UNAVAILABLE: [i32; 5] = [5, 8, 10, 13, 14];
        let kind = code.parse().unwrap_or(0) & 0xff;
        if UNAVAILABLE.contains(&kind) { Self::Unavailable } else { Self::Refused }
    }

    /// See <https://www.postgresql.org/docs/current/errcodes-appendix.html>: the first two
    /// characters of a code are its class.
    fn of_server(code: &str) -> Self {
        match (code.get(..2), code) {
            // Connection exceptions, the server was shut down, and it gave up on a process that
            // stood still within a transaction.
            (Some("08"), _) | (_, "57P01" | "57P02" | "57P03" | "57P05" | "25P03") => Self::Lost,
            // Full or broken disks, too many connections, out of memory; a standby; and what took
            // longer than anything may take.
            (Some("53" | "58"), _) | (_, "25006" | "55P03" | "57014") => Self::Unavailable,
            (_, "40001" | "40P01") => Self::Conflict,
            _ => Self::Refused,
        }
    }
}
