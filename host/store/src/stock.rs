//! What there is in the database, in numbers that are kept or found by an index: looking costs the
//! same however many tasks there are.
//!
//! The doctor counts what is not kept: see `doctor/figures.rs`.

use apflow_model::budget::{BudgetUnit, Period};
use apflow_model::clock::Timestamp;
use apflow_model::state::TaskState;

use crate::connection::query;
use crate::dialect::Sql;
use crate::error::StoreError;
use crate::row;
use crate::store::Store;

/// What there is.
#[derive(Debug, Clone, PartialEq)]
pub struct Stock {
    /// How many tasks are in each state, also where there are none.
    pub tasks: Vec<(TaskState, u64)>,
    /// Since when the oldest task has been in its state: a ready one since it was due, a scheduled
    /// one since it should have been ready, a running one since it first began, and a parked one
    /// since it was taken in. None where there is no such task.
    pub oldest: [(TaskState, Option<Timestamp>); 4],
    /// How many of the parked tasks wait for a budget.
    pub wait_for_budgets: u64,
    /// What principals may spend, together for each unit and period of which there is a budget.
    pub budgets: Vec<BudgetSums>,
    /// How many plugins are installed.
    pub plugins: PluginCounts,
    /// How many bytes the database has.
    pub bytes: u64,
    /// How the runs of each tool ended since it was installed, the most used first.
    pub tools: Vec<ToolCounts>,
}

/// How many plugins are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PluginCounts {
    /// Of every kind.
    pub all: u64,
    /// Those that are tools.
    pub tools: u64,
    /// Those that are not run because hosts ended while they ran.
    pub quarantined: u64,
}

/// The budgets of all principals in one unit and period, together. Those of tasks and jobs are as
/// many as those, and their jobs tell them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetSums {
    /// What is counted.
    pub unit: BudgetUnit,
    /// How long they last.
    pub period: Period,
    /// How many there are.
    pub budgets: u64,
    /// How many of them have nothing left.
    pub used_up: u64,
    /// The most that may be spent of all of them. They may add up to more than a whole number holds.
    pub cap: f64,
    /// What is set aside of it.
    pub reserved: f64,
    /// What is spent of it, or lost with hosts that ended without saying what they spent.
    pub spent: f64,
}

/// How the runs of a tool ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCounts {
    /// The tool.
    pub tool: String,
    /// How often it ended well.
    pub successes: u64,
    /// How often it did not.
    pub failures: u64,
    /// How often a result was given again.
    pub cache_hits: u64,
    /// How often one was looked for in vain.
    pub cache_misses: u64,
    /// How often another tool was tried because this one had failed.
    pub fallbacks: u64,
}

/// One look into the index for each lane with ready tasks and each priority.
const OLDEST_READY: &str = "\
    SELECT min(first) FROM (SELECT ( \
      SELECT run_at FROM task WHERE state = 2 AND lane_id = tally.lane_id AND priority = urgency.p \
      ORDER BY run_at LIMIT 1) AS first \
    FROM tally CROSS JOIN \
      (SELECT 0 AS p UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS urgency \
    WHERE tally.state = 2) AS firsts";
const OLDEST_SCHEDULED: &str = "SELECT min(run_at) FROM task WHERE state = 1";
const OLDEST_RUNNING: &str = "SELECT min(started_at) FROM task WHERE state = 3";
const OLDEST_PARKED: &str =
    "SELECT (SELECT created_at FROM task WHERE state = 4 ORDER BY id LIMIT 1)";

const OLDEST: [(TaskState, &str); 4] = [
    (TaskState::Ready, OLDEST_READY),
    (TaskState::Scheduled, OLDEST_SCHEDULED),
    (TaskState::Running, OLDEST_RUNNING),
    (TaskState::Parked, OLDEST_PARKED),
];

const BYTES: Sql = Sql {
    sqlite: "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
    postgres: "SELECT pg_database_size(current_database())",
};

/// One whose period is over begins anew when it is next used: nothing is spent of it until then.
const BUDGETS: &str = "\
    SELECT unit, period, count(*), \
           sum(CASE WHEN reserved + gone >= cap THEN 1 ELSE 0 END), \
           CAST(sum(CAST(cap AS DOUBLE PRECISION)) AS DOUBLE PRECISION), \
           CAST(sum(CAST(reserved AS DOUBLE PRECISION)) AS DOUBLE PRECISION), \
           CAST(sum(CAST(gone AS DOUBLE PRECISION)) AS DOUBLE PRECISION) \
    FROM (SELECT unit, period, cap, reserved, \
                 CASE WHEN ends_at <= $1 THEN 0 ELSE spent + lost END AS gone \
          FROM budget WHERE scope = 'principal') AS present \
    GROUP BY unit, period ORDER BY unit, period";

/// A task that was ended while it waited may still have its row.
const WAIT_FOR_BUDGETS: &str = "\
    SELECT count(*) FROM budget_wait JOIN task ON task.id = budget_wait.task_id \
    WHERE task.state = 4";

const TOOLS: &str = "\
    SELECT tool, successes, failures, cache_hits, cache_misses, fallbacks FROM tool_count \
    ORDER BY successes + failures DESC, tool LIMIT $1";

impl Store {
    /// Counts the installed plugins.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn count_plugins(&self) -> Result<PluginCounts, StoreError> {
        const COUNT: &str = "\
            SELECT count(*), count(plugin.tool), count(component.quarantined_at) \
            FROM plugin LEFT JOIN component ON component.digest = plugin.digest";
        let counts: Option<(i64, i64, i64)> = self.readers().read_optional(query(COUNT)).await?;
        let (all, tools, quarantined) = counts.unwrap_or_default();
        Ok(PluginCounts {
            all: row::narrow(all, "plugins")?,
            tools: row::narrow(tools, "tools")?,
            quarantined: row::narrow(quarantined, "quarantined")?,
        })
    }

    /// Looks at what there is `now`. Up to `tools_max` tools are told apart.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn stock(&self, tools_max: u32, now: Timestamp) -> Result<Stock, StoreError> {
        let tasks = self.depth(0).await?.states;
        let readers = self.readers();
        let waits: Option<(i64,)> = readers.read_optional(query(WAIT_FOR_BUDGETS)).await?;
        let budgets: Vec<SumsRow> = readers.read_all(query(BUDGETS).bind(now.unix_ms())).await?;
        let mut oldest = OLDEST.map(|(state, _)| (state, None));
        for ((_, found), (_, sql)) in oldest.iter_mut().zip(OLDEST) {
            let moment: Option<(Option<i64>,)> = readers.read_optional(query(sql)).await?;
            *found = moment.and_then(|(ms,)| ms).map(Timestamp::from_unix_ms);
        }
        let bytes: Option<(i64,)> = readers.read_optional(query(BYTES)).await?;
        let rows: Vec<(String, i64, i64, i64, i64, i64)> =
            readers.read_all(query(TOOLS).bind(tools_max)).await?;
        Ok(Stock {
            tasks,
            oldest,
            wait_for_budgets: row::narrow(waits.unwrap_or_default().0, "waits")?,
            budgets: budgets.into_iter().map(sums).collect::<Result<_, _>>()?,
            plugins: self.count_plugins().await?,
            bytes: row::narrow(bytes.unwrap_or_default().0, "bytes")?,
            tools: rows.into_iter().map(counts).collect::<Result<_, _>>()?,
        })
    }
}

type SumsRow = (String, String, i64, i64, f64, f64, f64);

fn sums(
    (unit, period, budgets, used_up, cap, reserved, spent): SumsRow,
) -> Result<BudgetSums, StoreError> {
    Ok(BudgetSums {
        unit: unit.parse().map_err(StoreError::corrupt)?,
        period: period.parse().map_err(StoreError::corrupt)?,
        budgets: row::narrow(budgets, "budgets")?,
        used_up: row::narrow(used_up, "used_up")?,
        cap,
        reserved,
        spent,
    })
}

fn counts(
    (tool, successes, failures, cache_hits, cache_misses, fallbacks): (
        String,
        i64,
        i64,
        i64,
        i64,
        i64,
    ),
) -> Result<ToolCounts, StoreError> {
    Ok(ToolCounts {
        tool,
        successes: row::narrow(successes, "successes")?,
        failures: row::narrow(failures, "failures")?,
        cache_hits: row::narrow(cache_hits, "cache_hits")?,
        cache_misses: row::narrow(cache_misses, "cache_misses")?,
        fallbacks: row::narrow(fallbacks, "fallbacks")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::tests::plan;

    #[tokio::test]
    async fn ages_are_read_off_an_index() {
        let indexes = [
            (OLDEST_READY, "task_ready (lane_id=? AND priority=?)"),
            (OLDEST_SCHEDULED, "task_scheduled"),
            (OLDEST_RUNNING, "task_running"),
            (OLDEST_PARKED, "task_parked"),
        ];
        for (sql, index) in indexes {
            let steps = plan(sql.into()).await;
            assert!(steps.iter().any(|step| step.contains(index)), "{steps:?}");
            assert!(!steps.iter().any(|step| step == "SCAN task"), "{steps:?}");
        }
        let steps = plan(OLDEST_READY.into()).await;
        assert!(steps.iter().any(|step| step.contains("SEARCH tally")), "{steps:?}");
    }

    #[tokio::test]
    async fn budgets_of_tasks_and_jobs_are_not_looked_at() {
        let steps = plan(BUDGETS.into()).await;
        let index = "SEARCH budget USING INDEX budget_by_owner (scope=?)";
        assert!(steps.iter().any(|step| step == index), "{steps:?}");
        let steps = plan(WAIT_FOR_BUDGETS.into()).await;
        assert!(!steps.iter().any(|step| step == "SCAN task"), "{steps:?}");
    }
}
