//! Random forests with random ends settle to the states that the pure rules predict.

use apflow_model::clock::Timestamp;
use apflow_model::event::Happening;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::TaskId;
use apflow_model::job::Job;
use apflow_model::state::{Edge, JobState, TaskState};
use apflow_model::usage::Usage;
use apflow_store::{Claimed, End, Settlement, StoreError};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::host::{Host, at, completed, failed, retryable};

/// A task of a random forest: which earlier tasks it waits for, and how it ends.
#[derive(Debug, Clone)]
struct Plan {
    depends: u64,
    requires: u64,
    retries: u32,
    end: TaskState,
    later_ms: u64,
}

impl Plan {
    fn end_of(&self, attempt: u32, run_at: Timestamp) -> End {
        if attempt <= self.retries {
            End::Retry { fault: retryable("again"), run_at }
        } else if self.end == TaskState::Completed {
            completed()
        } else if self.end == TaskState::Failed {
            failed()
        } else {
            End::Cancelled { fault: Fault::new(FaultCode::Cancelled, "asked to") }
        }
    }
}

fn plan() -> impl Strategy<Value = Plan> {
    let end = prop_oneof![
        4 => Just(TaskState::Completed),
        2 => Just(TaskState::Failed),
        1 => Just(TaskState::Cancelled),
    ];
    // Two draws together leave about a quarter of all possible edges.
    (any::<u64>(), any::<u64>(), any::<u64>(), 0..3_u32, end, 0..3_u64).prop_map(
        |(left, right, requires, retries, end, later)| Plan {
            depends: left & right,
            requires,
            retries,
            end,
            later_ms: later * 20,
        },
    )
}

fn submission(plans: &[Plan]) -> Value {
    let task = |(place, plan): (usize, &Plan)| {
        let dependencies: Vec<_> = edges_of(place, plan)
            .map(|edge| json!({"id": edge.dependency.to_string(), "required": edge.required}))
            .collect();
        json!({"id": place.to_string(), "executor": "x", "max_attempts": 100,
               "dependencies": dependencies, "run_at": at(plan.later_ms)})
    };
    json!({"tasks": plans.iter().enumerate().map(task).collect::<Vec<_>>()})
}

fn edges_of(task: usize, plan: &Plan) -> impl Iterator<Item = Edge> {
    let (depends, requires) = (plan.depends, plan.requires);
    (0..task).filter(move |place| depends >> place & 1 == 1).map(move |dependency| Edge {
        task,
        dependency,
        required: requires >> dependency & 1 == 1,
    })
}

/// How every task ends: it is skipped when a task that it requires did not complete, and else
/// ends as planned, whatever the order.
fn predict(plans: &[Plan]) -> Vec<TaskState> {
    let mut states: Vec<TaskState> = Vec::new();
    for (place, plan) in plans.iter().enumerate() {
        let is_lost = edges_of(place, plan)
            .any(|edge| edge.required && states[edge.dependency] != TaskState::Completed);
        states.push(if is_lost { TaskState::Skipped } else { plan.end });
    }
    states
}

/// Draws that the order of events hangs on (xorshift64, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What the store answered while a job ran.
#[derive(Default)]
struct Answers {
    ends: Vec<JobState>,
    became_ready: Vec<TaskId>,
}

/// Runs the job to its end in a random order: several attempts end at once, the host ends once,
/// and old attempts come too late or twice.
async fn run(mut host: Host, plans: &[Plan], mut dice: Dice) -> (Host, Answers) {
    let (mut held, mut stale) = (Vec::<Claimed>::new(), Vec::<Claimed>::new());
    let (mut answers, mut has_lost, mut now) = (Answers::default(), false, 0);
    for _ in 0..1_000 {
        now += dice.below(5);
        let limit = u32::try_from(dice.below(6)).unwrap();
        held.extend(host.claim(now, limit).await);
        if !has_lost && dice.below(20) == 0 {
            // Only once: a second loss would quarantine, which the prediction leaves out.
            has_lost = true;
            host = host.restart().await;
            let recovered = host.recover(now).await;
            assert_eq!((recovered.retried.len(), recovered.failed.len()), (held.len(), 0));
            answers.became_ready.extend(recovered.retried);
            stale.append(&mut held);
        }
        if held.is_empty() {
            let is_waiting = host.store.next_run_at().await.unwrap().is_some();
            if !is_waiting && !answers.ends.is_empty() {
                break;
            }
            continue;
        }
        let ending = usize::try_from(1 + dice.below(held.len() as u64)).unwrap();
        let ending = held.split_off(held.len() - ending);
        let run_at = at(now + dice.below(3));
        settle_at_once(&host, plans, (&ending, &stale), now, run_at, &mut answers).await;
        stale = ending;
    }
    (host, answers)
}

/// Ends attempts all at once, the first of them twice, and stale ones that must not count.
async fn settle_at_once(
    host: &Host,
    plans: &[Plan],
    (ending, stale): (&[Claimed], &[Claimed]),
    now: u64,
    run_at: Timestamp,
    answers: &mut Answers,
) {
    let mut settling = JoinSet::new();
    for claimed in stale.iter().chain(&ending[..1]).chain(ending) {
        let plan = &plans[claimed.reference.parse::<usize>().unwrap()];
        let settlement = Settlement {
            task: claimed.task,
            attempt: claimed.attempt,
            now: at(now),
            end: plan.end_of(claimed.attempt, run_at),
            usage: Usage::default(),
            events: Vec::new(),
        };
        let store = host.store.clone();
        settling.spawn(async move { store.settle(settlement).await });
    }
    let (settled, lost): (Vec<_>, Vec<_>) =
        settling.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((settled.len(), lost.len()), (ending.len(), stale.len() + 1));
    assert!(lost.iter().all(|lost| matches!(lost, Err(StoreError::AttemptLost))));
    for settled in settled {
        let settled = settled.unwrap();
        answers.ends.extend(settled.job_ended);
        answers.became_ready.extend(settled.became_ready);
    }
}

/// Checks that the events alone tell the same story as the rows and the answers.
async fn check_history(host: &Host, job: &Job, mut became_ready: Vec<TaskId>) {
    let mut made_ready = Vec::new();
    let events = host.events(job.id).await;
    assert!(events.iter().map(|event| event.n).eq(1..=events.len() as u64));
    let place = |id| job.tasks.iter().position(|task| Some(task.id) == id).unwrap();
    let mut states = vec![None; job.tasks.len()];
    for event in events {
        let Happening::State { state, .. } = event.what else { continue };
        let task = &job.tasks[place(event.task_id)];
        if state == TaskState::Running {
            for dependency in &task.dependencies {
                let state: Option<TaskState> = states[place(Some(dependency.id))];
                assert!(state.unwrap().is_end(), "a task ran before its dependency ended");
                assert!(!dependency.required || state == Some(TaskState::Completed));
            }
        }
        let last = &mut states[place(event.task_id)];
        assert!(!last.is_some_and(TaskState::is_end), "an ended task moved");
        // A scheduled task is made ready by a claim, and a first state by the submission.
        if state == TaskState::Ready && last.is_some_and(|last| last != TaskState::Scheduled) {
            made_ready.push(task.id);
        }
        *last = Some(state);
    }
    let rows: Vec<_> = job.tasks.iter().map(|task| Some(task.state)).collect();
    assert_eq!(states, rows);
    made_ready.sort_unstable();
    became_ready.sort_unstable();
    assert_eq!(became_ready, made_ready, "what became ready was told");
    for task in &job.tasks {
        let numbers: Vec<_> = task.attempts.iter().map(|attempt| attempt.n as usize).collect();
        assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..<_>::default() })]

    #[test]
    fn any_forest_settles_as_predicted(
        plans in prop::collection::vec(plan(), 1..14),
        seed in 1..u64::MAX,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let host = Host::start().await;
            let id = host.submit(submission(&plans)).await.id;
            let (host, answers) = run(host, &plans, Dice(seed)).await;
            let job = host.job(id).await;
            let states: Vec<_> = job.tasks.iter().map(|task| task.state).collect();
            assert_eq!(states, predict(&plans));
            let edges: Vec<_> =
                plans.iter().enumerate().flat_map(|(place, plan)| edges_of(place, plan)).collect();
            let end = JobState::of_ended(&states, &edges);
            assert_eq!((job.state, answers.ends), (end, vec![end]));
            check_history(&host, &job, answers.became_ready).await;
        });
    }
}
