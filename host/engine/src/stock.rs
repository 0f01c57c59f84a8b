//! The page of all that is counted below the doors, and of what there is at present.

use apflow_model::breaker::BreakerState;
use apflow_model::clock::Timestamp;
use apflow_model::metric::{Family, Number, Page};
use apflow_model::state::TaskState;
use apflow_store::{BudgetSums, Stock, ToolCounts};

use crate::engine::Engine;
use crate::error::EngineError;

/// The most tools whose runs are shown.
const TOOLS_MAX: u32 = 100;

impl Engine {
    /// Writes the page of all that is counted, and of what there is at present.
    ///
    /// It costs the same however many tasks there are.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database cannot be read: what is counted in memory is on the
    /// page then, and the rest is not.
    pub async fn show_metrics(&self, page: &mut Page) -> Result<(), EngineError> {
        self.metrics.show(page);
        self.sandbox.show_metrics(page);
        self.store.show_metrics(page);
        let help = "Watchers of jobs.";
        page.gauge("apflow_watchers", help).show(&[], self.hub.tails.watchers());
        let help = "Attempts that may run at once.";
        page.gauge("apflow_attempts_max", help).show(&[], self.settings.attempts_max);
        let help = "Whether the database can be written.";
        page.gauge("apflow_database_up", help).show(&[], self.store.trouble().is_none());
        self.show_breakers(page).await?;
        let now = self.now();
        let stock = self.store.stock(TOOLS_MAX, now).await?;
        show_stock(&stock, now, page);
        show_budgets(&stock, page);
        show_tools(&stock.tools, page);
        Ok(())
    }

    async fn show_breakers(&self, page: &mut Page) -> Result<(), EngineError> {
        let listed = self.breakers.list().await?;
        let help = "Breakers that are open, tried again, or closed with counted failures.";
        let breakers = page.gauge("apflow_breakers", help);
        for (name, state) in [
            ("open", BreakerState::Open),
            ("half-open", BreakerState::HalfOpen),
            ("closed", BreakerState::Closed),
        ] {
            let count = listed.iter().filter(|breaker| breaker.state == state).count();
            breakers.show(&[("state", name)], count);
        }
        Ok(())
    }
}

fn show_stock(stock: &Stock, now: Timestamp, page: &mut Page) {
    let help = "Tasks that are stored, by state.";
    let tasks = page.gauge("apflow_tasks", help);
    for (state, count) in &stock.tasks {
        tasks.show(&[("state", state.name())], *count);
    }
    let help = "How long the oldest task has been in its state; a scheduled one since it was due.";
    let oldest = page.gauge("apflow_oldest_task_seconds", help);
    for (state, since) in stock.oldest {
        let age = since.map_or(0.0, |since| now.since(since).as_secs_f64());
        oldest.show(&[("state", state.name())], age);
    }
    let waits = |(state, count): &(TaskState, u64)| (*state == TaskState::Parked).then_some(*count);
    let help = "Tasks that wait for somebody's approval.";
    let parked = stock.tasks.iter().find_map(waits).unwrap_or_default();
    let waiting = parked.saturating_sub(stock.wait_for_budgets);
    page.gauge("apflow_approvals_waiting", help).show(&[], waiting);
    let plugins = stock.plugins;
    let help = "Installed plugins, by kind.";
    page.gauge("apflow_plugins", help)
        .show(&[("kind", "executor")], plugins.all.saturating_sub(plugins.tools))
        .show(&[("kind", "tool")], plugins.tools);
    let help = "Installed plugins that are not run because hosts ended while they ran.";
    page.gauge("apflow_plugins_quarantined", help).show(&[], plugins.quarantined);
    page.gauge("apflow_database_bytes", "Bytes of the database.").show(&[], stock.bytes);
}

fn show_budgets(stock: &Stock, page: &mut Page) {
    let help = "Tasks that wait until a budget has something left.";
    page.gauge("apflow_budget_waiting", help).show(&[], stock.wait_for_budgets);
    let all = &stock.budgets;
    let help = "Budgets of principals.";
    show_sums(page.gauge("apflow_budgets", help), all, |sums| sums.budgets);
    let help = "Budgets of principals with nothing left.";
    show_sums(page.gauge("apflow_budgets_used_up", help), all, |sums| sums.used_up);
    let help = "What principals may spend of their budgets, together.";
    show_sums(page.gauge("apflow_budget_cap", help), all, |sums| sums.cap);
    let help = "What is set aside of the budgets of principals.";
    show_sums(page.gauge("apflow_budget_reserved", help), all, |sums| sums.reserved);
    let help = "What is spent of the budgets of principals.";
    show_sums(page.gauge("apflow_budget_spent", help), all, |sums| sums.spent);
}

fn show_sums<N: Into<Number>>(
    family: &mut Family,
    all: &[BudgetSums],
    number: impl Fn(&BudgetSums) -> N,
) {
    for sums in all {
        let labels = [("unit", sums.unit.name()), ("period", sums.period.name())];
        family.show(&labels, number(sums));
    }
}

fn show_tools(tools: &[ToolCounts], page: &mut Page) {
    let help = "Runs of a tool since it was installed, on all hosts of the database.";
    let runs = page.stored_counter("apflow_tool_runs_total", help);
    for of in tools {
        runs.show(&[("tool", &of.tool), ("end", "success")], of.successes);
        runs.show(&[("tool", &of.tool), ("end", "failure")], of.failures);
    }
    let help = "Looks for a kept result of a tool, on all hosts of the database.";
    let looks = page.stored_counter("apflow_tool_cache_total", help);
    for of in tools {
        looks.show(&[("tool", &of.tool), ("found", "hit")], of.cache_hits);
        looks.show(&[("tool", &of.tool), ("found", "miss")], of.cache_misses);
    }
    let help = "Failures of a tool after which another was tried, on all hosts of the database.";
    let fallbacks = page.stored_counter("apflow_tool_fallbacks_total", help);
    for of in tools {
        fallbacks.show(&[("tool", &of.tool)], of.fallbacks);
    }
}
