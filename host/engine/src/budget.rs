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
use tokio::sync::{Mutex as Turns, Notify};

use crate::engine::Engine;
use crate::error::chain;
use crate::open_call::{Charged, Of, OpenCall};
use crate::purse::{Purse, Take};

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
    /// Rung when what waits is to be stored.
    bell: Arc<Notify>,
    own: Mutex<Own>,
}

#[derive(Default)]
struct Own {
    /// The number of the last reservation.
    last: u64,
    open: HashMap<u64, OpenCall>,
    known: Option<Known>,
    /// Budgets whose blocks it draws on.
    entered: Vec<BudgetId>,
    charges: Vec<NewCharge>,
    /// Reservations in the store that ended without a charge.
    released: Vec<u64>,
    /// Whether others may wait for what is to be stored.
    is_awaited: bool,
    has_reserved: bool,
    tokens: TokenUse,
    cost: MicroUsd,
    calls_unpriced: u64,
}

/// What is known of a call without asking the store.
enum Here {
    /// It is set aside.
    Open(OpenCall),
    /// A block is short of it. Whoever has the turn asks the store to fill it.
    Short(Arc<Turns<()>>),
    /// The store must say.
    Unknown,
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
    /// `bell` is rung when it should [store](Self::store) what waits.
    pub(crate) fn new(
        engine: &Engine,
        claimed: &Claimed,
        is_tool: bool,
        stop: Stop,
        bell: Arc<Notify>,
    ) -> Self {
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
            bell,
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
            Here::Open(open) => open,
            Here::Short(turns) => {
                // What one of this process has filled is there for all that waited for it.
                let _turn = turns.lock().await;
                match self.reserve_here(wanted.as_deref(), most) {
                    Here::Open(open) => open,
                    Here::Short(_) | Here::Unknown => {
                        self.reserve_in_store(number, wanted, most).await?
                    }
                }
            }
            Here::Unknown => self.reserve_in_store(number, wanted, most).await?,
        };
        let model = open.model.clone();
        locked(&self.own).open.insert(number, open);
        Ok(Reservation { number, tokens, model })
    }

    /// Sets a call aside in memory: where no budget counts it, or blocks have enough.
    fn reserve_here(&self, wanted: Option<&str>, most: TokenUse) -> Here {
        let news = self.purse.news();
        let wanted = wanted.map(str::to_owned);
        if self.is_free_since == Some(news) {
            return Here::Open(OpenCall::new((wanted.clone(), wanted), Vec::new(), false));
        }
        let own = locked(&self.own);
        let known = own.known.as_ref().filter(|known| known.news == news);
        let route = known.and_then(|known| Some((known.lines.clone(), known.routes.get(&wanted)?)));
        let Some((mut lines, model)) = route.map(|(lines, model)| (lines, model.clone())) else {
            return Here::Unknown;
        };
        for line in &mut lines {
            let Some(amount) = self.amount(line.unit, model.as_deref(), most) else {
                return Here::Unknown;
            };
            line.amount = amount;
        }
        match self.purse.take(&lines) {
            Take::Taken => Here::Open(OpenCall::new((wanted, model), lines, true)),
            Take::Short(turns) => Here::Short(turns),
            Take::TooMuch => Here::Unknown,
        }
    }

    async fn reserve_in_store(
        &self,
        number: u64,
        wanted: Option<String>,
        most: TokenUse,
    ) -> Result<OpenCall, BudgetError> {
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
                self.purse.enter(line.budget, &self.bell);
            }
            self.purse.fill(line);
        }
        let fresh = || Known { news, lines: lines.clone(), routes: HashMap::new() };
        let known = own.known.take().filter(|known| known.news == news).unwrap_or_else(fresh);
        let known = own.known.insert(known);
        known.routes.insert(wanted.clone(), model.clone());
        Ok(OpenCall::new((wanted, model), lines, false))
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

    /// Takes what a call used so far. It is charged with what is stored next.
    pub(crate) fn tell(&self, reservation: &Reservation, used: TokenUse) {
        if let Some(open) = locked(&self.own).open.get_mut(&reservation.number) {
            open.tell(used);
        }
    }

    /// Ends a reservation, and charges what was used in its place.
    pub(crate) async fn commit(&self, reservation: Reservation, used: TokenUse) {
        let Some(open) = locked(&self.own).open.remove(&reservation.number) else { return };
        let (is_kept, is_governed) = (
            open.lines.is_empty() || open.is_of_blocks,
            open.lines.iter().any(|line| line.is_governed),
        );
        let (charge, exceeds) = self.end_call(reservation.number, open, used);
        if is_kept && !exceeds {
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
        if is_governed {
            self.purse.has_news();
        }
    }

    /// What is charged for a call that ends, and whether that is more than was set aside.
    fn end_call(&self, number: u64, open: OpenCall, used: TokenUse) -> (NewCharge, bool) {
        let Charged { charge, exceeds, unused } = open.end(&self.of(number), used);
        for (budget, amount) in unused {
            self.purse.add(budget, amount);
        }
        self.count(&charge);
        (charge, exceeds)
    }

    fn of(&self, number: u64) -> Of<'_> {
        Of { number, at: self.clock.now(), is_tool: self.is_tool, pricing: &self.pricing }
    }

    /// Ends a reservation. What was told of it is charged.
    pub(crate) fn release(&self, reservation: &Reservation) {
        let number = reservation.number;
        let Some(open) = locked(&self.own).open.remove(&number) else { return };
        let is_in_store = !open.is_of_blocks && !open.lines.is_empty();
        if let Some(used) = open.told() {
            let (charge, _) = self.end_call(number, open, used);
            locked(&self.own).charges.push(charge);
        } else if is_in_store {
            locked(&self.own).released.push(number);
        } else {
            self.give_back(&open);
        }
        locked(&self.own).is_awaited |= is_in_store;
    }

    /// Whether something waits to be stored that others may wait for, or much of it.
    pub(crate) fn is_full(&self) -> bool {
        let own = locked(&self.own);
        own.is_awaited || own.charges.len() >= CHARGES_WAITING_MAX
    }

    /// Stores what waits, and what calls used so far that go on.
    pub(crate) async fn store(&self) {
        let (charges, released) = {
            let mut own = locked(&self.own);
            own.is_awaited = false;
            let mut charges = std::mem::take(&mut own.charges);
            let going_on = own.open.iter_mut();
            charges.extend(going_on.filter_map(|(n, open)| open.charge_so_far(&self.of(*n))));
            (charges, std::mem::take(&mut own.released))
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
        // A call that was cut off is charged for what is known of it.
        let open = std::mem::take(&mut locked(&self.own).open);
        for (number, open) in open {
            match open.told() {
                Some(used) => {
                    let (charge, _) = self.end_call(number, open, used);
                    locked(&self.own).charges.push(charge);
                }
                None => self.give_back(&open),
            }
        }
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
                left: None,
            };
            self.count(&charge);
            locked(&self.own).charges.push(charge);
        }
        let mut own = locked(&self.own);
        let entered = std::mem::take(&mut own.entered);
        let given_back = entered
            .into_iter()
            .filter_map(|budget| Some((budget, self.purse.leave(budget, &self.bell)?)));
        let given_back = given_back.collect();
        usage.tokens_input = own.tokens.input.0;
        usage.tokens_output = own.tokens.output.0;
        usage.tokens_cached = own.tokens.cached.0;
        usage.micro_usd = own.cost.0;
        usage.calls_unpriced = own.calls_unpriced;
        let charges = std::mem::take(&mut own.charges);
        Spending { charges, given_back, has_reserved: own.has_reserved }
    }

    fn give_back(&self, open: &OpenCall) {
        for (budget, amount) in open.unused() {
            self.purse.add(budget, amount);
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
            self.purse.leave(budget, &self.bell);
        }
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
