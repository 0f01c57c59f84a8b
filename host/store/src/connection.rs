//! Talking to whichever database there is.
//!
//! It knows no statement: those stand with their tables, and the few words in which the databases
//! differ in `dialect`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::ops::DerefMut;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{
    AssertSqlSafe, Connection as _, Database, Encode, Executor as _, FromRow, Postgres, SqlSafeStr,
    SqlStr, Sqlite, Transaction, Type,
};

use crate::argument::{self, Argument};
use crate::dialect::{BEGIN_SNAPSHOT, HINT_CHANNEL, Sql};
use crate::error::StoreError;
use crate::failpoint;

/// The longest that a server may leave a statement without any answer. It is longer than the server
/// lets the writer's statements take, so it is met only when the server itself hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// What there is of one database, or of the other.
#[derive(Debug, Clone)]
pub(crate) enum Either<S, P> {
    Sqlite(S),
    Postgres(P),
}

/// A connection that somebody else owns.
pub(crate) type Connection<'c> = Either<File<'c>, &'c mut PgConnection>;

/// The connection to a file. Each statement on it is a turn of that file's own thread, which takes
/// longer than most statements do.
#[derive(Debug)]
pub(crate) struct File<'c> {
    own: &'c mut SqliteConnection,
    /// What is run in the same turn as the next statement, before it. None where nothing may wait.
    before: Option<&'c mut Option<Query>>,
}

impl<'c> File<'c> {
    /// A connection on which nothing waits.
    pub(crate) fn new(own: &'c mut SqliteConnection) -> Self {
        Self { own, before: None }
    }

    /// The connection for [`sqlx`], on which nothing waits.
    pub(crate) fn own(&mut self) -> &mut SqliteConnection {
        self.own
    }

    /// What waits, if anything does.
    fn waiting(&mut self) -> Option<Query> {
        self.before.as_mut().and_then(|before| before.take())
    }
}

/// A connection of one's own.
pub(crate) type Own = Either<Box<SqliteConnection>, Box<PgConnection>>;

/// The connections that only read.
pub(crate) type Readers = Either<SqlitePool, PgPool>;

/// Reads that all see the same moment, until it is dropped.
pub(crate) type Snapshot = Either<Transaction<'static, Sqlite>, Transaction<'static, Postgres>>;

/// A row that was read.
pub(crate) type Row = Either<SqliteRow, PgRow>;

impl<S, P> Either<S, P>
where
    S: DerefMut<Target = SqliteConnection>,
    P: DerefMut<Target = PgConnection>,
{
    /// The connection in it.
    pub(crate) fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::Sqlite(held) => Either::Sqlite(File::new(held)),
            Self::Postgres(held) => Either::Postgres(&mut **held),
        }
    }
}

impl Connection<'_> {
    /// Runs a statement without arguments or answer, or several, which are not prepared.
    pub(crate) async fn run(&mut self, sql: impl Into<Sql>) -> Result<(), sqlx::Error> {
        let sql = sql.into();
        let ran = match self {
            Self::Sqlite(_) => query(sql).fetch_all(self).await.map(drop),
            Self::Postgres(connection) => {
                failpoint::pass();
                let run = sqlx::raw_sql(sql.postgres).execute(&mut **connection);
                answered(run).await.map(drop)
            }
        };
        failpoint::pass();
        ran
    }

    /// Runs a statement on a file that does its work when it is prepared, and not when one that was
    /// prepared is run again, as `PRAGMA synchronous` does.
    pub(crate) async fn run_anew(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        let Self::Sqlite(file) = self else { return Ok(()) };
        sqlx::raw_sql(sql).execute(file.own()).await.map(drop)
    }

    /// Runs what waits for the next statement, and lets nothing wait from now on.
    pub(crate) async fn hurry(&mut self) -> Result<(), sqlx::Error> {
        let Self::Sqlite(file) = self else { return Ok(()) };
        let waiting = file.waiting();
        file.before = None;
        match waiting {
            Some(waiting) => waiting.fetch_all(self).await.map(drop),
            None => Ok(()),
        }
    }

    /// Makes the transaction count. With `hint`, the other processes of a server are told so, by
    /// whoever signs with this word; in the same round trip.
    pub(crate) async fn commit(&mut self, hint: Option<&str>) -> Result<(), sqlx::Error> {
        match (self, hint) {
            (Self::Postgres(connection), Some(signed)) => {
                // Safe: the word is made of hexadecimal digits.
                let sql = AssertSqlSafe(format!("NOTIFY {HINT_CHANNEL}, '{signed}'; COMMIT"));
                answered(sqlx::raw_sql(sql).execute(&mut **connection)).await.map(drop)
            }
            (connection, _) => connection.run("COMMIT").await,
        }
    }
}

/// What a server answers, unless it hangs: the connection is lost then, and what was asked may
/// still happen.
async fn answered<T>(
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(ANSWER_TIMEOUT, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())),
    }
}

impl Own {
    /// The connection in it, on which statements may wait in `before`.
    pub(crate) fn connection_after<'c>(
        &'c mut self,
        before: &'c mut Option<Query>,
    ) -> Connection<'c> {
        match self {
            Self::Sqlite(own) => Either::Sqlite(File { own, before: Some(before) }),
            Self::Postgres(own) => Either::Postgres(own),
        }
    }

    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
    }
}

impl Readers {
    /// Reads every row.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when there is no connection, and [`StoreError::Database`].
    pub(crate) async fn fetch_all(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            // What may connect is large, and would be part of all that reads.
            Self::Sqlite(pool) => {
                let mut held = Box::pin(pool.acquire()).await.map_err(StoreError::unreachable)?;
                query.fetch_all(&mut Either::Sqlite(File::new(&mut held))).await?
            }
            Self::Postgres(pool) => {
                let mut held = Box::pin(pool.acquire()).await.map_err(StoreError::unreachable)?;
                query.fetch_all(&mut Either::Postgres(&mut *held)).await?
            }
        })
    }

    /// Reads the columns of every row.
    pub(crate) async fn read_all<T: Columns>(&self, query: Query) -> Result<Vec<T>, StoreError> {
        Ok(self.fetch_all(query).await?.iter().map(Row::read).collect::<Result<_, _>>()?)
    }

    /// Reads a row, if there is one.
    pub(crate) async fn fetch_optional(&self, query: Query) -> Result<Option<Row>, StoreError> {
        Ok(self.fetch_all(query).await?.into_iter().next())
    }

    /// Reads the columns of a row, if there is one.
    pub(crate) async fn read_optional<T: Columns>(
        &self,
        query: Query,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.fetch_optional(query).await?.as_ref().map(Row::read).transpose()?)
    }

    /// Reads the rows of each of several statements, as of one moment.
    pub(crate) async fn fetch_each<const N: usize>(
        &self,
        all: [Query; N],
    ) -> Result<[Vec<Row>; N], StoreError> {
        let mut snapshot = self.snapshot().await?;
        Ok(Query::fetch_each(all, &mut snapshot.connection()).await?)
    }

    /// Begins reads that all see the same moment.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let begun = match self {
            Self::Sqlite(pool) => {
                Box::pin(pool.begin_with(BEGIN_SNAPSHOT.sqlite)).await.map(Either::Sqlite)
            }
            Self::Postgres(pool) => {
                Box::pin(pool.begin_with(BEGIN_SNAPSHOT.postgres)).await.map(Either::Postgres)
            }
        };
        begun.map_err(StoreError::unreachable)
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Row {
    /// Reads all columns, in their order.
    pub(crate) fn read<T: Columns>(&self) -> Result<T, sqlx::Error> {
        match self {
            Self::Sqlite(row) => T::from_row(row),
            Self::Postgres(row) => T::from_row(row),
        }
    }
}

/// What can be read from the columns of a row: a tuple of numbers, texts, bytes and truths.
pub(crate) trait Columns:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow>
{
}

impl<T> Columns for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> {}

/// A statement and its arguments.
#[must_use]
#[derive(Debug)]
pub(crate) struct Query {
    text: Text,
    arguments: Vec<Argument>,
    /// How many statements it is.
    statements: usize,
}

#[derive(Debug)]
enum Text {
    Fixed(Sql),
    /// Made of fixed parts by [`Query::push`] or [`Query::then`].
    Built(String),
}

impl Text {
    /// As a file understands it.
    fn of_file(&self) -> Cow<'static, str> {
        match self {
            Self::Fixed(sql) => Cow::Borrowed(sql.sqlite),
            Self::Built(text) => Cow::Owned(text.clone()),
        }
    }
}

/// A statement that is always the same.
pub(crate) fn query(sql: impl Into<Sql>) -> Query {
    Query { text: Text::Fixed(sql.into()), arguments: Vec::new(), statements: 1 }
}

impl Query {
    /// Begins a statement that is put together, the same for both databases.
    pub(crate) fn build(start: &'static str) -> Self {
        Self { text: Text::Built(start.to_owned()), arguments: Vec::new(), statements: 1 }
    }

    /// Asks how a file would go about a statement that was put together.
    #[cfg(test)]
    pub(crate) fn explained(mut self) -> Self {
        if let Text::Built(text) = &mut self.text {
            text.insert_str(0, "EXPLAIN QUERY PLAN ");
        }
        self
    }

    /// Adds a part to a statement that is put together.
    pub(crate) fn push(&mut self, part: &'static str) -> &mut Self {
        if let Text::Built(text) = &mut self.text {
            text.push_str(part);
        }
        self
    }

    /// Adds the place of an argument to a statement that is put together, and the argument.
    pub(crate) fn push_bind(&mut self, argument: impl Into<Argument>) -> &mut Self {
        self.arguments.push(argument.into());
        if let Text::Built(text) = &mut self.text {
            // Writing to a text does not fail.
            write!(text, "${}", self.arguments.len()).unwrap_or_default();
        }
        self
    }

    /// Adds the next argument.
    pub(crate) fn bind(mut self, argument: impl Into<Argument>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds a statement that a file runs right after it. The places of its arguments are numbered
    /// on.
    pub(crate) fn then(mut self, next: Self) -> Self {
        let before = self.arguments.len();
        let mut text = self.text.of_file().into_owned();
        text.push(';');
        for (part, written) in next.text.of_file().split('$').enumerate() {
            if part == 0 {
                text.push_str(written);
                continue;
            }
            let end = written.find(|next: char| !next.is_ascii_digit()).unwrap_or(written.len());
            let (place, rest) = written.split_at(end);
            let place = place.parse::<usize>().unwrap_or_default() + before;
            write!(text, "${place}{rest}").unwrap_or_default();
        }
        self.text = Text::Built(text);
        self.arguments.extend(next.arguments);
        self.statements += next.statements;
        self
    }

    /// Runs it no later than the next statement, or the commit. So on a file it takes no turn of
    /// its own.
    pub(crate) async fn later(self, on: &mut Connection<'_>) -> Result<(), sqlx::Error> {
        if let Either::Sqlite(File { before: Some(before), .. }) = on {
            **before = Some(match before.take() {
                Some(first) => first.then(self),
                None => self,
            });
            return Ok(());
        }
        self.fetch_all(on).await.map(drop)
    }

    /// Runs it. Returns how many rows it changed.
    pub(crate) async fn execute(self, on: &mut Connection<'_>) -> Result<u64, sqlx::Error> {
        if let Either::Sqlite(file) = on
            && let Some(waiting) = file.waiting()
        {
            // In a turn of its own: the rows of both would be counted.
            waiting.fetch_all(on).await?;
        }
        failpoint::pass();
        match on {
            Either::Sqlite(file) => {
                let (sql, arguments) = self.parts::<Sqlite>(|sql| sql.sqlite)?;
                let query = sqlx::query_with(sql, arguments);
                Ok(query.execute(file.own()).await?.rows_affected())
            }
            Either::Postgres(connection) => {
                let (sql, arguments) = self.parts::<Postgres>(|sql| sql.postgres)?;
                let query = sqlx::query_with(sql, arguments);
                Ok(answered(query.execute(&mut **connection)).await?.rows_affected())
            }
        }
    }

    /// Reads every row.
    pub(crate) async fn fetch_all(self, on: &mut Connection<'_>) -> Result<Vec<Row>, sqlx::Error> {
        failpoint::pass();
        match on {
            Either::Sqlite(file) => {
                let all = match file.waiting() {
                    Some(waiting) => waiting.then(self),
                    None => self,
                };
                let (sql, arguments) = all.parts::<Sqlite>(|sql| sql.sqlite)?;
                let rows = sqlx::query_with(sql, arguments).fetch_all(file.own()).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Either::Postgres(connection) => {
                let (sql, arguments) = self.parts::<Postgres>(|sql| sql.postgres)?;
                let query = sqlx::query_with(sql, arguments);
                let rows = answered(query.fetch_all(&mut **connection)).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// Reads the rows of each of several statements, on a file in one turn.
    pub(crate) async fn fetch_each<const N: usize>(
        all: [Self; N],
        on: &mut Connection<'_>,
    ) -> Result<[Vec<Row>; N], sqlx::Error> {
        let mut each = [const { Vec::new() }; N];
        let Either::Sqlite(file) = on else {
            for (rows, one) in each.iter_mut().zip(all) {
                *rows = one.fetch_all(on).await?;
            }
            return Ok(each);
        };
        failpoint::pass();
        let waiting = file.waiting();
        let mut before = waiting.as_ref().map_or(0, |waiting| waiting.statements);
        let all = waiting.into_iter().chain(all).reduce(Self::then);
        let Some(all) = all else { return Ok(each) };
        let (sql, arguments) = all.parts::<Sqlite>(|sql| sql.sqlite)?;
        let mut answers = file.own().fetch_many(sqlx::query_with(sql, arguments));
        let mut own = each.iter_mut().peekable();
        while let Some(answer) = answers.try_next().await? {
            match answer {
                sqlx::Either::Left(_) if before > 0 => before -= 1,
                // The end of a statement.
                sqlx::Either::Left(_) => drop(own.next()),
                sqlx::Either::Right(row) => {
                    if let Some(rows) = own.peek_mut().filter(|_| before == 0) {
                        rows.push(Row::Sqlite(row));
                    }
                }
            }
        }
        drop((own, answers));
        Ok(each)
    }

    /// Reads a row, if there is one.
    pub(crate) async fn fetch_optional(
        self,
        on: &mut Connection<'_>,
    ) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.fetch_all(on).await?.into_iter().next())
    }

    /// Reads the columns of every row.
    pub(crate) async fn read_all<T: Columns>(
        self,
        on: &mut Connection<'_>,
    ) -> Result<Vec<T>, sqlx::Error> {
        self.fetch_all(on).await?.iter().map(Row::read).collect()
    }

    /// Reads the columns of a row, if there is one.
    pub(crate) async fn read_optional<T: Columns>(
        self,
        on: &mut Connection<'_>,
    ) -> Result<Option<T>, sqlx::Error> {
        self.fetch_optional(on).await?.as_ref().map(Row::read).transpose()
    }

    /// Reads the columns of a row that is there.
    pub(crate) async fn read_one<T: Columns>(
        self,
        on: &mut Connection<'_>,
    ) -> Result<T, sqlx::Error> {
        self.read_optional(on).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// The text and the arguments, as one database takes them.
    fn parts<D: Database>(
        self,
        of: impl Fn(Sql) -> &'static str,
    ) -> Result<(SqlStr, D::Arguments), sqlx::Error>
    where
        Option<i64>: for<'q> Encode<'q, D> + Type<D>,
        Option<String>: for<'q> Encode<'q, D> + Type<D>,
        Vec<u8>: for<'q> Encode<'q, D> + Type<D>,
        bool: for<'q> Encode<'q, D> + Type<D>,
    {
        let text = match self.text {
            Text::Fixed(sql) => of(sql).into_sql_str(),
            // Safe: its parts are fixed, and all that varies is an argument.
            Text::Built(text) => AssertSqlSafe(text).into_sql_str(),
        };
        Ok((text, argument::bound::<D>(self.arguments)?))
    }
}
