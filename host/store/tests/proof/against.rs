//! Random moves, made by the model and by the store: both must say the same, whatever the database.

use std::collections::HashMap;
use std::time::Duration;

use apflow_model::clock::Timestamp;
use apflow_model::event::Happening;
use apflow_model::fair::Limits;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::{JobId, TaskId};
use apflow_model::job::JobSpec;
use apflow_model::state::TaskState;
use apflow_model::usage::Usage;
use apflow_store::{EVENTS_PER_PAGE_MAX, End, NewJob, SessionId, Settlement, Store, StoreError};
use serde_json::json;

use crate::crash::setting;
use crate::dice::Dice;
use crate::model::{Answer, Ending, NewTask, Op, State, step};
use crate::place::Place;
use crate::victim::{never, open_session};

/// How many lists of moves are tried, unless `APFLOW_PROOF_LISTS` says otherwise.
const LISTS: u64 = 12;
const MOVES: u64 = 80;

#[tokio::test]
async fn the_store_does_what_the_model_says() {
    let first = setting("APFLOW_PROOF_FIRST_SEED", 1);
    for seed in first..first + setting("APFLOW_PROOF_LISTS", LISTS) {
        let place = Place::make();
        let mut twin = Twin::open(&place).await;
        let (mut state, mut dice, mut ops) = (State::default(), Dice(seed), Vec::new());
        for _ in 0..MOVES {
            let op = draw(&mut dice);
            ops.push(op.clone());
            let (after, expected) = step(&state, &op);
            let answer = twin.make(&state, &op).await;
            assert_eq!(answer, expected, "seed {seed}: {op:?} at the end of {ops:#?}");
            state = after;
            twin.compare(&state, seed, &ops).await;
        }
        twin.store.close().await;
    }
}

fn draw(dice: &mut Dice) -> Op {
    let choice = usize::try_from(dice.below(1_000)).unwrap();
    match dice.below(20) {
        0..4 => Op::Submit(draw_tasks(dice)),
        4..9 => Op::Claim(u32::try_from(dice.below(4)).unwrap()),
        9..14 => Op::End(choice, draw_ending(dice)),
        14 => Op::EndStale(choice),
        15 => Op::Save(choice),
        16 => Op::Cancel(choice),
        17 => Op::Crash,
        _ => Op::Wait(i64::try_from(dice.below(40)).unwrap()),
    }
}

fn draw_ending(dice: &mut Dice) -> Ending {
    match dice.below(6) {
        0 => Ending::Fail,
        1 | 2 => Ending::RetryAfter(i64::try_from(dice.below(30)).unwrap()),
        _ => Ending::Complete,
    }
}

fn draw_tasks(dice: &mut Dice) -> Vec<NewTask> {
    let mut tasks = Vec::new();
    for place in 0..=usize::try_from(dice.below(5)).unwrap() {
        let earlier: Vec<_> = (0..place).filter(|_| dice.below(3) == 0).collect();
        tasks.push(NewTask {
            priority: u8::try_from(dice.below(4)).unwrap(),
            delay_ms: i64::try_from(dice.below(3) * 15).unwrap(),
            attempts_max: 1 + u32::try_from(dice.below(4)).unwrap(),
            dependencies: earlier.into_iter().map(|on| (on, dice.below(3) > 0)).collect(),
        });
    }
    tasks
}

/// The store, and which of its tasks and jobs are which of the model's.
struct Twin {
    store: Store,
    session: SessionId,
    tasks: Vec<(JobId, TaskId)>,
    jobs: Vec<JobId>,
}

fn at(state: &State) -> Timestamp {
    Timestamp::from_unix_ms(1_800_000_000_000 + state.now)
}

impl Twin {
    async fn open(place: &Place) -> Self {
        let store = Store::open(&place.url().parse().unwrap()).await.unwrap();
        let session = open_session(&store, at(&State::default())).await;
        Self { store, session, tasks: Vec::new(), jobs: Vec::new() }
    }

    /// Makes a move that the model makes from `state`.
    async fn make(&mut self, state: &State, op: &Op) -> Answer {
        match op {
            Op::Submit(tasks) => self.submit(state, tasks).await,
            Op::Claim(limit) => {
                let limits = Limits::default();
                let claimed = self.store.claim(self.session, at(state), *limit, limits).await;
                let claimed = claimed.unwrap().tasks;
                let known = |task| self.place(task);
                let claimed = claimed.iter().map(|claimed| (known(claimed.task), claimed.attempt));
                Answer::Claimed(claimed.collect())
            }
            Op::End(choice, ending) => match state.running(*choice) {
                Some(place) => self.end(state, place, state.tasks[place].attempt, *ending).await,
                None => Answer::Nothing,
            },
            Op::EndStale(choice) => match state.retried(*choice) {
                Some(place) => {
                    let earlier = state.tasks[place].attempt - 1;
                    self.end(state, place, earlier, Ending::Complete).await
                }
                None => Answer::Nothing,
            },
            Op::Save(choice) => match state.running(*choice) {
                Some(place) => self.save(state, place).await,
                None => Answer::Nothing,
            },
            Op::Cancel(_) if self.jobs.is_empty() => Answer::Nothing,
            Op::Cancel(choice) => {
                let job = self.jobs[choice % self.jobs.len()];
                Answer::Cancelled(self.store.cancel_job(job, at(state)).await.unwrap().is_some())
            }
            Op::Crash => {
                self.session = open_session(&self.store, at(state)).await;
                let recovered = self.store.recover(self.session, at(state), never()).await.unwrap();
                let places =
                    |tasks: &[TaskId]| tasks.iter().map(|task| self.place(*task)).collect();
                Answer::Recovered(places(&recovered.retried), places(&recovered.failed))
            }
            Op::Wait(_) => Answer::Nothing,
        }
    }

    fn place(&self, task: TaskId) -> usize {
        self.tasks.iter().position(|(_, known)| *known == task).unwrap()
    }

    async fn submit(&mut self, state: &State, tasks: &[NewTask]) -> Answer {
        let task = |(place, new): (usize, &NewTask)| {
            let dependency =
                |(on, must): &(usize, bool)| json!({"id": on.to_string(), "required": must});
            let run_at = at(state).after(Duration::from_millis(new.delay_ms.unsigned_abs()));
            json!({
                "id": place.to_string(), "executor": "noop_executor", "priority": new.priority,
                "run_at": run_at, "max_attempts": new.attempts_max,
                "dependencies": new.dependencies.iter().map(dependency).collect::<Vec<_>>(),
            })
        };
        let tasks: Vec<_> = tasks.iter().enumerate().map(task).collect();
        let spec = JobSpec::parse(json!({"tasks": tasks})).unwrap();
        let new = NewJob { spec, principal: "ada".into(), grants: Vec::new() };
        let job = self.store.submit(new, at(state)).await.unwrap();
        self.jobs.push(job.id);
        self.tasks.extend(job.tasks.iter().map(|task| (job.id, task.id)));
        Answer::Nothing
    }

    async fn end(&self, state: &State, place: usize, attempt: u32, ending: Ending) -> Answer {
        let end = match ending {
            Ending::Complete => End::Completed { output: json!(place), files: Vec::new() },
            Ending::Fail => End::Failed { fault: Fault::new(FaultCode::Permanent, "no") },
            Ending::RetryAfter(ms) => {
                let wait = Duration::from_millis(ms.unsigned_abs());
                let fault = Fault::new(FaultCode::Retryable, "again");
                End::Retry { fault, run_at: at(state).after(wait) }
            }
        };
        let (task, now, usage) = (self.tasks[place].1, at(state), Usage::default());
        let settlement = Settlement { task, attempt, now, end, usage, events: Vec::new() };
        match self.store.settle(settlement).await {
            Ok(settled) => Answer::Ended(Some(settled.state)),
            Err(StoreError::AttemptLost) => Answer::Ended(None),
            Err(error) => panic!("{error}"),
        }
    }

    async fn save(&self, state: &State, place: usize) -> Answer {
        let (task, attempt) = (self.tasks[place].1, state.tasks[place].attempt);
        let saved = self.store.save_checkpoint(task, attempt, "step".into(), vec![7], at(state));
        Answer::Saved(saved.await.is_ok())
    }

    /// Every row and every event is what the model says.
    async fn compare(&self, state: &State, seed: u64, ops: &[Op]) {
        for (number, id) in self.jobs.iter().enumerate() {
            let job = self.store.find_job(*id).await.unwrap().unwrap();
            assert_eq!(job.state, state.job_state(number), "seed {seed}: {job:#?} after {ops:#?}");
            let mut histories = self.histories(*id).await;
            for task in &job.tasks {
                let modelled = &state.tasks[self.place(task.id)];
                let row = (task.state, task.attempts.len());
                assert_eq!(
                    row,
                    (modelled.state, modelled.attempt as usize),
                    "seed {seed}: {ops:#?}"
                );
                let history = histories.remove(&task.id).unwrap_or_default();
                assert_eq!(states(&history), states(&modelled.history), "seed {seed}: {ops:#?}");
                let newest = self.store.load_checkpoint(task.id).await.unwrap();
                assert_eq!(newest.is_some(), modelled.checkpoints > 0, "seed {seed}: {ops:#?}");
            }
        }
    }

    /// The states that the events tell of, by task. Their numbers have no gap.
    async fn histories(&self, job: JobId) -> HashMap<TaskId, Vec<(TaskState, u32)>> {
        let events = self.store.list_events(job, 0, EVENTS_PER_PAGE_MAX).await.unwrap();
        let mut histories = HashMap::<TaskId, Vec<_>>::new();
        for (event, n) in events.into_iter().zip(1..) {
            assert_eq!(event.n, n, "the history of {job} has a gap");
            if let (Some(task), Happening::State { state, .. }) = (event.task_id, event.what) {
                histories.entry(task).or_default().push((state, event.attempt));
            }
        }
        histories
    }
}

fn states(history: &[(TaskState, u32)]) -> Vec<TaskState> {
    history.iter().map(|(state, _)| *state).collect()
}
