//! Schedules: each tick is dealt with once, together with its job.

use apflow_model::clock::Timestamp;
use apflow_model::event::Happening;
use apflow_model::id::JobId;
use apflow_model::job::Origin;
use apflow_model::schedule::{Schedule, ScheduleSpec, Step, TickFault};
use apflow_store::{Due, Fired, JobFilter, NewJob, NewSchedule, Store};
use serde_json::{Value, json};

use crate::host::{Host, at, completed, spec};

/// Milliseconds in a minute: schedules here tick at each.
const MINUTE: u64 = 60_000;

fn minutely(name: &str, more: Value) -> NewSchedule {
    let mut value = json!({"cron": "* * * * *", "job": {"executor": "noop_executor"}});
    let Value::Object(more) = more else { panic!("an object") };
    value.as_object_mut().unwrap().extend(more);
    let spec = ScheduleSpec::parse(value).unwrap();
    let (principal, role) = ("ada".into(), "user".into());
    NewSchedule { name: name.into(), principal, role, spec, grants: Vec::new() }
}

impl Host {
    async fn put(&self, new: NewSchedule, ms: u64) -> Schedule {
        self.store.put_schedule(new, None, at(ms)).await.unwrap().expect("it is nobody else's")
    }

    async fn schedule(&self, name: &str) -> Schedule {
        self.store.find_schedule(name, None).await.unwrap().expect("it is stored")
    }

    async fn fire(&self, schedule: &Schedule, ms: u64) -> Fired {
        fire(&self.store, schedule, ms).await
    }

    async fn fire_all(&self, ms: u64) -> Vec<Fired> {
        fire_all(&self.store, ms).await
    }

    /// Where the jobs come from, the first first.
    async fn origins(&self) -> Vec<Origin> {
        let page = self.store.list_jobs(&JobFilter::default(), None, 100).await.unwrap();
        let mut origins: Vec<_> = page.jobs.into_iter().filter_map(|job| job.origin).collect();
        origins.reverse();
        origins
    }
}

/// What a host does about a schedule that it has read.
async fn fire(store: &Store, schedule: &Schedule, ms: u64) -> Fired {
    let due = schedule.next_at.expect("it ticks");
    let step = schedule.spec.step(due, at(ms));
    let job = step.tick.map(|_| Ok(job(schedule)));
    let due = Due { schedule: schedule.clone(), due, step, job };
    store.fire_schedule(due, at(ms)).await.unwrap()
}

/// Does every step that is due.
async fn fire_all(store: &Store, ms: u64) -> Vec<Fired> {
    let mut fired = Vec::new();
    while let Some(schedule) = store.due_schedules(at(ms)).await.unwrap().first() {
        fired.push(fire(store, schedule, ms).await);
    }
    fired
}

fn job(schedule: &Schedule) -> NewJob {
    let principal = schedule.principal.clone();
    NewJob { spec: spec(schedule.spec.job.clone()), principal, grants: schedule.grants.clone() }
}

fn origin(ms: u64) -> Origin {
    Origin { schedule: "tidy".into(), tick: at(ms) }
}

fn submitted(fired: &Fired) -> JobId {
    let Fired::Submitted(job) = fired else { panic!("it submits a job: {fired:?}") };
    *job
}

#[tokio::test]
async fn a_schedule_is_found_as_it_was_answered() {
    let host = Host::start().await;
    let more = json!({
        "time_zone": "Europe/Berlin", "overlap": "allow", "missed": "all:7",
        "starts_at": at(MINUTE), "ends_at": at(9 * MINUTE),
    });
    let mut new = minutely("tidy", more);
    new.grants = vec!["env=A".parse().unwrap()];
    let put = host.put(new.clone(), 1).await;
    assert_eq!(host.schedule("tidy").await, put);
    assert_eq!((&put.spec, &put.grants, put.next_at), (&new.spec, &new.grants, Some(at(MINUTE))));
    let page = host.store.list_schedules(None, None, 10).await.unwrap();
    assert_eq!(page.schedules[0].spec, ScheduleSpec { job: Value::Null, ..put.spec.clone() });
    assert_eq!(host.store.next_tick_at().await.unwrap(), Some(at(MINUTE)));
    assert!(host.store.due_schedules(at(MINUTE - 1)).await.unwrap().is_empty());
    assert_eq!(host.store.due_schedules(at(MINUTE)).await.unwrap(), [put]);
}

#[tokio::test]
async fn a_tick_fires_once_however_many_hosts_try() {
    let host = Host::start().await;
    let schedule = host.put(minutely("tidy", json!({})), 1).await;
    let fire = || host.fire(&schedule, MINUTE);
    let (one, two, three) = tokio::join!(fire(), fire(), fire());
    let mut fired = [one, two, three];
    fired.sort_by_key(|fired| *fired == Fired::Outdated);
    let id = submitted(&fired[0]);
    assert_eq!(fired[1..], [Fired::Outdated, Fired::Outdated]);
    assert_eq!(host.origins().await, [origin(MINUTE)]);
    let after = host.schedule("tidy").await;
    assert_eq!((after.last_at, after.last_job), (Some(at(MINUTE)), Some(id)));
    assert_eq!((after.next_at, after.counts.fired), (Some(at(2 * MINUTE)), 1));
}

#[tokio::test]
async fn two_hosts_of_one_database_fire_each_tick_once() {
    let host = Host::start().await;
    host.put(minutely("tidy", json!({"missed": "all:9", "overlap": "allow"})), 1).await;
    let other = Store::open(&host.database.address()).await.unwrap();
    let now = 5 * MINUTE;
    // Not in the same millisecond, in which both would make the same ids.
    let (here, there) = tokio::join!(host.fire_all(now), fire_all(&other, now + 1));
    let count = here.iter().chain(&there).filter(|fired| **fired != Fired::Outdated).count();
    assert_eq!(count, 5);
    let mut origins = host.origins().await;
    origins.sort_by_key(|origin| origin.tick);
    assert_eq!(origins, (1..=5).map(|n| origin(n * MINUTE)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_job_says_in_its_history_which_tick_it_comes_from() {
    let host = Host::start().await;
    let schedule = host.put(minutely("tidy", json!({})), 1).await;
    let id = submitted(&host.fire(&schedule, MINUTE + 5).await);
    let job = host.job(id).await;
    assert_eq!((job.principal.as_str(), &job.origin), ("ada", &Some(origin(MINUTE))));
    let events = host.events(id).await;
    assert!(events.iter().map(|event| event.n).eq(1..=2));
    assert_eq!((events[1].task_id, events[1].at), (None, at(MINUTE + 5)));
    assert_eq!(events[1].what, Happening::Fired(job.origin.unwrap()));
}

#[tokio::test]
async fn a_restart_fires_what_is_due_and_nothing_twice() {
    let host = Host::start().await;
    let schedule = host.put(minutely("tidy", json!({"overlap": "allow"})), 1).await;
    submitted(&host.fire(&schedule, MINUTE).await);
    let host = host.restart().await;
    assert_eq!(host.fire(&schedule, MINUTE).await, Fired::Outdated);
    assert!(host.fire_all(MINUTE).await.is_empty());
    assert_eq!(host.fire_all(4 * MINUTE).await.len(), 1);
    assert_eq!(host.origins().await, [origin(MINUTE), origin(4 * MINUTE)]);
    assert_eq!(host.schedule("tidy").await.counts.missed, 2);
}

#[tokio::test]
async fn missed_ticks_are_made_up_for_as_the_schedule_says() {
    for (missed, made_up, lost) in
        [("skip", vec![], 1), ("last", vec![60], 0), ("all:2", vec![60], 0)]
    {
        let host = Host::start().await;
        let more = json!({"cron": "0 * * * *", "missed": missed, "overlap": "allow"});
        // The test begins at 08:00.
        host.put(minutely("tidy", more), 0).await;
        host.fire_all(90 * MINUTE).await;
        let expected: Vec<_> = made_up.into_iter().map(|n| origin(n * MINUTE)).collect();
        assert_eq!(host.origins().await, expected, "{missed}");
        let after = host.schedule("tidy").await;
        assert_eq!((after.counts.missed, after.next_at), (lost, Some(at(120 * MINUTE))));
    }
    let host = Host::start().await;
    host.put(minutely("tidy", json!({"missed": "all:3", "overlap": "allow"})), 1).await;
    assert_eq!(host.fire_all(30 * MINUTE).await.len(), 3);
    assert_eq!(host.origins().await, (28..=30).map(|n| origin(n * MINUTE)).collect::<Vec<_>>());
    assert_eq!(host.schedule("tidy").await.counts.missed, 27);
}

#[tokio::test]
async fn a_tick_is_skipped_while_a_job_of_an_earlier_one_has_not_ended() {
    let host = Host::start().await;
    host.put(minutely("tidy", json!({})), 1).await;
    assert_eq!(host.fire_all(MINUTE).await.len(), 1);
    assert_eq!(host.fire_all(2 * MINUTE).await, [Fired::Skipped]);
    let claimed = host.claim_one(2 * MINUTE).await;
    assert_eq!(host.fire_all(3 * MINUTE).await, [Fired::Skipped]);
    host.settle(&claimed, 3 * MINUTE + 1, completed()).await;
    submitted(&host.fire_all(4 * MINUTE).await[0]);
    let counts = host.schedule("tidy").await.counts;
    assert_eq!((counts.fired, counts.skipped), (2, 2));
    assert_eq!(host.origins().await, [origin(MINUTE), origin(4 * MINUTE)]);
}

#[tokio::test]
async fn a_tick_whose_job_is_refused_is_kept_with_its_fault_and_the_next_goes_on() {
    let host = Host::start().await;
    let schedule = host.put(minutely("tidy", json!({})), 1).await;
    let fault = TickFault { tick: at(MINUTE), message: "there is no executor `x`".into() };
    let step = Step { missed: 0, tick: Some(at(MINUTE)), next_at: Some(at(2 * MINUTE)) };
    let due = at(MINUTE);
    let refused = Due { schedule, due, step, job: Some(Err(fault.clone())) };
    assert_eq!(host.store.fire_schedule(refused, at(MINUTE)).await.unwrap(), Fired::Failed);
    let after = host.schedule("tidy").await;
    assert_eq!((&after.last_fault, after.counts.failed), (&Some(fault), 1));
    submitted(&host.fire(&after, 2 * MINUTE).await);
    let after = host.schedule("tidy").await;
    assert_eq!((after.last_fault, after.counts.failed, after.counts.fired), (None, 1, 1));
}

#[tokio::test]
async fn a_paused_schedule_does_not_tick_and_makes_up_for_nothing() {
    let host = Host::start().await;
    let before = host.put(minutely("tidy", json!({})), 1).await;
    let pause = |paused, ms| host.store.pause_schedule("tidy", None, paused, at(ms));
    let paused = pause(true, 2).await.unwrap().unwrap();
    assert_eq!((paused.spec.paused, paused.next_at), (true, None));
    // A host that had read it before knows nothing of that, and changes nothing.
    assert_eq!(host.fire(&before, MINUTE).await, Fired::Outdated);
    assert_eq!(host.store.next_tick_at().await.unwrap(), None);
    assert_eq!(pause(true, 3).await.unwrap().unwrap(), paused);
    let resumed = pause(false, 9 * MINUTE + 1).await.unwrap().unwrap();
    assert_eq!((resumed.spec.paused, resumed.next_at), (false, Some(at(10 * MINUTE))));
    assert_eq!(resumed.counts.missed, 0);
    let unknown = host.store.pause_schedule("other", None, true, at(0)).await.unwrap();
    assert_eq!(unknown, None);
}

#[tokio::test]
async fn what_is_written_anew_keeps_its_next_tick_unless_its_times_change() {
    let host = Host::start().await;
    let first = host.put(minutely("tidy", json!({})), 1).await;
    // A due tick is not lost by writing the schedule once more.
    let same = host.put(minutely("tidy", json!({"overlap": "allow"})), 3 * MINUTE + 1).await;
    assert_eq!((same.next_at, same.created_at), (Some(at(MINUTE)), first.created_at));
    assert_eq!(host.fire(&first, MINUTE).await, Fired::Outdated);
    let hourly = host.put(minutely("tidy", json!({"cron": "@hourly"})), 3 * MINUTE + 2).await;
    assert_eq!(hourly.next_at, Some(at(60 * MINUTE)));
    // When the clock goes back, no tick comes again.
    submitted(&host.fire_all(60 * MINUTE).await[0]);
    let back = host.put(minutely("tidy", json!({})), MINUTE).await;
    assert_eq!(back.next_at, Some(at(61 * MINUTE)));
}

#[tokio::test]
async fn a_triggered_job_is_submitted_beside_the_ticks() {
    let host = Host::start().await;
    let schedule = host.put(minutely("tidy", json!({"paused": true})), 1).await;
    let trigger = || host.store.trigger_schedule(&schedule, job(&schedule), at(7));
    let first = trigger().await.unwrap().unwrap();
    assert_eq!((host.job(first.id).await, &first.origin), (first.clone(), &Some(origin(7))));
    // Somebody asks for it: it does not wait for the first.
    assert_ne!(trigger().await.unwrap().unwrap().id, first.id);
    let after = host.schedule("tidy").await;
    assert_eq!((after.counts.fired, after.last_at, after.next_at), (2, None, None));
    host.put(minutely("tidy", json!({})), 8).await;
    assert_eq!(trigger().await.unwrap(), None, "it was changed since it was read");
}

#[tokio::test]
async fn a_schedule_is_its_makers_and_nobody_elses() {
    let host = Host::start().await;
    host.put(minutely("tidy", json!({})), 1).await;
    let bob = Some("bob");
    assert_eq!(host.store.find_schedule("tidy", bob).await.unwrap(), None);
    assert!(host.store.list_schedules(bob, None, 10).await.unwrap().schedules.is_empty());
    assert_eq!(host.store.pause_schedule("tidy", bob, true, at(2)).await.unwrap(), None);
    assert_eq!(host.store.remove_schedule("tidy", bob).await.unwrap(), None);
    let new = NewSchedule { principal: "bob".into(), ..minutely("tidy", json!({"paused": true})) };
    assert_eq!(host.store.put_schedule(new.clone(), bob, at(2)).await.unwrap(), None);
    assert!(!host.schedule("tidy").await.spec.paused);
    // Who may change anybody's leaves it to its maker.
    assert_eq!(host.put(new, 3).await.principal, "ada");
    let removed = host.store.remove_schedule("tidy", Some("ada")).await.unwrap();
    assert_eq!(removed.unwrap().name, "tidy");
    assert_eq!(host.store.find_schedule("tidy", None).await.unwrap(), None);
}

#[tokio::test]
async fn pages_hold_every_schedule_once_by_name() {
    let host = Host::start().await;
    for name in ["b", "a", "c_1", "c-1"] {
        host.put(minutely(name, json!({})), 1).await;
    }
    let (mut listed, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = host.store.list_schedules(None, after.as_deref(), 3).await.unwrap();
        listed.extend(page.schedules.into_iter().map(|schedule| schedule.name));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, ["a", "b", "c-1", "c_1"]);
}

#[tokio::test]
async fn a_schedule_that_cannot_be_read_is_not_in_the_way_of_the_others() {
    let host = Host::start().await;
    host.put(minutely("broken", json!({})), 1).await;
    host.put(minutely("tidy", json!({})), 1).await;
    host.spoil("UPDATE schedule SET cron = 'never' WHERE name = 'broken'").await;
    let due: Vec<Timestamp> = {
        let due = host.store.due_schedules(at(MINUTE)).await.unwrap();
        due.into_iter().filter_map(|schedule| schedule.next_at).collect()
    };
    assert_eq!(due, [at(MINUTE)]);
}
