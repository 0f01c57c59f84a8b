//! A host of one: a store on a database of its own, with a session and the usual moves.

use std::time::Duration;

use apflow_model::clock::Timestamp;
use apflow_model::event::{Event, Happening};
use apflow_model::fair::Limits;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::JobId;
use apflow_model::job::{Job, JobSpec, Task};
use apflow_model::quarantine::QuarantineRule;
use apflow_model::state::TaskState;
use apflow_model::usage::Usage;
use apflow_store::{
    Claimed, End, HandedOut, NewJob, Recovered, SessionId, Settled, Settlement, Store, StoreError,
};
use serde_json::{Value, json};

use crate::database::Database;

pub(crate) struct Host {
    pub(crate) store: Store,
    pub(crate) session: SessionId,
    pub(crate) database: Database,
}

/// What a session is handed, with no limits but `free`.
pub(crate) async fn claim(
    store: &Store,
    session: SessionId,
    ms: u64,
    free: u32,
) -> Result<Vec<Claimed>, StoreError> {
    Ok(store.claim(session, at(ms), free, Limits::default()).await?.tasks)
}

/// The moment `ms` milliseconds into the test.
pub(crate) fn at(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(1_800_000_000_000).after(Duration::from_millis(ms))
}

/// Longer than any test.
pub(crate) const LEASE: Duration = Duration::from_hours(24);

/// Begins a session of this lease.
pub(crate) async fn open_session(store: &Store, ms: u64, lease: Duration) -> SessionId {
    store.open_session("test".to_owned(), at(ms), lease).await.unwrap()
}

pub(crate) fn spec(value: Value) -> JobSpec {
    JobSpec::parse(value).unwrap()
}

/// A job of tasks that are named by their ids and depend on others: `"b?"` is optional.
pub(crate) fn forest(tasks: &[(&str, &[&str])]) -> Value {
    let dependency = |text: &&str| match text.strip_suffix('?') {
        Some(id) => json!({"id": id, "required": false}),
        None => json!(text),
    };
    let task = |(id, dependencies): &(&str, &[&str])| {
        let dependencies: Vec<_> = dependencies.iter().map(dependency).collect();
        json!({"id": id, "executor": "noop_executor", "dependencies": dependencies})
    };
    json!({"tasks": tasks.iter().map(task).collect::<Vec<_>>()})
}

pub(crate) fn retryable(message: &str) -> Fault {
    Fault::new(FaultCode::Retryable, message)
}

pub(crate) fn completed() -> End {
    End::Completed { output: json!({"ok": true}), files: Vec::new() }
}

pub(crate) fn failed() -> End {
    End::Failed { fault: Fault::new(FaultCode::Permanent, "no") }
}

impl Host {
    pub(crate) async fn start() -> Self {
        Self::on(Database::make().await).await
    }

    /// Closes the store and opens the same database again, in a new session.
    pub(crate) async fn restart(self) -> Self {
        self.store.close().await;
        Self::on(self.database).await
    }

    async fn on(database: Database) -> Self {
        let store = Store::open(&database.address()).await.unwrap();
        let session = open_session(&store, 0, LEASE).await;
        Self { store, session, database }
    }

    /// Begins another session of the same store.
    pub(crate) async fn open_session(&mut self) {
        self.session = open_session(&self.store, 0, LEASE).await;
    }

    /// Takes up what all other sessions left.
    pub(crate) async fn recover(&self, ms: u64) -> Recovered {
        let rule = QuarantineRule::default();
        self.store.recover(self.session, at(ms), rule).await.unwrap()
    }

    /// Writes to the database behind the store's back.
    pub(crate) async fn spoil(&self, sql: &'static str) {
        self.database.run(sql).await;
    }

    pub(crate) async fn submit(&self, value: Value) -> Job {
        self.submit_at(value, 0).await
    }

    pub(crate) async fn submit_at(&self, value: Value, ms: u64) -> Job {
        self.try_submit("ada", value, ms).await.unwrap()
    }

    /// Submits a job as another principal.
    pub(crate) async fn submit_as(&self, principal: &str, value: Value) -> Job {
        self.try_submit(principal, value, 0).await.unwrap()
    }

    pub(crate) async fn try_submit(
        &self,
        principal: &str,
        value: Value,
        ms: u64,
    ) -> Result<Job, StoreError> {
        let principal = principal.to_owned();
        let job = NewJob { spec: spec(value), principal, grants: Vec::new() };
        self.store.submit(job, at(ms)).await
    }

    pub(crate) async fn claim(&self, ms: u64, limit: u32) -> Vec<Claimed> {
        self.claim_within(ms, limit, Limits::default()).await.tasks
    }

    pub(crate) async fn claim_within(&self, ms: u64, limit: u32, limits: Limits) -> HandedOut {
        self.store.claim(self.session, at(ms), limit, limits).await.unwrap()
    }

    pub(crate) async fn claim_one(&self, ms: u64) -> Claimed {
        self.claim(ms, 1).await.pop().expect("a task is ready")
    }

    pub(crate) async fn try_settle(
        &self,
        claimed: &Claimed,
        ms: u64,
        end: End,
    ) -> Result<Settled, StoreError> {
        let settlement = Settlement {
            task: claimed.task,
            attempt: claimed.attempt,
            now: at(ms),
            end,
            usage: Usage { wall_us: 10, ..Usage::default() },
            events: Vec::new(),
        };
        self.store.settle(settlement).await
    }

    pub(crate) async fn settle(&self, claimed: &Claimed, ms: u64, end: End) -> Settled {
        self.try_settle(claimed, ms, end).await.unwrap()
    }

    pub(crate) async fn job(&self, id: JobId) -> Job {
        self.store.find_job(id).await.unwrap().expect("the job is stored")
    }

    /// The task of a job with this reference.
    pub(crate) async fn task(&self, job: JobId, reference: &str) -> Task {
        let tasks = self.job(job).await.tasks;
        tasks.into_iter().find(|task| task.reference == reference).expect("a task of the job")
    }

    pub(crate) async fn events(&self, job: JobId) -> Vec<Event> {
        self.store.list_events(job, 0, 1_000).await.unwrap()
    }

    /// The states a task went through, by its events.
    pub(crate) async fn history(&self, task: &Task) -> Vec<TaskState> {
        let states = self.events(task.job_id).await.into_iter().filter_map(|event| {
            match (event.task_id == Some(task.id), event.what) {
                (true, Happening::State { state, .. }) => Some(state),
                _ => None,
            }
        });
        states.collect()
    }
}
