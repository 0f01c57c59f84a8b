//! The budgets of an attempt, as its guest meets them.
//!
//! Small calls are handed out of blocks that this process holds, and nobody waits for their charges
//! to be stored. All others are set aside and charged in the store before the guest goes on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apflow_model::budget::BudgetUnit;
use apflow_model::clock::Clock;
use apflow_model::cost_policy::Pricing;
use apflow_model::id::TaskId;
use apflow_model::money::{MicroUsd, TokenUse, Tokens};
use apflow_model::usage::Usage;
use apflow_sandbox::{BudgetError, ModelCall, Reservation, Stop, StopReason};
use apflow_store::{
    Asked, BudgetId, Claimed, Line, NewCharge, Reserved, Reserving, Spending, Store, StoreError,
};

use crate::engine::Engine;
use crate::error::chain;
use crate::purse::Purse;

/// The most charges that wait to be stored before their time.
const CHARGES_WAITING_MAX: usize = 256;

/// The budgets of one attempt.
pub(crate) struct Wallet {
    store: Store,
    clock: Arc<dyn Clock>,
    purse: Arc<Purse>,
    pricing: Pricing,
    task: TaskId,
    attempt: u32,
    /// The model that the task asks for.
    model: Option<String>,
    is_tool: bool,
    /// What the purse had heard when it was known that no budget counts the calls. None when one
    /// does.
    is_free_since: Option<u64>,
    stop: Stop,
    own: Mutex<Own>,
}

#[derive(Default)]
struct Own {
    /// The number of the last reservation.
    last: u64,
    open: HashMap<u64, Open>,
    known: Option<Known>,
    /// Budgets whose blocks it draws on.
    entered: Vec<BudgetId>,
    charges: Vec<NewCharge>,
    /// Reservations in the store that ended without a charge.
    released: Vec<u64>,
    has_reserved: bool,
    tokens: TokenUse,
    cost: MicroUsd,
    calls_unpriced: u64,
}

/// A reservation that has not ended.
struct Open {
    wanted: Option<String>,
    model: Option<String>,
    lines: Vec<Line>,
    /// Whether it was taken out of blocks.
    is_of_blocks: bool,
}

/// What the store said of the budgets.
struct Known {
    /// What the purse had heard then.
    news: u64,
    lines: Vec<Line>,
    /// The model to call, by the one that is asked for.
    routes: HashMap<Option<String>, Option<String>>,
}

impl Wallet {
    pub(crate) fn new(engine: &Engine, claimed: &Claimed, is_tool: bool, stop: Stop) -> Self {
        Self {
            store: engine.store.clone(),
            clock: Arc::clone(&engine.clock) as Arc<dyn Clock>,
            purse: Arc::clone(&engine.purse),
            pricing: Arc::clone(&engine.settings.cost.pricing),
            task: claimed.task,
            attempt: claimed.attempt,
            model: claimed.model.clone(),
            is_tool,
            is_free_since: (!claimed.has_budgets).then(|| engine.purse.news()),
            stop,
            own: Mutex::default(),
        }
    }

    /// The tokens that are left at least. None without a budget of tokens.
    pub(crate) async fn tokens_left(&self) -> Option<u64> {
        if self.is_free_since == Some(self.purse.news()) {
            return None;
        }
        match self.store.tokens_left(self.task).await {
            Ok(left) => left,
            Err(error) => {
                tracing::error!(task = %self.task, error = chain(&error), "no budget can be read");
                Some(0)
            }
        }
    }

    /// Sets aside what a call can use at most.
    pub(crate) async fn reserve(&self, call: ModelCall) -> Result<Reservation, BudgetError> {
        let tokens = call.input.saturating_add(call.output);
        let most = TokenUse {
            input: Tokens(call.input),
            output: Tokens(call.output),
            ..TokenUse::default()
        };
        let wanted = call.model.or_else(|| self.model.clone());
        let number = {
            let mut own = locked(&self.own);
            own.last += 1;
            own.last
        };
        let open = match self.reserve_here(wanted.as_deref(), most) {
            Some(open) => open,
            None => self.reserve_in_store(number, wanted, most).await?,
        };
        let model = open.model.clone();
        locked(&self.own).open.insert(number, open);
        Ok(Reservation { number, tokens, model })
    }

    /// Sets a call aside in memory: where no budget counts it, or blocks have enough.
    fn reserve_here(&self, wanted: Option<&str>, most: TokenUse) -> Option<Open> {
        let news = self.purse.news();
        let wanted = wanted.map(str::to_owned);
        if self.is_free_since == Some(news) {
            let model = wanted.clone();
            return Some(Open { wanted, model, lines: Vec::new(), is_of_blocks: false });
        }
        let own = locked(&self.own);
        let known = own.known.as_ref().filter(|known| known.news == news)?;
        let model = known.routes.get(&wanted)?.clone();
        let mut lines = known.lines.clone();
        for line in &mut lines {
            line.amount = self.amount(line.unit, model.as_deref(), most)?;
        }
        self.purse.take(&lines).then_some(Open { wanted, model, lines, is_of_blocks: true })
    }

    async fn reserve_in_store(
        &self,
        number: u64,
        wanted: Option<String>,
        most: TokenUse,
    ) -> Result<Open, BudgetError> {
        let news = self.purse.news();
        let mut asked = Asked {
            task: self.task,
            attempt: self.attempt,
            number,
            now: self.clock.now(),
            model: wanted.clone(),
            most,
            given_back: Vec::new(),
            asks_again: self.purse.has_some(),
        };
        let mut answer = self.ask(asked.clone()).await?;
        if !matches!(answer, Reserving::Reserved(_)) && asked.asks_again {
            // What this process holds for other calls must not be what is missing.
            (asked.given_back, asked.asks_again) = (self.purse.empty(), false);
            answer = self.ask(asked).await?;
        }
        let Reserved { model, lines } = match answer {
            Reserving::Reserved(reserved) => reserved,
            Reserving::Exhausted(left) => return Err(BudgetError::Exhausted(left)),
            Reserving::Blocked(reason) => return Err(BudgetError::Blocked(reason)),
        };
        let mut own = locked(&self.own);
        own.has_reserved |= !lines.is_empty();
        for line in &lines {
            if !own.entered.contains(&line.budget) {
                own.entered.push(line.budget);
                self.purse.enter(line.budget);
            }
            self.purse.add(line.budget, line.block);
        }
        let fresh = || Known { news, lines: lines.clone(), routes: HashMap::new() };
        let known = own.known.take().filter(|known| known.news == news).unwrap_or_else(fresh);
        let known = own.known.insert(known);
        known.routes.insert(wanted.clone(), model.clone());
        Ok(Open { wanted, model, lines, is_of_blocks: false })
    }

    async fn ask(&self, asked: Asked) -> Result<Reserving, BudgetError> {
        let given_back = asked.given_back.clone();
        self.store.reserve(asked).await.map_err(|error| {
            for (budget, amount) in given_back {
                self.purse.add(budget, amount);
            }
            self.refused(&error);
            BudgetError::Blocked("the host cannot set anything aside now".to_owned())
        })
    }

    /// Ends a reservation, and charges what was used in its place.
    pub(crate) async fn commit(&self, reservation: Reservation, used: TokenUse) {
        let Some(open) = locked(&self.own).open.remove(&reservation.number) else { return };
        let Open { wanted, model, lines, is_of_blocks } = open;
        let cost = model.as_deref().and_then(|model| (self.pricing)(model, used));
        let of_line = |line: &Line| match line.unit {
            BudgetUnit::Tokens => used.total().0,
            BudgetUnit::MicroUsd => cost.map_or(line.amount, |cost| cost.0),
        };
        let exceeds = lines.iter().any(|line| of_line(line) > line.amount);
        let mut from_blocks = Vec::new();
        if is_of_blocks {
            for line in &lines {
                let used = of_line(line).min(line.amount);
                from_blocks.push((line.budget, used));
                self.purse.add(line.budget, line.amount - used);
            }
        }
        let (number, at) = (reservation.number, self.clock.now());
        let (is_tool, tokens) = (self.is_tool, used);
        let charge = NewCharge { number, at, is_tool, wanted, model, tokens, cost, from_blocks };
        self.count(&charge);
        if lines.is_empty() || is_of_blocks && !exceeds {
            locked(&self.own).charges.push(charge);
            return;
        }
        match self.store.charge(self.task, self.attempt, vec![charge.clone()]).await {
            Ok(charged) if exceeds && charged.is_over => self.stop.now(StopReason::OverBudget),
            Ok(_) => {}
            Err(error) => {
                self.refused(&error);
                // It is charged with the end of the attempt.
                locked(&self.own).charges.push(charge);
            }
        }
        if lines.iter().any(|line| line.is_governed) {
            self.purse.has_news();
        }
    }

    /// Ends a reservation of which nothing was used.
    pub(crate) fn release(&self, reservation: &Reservation) {
        let mut own = locked(&self.own);
        let Some(open) = own.open.remove(&reservation.number) else { return };
        if open.is_of_blocks {
            self.give_back(&open);
        } else if !open.lines.is_empty() {
            own.released.push(reservation.number);
        }
    }

    /// Whether something waits to be stored that others may wait for, or much of it.
    pub(crate) fn is_full(&self) -> bool {
        let own = locked(&self.own);
        !own.released.is_empty() || own.charges.len() >= CHARGES_WAITING_MAX
    }

    /// Stores what waits.
    pub(crate) async fn store(&self) {
        let (charges, released) = {
            let mut own = locked(&self.own);
            (std::mem::take(&mut own.charges), std::mem::take(&mut own.released))
        };
        if !released.is_empty() {
            let now = self.clock.now();
            if let Err(error) = self.store.release(self.task, self.attempt, released, now).await {
                // They go back with the end of the attempt.
                self.refused(&error);
            }
        }
        if charges.is_empty() {
            return;
        }
        let stored = self.store.charge(self.task, self.attempt, charges.clone()).await;
        if let Err(error) = stored {
            self.refused(&error);
            locked(&self.own).charges.splice(..0, charges);
        }
    }

    /// Ends the attempt's use of its budgets. What its receipt says beside what was committed is
    /// charged as well, and the receipt says what all of it cost.
    pub(crate) fn end(&self, usage: &mut Usage) -> Spending {
        let told = usage.tokens().beyond(locked(&self.own).tokens);
        if told != TokenUse::default() {
            let model = self.model.clone();
            let cost = model.as_deref().and_then(|model| (self.pricing)(model, told));
            let charge = NewCharge {
                number: 0,
                at: self.clock.now(),
                is_tool: self.is_tool,
                wanted: model.clone(),
                model,
                tokens: told,
                cost,
                from_blocks: Vec::new(),
            };
            self.count(&charge);
            locked(&self.own).charges.push(charge);
        }
        let mut own = locked(&self.own);
        for open in std::mem::take(&mut own.open).into_values() {
            if open.is_of_blocks {
                self.give_back(&open);
            }
        }
        let entered = std::mem::take(&mut own.entered);
        let given_back =
            entered.into_iter().filter_map(|budget| Some((budget, self.purse.leave(budget)?)));
        let given_back = given_back.collect();
        usage.tokens_input = own.tokens.input.0;
        usage.tokens_output = own.tokens.output.0;
        usage.tokens_cached = own.tokens.cached.0;
        usage.micro_usd = own.cost.0;
        usage.calls_unpriced = own.calls_unpriced;
        let charges = std::mem::take(&mut own.charges);
        Spending { charges, given_back, has_reserved: own.has_reserved }
    }

    fn give_back(&self, open: &Open) {
        for line in &open.lines {
            self.purse.add(line.budget, line.amount);
        }
    }

    fn count(&self, charge: &NewCharge) {
        let mut own = locked(&self.own);
        own.tokens = own.tokens.and(charge.tokens);
        match charge.cost {
            Some(cost) => own.cost = own.cost.saturating_add(cost),
            None => own.calls_unpriced += 1,
        }
    }

    fn amount(&self, unit: BudgetUnit, model: Option<&str>, most: TokenUse) -> Option<u64> {
        match unit {
            BudgetUnit::Tokens => Some(most.total().0),
            BudgetUnit::MicroUsd => (self.pricing)(model?, most.of_one_call()).map(|cost| cost.0),
        }
    }

    /// Ends an attempt that no longer holds its task.
    fn refused(&self, error: &StoreError) {
        if matches!(error, StoreError::AttemptLost) {
            self.stop.now(StopReason::LeaseLost);
        } else {
            tracing::error!(task = %self.task, error = chain(error), "a budget is not reached");
        }
    }
}

/// An attempt that ended without a word draws on no block any more. What it took stays with the
/// session.
impl Drop for Wallet {
    fn drop(&mut self) {
        for budget in std::mem::take(&mut locked(&self.own).entered) {
            self.purse.leave(budget);
        }
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
