//! Random forests with random ends settle to the states that the pure rules predict.

use apflow_model::event::Happening;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::job::Job;
use apflow_model::state::{Edge, JobState, TaskState};
use apflow_store::{Claimed, End, StoreError};
use proptest::prelude::*;
use serde_json::{Value, json};

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

/// Runs the job to its end in a random order, with a host that sometimes ends and old attempts
/// that come too late. Returns how the job ended as the store answered it.
async fn run(mut host: Host, plans: &[Plan], mut dice: Dice) -> (Host, Vec<JobState>) {
    let (mut held, mut stale) = (Vec::<Claimed>::new(), Vec::<Claimed>::new());
    let (mut answers, mut losses, mut now) = (Vec::new(), 0, 0);
    for _ in 0..10_000 {
        now += dice.below(5);
        let limit = u32::try_from(dice.below(4)).unwrap();
        held.extend(host.claim(now, limit).await);
        if let Some(stale) = stale.last() {
            let lost = host.try_settle(stale, now, completed()).await;
            assert!(matches!(lost, Err(StoreError::AttemptLost)));
        }
        if losses == 0 && dice.below(20) == 0 {
            // Only once: a second loss would quarantine, which the prediction leaves out.
            losses += 1;
            host = host.restart().await;
            let recovered = host.store.recover(host.session, at(now)).await.unwrap();
            assert_eq!((recovered.retried.len(), recovered.failed.len()), (held.len(), 0));
            stale.append(&mut held);
        }
        if held.is_empty() {
            if host.store.next_run_at().await.unwrap().is_none()
                && host.claim(now, 0).await.is_empty()
                && !answers.is_empty()
            {
                break;
            }
            continue;
        }
        let picked = dice.below(held.len() as u64);
        let claimed = held.swap_remove(usize::try_from(picked).unwrap());
        let plan = &plans[claimed.reference.parse::<usize>().unwrap()];
        let run_at = at(now + dice.below(3));
        let end = if claimed.attempt <= plan.retries {
            End::Retry { fault: retryable("again"), run_at }
        } else if plan.end == TaskState::Completed {
            completed()
        } else if plan.end == TaskState::Failed {
            failed()
        } else {
            End::Cancelled { fault: Fault::new(FaultCode::Cancelled, "asked to") }
        };
        answers.extend(host.settle(&claimed, now, end).await.job_ended);
        stale.push(claimed);
    }
    (host, answers)
}

/// Checks that the events alone tell the same story as the rows.
async fn check_history(host: &Host, job: &Job) {
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
        *last = Some(state);
    }
    let rows: Vec<_> = job.tasks.iter().map(|task| Some(task.state)).collect();
    assert_eq!(states, rows);
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
            assert_eq!((job.state, answers), (end, vec![end]));
            check_history(&host, &job).await;
        });
    }
}
