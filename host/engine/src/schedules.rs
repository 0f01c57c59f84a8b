//! Schedules: keeping them, and submitting their jobs when they tick.
//!
//! Every host that dispatches looks for ticks that are due; the store lets one of them fire each.

use std::sync::Arc;
use std::time::Duration;

use apflow_model::access::Principal;
use apflow_model::audit::{Decision, Record};
use apflow_model::capability::Grant;
use apflow_model::hops::Hops;
use apflow_model::job::{Job, SpecFault};
use apflow_model::manifest;
use apflow_model::schedule::{Schedule, ScheduleSpec, TickFault};
use apflow_store::{Due, Fired, NewJob, NewSchedule, SchedulePage};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::engine::Engine;
use crate::error::{EngineError, chain};
use crate::submit::NewSubmission;

/// How often to look for due ticks at least: another process may have written a schedule.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A schedule as a caller hands it in.
pub struct PutSchedule {
    /// Its name.
    pub name: String,
    /// What it does and when, as JSON.
    pub spec: Value,
    /// Who makes it, and submits its jobs.
    pub principal: Principal,
    /// What the operator allows its jobs alone.
    pub grants: Vec<Grant>,
}

impl Engine {
    /// Keeps a schedule, in the place of what had its name before. Its job is checked as one that is
    /// submitted now.
    ///
    /// When `owner` is given, only its schedules are replaced.
    ///
    /// # Errors
    ///
    /// [`EngineError::InvalidSchedule`], what [`Engine::submit`] says of its job with the place
    /// below `/job`, [`EngineError::ScheduleTaken`], and [`EngineError::Store`]. Nothing is changed
    /// then.
    pub async fn put_schedule(
        self: &Arc<Self>,
        new: PutSchedule,
        owner: Option<&str>,
    ) -> Result<Schedule, EngineError> {
        let PutSchedule { name, spec, principal, grants } = new;
        let fault = |message| EngineError::InvalidSchedule(SpecFault::new("/name", message));
        let name = manifest::check_name(&name).map_err(fault)?;
        let spec = ScheduleSpec::parse(spec).map_err(EngineError::InvalidSchedule)?;
        let job = NewSubmission {
            job: spec.job.clone(),
            principal: principal.clone(),
            grants: grants.clone(),
            hops: Hops::default(),
        };
        self.checked(job).await.map_err(|error| error.below("/job"))?;
        let Principal { name: principal, role, .. } = principal;
        let new = NewSchedule { name: name.clone(), principal, role, spec, grants };
        let put = self.store.put_schedule(new, owner, self.now()).await?;
        put.ok_or(EngineError::ScheduleTaken(name))
    }

    /// Finds a schedule, if it is `owner`'s, or whoever's it is when none is given.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownSchedule`] and [`EngineError::Store`].
    pub async fn show_schedule(
        &self,
        name: &str,
        owner: Option<&str>,
    ) -> Result<Schedule, EngineError> {
        known(name, self.store.find_schedule(name, owner).await?)
    }

    /// Lists schedules by name, of one owner or of all, without their jobs. `limit` is brought into
    /// 1 to 1000.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn list_schedules(
        &self,
        owner: Option<&str>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<SchedulePage, EngineError> {
        Ok(self.store.list_schedules(owner, after, limit).await?)
    }

    /// Removes a schedule. Its jobs stay.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownSchedule`] and [`EngineError::Store`].
    pub async fn remove_schedule(
        &self,
        name: &str,
        owner: Option<&str>,
    ) -> Result<Schedule, EngineError> {
        known(name, self.store.remove_schedule(name, owner).await?)
    }

    /// Lets a schedule rest, or go on with its first tick from now.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownSchedule`] and [`EngineError::Store`].
    pub async fn pause_schedule(
        &self,
        name: &str,
        owner: Option<&str>,
        is_paused: bool,
    ) -> Result<Schedule, EngineError> {
        known(name, self.store.pause_schedule(name, owner, is_paused, self.now()).await?)
    }

    /// Submits the job of a schedule now, whether it is paused or not. `hops` are the hosts that the
    /// wish for it came through.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownSchedule`], what [`Engine::submit`] says of its job, and
    /// [`EngineError::Store`]. Nothing is stored then.
    pub async fn trigger_schedule(
        self: &Arc<Self>,
        name: &str,
        owner: Option<&str>,
        hops: Hops,
    ) -> Result<Job, EngineError> {
        self.admit_jobs()?;
        let schedule = self.show_schedule(name, owner).await?;
        let job = self.job_of(&schedule, hops).await?;
        let stored = self.store.trigger_schedule(&schedule, job, self.now()).await;
        known(name, stored.map_err(EngineError::of_submission)?)
    }

    /// The job of a schedule, checked as one that is submitted now: a plugin may be gone, and its
    /// maker's role may not run a tool any more.
    async fn job_of(
        self: &Arc<Self>,
        schedule: &Schedule,
        hops: Hops,
    ) -> Result<NewJob, EngineError> {
        let principal = self.roles().principal(&schedule.principal, &schedule.role);
        let unknown = || EngineError::UnknownRole(schedule.role.clone());
        let principal = principal.ok_or_else(unknown)?;
        let job = NewSubmission {
            job: schedule.spec.job.clone(),
            principal,
            grants: schedule.grants.clone(),
            hops,
        };
        let checked = self.checked(job).await.map_err(|error| error.below("/job"))?;
        Ok(checked.job)
    }

    /// What a tick is recorded as: its schedule submits in the name of who made it.
    fn record_of(&self, schedule: &Schedule, fault: Option<&TickFault>) -> Record {
        Record {
            at: self.now(),
            principal: Some(schedule.principal.clone()),
            role: Some(schedule.role.clone()),
            verb: "jobs.submit".to_owned(),
            target: None,
            decision: if fault.is_some() { Decision::Failed } else { Decision::Allowed },
            code: fault.map(|_| "invalid-schedule".to_owned()),
            reason: Some(format!("schedule {}", schedule.name)),
            request: None,
            peer: None,
        }
    }

    /// Does one step of a schedule that is due. Whether it went on.
    async fn fire(self: &Arc<Self>, schedule: Schedule) -> Result<bool, EngineError> {
        let Some(due) = schedule.next_at else { return Ok(false) };
        let step = schedule.spec.step(due, self.now());
        let job = match step.tick {
            None => None,
            Some(tick) => match self.job_of(&schedule, Hops::default()).await {
                Ok(job) => Some(Ok(job)),
                // Trouble of the host is no fault of the job: the tick stays due.
                Err(error) if error.is_own() => return Err(error),
                Err(error) => Some(Err(TickFault { tick, message: chain(&error) })),
            },
        };
        let name = schedule.name.clone();
        let fault = job.as_ref().and_then(|job| job.as_ref().err()).cloned();
        let record = self.record_of(&schedule, fault.as_ref());
        let due = Due { schedule, due, step, job };
        let fire = self.store.fire_schedule(due, self.now());
        match Self::recorded(record, fire).await.0? {
            Fired::Submitted(job) => {
                tracing::info!(schedule = name, %job, "a schedule submitted its job");
            }
            Fired::Failed => {
                let fault = fault.map(|fault| fault.message);
                tracing::warn!(schedule = name, fault, "the job of a schedule was refused");
            }
            Fired::Skipped => tracing::info!(schedule = name, "a tick was skipped"),
            Fired::Missed => tracing::warn!(schedule = name, step.missed, "ticks were missed"),
            Fired::Outdated => {}
        }
        Ok(true)
    }
}

/// Fires every tick when it is due, until the host is about to end: another fires the next ones, or
/// they are caught up with.
pub(crate) async fn run(engine: Arc<Engine>) {
    while !engine.drain.has_begun() {
        let next = fire_due(&engine).await;
        tokio::time::sleep(next).await;
    }
}

/// Fires what is due, and says when to look again.
async fn fire_due(engine: &Arc<Engine>) -> Duration {
    let now = engine.now();
    let due = match engine.store.due_schedules(now).await {
        Ok(due) => due,
        Err(error) => {
            tracing::error!(error = chain(&error), "schedules cannot be read");
            return LOOK_AGAIN;
        }
    };
    // Together, so that their writes share transactions: at midnight, many are due.
    let mut firing = JoinSet::new();
    for schedule in due {
        let engine = Arc::clone(engine);
        firing.spawn(async move {
            let name = schedule.name.clone();
            let fired = engine.fire(schedule).await;
            fired.inspect_err(|error| {
                tracing::error!(schedule = name, error = chain(error), "a tick waits");
            })
        });
    }
    let mut has_gone_on = false;
    while let Some(fired) = firing.join_next().await {
        has_gone_on |= matches!(fired, Ok(Ok(true)));
    }
    match engine.store.next_tick_at().await {
        // What is due and did not go on must not be tried without a rest.
        Ok(Some(next)) if has_gone_on || next > engine.now() => {
            next.since(engine.now()).min(LOOK_AGAIN)
        }
        Ok(_) | Err(_) => LOOK_AGAIN,
    }
}

fn known<T>(name: &str, found: Option<T>) -> Result<T, EngineError> {
    found.ok_or_else(|| EngineError::UnknownSchedule(name.to_owned()))
}
