//! Budgets: what is set aside, charged and given back, and what policies say of it.

use std::sync::Arc;

use apflow_model::approval::ParkedFor;
use apflow_model::budget::{Budget, BudgetScope, BudgetUnit, Period};
use apflow_model::cost_policy::{CostPolicies, CostPolicy, CostRules};
use apflow_model::event::Happening;
use apflow_model::id::JobId;
use apflow_model::money::{MicroUsd, TokenUse, Tokens};
use apflow_model::state::TaskState;
use apflow_model::usage::Usage;
use apflow_store::{
    Asked, BudgetSums, Claimed, Line, NewBudget, NewCharge, Reserving, Settlement, Spending,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::host::{Host, at, completed};

fn tokens(count: u64) -> TokenUse {
    TokenUse { output: Tokens(count), ..TokenUse::default() }
}

fn asked(claimed: &Claimed, number: u64, count: u64) -> Asked {
    Asked {
        task: claimed.task,
        attempt: claimed.attempt,
        number,
        now: at(10 + number),
        model: claimed.model.clone(),
        most: tokens(count),
        given_back: Vec::new(),
        asks_again: false,
    }
}

fn charge(number: u64, count: u64, cost: Option<u64>) -> NewCharge {
    NewCharge {
        number,
        at: at(10 + number),
        is_tool: false,
        wanted: Some("a/big".to_owned()),
        model: Some("a/big".to_owned()),
        tokens: tokens(count),
        cost: cost.map(MicroUsd),
        from_blocks: Vec::new(),
        left: None,
    }
}

impl Host {
    async fn reserve(&self, claimed: &Claimed, number: u64, count: u64) -> Reserving {
        self.store.reserve(asked(claimed, number, count)).await.unwrap()
    }

    /// Reserves what fits, and says which model is to be called.
    async fn reserve_well(&self, claimed: &Claimed, number: u64, count: u64) -> Option<String> {
        match self.reserve(claimed, number, count).await {
            Reserving::Reserved(reserved) => reserved.model,
            refused @ (Reserving::Exhausted(_) | Reserving::Blocked(_)) => panic!("{refused:?}"),
        }
    }

    async fn charge(&self, claimed: &Claimed, charged: NewCharge) -> bool {
        let charged = self.store.charge(claimed.task, claimed.attempt, vec![charged]).await;
        charged.unwrap().is_over
    }

    async fn end(&self, claimed: &Claimed, ms: u64, spending: Spending) -> Vec<String> {
        let (task, attempt, now) = (claimed.task, claimed.attempt, at(ms));
        let (end, usage, events) = (completed(), Usage::default(), Vec::new());
        let settlement = Settlement { task, attempt, now, end, usage, events };
        let settled = self.store.settle_with(settlement, None, spending).await.unwrap();
        settled.became_ready.iter().map(ToString::to_string).collect()
    }

    async fn budget_of(&self, job: JobId, scope: BudgetScope) -> Budget {
        let budgets = self.store.budgets_of_job(job).await.unwrap();
        budgets.into_iter().find(|budget| budget.scope == scope).expect("a budget")
    }

    /// The same host, with these policies. A model costs as many micro-USD a token as its name says
    /// behind the slash.
    fn governed(mut self, policies: Value) -> Self {
        let policies: Vec<CostPolicy> = serde_json::from_value(policies).unwrap();
        let rules = CostRules {
            policies: Arc::new(CostPolicies::new(policies)),
            pricing: Arc::new(|model, used| {
                let each: u64 = model.split('/').nth(1)?.parse().ok()?;
                Some(MicroUsd(used.total().0 * each))
            }),
        };
        self.store = self.store.clone().governed_by(rules);
        self
    }

    /// What policies decided, by the events of a job.
    async fn decisions(&self, job: JobId) -> Vec<(String, Option<String>)> {
        let events = self.events(job).await.into_iter();
        let decided = events.filter_map(|event| {
            let Happening::CostDecided(decided) = event.what else { return None };
            Some((decided.action, decided.model))
        });
        decided.collect()
    }

    async fn is_sound(&self) {
        let findings = self.store.examine().await.unwrap().findings;
        assert!(findings.is_empty(), "{findings:?}");
    }
}

fn reserves() -> Spending {
    Spending { has_reserved: true, ..Spending::default() }
}

#[tokio::test]
async fn two_tasks_cannot_both_spend_the_last_token() {
    let host = Host::start().await;
    let task = json!({"executor": "x"});
    let job = host.submit(json!({"token_budget": 1000, "tasks": [task, task]})).await;
    let both = host.claim(1, 2).await;
    assert!(both.iter().all(|claimed| claimed.has_budgets));
    host.reserve_well(&both[0], 1, 600).await;
    assert_eq!(host.reserve(&both[1], 1, 401).await, Reserving::Exhausted(400 - 1));
    host.reserve_well(&both[1], 2, 399).await;
    let budget = host.budget_of(job.id, BudgetScope::Job).await;
    assert_eq!((budget.reserved, budget.spent), (1000, 0));
    assert!(!host.charge(&both[0], charge(1, 100, None)).await);
    assert!(!host.charge(&both[0], charge(1, 100, None)).await, "it is charged once");
    let budget = host.budget_of(job.id, BudgetScope::Job).await;
    assert_eq!((budget.reserved, budget.spent), (400, 100));
    host.end(&both[0], 20, reserves()).await;
    host.end(&both[1], 21, reserves()).await;
    let budget = host.budget_of(job.id, BudgetScope::Job).await;
    assert_eq!((budget.spent, budget.left()), (100, 899), "a block of 1 is the session's");
    host.is_sound().await;
}

#[tokio::test]
async fn use_beyond_the_cap_is_charged_and_told() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x", "token_budget": 100})).await;
    let claimed = host.claim_one(1).await;
    host.reserve_well(&claimed, 1, 100).await;
    assert!(host.charge(&claimed, charge(1, 150, None)).await);
    let budget = host.budget_of(job.id, BudgetScope::Task).await;
    assert_eq!((budget.spent, budget.overrun, budget.left()), (150, 50, 0));
    host.is_sound().await;
}

/// A call that goes on, of which so much is left.
fn so_far(number: u64, count: u64, left: &[Line]) -> NewCharge {
    let left = left.iter().map(|line| (line.budget, line.amount - count)).collect();
    NewCharge { left: Some(left), ..charge(number, count, None) }
}

#[tokio::test]
async fn a_call_that_goes_on_is_charged_for_what_it_used_so_far() {
    let host = Host::start().await;
    let job = host.submit(json!({"executor": "x", "token_budget": 200})).await;
    let claimed = host.claim_one(1).await;
    let Reserving::Reserved(reserved) = host.reserve(&claimed, 1, 150).await else { panic!() };
    let stands = async || {
        let budget = host.budget_of(job.id, BudgetScope::Task).await;
        (budget.spent, budget.reserved, budget.overrun)
    };
    for (count, stood) in [(40, (40, 110, 0)), (90, (90, 60, 0)), (60, (90, 60, 0))] {
        assert!(!host.charge(&claimed, so_far(1, count, &reserved.lines)).await);
        assert_eq!(stands().await, stood, "{count}");
        host.is_sound().await;
    }
    // It was guessed too high, and what was told before comes too late.
    let late = so_far(1, 95, &reserved.lines);
    let both = vec![charge(1, 70, None), late.clone()];
    host.store.charge(claimed.task, claimed.attempt, both).await.unwrap();
    assert_eq!(stands().await, (70, 0, 0));
    host.charge(&claimed, late).await;
    assert_eq!(stands().await, (70, 0, 0));
    host.is_sound().await;
}

#[tokio::test]
async fn what_was_known_of_a_call_stays_charged_when_its_host_is_lost() {
    let mut host = Host::start().await;
    let task = json!({"executor": "x", "model": "a/7"});
    let budgets = json!({"tasks": [task], "token_budget": 200, "cost_budget_micro_usd": 1000});
    host = host.governed(json!([]));
    let job = host.submit(budgets).await;
    let claimed = host.claim_one(1).await;
    let Reserving::Reserved(reserved) = host.reserve(&claimed, 1, 100).await else { panic!() };
    let left = reserved.lines.iter().map(|line| (line.budget, line.amount / 2)).collect();
    let known = NewCharge { left: Some(left), ..charge(1, 50, Some(350)) };
    host.charge(&claimed, known).await;
    let stands = host.store.budgets_of_job(job.id).await.unwrap();
    let stands = stands.iter().map(|budget| (budget.spent, budget.reserved, budget.overrun));
    assert_eq!(stands.collect::<Vec<_>>(), [(50, 50, 0), (350, 351, 0)], "a block of 1 beside");
    host.open_session().await;
    host.recover(30).await;
    let stands = host.store.budgets_of_job(job.id).await.unwrap();
    let stands = stands.iter().map(|budget| (budget.spent, budget.reserved));
    assert_eq!(stands.collect::<Vec<_>>(), [(50, 0), (350, 0)]);
    let usage = host.job(job.id).await.tasks[0].attempts[0].usage.expect("what it was charged");
    assert_eq!((usage.tokens_output, usage.micro_usd), (50, 350));
    host.is_sound().await;
}

#[tokio::test]
async fn what_a_lost_host_had_set_aside_comes_back_and_its_charges_stay() {
    let mut host = Host::start().await;
    let job = host.submit(json!({"executor": "x", "token_budget": 1000})).await;
    let claimed = host.claim_one(1).await;
    host.reserve_well(&claimed, 1, 300).await;
    host.charge(&claimed, charge(1, 250, Some(9))).await;
    host.reserve_well(&claimed, 2, 700).await;
    host.open_session().await;
    host.recover(30).await;
    let budget = host.budget_of(job.id, BudgetScope::Task).await;
    assert_eq!((budget.spent, budget.reserved), (250, 0));
    // A part of 256 was in the hands of the host: nobody knows whether it was spent.
    assert_eq!((budget.lost, budget.left()), (2, 748));
    let task = host.job(job.id).await.tasks.remove(0);
    let usage = task.attempts[0].usage.expect("what it was charged");
    assert_eq!((usage.tokens_output, usage.micro_usd, task.usage.tokens_output), (250, 9, 250));
    let late = host.store.charge(claimed.task, claimed.attempt, vec![charge(2, 5, None)]).await;
    assert!(late.is_err(), "the attempt is over");
    let again = host.claim_one(31).await;
    host.reserve_well(&again, 1, 748).await;
    host.is_sound().await;
}

#[tokio::test]
async fn a_host_that_stops_in_order_gives_its_blocks_back() {
    let mut host = Host::start().await;
    let job = host.submit(json!({"tasks": [{"executor": "x"}], "token_budget": 256_000})).await;
    let claimed = host.claim_one(1).await;
    let Reserving::Reserved(reserved) = host.reserve(&claimed, 1, 0).await else { panic!() };
    let Line { budget, block, .. } = reserved.lines[0];
    assert_eq!(block, 1000);
    let of_block = NewCharge { from_blocks: vec![(budget, 400)], ..charge(2, 400, None) };
    let spending = Spending { charges: vec![of_block], ..reserves() };
    host.end(&claimed, 20, spending).await;
    let left = host.budget_of(job.id, BudgetScope::Job).await;
    assert_eq!((left.spent, left.reserved), (400, 600));
    host.store.close_session(host.session, at(21)).await.unwrap();
    let left = host.budget_of(job.id, BudgetScope::Job).await;
    assert_eq!((left.spent, left.reserved, left.lost), (400, 0, 0));
    host.open_session().await;
    host.is_sound().await;
}

/// 64 tasks take what they can get of one budget, in calls of uneven sizes: all of it is spent, and
/// never a token more.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_tasks_use_one_budget_up_and_not_one_token_more() {
    const CAP: u64 = 20_000;
    let host = Host::start().await;
    let tasks: Vec<_> = (0..64).map(|_| json!({"executor": "x"})).collect();
    let job = host.submit(json!({"tasks": tasks, "token_budget": CAP})).await;
    let mut running = JoinSet::new();
    for (index, claimed) in host.claim(1, 64).await.into_iter().enumerate() {
        let store = host.store.clone();
        running.spawn(async move {
            let mut spent = 0;
            for number in 1..40_u64 {
                let most = (index as u64 * 7 + number * 13) % 90 + 1;
                let mut wanted = asked(&claimed, number, most);
                let reserving = match store.reserve(wanted.clone()).await.unwrap() {
                    Reserving::Exhausted(left) if left > 0 => {
                        wanted.most = tokens(left.min(most));
                        store.reserve(wanted).await.unwrap()
                    }
                    other @ (Reserving::Reserved(_)
                    | Reserving::Exhausted(_)
                    | Reserving::Blocked(_)) => other,
                };
                let Reserving::Reserved(reserved) = reserving else { continue };
                // Every block goes back, so that the last token can be had.
                let amount = reserved.lines[0].amount;
                let used = amount - amount / 3 * (number % 2);
                let blocks = vec![(reserved.lines[0].budget, reserved.lines[0].block)];
                let charge = NewCharge { from_blocks: blocks, ..charge(number, used, None) };
                store.charge(claimed.task, claimed.attempt, vec![charge]).await.unwrap();
                spent += used;
            }
            spent
        });
    }
    let spent: u64 = running.join_all().await.into_iter().sum();
    let budget = host.budget_of(job.id, BudgetScope::Job).await;
    assert_eq!((budget.spent, budget.overrun), (spent, 0));
    assert!(spent <= CAP && budget.left() == CAP - spent, "{budget:?}");
    assert!(spent > CAP - 100, "it is used up: {spent}");
    host.is_sound().await;
}

#[tokio::test]
async fn a_budget_of_a_principal_parks_what_starts_and_wakes_it_when_there_is_more() {
    let host = Host::start().await;
    let day = |cap| NewBudget {
        principal: "ada".to_owned(),
        unit: BudgetUnit::Tokens,
        period: Period::Day,
        cap,
        policy: None,
    };
    host.store.put_budget(day(100), at(0)).await.unwrap();
    host.submit(json!({"executor": "x", "model": "a/big"})).await;
    let first = host.claim_one(1).await;
    host.reserve_well(&first, 1, 100).await;
    let job = host.submit(json!({"executor": "x", "model": "a/big"})).await;
    let plain = host.submit(json!({"executor": "x"})).await;
    let claimed = host.claim(2, 9).await;
    assert_eq!(claimed.len(), 1, "what calls no model starts");
    assert_eq!(claimed[0].job, plain.id);
    let task = host.job(job.id).await.tasks.remove(0);
    assert_eq!((task.state, task.parked_for), (TaskState::Parked, Some(ParkedFor::Budget)));
    host.is_sound().await;
    // A call that ends with less gives the rest back.
    host.charge(&first, charge(1, 60, None)).await;
    let second = host.claim(3, 9).await.remove(0);
    assert_eq!(second.job, job.id);
    host.reserve_well(&second, 1, 40).await;
    host.charge(&second, charge(1, 40, None)).await;
    // A higher cap wakes, and so does the next day.
    let third = host.submit(json!({"executor": "x", "model": "a/big"})).await;
    assert!(host.claim(20, 9).await.is_empty());
    host.store.put_budget(day(101), at(21)).await.unwrap();
    let third_task = host.claim(22, 9).await.remove(0);
    assert_eq!(third_task.job, third.id);
    host.reserve_well(&third_task, 1, 1).await;
    host.charge(&third_task, charge(1, 1, None)).await;
    let fourth = host.submit(json!({"executor": "x", "model": "a/big"})).await;
    assert!(host.claim(23, 9).await.is_empty());
    let next_day = 24 * 3_600_000;
    assert_eq!(host.claim(next_day, 9).await.remove(0).job, fourth.id);
    let budget = host.store.list_budgets(Some("ada")).await.unwrap().remove(0);
    assert_eq!((budget.spent, budget.cap), (0, 101));
    host.is_sound().await;
}

#[tokio::test]
async fn budgets_of_principals_are_added_up_by_unit_and_period() {
    let host = Host::start().await;
    assert!(host.store.stock(0, at(0)).await.unwrap().budgets.is_empty());
    for (principal, unit, period, cap) in [
        ("ada", BudgetUnit::Tokens, Period::Day, 100),
        ("bob", BudgetUnit::Tokens, Period::Day, 50),
        ("bob", BudgetUnit::MicroUsd, Period::All, 0),
    ] {
        let new = NewBudget { principal: principal.to_owned(), unit, period, cap, policy: None };
        host.store.put_budget(new, at(0)).await.unwrap();
    }
    host.submit(json!({"executor": "x", "model": "a/big", "token_budget": 1000})).await;
    let first = host.claim_one(1).await;
    host.reserve_well(&first, 1, 60).await;
    host.charge(&first, charge(1, 60, None)).await;
    host.reserve_well(&first, 2, 40).await;
    host.submit(json!({"executor": "x", "model": "a/big"})).await;
    assert!(host.claim(12, 9).await.is_empty());
    let stock = host.store.stock(0, at(13)).await.unwrap();
    let sums = |sums: &BudgetSums| (sums.unit, sums.period, sums.budgets, sums.used_up);
    let all = [(BudgetUnit::MicroUsd, Period::All, 1, 1), (BudgetUnit::Tokens, Period::Day, 2, 1)];
    assert_eq!(stock.budgets.iter().map(sums).collect::<Vec<_>>(), all);
    let amounts =
        |of: &BudgetSums| [of.cap, of.reserved, of.spent].map(|amount| format!("{amount}"));
    assert_eq!(amounts(&stock.budgets[1]), ["150", "40", "60"]);
    assert_eq!(stock.wait_for_budgets, 1);
    // Nothing is spent of the day that has begun, though nobody has looked at the budget yet.
    let next_day = host.store.stock(0, at(24 * 3_600_000)).await.unwrap();
    assert_eq!(amounts(&next_day.budgets[1]), ["150", "40", "0"]);
    assert_eq!(next_day.budgets[1].used_up, 0);
}

#[tokio::test]
async fn a_task_whose_own_budget_is_used_up_does_not_start_again() {
    let host = Host::start().await;
    host.submit(json!({"executor": "x", "token_budget": 0})).await;
    let claimed = host.claim_one(1).await;
    assert!(claimed.refused.unwrap().contains("used up"));
}

#[tokio::test]
async fn a_call_that_does_not_fit_is_blocked_with_the_reason_of_the_policy() {
    let policies = json!([{"name": "hard", "thresholds": [{"at": 1, "action": "block"}]}]);
    let host = Host::start().await.governed(policies);
    let task = json!({"executor": "x", "token_budget": 1000, "cost_policy": "hard"});
    let job = host.submit(task).await;
    let claimed = host.claim_one(1).await;
    host.reserve_well(&claimed, 1, 600).await;
    host.charge(&claimed, charge(1, 600, None)).await;
    let Reserving::Blocked(reason) = host.reserve(&claimed, 2, 600).await else { panic!() };
    assert!(reason.starts_with("policy `hard` blocks at 100 %: 600 of 1000 are gone"), "{reason}");
    assert_eq!(host.decisions(job.id).await, [("block".to_owned(), None)]);
    host.is_sound().await;
}

#[tokio::test]
async fn a_chain_leads_to_models_that_the_money_is_enough_for() {
    let chain = json!({"at": 1, "action": "downgrade", "chain": ["a/5", "a/1"]});
    let told = json!({"at": 0.5, "action": "notify", "webhook": "https://example.com/hook"});
    let policies = json!([{"name": "cheap", "thresholds": [chain, told]}]);
    let host = Host::start().await.governed(policies);
    let task = json!({"executor": "x", "model": "a/10", "cost_policy": "cheap"});
    let job = host.submit(json!({"tasks": [task], "cost_budget_micro_usd": 10_000})).await;
    let claimed = host.claim_one(1).await;
    assert_eq!(host.reserve_well(&claimed, 1, 600).await.as_deref(), Some("a/10"));
    host.charge(&claimed, charge(1, 600, Some(6_000))).await;
    assert_eq!(host.reserve_well(&claimed, 2, 600).await.as_deref(), Some("a/5"));
    host.charge(&claimed, charge(2, 600, Some(3_000))).await;
    assert_eq!(host.reserve_well(&claimed, 3, 600).await.as_deref(), Some("a/1"));
    host.charge(&claimed, charge(3, 600, Some(600))).await;
    let Reserving::Blocked(reason) = host.reserve(&claimed, 4, 600).await else { panic!() };
    assert!(reason.contains("its chain of models is used up"), "{reason}");
    let went = |action: &str, model: Option<&str>| (action.to_owned(), model.map(str::to_owned));
    let decided = [
        went("downgrade", Some("a/5")),
        went("notify", None),
        went("downgrade", Some("a/1")),
        went("block", None),
    ];
    assert_eq!(host.decisions(job.id).await, decided);
    assert_eq!(host.database.number("SELECT count(*) FROM notification").await, 1);
    let budget = host.budget_of(job.id, BudgetScope::Job).await;
    assert_eq!((budget.spent, budget.unit), (9_600, BudgetUnit::MicroUsd));
    host.is_sound().await;
}

#[tokio::test]
async fn a_model_without_a_price_is_refused_under_a_budget_of_money() {
    let host = Host::start().await.governed(json!([]));
    let task = json!({"executor": "x", "model": "a/unknown"});
    host.submit(json!({"tasks": [task], "cost_budget_micro_usd": 10})).await;
    let claimed = host.claim_one(1).await;
    let Reserving::Blocked(reason) = host.reserve(&claimed, 1, 1).await else { panic!() };
    assert!(reason.contains("no price of `a/unknown` is known"), "{reason}");
}
