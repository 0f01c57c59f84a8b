//! The process that dies: submitters, workers and one who cancels, all on one store. It says aloud
//! what was acknowledged, a line each, so that whoever listens knows what must survive.

use std::io::Write;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use apflow_model::clock::Timestamp;
use apflow_model::fair::Limits;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::JobId;
use apflow_model::job::JobSpec;
use apflow_model::money::{TokenUse, Tokens};
use apflow_model::quarantine::QuarantineRule;
use apflow_model::usage::Usage;
use apflow_store::{
    Asked, Claimed, End, HandedOut, Line, NewCharge, NewJob, Places, Reserving, SessionId,
    Settlement, Spending, Store, StoreError, failpoint,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::dice::Dice;

/// The database.
pub(crate) const ADDRESS: &str = "APFLOW_PROOF_ADDRESS";
/// What it does.
pub(crate) const SEED: &str = "APFLOW_PROOF_SEED";
/// At which statement it dies.
pub(crate) const DIES_AT: &str = "APFLOW_PROOF_DIES_AT";

const SUBMITTERS: u64 = 4;
const JOBS_PER_SUBMITTER: u32 = 40;
const WORKERS: u64 = 4;
/// How often a worker that finds nothing looks again before it ends.
const LOOKS_MAX: u32 = 50;

#[test]
#[ignore = "it is killed: the facts in `crash.rs` start it"]
#[expect(clippy::disallowed_methods, reason = "this is how whoever kills it says what to do")]
fn works_until_it_is_killed() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let number = |name| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let (seed, dies_at) = (number(SEED), number(DIES_AT));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(&address.parse().unwrap()).await.unwrap();
        let session = open_session(&store, now()).await;
        failpoint::arm(dies_at);
        store.recover(session, now(), never()).await.unwrap();
        work(&store, session, seed).await;
        store.close().await;
    });
}

/// The time of day, so that it grows from one victim to the next.
#[expect(clippy::disallowed_methods, reason = "a victim has no host to ask")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_unix_ms(since.as_millis().try_into().unwrap())
}

/// No component is quarantined: hosts end here all the time.
pub(crate) fn never() -> QuarantineRule {
    QuarantineRule::new(0, 60).unwrap()
}

/// A session that outlives its proof.
pub(crate) async fn open_session(store: &Store, now: Timestamp) -> SessionId {
    let lease = Duration::from_hours(24);
    store.open_session("proof".to_owned(), now, lease).await.unwrap()
}

/// Says what was acknowledged. The full stop shows that the line is whole.
fn acknowledge(line: std::fmt::Arguments<'_>) {
    let line = format!("ack {line} .\n");
    // Whoever listened may be gone.
    drop(std::io::stdout().lock().write_all(line.as_bytes()));
}

/// The jobs that are there to be cancelled.
type Accepted = Arc<Mutex<Vec<JobId>>>;

async fn work(store: &Store, session: SessionId, seed: u64) {
    let accepted = Accepted::default();
    let mut all = JoinSet::new();
    for place in 0..SUBMITTERS {
        let dice = Dice(seed ^ (place << 32));
        all.spawn(submit(store.clone(), dice, Arc::clone(&accepted)));
    }
    for place in 0..WORKERS {
        // One of them has its claim stand at the writer, where there is room for one.
        let stands = place == 0;
        all.spawn(run(store.clone(), session, Dice(seed ^ (place << 40)), stands));
    }
    all.spawn(cancel(store.clone(), Dice(!seed), accepted));
    all.join_all().await;
}

async fn submit(store: Store, mut dice: Dice, accepted: Accepted) {
    for _ in 0..JOBS_PER_SUBMITTER {
        let spec = JobSpec::parse(forest(&mut dice)).unwrap();
        let new = NewJob { spec, principal: "ada".into(), grants: Vec::new() };
        let job = store.submit(new, now()).await.unwrap();
        acknowledge(format_args!("submitted {} {}", job.id, job.tasks.len()));
        accepted.lock().unwrap().push(job.id);
    }
}

/// One to four tasks, each of which may wait for earlier ones.
fn forest(dice: &mut Dice) -> Value {
    let count = 1 + dice.below(4);
    let task = |place: u64| {
        let earlier = (0..place).filter(|_| dice.below(2) == 0).collect::<Vec<_>>();
        let dependency = |id: &u64| json!({"id": id.to_string(), "required": dice.below(3) > 0});
        json!({
            "id": place.to_string(), "executor": "noop_executor", "priority": place % 4,
            "dependencies": earlier.iter().map(dependency).collect::<Vec<_>>(),
        })
    };
    let tasks = (0..count).map(task).collect::<Vec<_>>();
    // Some have more than they use, some less, and some a block as well.
    let cap = [50, 200, 100_000][usize::try_from(dice.below(3)).unwrap()];
    json!({"tasks": tasks, "token_budget": cap})
}

async fn run(store: Store, session: SessionId, mut dice: Dice, stands: bool) {
    let mut looks = 0;
    while looks < LOOKS_MAX {
        let limit = 1 + u32::try_from(dice.below(4)).unwrap();
        let handed_out = if stands {
            stand(&store, session, limit).await
        } else {
            store.claim(session, now(), limit, Limits::default()).await.unwrap()
        };
        let claimed = handed_out.tasks;
        looks = if claimed.is_empty() { looks + 1 } else { 0 };
        if claimed.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for task in claimed {
            attempt(&store, &task, &mut dice).await;
        }
    }
}

/// Places for as many tasks, at whatever moment.
struct Desk(u32);

impl Places for Desk {
    fn now(&self) -> Timestamp {
        now()
    }

    fn free(&self) -> u32 {
        self.0
    }
}

/// What becomes ready next, or after a while nothing.
async fn stand(store: &Store, session: SessionId, limit: u32) -> HandedOut {
    let claim = store.claim_when_ready(session, Arc::new(Desk(limit)), Limits::default(), false);
    let mut claim = pin!(claim);
    loop {
        tokio::select! {
            handed_out = &mut claim => return handed_out.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(5)) => store.claim_now(),
        }
    }
}

async fn attempt(store: &Store, claimed: &Claimed, dice: &mut Dice) {
    let (task, attempt) = (claimed.task, claimed.attempt);
    for step in 0..dice.below(3) {
        let saved = store.save_checkpoint(task, attempt, format!("{step}"), vec![1, 2], now());
        match saved.await {
            Ok(_) => acknowledge(format_args!("saved {task} {attempt}")),
            Err(StoreError::AttemptLost) => return,
            Err(error) => panic!("{error}"),
        }
    }
    let mut usage = Usage { wall_us: 10, ..Usage::default() };
    let Some(spending) = spend(store, claimed, dice, &mut usage).await else { return };
    let (now, end, events) = (now(), end(dice), Vec::new());
    let settlement = Settlement { task, attempt, now, end, usage, events };
    match store.settle_with(settlement, None, spending).await {
        Ok(settled) => acknowledge(format_args!("settled {task} {attempt} {}", settled.state)),
        Err(StoreError::AttemptLost) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Calls a model a few times. What is set aside is charged, given back, or left for the end. None when
/// the attempt has lost its task.
async fn spend(
    store: &Store,
    claimed: &Claimed,
    dice: &mut Dice,
    usage: &mut Usage,
) -> Option<Spending> {
    let (task, attempt) = (claimed.task, claimed.attempt);
    let mut spending = Spending { has_reserved: true, ..Spending::default() };
    let lost = |error: StoreError| assert!(matches!(error, StoreError::AttemptLost), "{error}");
    for number in 1..=dice.below(4) {
        let most = TokenUse { output: Tokens(dice.below(40)), ..TokenUse::default() };
        let (model, given_back) = (None, Vec::new());
        let (now, asks_again) = (now(), false);
        let asked = Asked { task, attempt, number, now, model, most, given_back, asks_again };
        let reserved = match store.reserve(asked).await.map_err(lost) {
            Ok(Reserving::Reserved(reserved)) => reserved,
            Ok(Reserving::Exhausted(_)) => continue,
            Ok(Reserving::Blocked(reason)) => panic!("{reason}"),
            Err(()) => return None,
        };
        let blocks = reserved.lines.iter().map(|line| (line.budget, line.block));
        spending.given_back.extend(blocks);
        let charge = NewCharge {
            number,
            at: now,
            is_tool: false,
            wanted: None,
            model: None,
            tokens: most,
            cost: None,
            from_blocks: Vec::new(),
            left: None,
        };
        let mut known = 0;
        if dice.below(2) == 0 {
            // Part of what it uses is charged before it ends.
            known = most.output.0 / 2;
            let of_line = |line: &Line| (line.budget, line.amount - line.amount / 2);
            let left = Some(reserved.lines.iter().map(of_line).collect());
            let tokens = TokenUse { output: Tokens(known), ..most };
            let so_far = NewCharge { tokens, left, ..charge.clone() };
            store.charge(task, attempt, vec![so_far]).await.map_err(lost).ok()?;
        }
        match dice.below(3) {
            0 if known == 0 => continue,
            // It is cut off, so what is known counts.
            0 => {
                let tokens = TokenUse { output: Tokens(known), ..most };
                usage.tokens_output += known;
                usage.calls_unpriced += 1;
                spending.charges.push(NewCharge { tokens, ..charge });
                continue;
            }
            1 => spending.charges.push(charge),
            _ => match store.charge(task, attempt, vec![charge]).await.map_err(lost) {
                Ok(_) => {
                    acknowledge(format_args!("charged {task} {attempt} {number} {}", most.output));
                }
                Err(()) => return None,
            },
        }
        usage.tokens_output += most.output.0;
        usage.calls_unpriced += 1;
    }
    Some(spending)
}

fn end(dice: &mut Dice) -> End {
    match dice.below(8) {
        0 => End::Failed { fault: Fault::new(FaultCode::Permanent, "no") },
        1 | 2 => {
            let run_at = now().after(Duration::from_millis(dice.below(5)));
            End::Retry { fault: Fault::new(FaultCode::Retryable, "again"), run_at }
        }
        _ => End::Completed { output: json!({"ok": true}), files: Vec::new() },
    }
}

async fn cancel(store: Store, mut dice: Dice, accepted: Accepted) {
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(dice.below(20))).await;
        let job = accepted.lock().unwrap().pop();
        if let Some(job) = job
            && store.cancel_job(job, now()).await.unwrap().is_some()
        {
            acknowledge(format_args!("cancelled {job}"));
        }
    }
}
