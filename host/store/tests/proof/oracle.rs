//! What was acknowledged, and whether the database still says so.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use apflow_model::event::Happening;
use apflow_model::fair::Limits;
use apflow_model::id::{JobId, TaskId};
use apflow_model::job::Job;
use apflow_model::state::TaskState;
use apflow_model::usage::Usage;
use apflow_store::{EVENTS_PER_PAGE_MAX, End, JOBS_PER_PAGE_MAX, JobFilter, Settlement, Store};
use serde_json::json;

use crate::victim::{never, now, open_session};

/// Everything that a victim said, of all rounds.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    submitted: BTreeMap<JobId, usize>,
    /// By task and attempt, the state that its end was acknowledged with.
    settled: HashMap<(TaskId, u32), String>,
    saved: BTreeSet<(TaskId, u32)>,
    cancelled: BTreeSet<JobId>,
    /// By task, attempt and number, the tokens of each call that was charged.
    charged: BTreeMap<(TaskId, u32, u64), u64>,
}

/// How much there was to be kept.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) submits: usize,
    pub(crate) ends: usize,
    checkpoints: usize,
    cancels: usize,
    charges: usize,
    /// Jobs in the database, acknowledged or not.
    jobs: usize,
    /// Attempts that lost their host.
    host_losses: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { submits, ends, checkpoints, cancels, charges, jobs, host_losses } = self;
        write!(
            formatter,
            "{submits} submits, {ends} ends, {checkpoints} checkpoints, {cancels} cancels and \
             {charges} charges were acknowledged and none is lost; {jobs} jobs are stored, and all have ended; \
             {host_losses} attempts lost their host"
        )
    }
}

impl Oracle {
    /// Takes in a line of the victim's. One that is not whole was never acknowledged.
    pub(crate) fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        // The test runner writes the name of the test before the first line.
        let Some(start) = words.iter().position(|word| *word == "ack") else { return };
        match &words[start + 1..] {
            ["submitted", job, tasks, "."] => {
                self.submitted.insert(job.parse().unwrap(), tasks.parse().unwrap());
            }
            ["settled", task, attempt, state, "."] => {
                let key = (task.parse().unwrap(), attempt.parse().unwrap());
                let before = self.settled.insert(key, (*state).to_owned());
                assert_eq!(before, None, "an attempt was settled twice: {line}");
            }
            ["saved", task, attempt, "."] => {
                self.saved.insert((task.parse().unwrap(), attempt.parse().unwrap()));
            }
            ["charged", task, attempt, number, tokens, "."] => {
                let call = (task.parse().unwrap(), attempt.parse().unwrap());
                let call = (call.0, call.1, number.parse().unwrap());
                let before = self.charged.insert(call, tokens.parse().unwrap());
                assert_eq!(before, None, "a call was charged twice: {line}");
            }
            ["cancelled", job, "."] => {
                self.cancelled.insert(job.parse().unwrap());
            }
            _ => {}
        }
    }

    /// Runs everything that is left to its end, and then compares.
    pub(crate) async fn judge(&self, store: &Store) -> Counts {
        finish(store).await;
        let jobs = all_jobs(store).await;
        let ids: BTreeSet<JobId> = jobs.iter().map(|job| job.id).collect();
        for (id, tasks) in &self.submitted {
            assert!(ids.contains(id), "{id} was acknowledged and is lost");
            let job = jobs.iter().find(|job| job.id == *id).unwrap();
            assert_eq!(job.tasks.len(), *tasks, "half of {id} is stored");
        }
        for id in &self.cancelled {
            assert!(ids.contains(id), "{id} was cancelled and is lost");
        }
        let mut host_losses = 0;
        for job in &jobs {
            assert!(job.state.is_end(), "{} is stuck: {job:#?}", job.id);
            self.compare(job);
            self.check_ledger(job);
            self.check_checkpoints(store, job).await;
            check_history(store, job).await;
            let attempts = job.tasks.iter().flat_map(|task| &task.attempts);
            let lost = attempts.filter(|attempt| {
                attempt.fault.as_ref().is_some_and(|fault| fault.code.name() == "host-lost")
            });
            host_losses += lost.count();
        }
        // Among all else: what budgets have spent is what was charged, and nothing is left reserved.
        let findings = store.examine().await.unwrap().findings;
        assert!(findings.is_empty(), "{findings:#?}");
        Counts {
            submits: self.submitted.len(),
            ends: self.settled.len(),
            checkpoints: self.saved.len(),
            cancels: self.cancelled.len(),
            charges: self.charged.len(),
            jobs: jobs.len(),
            host_losses,
        }
    }

    /// What was acknowledged of a job's tasks is what its rows say.
    fn compare(&self, job: &Job) {
        for task in &job.tasks {
            for (place, attempt) in task.attempts.iter().enumerate() {
                assert_eq!(attempt.n as usize, place + 1, "attempts of {}", task.id);
                assert!(attempt.ended_at.is_some(), "an attempt of {} is open", task.id);
                let Some(said) = self.settled.get(&(task.id, attempt.n)) else { continue };
                let is_retried = matches!(said.as_str(), "ready" | "scheduled");
                assert!(is_retried || said == task.state.name(), "{said}: {task:#?}");
                let is_host_lost =
                    attempt.fault.as_ref().is_some_and(|fault| fault.code.name() == "host-lost");
                assert!(!is_host_lost, "an acknowledged end was overwritten: {task:#?}");
            }
        }
    }

    /// The ledger says what the receipts of attempts say, and has every call that was charged.
    fn check_ledger(&self, job: &Job) {
        for task in &job.tasks {
            let charged: u64 = task.models.iter().map(|model| model.tokens_output).sum();
            assert_eq!(charged, task.usage.tokens_output, "the ledger of {}", task.id);
            for attempt in &task.attempts {
                let calls = (task.id, attempt.n, 0)..=(task.id, attempt.n, u64::MAX);
                let known: u64 = self.charged.range(calls).map(|(_, tokens)| tokens).sum();
                let usage = attempt.usage.unwrap_or_default();
                assert!(usage.tokens_output >= known, "a charge of {} is lost", task.id);
            }
        }
    }

    /// What was saved is there as long as its task has not completed.
    async fn check_checkpoints(&self, store: &Store, job: &Job) {
        for task in job.tasks.iter().filter(|task| task.state != TaskState::Completed) {
            if let Some((_, attempt)) = self.saved.iter().rfind(|(saved, _)| *saved == task.id) {
                let newest = store.load_checkpoint(task.id).await.unwrap();
                let newest =
                    newest.unwrap_or_else(|| panic!("a checkpoint of {} is lost", task.id));
                assert!(newest.attempt >= *attempt, "the newest checkpoint of {} is lost", task.id);
            }
        }
    }
}

/// Takes up what the last victim left, and completes whatever can run.
async fn finish(store: &Store) {
    let session = open_session(store, now()).await;
    store.recover(session, now(), never()).await.unwrap();
    // Later than any wait between attempts.
    let later = now().after(Duration::from_hours(1));
    loop {
        let claimed = store.claim(session, later, 100, Limits::default()).await.unwrap().tasks;
        if claimed.is_empty() {
            return;
        }
        for task in claimed {
            let settlement = Settlement {
                task: task.task,
                attempt: task.attempt,
                now: later,
                end: End::Completed { output: json!("finished"), files: Vec::new() },
                usage: Usage::default(),
                events: Vec::new(),
            };
            store.settle(settlement).await.unwrap();
        }
    }
}

async fn all_jobs(store: &Store) -> Vec<Job> {
    let (mut jobs, mut before) = (Vec::new(), None);
    loop {
        let page = store.list_jobs(&JobFilter::default(), before, JOBS_PER_PAGE_MAX).await;
        let page = page.unwrap().jobs;
        let Some(last) = page.last() else { return jobs };
        before = Some(last.id);
        for job in page {
            jobs.push(store.find_job(job.id).await.unwrap().unwrap());
        }
    }
}

/// The numbers have no gap, and each task ended once, in the state that its row has.
async fn check_history(store: &Store, job: &Job) {
    let mut ends: HashMap<TaskId, Vec<_>> = HashMap::new();
    let mut after = 0;
    loop {
        let events = store.list_events(job.id, after, EVENTS_PER_PAGE_MAX).await.unwrap();
        if events.is_empty() {
            break;
        }
        for event in events {
            after += 1;
            assert_eq!(event.n, after, "the history of {} has a gap", job.id);
            if let (Some(task), Happening::State { state, .. }) = (event.task_id, event.what)
                && state.is_end()
            {
                ends.entry(task).or_default().push(state);
            }
        }
    }
    for task in &job.tasks {
        let ends = ends.remove(&task.id).unwrap_or_default();
        assert_eq!(ends, [task.state], "{} has one outcome", task.id);
    }
}
