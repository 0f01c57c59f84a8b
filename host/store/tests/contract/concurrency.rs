//! Whose tasks are handed out, and how many at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use apflow_model::concurrency::Concurrency;
use apflow_model::fair::Limits;
use apflow_model::id::TaskId;
use apflow_model::job::{Job, Task};
use apflow_store::{Claimed, End, Hold, SessionId, Settlement, Store};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::host::{Host, LEASE, at, completed, failed, open_session, retryable};
use crate::lanes::check_tallies;

fn limits(value: Value) -> Limits {
    let concurrency = Arc::new(serde_json::from_value(value).unwrap());
    Limits { concurrency, ..Limits::default() }
}

fn tasks(count: usize, task: &Value) -> Value {
    json!({"tasks": vec![task; count]})
}

#[tokio::test]
async fn a_flood_delays_another_principal_by_one_turn() {
    let host = Host::start().await;
    host.submit_as("flood", tasks(500, &json!({"executor": "x", "priority": 0}))).await;
    let mut running = host.claim(1, 4).await;
    for round in 2..6 {
        host.submit_as("ada", json!({"executor": "x", "priority": 3})).await;
        host.settle(&running.remove(0), round, completed()).await;
        let claimed = host.claim_one(round).await;
        assert_eq!(claimed.principal, "ada");
        host.settle(&claimed, round, completed()).await;
        running.push(host.claim_one(round).await);
        assert_eq!(running.last().unwrap().principal, "flood");
    }
}

#[tokio::test]
async fn with_one_place_principals_take_turns() {
    let host = Host::start().await;
    for (principal, count) in [("flood", 100), ("ada", 3), ("bob", 3)] {
        host.submit_as(principal, tasks(count, &json!({"executor": "x"}))).await;
    }
    let mut order = Vec::new();
    for ms in 1..=9 {
        let claimed = host.claim_one(ms).await;
        host.settle(&claimed, ms, completed()).await;
        order.push(claimed.principal);
    }
    for turns in order.chunks(3) {
        let mut turns = turns.to_vec();
        turns.sort_unstable();
        assert_eq!(turns, ["ada", "bob", "flood"]);
    }
}

#[tokio::test]
async fn urgent_tasks_go_first_across_all_lanes_of_a_principal() {
    let host = Host::start().await;
    let mut expected = Vec::new();
    for n in 0..60_u64 {
        let (priority, executor) = (n * 7 % 4, format!("x{}", n % 5));
        let mut task = json!({"executor": executor, "priority": priority});
        if n % 3 == 0 {
            task["concurrency"] = json!({"key": format!("k{}", n % 2), "max": 100});
        }
        let job = host.submit_at(task, n % 11).await;
        expected.push((priority, job.tasks[0].run_at, job.tasks[0].id));
    }
    expected.sort_unstable();
    let mut claimed = Vec::new();
    for limit in [1, 3, 20, 36] {
        claimed.extend(host.claim(100, limit).await.into_iter().map(|claimed| claimed.task));
    }
    // What one claim hands out is listed in any order of its own.
    let expected: Vec<TaskId> = expected.into_iter().map(|(_, _, task)| task).collect();
    for (from, to) in [(0, 1), (1, 4), (4, 24), (24, 60)] {
        let (mut left, mut right) = (claimed[from..to].to_vec(), expected[from..to].to_vec());
        left.sort_unstable();
        right.sort_unstable();
        assert_eq!(left, right);
    }
}

#[tokio::test]
async fn an_executor_without_an_allowance_is_not_handed_out_and_others_are() {
    let host = Host::start().await;
    host.submit(tasks(3, &json!({"executor": "x", "priority": 0}))).await;
    host.submit(tasks(3, &json!({"executor": "y"}))).await;
    let allowances = BTreeMap::from([("x".to_owned(), 0), ("y".to_owned(), 2)]);
    let limits = Limits { allowances, ..Limits::default() };
    let executors: Vec<_> =
        host.claim_within(1, 9, limits).await.tasks.into_iter().map(|task| task.executor).collect();
    assert_eq!(executors, ["y", "y"]);
    assert_eq!(host.claim(2, 9).await.len(), 4);
}

#[tokio::test]
async fn the_smallest_limit_of_a_key_counts_until_its_tasks_have_ended() {
    let host = Host::start().await;
    let keyed = |executor: &str, max: u32| json!({"executor": executor, "concurrency": {"key": "crm", "max": max}});
    host.submit_as("ada", keyed("y", 1)).await;
    host.submit_as("ada", tasks(4, &keyed("x", 3))).await;
    host.submit_as("bob", tasks(4, &keyed("x", 2))).await;
    let names = |claimed: &[Claimed]| {
        let mut names: Vec<_> = claimed.iter().map(|claimed| claimed.principal.clone()).collect();
        names.sort_unstable();
        names
    };
    let first = host.claim(1, 20).await;
    assert_eq!(names(&first), ["ada", "bob", "bob"]);
    let of_ada = first.iter().find(|claimed| claimed.principal == "ada").unwrap();
    assert_eq!(of_ada.executor, "y");
    host.settle(of_ada, 2, completed()).await;
    assert_eq!(names(&host.claim(3, 20).await), ["ada"; 3]);
}

#[tokio::test]
async fn every_lane_has_its_turn_however_many_there_are() {
    let host = Host::start().await;
    let keyed =
        |n: usize| json!({"executor": "x", "concurrency": {"key": n.to_string(), "max": 1}});
    let all: Vec<_> = (0..2_300).map(keyed).collect();
    host.submit(json!({"tasks": all})).await;
    // All but one are held back.
    let first = host.claim(1, 2_299).await;
    host.submit(json!({"tasks": all})).await;
    assert_eq!(first.len(), 2_299);
    for ms in 2..6 {
        let last = host.claim(ms, 10).await;
        assert_eq!(last.len(), 1, "the only lane with room is found");
        host.settle(&last[0], ms, End::Retry { fault: retryable("busy"), run_at: at(ms) }).await;
    }
    let (mut count, mut ms) = (0, 10);
    for claimed in &first {
        host.settle(claimed, ms, completed()).await;
    }
    while count < 2_301 {
        let claimed = host.claim(ms, 300).await;
        assert!(!claimed.is_empty(), "after {count}");
        for claimed in &claimed {
            host.settle(claimed, ms, completed()).await;
        }
        (count, ms) = (count + claimed.len(), ms + 1);
    }
    assert!(host.claim(ms, 1).await.is_empty());
}

/// What somebody does next.
#[derive(Debug, Clone)]
enum Step {
    Submit { principal: u8, executor: u8, key: Option<(u8, u32)>, count: usize, late: bool },
    Claim { store: usize, free: u32 },
    Settle { which: usize, end: u8 },
    Cancel { which: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let key = prop::option::of((0..2_u8, 1..4_u32));
    let submit = (0..3_u8, 0..3_u8, key, 1..6_usize, any::<bool>());
    prop_oneof![
        3 => submit.prop_map(|(principal, executor, key, count, late)| {
            Step::Submit { principal, executor, key, count, late }
        }),
        4 => (0..2_usize, 0..8_u32).prop_map(|(store, free)| Step::Claim { store, free }),
        4 => (any::<usize>(), 0..3_u8).prop_map(|(which, end)| Step::Settle { which, end }),
        1 => any::<usize>().prop_map(|which| Step::Cancel { which }),
    ]
}

/// Two processes on one database, and what they have seen.
struct Trial {
    host: Host,
    stores: [(Store, SessionId); 2],
    limits: Limits,
    jobs: Vec<Job>,
    tasks: HashMap<TaskId, (String, Task)>,
    running: Vec<Claimed>,
    ms: u64,
}

impl Trial {
    async fn begin(limits: Limits) -> Self {
        let host = Host::start().await;
        let other = Store::open(&host.database.address()).await.unwrap();
        let session = open_session(&other, 0, LEASE).await;
        let stores = [(host.store.clone(), host.session), (other, session)];
        let (jobs, tasks, running) = (Vec::new(), HashMap::new(), Vec::new());
        Self { host, stores, limits, jobs, tasks, running, ms: 0 }
    }

    async fn take(&mut self, step: Step) {
        self.ms += 1;
        match step {
            Step::Submit { principal, executor, key, count, late } => {
                let (principal, executor) = (format!("p{principal}"), format!("e{executor}"));
                let mut task = json!({"executor": executor, "max_attempts": 100});
                if let Some((key, max)) = key {
                    task["concurrency"] = json!({"key": format!("k{key}"), "max": max});
                }
                if late {
                    task["deadline"] = json!(at(self.ms + 20));
                }
                let job = tasks(count, &task);
                let job = self.host.try_submit(&principal, job, self.ms).await.unwrap();
                let tasks = job.tasks.iter();
                self.tasks.extend(tasks.map(|task| (task.id, (principal.clone(), task.clone()))));
                self.jobs.push(job);
            }
            Step::Claim { store, free } => self.claim(store, free).await,
            Step::Settle { which, end } if !self.running.is_empty() => {
                let claimed = self.running.swap_remove(which % self.running.len());
                let run_at = at(self.ms + u64::from(end % 2) * 3);
                let end = match end {
                    0 => completed(),
                    1 => End::Retry { fault: retryable("busy"), run_at },
                    _ => failed(),
                };
                self.settle(&claimed, end).await;
            }
            Step::Cancel { which } if !self.jobs.is_empty() => {
                let job = self.jobs[which % self.jobs.len()].id;
                self.host.store.cancel_job(job, at(self.ms)).await.unwrap();
                self.drop_lost().await;
            }
            Step::Settle { .. } | Step::Cancel { .. } => {}
        }
    }

    async fn claim(&mut self, store: usize, free: u32) {
        let (store, session) = &self.stores[store];
        let handed_out =
            store.claim(*session, at(self.ms), free, self.limits.clone()).await.unwrap();
        assert!(handed_out.tasks.len() <= free as usize);
        self.running.extend(handed_out.tasks);
        self.check_limits();
    }

    async fn settle(&self, claimed: &Claimed, end: End) {
        let settlement = Settlement {
            task: claimed.task,
            attempt: claimed.attempt,
            now: at(self.ms),
            end,
            usage: apflow_model::usage::Usage::default(),
            events: Vec::new(),
        };
        self.host.store.settle(settlement).await.unwrap();
    }

    /// Forgets attempts that hold their tasks no more.
    async fn drop_lost(&mut self) {
        let mut held = Vec::new();
        for claimed in std::mem::take(&mut self.running) {
            let stands = self.host.store.holds(claimed.task, claimed.attempt).await;
            if stands.unwrap() != Hold::Lost {
                held.push(claimed);
            }
        }
        self.running = held;
    }

    fn check_limits(&self) {
        let mut executors = BTreeMap::<&str, u32>::new();
        let mut principals = BTreeMap::<&str, u32>::new();
        let mut keys = BTreeMap::<(&str, &str), (u32, u32)>::new();
        for claimed in &self.running {
            let (principal, task) = &self.tasks[&claimed.task];
            *executors.entry(&task.executor).or_default() += 1;
            *principals.entry(principal).or_default() += 1;
            if let Some(key) = &task.concurrency {
                let (count, max) = keys.entry((principal, &key.key)).or_insert((0, u32::MAX));
                (*count, *max) = (*count + 1, key.max.min(*max));
            }
        }
        let concurrency: &Concurrency = &self.limits.concurrency;
        for (name, count) in executors {
            assert!(concurrency.of_executor(name).is_none_or(|max| count <= max), "{name}");
            let allowed = self.limits.allowances.get(name).copied();
            assert!(allowed.is_none_or(|max| count <= max), "{name}");
        }
        for (name, count) in principals {
            assert!(concurrency.of_principal(name).is_none_or(|max| count <= max), "{name}");
        }
        for (name, (count, max)) in keys {
            assert!(count <= max, "{name:?}");
        }
    }

    /// Claims and completes until nothing is left: no task is held back for ever.
    async fn finish(&mut self) {
        for _ in 0..1_000 {
            self.ms += 1;
            for claimed in std::mem::take(&mut self.running) {
                self.settle(&claimed, completed()).await;
            }
            self.claim(0, 5).await;
            let is_waiting = self.host.store.next_run_at().await.unwrap().is_some();
            if self.running.is_empty() && !is_waiting {
                break;
            }
        }
        for job in &self.jobs {
            assert!(self.host.job(job.id).await.ended_at.is_some());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..<_>::default() })]

    #[test]
    fn no_limit_is_exceeded_and_tallies_are_true_whatever_happens(
        steps in prop::collection::vec(step(), 1..60),
        of_executor in 1..5_u32, of_principal in 1..7_u32, allowance in 1..4_u32,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut limits = limits(json!({
                "executors": {"e0": of_executor}, "principals": {"p0": 2}, "principal": of_principal,
            }));
            limits.allowances.insert("e1".to_owned(), allowance);
            let mut trial = Trial::begin(limits).await;
            for (n, step) in steps.into_iter().enumerate() {
                trial.take(step).await;
                if n % 10 == 0 {
                    check_tallies(&trial.host).await;
                }
            }
            trial.finish().await;
            check_tallies(&trial.host).await;
        });
    }
}
