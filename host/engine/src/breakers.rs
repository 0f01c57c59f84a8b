//! Circuit breakers: who is left alone, as this host knows it.
//!
//! The store has the truth, for all hosts. What is known of it here is a moment old, so that most
//! connections and most ends of attempts ask nothing of the database; a probe asks always.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apflow_model::breaker::{
    Admission, Breaker, BreakerKey, BreakerRule, BreakerRules, BreakerState, Outcome, Passage,
};
use apflow_model::clock::{Clock, Timestamp};
use apflow_model::fault::Fault;
use apflow_sandbox::{Gate, Held, Pass, PortFuture};
use apflow_store::{BREAKERS_MAX, BreakerMove, Moved, Store, StoreError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::error::chain;

/// How often to look what other hosts and the operator did to the breakers.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long a probe of a destination keeps its place at most: its host may be gone.
const PROBE_MAX: Duration = Duration::from_mins(10);
/// How long a connection waits at most for the end of the probes that are under way.
const PROBES_AWAITED_MAX: Duration = Duration::from_secs(5);
/// After how long without a change a breaker that is not open is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);
/// The most moves that wait to be stored.
const UNSTORED_MAX: usize = 10_000;
/// The longest words of a failure that are kept, in bytes.
const FAULT_BYTES_MAX: usize = 500;

/// The breakers of all executors and destinations.
pub struct Breakers {
    store: Store,
    clock: Arc<dyn Clock>,
    rules: BreakerRules,
    known: Mutex<Known>,
    /// Rung when a breaker may let through what it did not.
    changed: Notify,
    /// Rung when there is something to store.
    bell: Notify,
}

/// What is known here.
#[derive(Default)]
struct Known {
    /// Those that are not well, the moves that are not stored included.
    breakers: HashMap<BreakerKey, Breaker>,
    unstored: Vec<BreakerMove>,
}

/// A breaker as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListedBreaker {
    /// What it guards.
    pub key: BreakerKey,
    /// Where it stands.
    pub state: BreakerState,
    /// How many failures there were since the last success.
    #[schemars(example = 5)]
    pub failures: u32,
    /// When it lets probes through, or let them first. None for a closed one.
    pub until: Option<Timestamp>,
    /// What the last failure said.
    #[schemars(example = &"answered 503")]
    pub fault: Option<String>,
    /// When it last changed.
    pub changed_at: Timestamp,
}

impl Breakers {
    /// The breakers that a store keeps, by these rules.
    pub fn new(store: Store, clock: Arc<dyn Clock>, rules: BreakerRules) -> Arc<Self> {
        let (known, changed, bell) = (Mutex::default(), Notify::new(), Notify::new());
        Arc::new(Self { store, clock, rules, known, changed, bell })
    }

    /// Takes up what is stored. Breakers of a kind that is off are forgotten.
    pub(crate) async fn start(&self) -> Result<(), StoreError> {
        let BreakerRules { executors, destinations } = self.rules;
        for (rule, kind) in
            [(executors, BreakerKey::EXECUTOR), (destinations, BreakerKey::DESTINATION)]
        {
            if rule.is_none() {
                self.store.reset_breakers(kind).await?;
            }
        }
        self.look().await
    }

    /// Stores moves as they come, and looks what others did.
    pub(crate) async fn keep(&self) {
        loop {
            // Running out of time is fine: it is time to look.
            drop(tokio::time::timeout(LOOK_AGAIN, self.bell.notified()).await);
            self.store_moves().await;
            if let Err(error) = self.look().await {
                tracing::warn!(error = chain(&error), "the breakers could not be read");
            }
        }
    }

    /// Stores the moves that wait for it. They wait on when the database fails.
    pub(crate) async fn store_moves(&self) {
        let mut waiting = std::mem::take(&mut self.lock().unstored);
        if waiting.is_empty() {
            return;
        }
        let stored = self.store.move_breakers(waiting.clone()).await;
        let mut known = self.lock();
        match stored {
            Ok(moved) => {
                for (one, moved) in waiting.iter().zip(moved) {
                    report(one, &moved);
                    known.set(one.key.clone(), moved.after);
                }
                known.move_unstored();
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "moves of breakers wait to be stored");
                waiting.append(&mut known.unstored);
                known.unstored = waiting;
            }
        }
        drop(known);
        self.changed.notify_waiters();
    }

    /// Forgets what is long past.
    pub(crate) async fn forget(&self) {
        let now = self.clock.now();
        let day = i64::try_from(FORGOTTEN_AFTER.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp::from_unix_ms(now.unix_ms().saturating_sub(day));
        if let Err(error) = self.store.forget_breakers(before, now).await {
            tracing::warn!(error = chain(&error), "old breakers could not be removed");
        }
    }

    /// What an attempt says about its executor. `is_outside` is whether a destination failed it,
    /// which counts only where destinations have breakers of their own.
    pub(crate) fn judge(
        &self,
        fault: Option<&Fault>,
        timed_out: bool,
        is_outside: bool,
    ) -> Outcome {
        let is_outside = is_outside && self.rules.destinations.is_some();
        Outcome::of_attempt(fault, timed_out, is_outside)
    }

    /// Moves the breaker of an executor by the end of an attempt, by its own rule or the usual one.
    ///
    /// Its write is queued when this is first polled, so that it comes before what is queued later.
    pub(crate) async fn attempt_ended(
        &self,
        (executor, own): (&str, Option<BreakerRule>),
        began: Timestamp,
        outcome: Outcome,
        fault: Option<String>,
    ) {
        // Where there are none, a tool's own word makes none.
        let Some(rule) = self.rules.executors.map(|usual| own.unwrap_or(usual)) else {
            return;
        };
        let key = BreakerKey::Executor(executor.to_owned());
        let is_news = match outcome {
            Outcome::Failure => true,
            // What is well needs no success.
            Outcome::Success => self.lock().breakers.contains_key(&key),
            Outcome::Neither => false,
        };
        if !is_news {
            return;
        }
        let passage = Passage { began, ended: self.clock.now(), probe: None, outcome };
        let one = BreakerMove { key, rule, passage, fault: fault.map(shorten) };
        match self.store.move_breakers(vec![one.clone()]).await {
            Ok(moved) => {
                for moved in moved {
                    report(&one, &moved);
                    self.lock().set(one.key.clone(), moved.after);
                }
            }
            Err(error) => {
                let error = chain(&error);
                tracing::error!(breaker = %one.key, error, "a move of a breaker was not stored");
            }
        }
    }

    /// Whether the breaker of an executor is known here: it is open, or has counted failures.
    pub(crate) fn is_known(&self, executor: &str) -> bool {
        self.lock().breakers.contains_key(&BreakerKey::Executor(executor.to_owned()))
    }

    /// Lists those that are not well, by key.
    pub(crate) async fn list(&self) -> Result<Vec<ListedBreaker>, StoreError> {
        let now = self.clock.now();
        let listed = self.store.list_breakers().await?.into_iter().map(|(key, kept)| {
            let (state, until) = (kept.breaker.state(now), kept.breaker.until());
            let (failures, fault) = (kept.breaker.failures(), kept.fault);
            ListedBreaker { key, state, failures, until, fault, changed_at: kept.changed_at }
        });
        Ok(listed.collect())
    }

    /// Forgets all that is known against what a breaker guards. False when there was nothing.
    pub(crate) async fn reset(&self, key: &BreakerKey) -> Result<bool, StoreError> {
        let is_reset = self.store.reset_breaker(key).await?;
        let mut known = self.lock();
        known.breakers.remove(key);
        known.unstored.retain(|one| one.key != *key);
        drop(known);
        self.changed.notify_waiters();
        if is_reset {
            tracing::info!(breaker = %key, "reset");
        }
        Ok(is_reset)
    }

    /// Forgets all that is known against anything. Answers how many breakers there were.
    pub(crate) async fn reset_all(&self) -> Result<u64, StoreError> {
        let count = self.store.reset_breakers("").await?;
        *self.lock() = Known::default();
        self.changed.notify_waiters();
        tracing::info!(count, "all breakers were reset");
        Ok(count)
    }

    async fn look(&self) -> Result<(), StoreError> {
        let stored = self.store.list_breakers().await?;
        let mut known = self.lock();
        known.breakers = stored.into_iter().map(|(key, kept)| (key, kept.breaker)).collect();
        known.move_unstored();
        drop(known);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Asks until the breaker says yes or no, or the probes under way take too long.
    async fn pass(
        &self,
        key: BreakerKey,
        rule: BreakerRule,
        within: Duration,
    ) -> Result<Pass, Held> {
        let mut patience = pin!(tokio::time::sleep(PROBES_AWAITED_MAX));
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let given = self.clock.now();
            let lapses = given.after(within.min(PROBE_MAX));
            let known = self.lock().breakers.get(&key).cloned().unwrap_or_default();
            let mut admission = known.admission(rule.probes, given, lapses);
            if matches!(admission, Admission::Probe(_)) {
                admission = self.probe(&key, given, lapses).await;
            }
            match admission {
                Admission::Free => return Ok(Pass { given, probe: None }),
                Admission::Probe(lapses) => return Ok(Pass { given, probe: Some(lapses) }),
                Admission::Wait(wait) => return Err(Held { wait }),
                Admission::Full => {}
            }
            tokio::select! {
                () = changed => {}
                () = &mut patience => {
                    return Err(Held { wait: Duration::from_secs(rule.open_seconds.into()) });
                }
            }
        }
    }

    /// Asks the store for the place of a probe: other hosts ask as well.
    async fn probe(&self, key: &BreakerKey, now: Timestamp, lapses: Timestamp) -> Admission {
        match self.store.admit(key.clone(), now, lapses).await {
            Ok((admission, breaker)) => {
                let mut known = self.lock();
                known.set(key.clone(), breaker);
                known.move_unstored();
                admission
            }
            Err(error) => {
                // Whoever runs already is not kept from its work by that.
                tracing::warn!(breaker = %key, error = chain(&error), "a probe takes no place");
                Admission::Free
            }
        }
    }

    /// Takes note of a move, to be stored soon.
    fn note(&self, one: BreakerMove) {
        let mut known = self.lock();
        let before = known.breakers.get(&one.key).cloned().unwrap_or_default();
        let is_new = before.is_well() && known.breakers.len() >= BREAKERS_MAX as usize;
        let after = before.clone().after(&one.rule, one.passage);
        if after == before || is_new || known.unstored.len() >= UNSTORED_MAX {
            return;
        }
        known.set(one.key.clone(), after);
        known.unstored.push(one);
        drop(known);
        self.changed.notify_waiters();
        self.bell.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn set(&mut self, key: BreakerKey, breaker: Breaker) {
        if breaker.is_well() {
            self.breakers.remove(&key);
        } else {
            self.breakers.insert(key, breaker);
        }
    }

    /// Makes the moves that are not stored again, after what is stored was read.
    fn move_unstored(&mut self) {
        for one in std::mem::take(&mut self.unstored) {
            let before = self.breakers.remove(&one.key).unwrap_or_default();
            self.set(one.key.clone(), before.after(&one.rule, one.passage));
            self.unstored.push(one);
        }
    }
}

impl Gate for Breakers {
    fn ask<'a>(
        &'a self,
        destination: &'a str,
        within: Duration,
    ) -> PortFuture<'a, Result<Pass, Held>> {
        Box::pin(async move {
            let Some(rule) = self.rules.destinations else {
                return Ok(Pass { given: self.clock.now(), probe: None });
            };
            self.pass(BreakerKey::Destination(destination.to_owned()), rule, within).await
        })
    }

    fn report(&self, destination: &str, pass: Pass, outcome: Outcome, why: &str) {
        let Some(rule) = self.rules.destinations else { return };
        let (began, ended) = (pass.given, self.clock.now());
        let passage = Passage { began, ended, probe: pass.probe, outcome };
        let fault = (!why.is_empty()).then(|| shorten(why.to_owned()));
        let key = BreakerKey::Destination(destination.to_owned());
        self.note(BreakerMove { key, rule, passage, fault });
    }
}

/// Tells the operator of a breaker that opened or closed.
fn report(one: &BreakerMove, moved: &Moved) {
    let BreakerMove { key, fault, .. } = one;
    match (moved.before.until(), moved.after.until()) {
        (before, Some(until)) if before != Some(until) => {
            let failures = moved.after.failures();
            tracing::warn!(breaker = %key, failures, %until, fault, "opened");
        }
        (Some(_), None) => tracing::info!(breaker = %key, "closed"),
        (Some(_) | None, _) => {}
    }
}

fn shorten(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(FAULT_BYTES_MAX));
    text
}
