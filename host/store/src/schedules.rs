//! Schedules: what is to be submitted when, and firing them.
//!
//! A tick is dealt with by moving `next_at` past it, in the same transaction that stores its job: of
//! any number of hosts that try, one does, and a crash leaves both or neither. Which ticks are due
//! is `apflow_model::schedule`'s to say.

use apflow_model::access::ADMIN;
use apflow_model::capability::Grant;
use apflow_model::clock::Timestamp;
use apflow_model::id::JobId;
use apflow_model::job::{Job, Origin};
use apflow_model::schedule::{Schedule, ScheduleSpec, Step, TickCounts, TickFault};

use crate::connection::{Connection, Row, query};
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::plan::NewJob;
use crate::row;
use crate::store::Store;
use crate::submission::Submit;
use crate::write::{Write, WriteGroup};

/// The most schedules one page holds.
pub const SCHEDULES_PER_PAGE_MAX: u32 = 1_000;

/// How many due schedules are looked up at once.
const DUE_MAX: u32 = 100;

/// A schedule to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSchedule {
    /// Its name.
    pub name: String,
    /// Who makes it. One that is there keeps who made it.
    pub principal: String,
    /// The role that they act in. One that is there keeps that of who made it.
    pub role: String,
    /// What it does, and when.
    pub spec: ScheduleSpec,
    /// What the operator allows its jobs alone, beside what their plugins are granted.
    pub grants: Vec<Grant>,
}

/// A page of schedules, by name.
#[derive(Debug, Clone, PartialEq)]
pub struct SchedulePage {
    /// The schedules, without their jobs.
    pub schedules: Vec<Schedule>,
    /// What to pass as `after` for the next page. None on the last one.
    pub next: Option<String>,
}

/// A step of a schedule that is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// The schedule, as it was read.
    pub schedule: Schedule,
    /// The tick that it was due at: nothing is done when another has dealt with it.
    pub due: Timestamp,
    /// What to do.
    pub step: Step,
    /// The job of the step's tick, or why it was refused.
    pub job: Option<Result<NewJob, TickFault>>,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Fired {
    /// The job of its tick is stored.
    Submitted(JobId),
    /// Its tick was skipped, since a job of an earlier one has not ended.
    Skipped,
    /// Its tick has failed, since the job was refused.
    Failed,
    /// It had no tick: all were missed.
    Missed,
    /// Another host dealt with it, or somebody changed the schedule meanwhile.
    Outdated,
}

impl Store {
    /// Stores a schedule, in the place of what had its name before: its history goes on.
    ///
    /// One that ticks at the same times as before keeps its next tick, so that none is lost. When
    /// `owner` is given, only its schedules are replaced. None when it is another's.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn put_schedule(
        &self,
        new: NewSchedule,
        owner: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<Schedule>, StoreError> {
        self.write(Put { new, owner: owner.map(str::to_owned), now }).await
    }

    /// Finds the schedule with this name, if it is `owner`'s, or whoever's it is when none is given.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn find_schedule(
        &self,
        name: &str,
        owner: Option<&str>,
    ) -> Result<Option<Schedule>, StoreError> {
        let find = query(FIND).bind(name).bind(owner.map(str::to_owned));
        self.readers().fetch_optional(find).await?.as_ref().map(read).transpose()
    }

    /// Lists the schedules, of one owner or of all, whose names come after `after`.
    ///
    /// `limit` is brought into 1 to [`SCHEDULES_PER_PAGE_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn list_schedules(
        &self,
        owner: Option<&str>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<SchedulePage, StoreError> {
        let limit = limit.clamp(1, SCHEDULES_PER_PAGE_MAX);
        let list = query(LIST)
            .bind(after.unwrap_or_default())
            .bind(owner.map(str::to_owned))
            .bind(limit + 1);
        let rows = self.readers().fetch_all(list).await?;
        let mut schedules = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = schedules.len() > wanted;
        schedules.truncate(wanted);
        let next = schedules.last().filter(|_| has_more).map(|last| last.name.clone());
        Ok(SchedulePage { schedules, next })
    }

    /// Removes the schedule with this name, if it is `owner`'s. Returns what was there. Its jobs
    /// stay.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn remove_schedule(
        &self,
        name: &str,
        owner: Option<&str>,
    ) -> Result<Option<Schedule>, StoreError> {
        let (name, owner) = (name.to_owned(), owner.map(str::to_owned));
        self.write(Remove { name, owner }).await
    }

    /// Pauses a schedule, if it is `owner`'s, or lets it go on with its first tick after `now`:
    /// those of the pause are none. None when there is no such schedule.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn pause_schedule(
        &self,
        name: &str,
        owner: Option<&str>,
        is_paused: bool,
        now: Timestamp,
    ) -> Result<Option<Schedule>, StoreError> {
        let (name, owner) = (name.to_owned(), owner.map(str::to_owned));
        self.write(Pause { name, owner, is_paused, now }).await
    }

    /// The schedules with a tick at `now` or before, the longest due first: some of them, if there
    /// are many. One that cannot be read is logged and left out.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn due_schedules(&self, now: Timestamp) -> Result<Vec<Schedule>, StoreError> {
        let rows = self.readers().fetch_all(query(DUE).bind(now.unix_ms()).bind(DUE_MAX)).await?;
        Ok(rows.iter().filter_map(read_or_log).collect())
    }

    /// When the next schedule ticks, perhaps in the past. None when none will.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn next_tick_at(&self) -> Result<Option<Timestamp>, StoreError> {
        const SQL: &str = "SELECT min(next_at) FROM schedule";
        let next: Option<(Option<i64>,)> = self.readers().read_optional(query(SQL)).await?;
        Ok(next.and_then(|(next,)| next).map(Timestamp::from_unix_ms))
    }

    /// Does a step of a schedule: moves it to its next tick, and submits the job of this one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn fire_schedule(&self, due: Due, now: Timestamp) -> Result<Fired, StoreError> {
        let Due { schedule, due, step, job } = due;
        let outcome = match (step.tick, job) {
            (Some(tick), Some(Ok(job))) => {
                let origin = Origin { schedule: schedule.name.clone(), tick };
                Outcome::Submit(Box::new(self.plan_run(&job, origin, now).await?))
            }
            (_, Some(Err(fault))) => Outcome::Fail(row::text(&fault)?),
            (_, None) | (None, _) => Outcome::Miss,
        };
        let Schedule { name, revision, .. } = schedule;
        self.write(Fire { name, revision, due, step, outcome }).await
    }

    /// Submits a job for a schedule now, whether it is paused or not, and whatever else it runs.
    ///
    /// None when the schedule is gone, or was changed since it was read.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooManyTasks`] and [`StoreError::Database`]; nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn trigger_schedule(
        &self,
        schedule: &Schedule,
        job: NewJob,
        now: Timestamp,
    ) -> Result<Option<Job>, StoreError> {
        let (name, revision) = (schedule.name.clone(), schedule.revision);
        let origin = Origin { schedule: name.clone(), tick: now };
        let run = self.plan_run(&job, origin, now).await?;
        let job = run.job.clone();
        let is_stored = self.write(Trigger { name, revision, run }).await?;
        Ok(is_stored.then_some(job))
    }

    async fn plan_run(
        &self,
        job: &NewJob,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Run, StoreError> {
        let (mut job, rows) = self.plan(job, now).await?;
        job.origin = Some(origin.clone());
        Ok(Run { job, rows, origin })
    }
}

const FIND: &str = "SELECT * FROM schedule WHERE name = $1 AND principal = COALESCE($2, principal)";

const LIST: &str = "\
    SELECT name, principal, role, cron, time_zone, 'null' AS job, grants, overlap, missed_policy, \
           starts_at, ends_at, paused, revision, created_at, next_at, last_at, last_job, \
           last_fault, fired, skipped, missed, failed \
    FROM schedule WHERE name > $1 AND principal = COALESCE($2, principal) ORDER BY name LIMIT $3";

const DUE: &str = "SELECT * FROM schedule WHERE next_at <= $1 ORDER BY next_at, name LIMIT $2";

fn read(row: &Row) -> Result<Schedule, StoreError> {
    let spec = ScheduleSpec {
        cron: word(row, "cron")?,
        time_zone: word(row, "time_zone")?,
        job: row::json(row, "job")?,
        overlap: word(row, "overlap")?,
        missed: word(row, "missed_policy")?,
        starts_at: row::perhaps_moment(row, "starts_at")?,
        ends_at: row::perhaps_moment(row, "ends_at")?,
        paused: row::column(row, "paused")?,
    };
    let counts = TickCounts {
        fired: row::number(row, "fired")?,
        skipped: row::number(row, "skipped")?,
        missed: row::number(row, "missed")?,
        failed: row::number(row, "failed")?,
    };
    Ok(Schedule {
        name: row::column(row, "name")?,
        principal: row::column(row, "principal")?,
        role: row::column::<Option<String>>(row, "role")?.unwrap_or_else(|| ADMIN.to_owned()),
        spec,
        grants: row::json(row, "grants")?,
        created_at: row::moment(row, "created_at")?,
        next_at: row::perhaps_moment(row, "next_at")?,
        last_at: row::perhaps_moment(row, "last_at")?,
        last_job: row::column::<Option<i64>>(row, "last_job")?.map(JobId),
        last_fault: row::perhaps_json(row, "last_fault")?,
        counts,
        revision: row::column(row, "revision")?,
    })
}

/// Reads a column that holds a word of the model.
fn word<T: std::str::FromStr<Err = String>>(row: &Row, name: &str) -> Result<T, StoreError> {
    let text: &str = row::column(row, name)?;
    text.parse().map_err(|error| StoreError::corrupt(format!("`{name}`: {error}")))
}

fn read_or_log(row: &Row) -> Option<Schedule> {
    match read(row) {
        Ok(schedule) => Some(schedule),
        Err(error) => {
            let name = row::column::<&str>(row, "name").unwrap_or_default();
            tracing::error!(%name, %error, "a schedule does not tick until it is written again");
            None
        }
    }
}

async fn find(
    connection: &mut Connection<'_>,
    name: &str,
    owner: Option<&String>,
) -> Result<Option<Schedule>, StoreError> {
    let find = query(FIND).bind(name).bind(owner.cloned());
    find.fetch_optional(connection).await?.as_ref().map(read).transpose()
}

struct Put {
    new: NewSchedule,
    owner: Option<String>,
    now: Timestamp,
}

const PUT: &str = "\
    INSERT INTO schedule (name, principal, cron, time_zone, job, grants, overlap, missed_policy, \
                          starts_at, ends_at, paused, revision, created_at, next_at, role) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, $12, $13, $14) \
    ON CONFLICT (name) DO UPDATE SET cron = excluded.cron, time_zone = excluded.time_zone, \
        job = excluded.job, grants = excluded.grants, overlap = excluded.overlap, \
        missed_policy = excluded.missed_policy, starts_at = excluded.starts_at, \
        ends_at = excluded.ends_at, paused = excluded.paused, next_at = excluded.next_at, \
        revision = schedule.revision + 1, \
        role = CASE WHEN schedule.principal = excluded.principal THEN excluded.role \
                    ELSE schedule.role END \
    RETURNING *";

impl Write for Put {
    type Output = Option<Schedule>;

    fn is_change(put: &Self::Output) -> bool {
        put.is_some()
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        let NewSchedule { name, principal, role, spec, grants } = &self.new;
        let before = find(connection, name, None).await?;
        let is_theirs =
            |before: &Schedule| self.owner.as_ref().is_some_and(|owner| *owner != before.principal);
        if before.as_ref().is_some_and(is_theirs) {
            return Ok(None);
        }
        let next_at = match &before {
            _ if spec.paused => None,
            Some(before) if !before.spec.paused && before.spec.has_times_of(spec) => before.next_at,
            before => spec.next_after(self.now.max(last_tick(before.as_ref()))),
        };
        let put = query(PUT).bind(name).bind(principal).bind(spec.cron.to_string());
        let put = put.bind(spec.time_zone.to_string()).bind(spec.job.to_string());
        let put = put.bind(row::text(grants)?).bind(spec.overlap.name());
        let put = put.bind(spec.missed.to_string()).bind(spec.starts_at.map(Timestamp::unix_ms));
        let put = put.bind(spec.ends_at.map(Timestamp::unix_ms)).bind(spec.paused);
        let put = put.bind(self.now.unix_ms()).bind(next_at.map(Timestamp::unix_ms)).bind(role);
        put.fetch_optional(connection).await?.as_ref().map(read).transpose()
    }
}

/// The last tick that was dealt with: no later one is a tick again, even when the clock went back.
fn last_tick(schedule: Option<&Schedule>) -> Timestamp {
    schedule.and_then(|schedule| schedule.last_at).unwrap_or(Timestamp::from_unix_ms(i64::MIN))
}

struct Remove {
    name: String,
    owner: Option<String>,
}

impl Write for Remove {
    type Output = Option<Schedule>;

    fn is_change(removed: &Self::Output) -> bool {
        removed.is_some()
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        const SQL: &str = "DELETE FROM schedule \
                           WHERE name = $1 AND principal = COALESCE($2, principal) RETURNING *";
        let remove = query(SQL).bind(&self.name).bind(self.owner.clone());
        remove.fetch_optional(connection).await?.as_ref().map(read).transpose()
    }
}

struct Pause {
    name: String,
    owner: Option<String>,
    is_paused: bool,
    now: Timestamp,
}

impl Write for Pause {
    type Output = Option<Schedule>;

    fn is_change(paused: &Self::Output) -> bool {
        paused.is_some()
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        const SQL: &str = "UPDATE schedule SET paused = $2, next_at = $3, revision = revision + 1 \
                           WHERE name = $1 RETURNING *";
        let found = find(connection, &self.name, self.owner.as_ref()).await?;
        let Some(found) = found.filter(|found| found.spec.paused != self.is_paused) else {
            return find(connection, &self.name, self.owner.as_ref()).await;
        };
        let after = self.now.max(last_tick(Some(&found)));
        let next_at = if self.is_paused { None } else { found.spec.next_after(after) };
        let pause =
            query(SQL).bind(&self.name).bind(self.is_paused).bind(next_at.map(Timestamp::unix_ms));
        pause.fetch_optional(connection).await?.as_ref().map(read).transpose()
    }
}

/// A job of a schedule, and its rows.
struct Run {
    job: Job,
    rows: Submit,
    origin: Origin,
}

impl Run {
    /// Stores the job, and in its history where it comes from. Answers why not, when it is not
    /// admitted: nothing is stored then.
    async fn store(
        &self,
        connection: &mut Connection<'_>,
    ) -> Result<Option<StoreError>, StoreError> {
        const MARK: &str = "UPDATE job SET schedule = $2, tick_at = $3 WHERE id = $1";
        const COUNT: &str = "\
            UPDATE schedule SET fired = fired + 1, last_job = $2, last_fault = NULL \
            WHERE name = $1";
        let Origin { schedule, tick } = &self.origin;
        let (id, now) = (self.job.id, self.job.created_at);
        let rows = std::slice::from_ref(&self.rows);
        let refused =
            Submit::apply_group(rows, connection).await?.into_iter().find_map(Result::err);
        if refused.is_some() {
            return Ok(refused);
        }
        let mark = query(MARK).bind(id.0).bind(schedule).bind(tick.unix_ms());
        mark.execute(connection).await?;
        events::append(connection, vec![Draft::of_origin(id, self.origin.clone(), now)]).await?;
        query(COUNT).bind(schedule).bind(id.0).execute(connection).await?;
        Ok(None)
    }
}

struct Fire {
    name: String,
    revision: i64,
    due: Timestamp,
    step: Step,
    outcome: Outcome,
}

/// What is to come of the tick of a step.
enum Outcome {
    Submit(Box<Run>),
    /// The job was refused, for a reason that is written as JSON.
    Fail(String),
    /// There is no tick.
    Miss,
}

/// Of all who try to move a schedule past a tick, one does.
const MOVE: &str = "\
    UPDATE schedule SET next_at = $4, last_at = COALESCE($5, last_at), missed = missed + $6 \
    WHERE name = $1 AND revision = $2 AND next_at = $3 RETURNING overlap = 'skip'";

const OPEN_RUN: &str = "SELECT 1 FROM job WHERE schedule = $1 AND ended_at IS NULL LIMIT 1";

impl Write for Fire {
    type Output = Fired;

    fn is_change(fired: &Fired) -> bool {
        matches!(fired, Fired::Submitted(_) | Fired::Failed)
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Fired, StoreError> {
        const SKIP: &str = "UPDATE schedule SET skipped = skipped + 1 WHERE name = $1";
        const FAIL: &str =
            "UPDATE schedule SET failed = failed + 1, last_fault = $2 WHERE name = $1";
        let moved: Option<(bool,)> = query(MOVE)
            .bind(&self.name)
            .bind(self.revision)
            .bind(self.due.unix_ms())
            .bind(self.step.next_at.map(Timestamp::unix_ms))
            .bind(self.step.tick.map(Timestamp::unix_ms))
            .bind(row::count(self.step.missed))
            .read_optional(connection)
            .await?;
        let Some((skips,)) = moved else { return Ok(Fired::Outdated) };
        let run = match &self.outcome {
            Outcome::Submit(run) => run,
            Outcome::Fail(fault) => {
                query(FAIL).bind(&self.name).bind(fault).execute(connection).await?;
                return Ok(Fired::Failed);
            }
            Outcome::Miss => return Ok(Fired::Missed),
        };
        let open = query(OPEN_RUN).bind(&self.name);
        if skips && open.fetch_optional(connection).await?.is_some() {
            query(SKIP).bind(&self.name).execute(connection).await?;
            return Ok(Fired::Skipped);
        }
        if let Some(refused) = run.store(connection).await? {
            let fault = TickFault { tick: run.origin.tick, message: refused.to_string() };
            query(FAIL).bind(&self.name).bind(row::text(&fault)?).execute(connection).await?;
            return Ok(Fired::Failed);
        }
        Ok(Fired::Submitted(run.job.id))
    }
}

struct Trigger {
    name: String,
    revision: i64,
    run: Run,
}

impl Write for Trigger {
    /// Whether the job was stored.
    type Output = bool;

    fn is_change(is_stored: &bool) -> bool {
        *is_stored
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT 1 FROM schedule WHERE name = $1 AND revision = $2";
        let find = query(SQL).bind(&self.name).bind(self.revision);
        if find.fetch_optional(connection).await?.is_none() {
            return Ok(false);
        }
        self.run.store(connection).await?.map_or(Ok(true), Err)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Row as _};

    use super::*;
    use crate::address::Address;
    use crate::connection::Either;

    #[tokio::test]
    async fn what_is_due_and_what_still_runs_is_read_off_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::File(folder.path().join("apflow.db"));
        let store = Store::open(&address).await.unwrap();
        let Either::Sqlite(readers) = store.readers() else { panic!("it is a file") };
        for (sql, index) in [(DUE, "schedule_by_next_at"), (OPEN_RUN, "job_open_by_schedule")] {
            let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let rows = sqlx::query(explain).fetch_all(readers).await.unwrap();
            let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            assert!(steps[0].contains(index) && steps[0].starts_with("SEARCH"), "{steps:?}");
        }
    }
}
