//! How the runs of tools ended, and how long they took.
//!
//! It counts in the transaction that settles an attempt, and reads no attempts: a tool has one row of
//! counts, and a ring of its last runs.

use std::collections::BTreeMap;
use std::time::Duration;

use apflow_model::tool::metrics::{RUNS_KEPT_MAX, ToolMetrics};
use serde_json::Value;

use crate::attempts::{End, Ending, RunSource, ToolRun};
use crate::cache::{self, Keep};
use crate::connection::{Connection, Row, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::row;
use crate::store::Store;

impl Store {
    /// How the runs of a tool ended since it was installed, and how long the last took.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn tool_metrics(&self, tool: &str) -> Result<ToolMetrics, StoreError> {
        let counted = self.readers().fetch_optional(query(SHOW).bind(tool)).await?;
        let times: Vec<(i64,)> = self.readers().read_all(query(SHOW_RUNS).bind(tool)).await?;
        let times = times.into_iter().map(|(us,)| Duration::from_micros(us.unsigned_abs()));
        let metrics = ToolMetrics::of_runs(times.collect());
        counted.as_ref().map_or(Ok(metrics), |row| read(row, metrics))
    }
}

const SHOW: &str = "SELECT * FROM tool_count WHERE tool = $1";

const SHOW_RUNS: &str = "SELECT took_us FROM tool_run WHERE tool = $1";

fn read(row: &Row, metrics: ToolMetrics) -> Result<ToolMetrics, StoreError> {
    let (successes, failures) = (row::number(row, "successes")?, row::number(row, "failures")?);
    Ok(ToolMetrics {
        runs: successes + failures,
        successes,
        failures,
        cache_hits: row::number(row, "cache_hits")?,
        cache_misses: row::number(row, "cache_misses")?,
        fallbacks: row::number(row, "fallbacks")?,
        ..metrics
    })
}

/// What a group of ends adds to the counts of one tool.
#[derive(Default)]
struct Added {
    successes: u64,
    failures: u64,
    cache_hits: u64,
    cache_misses: u64,
    fallbacks: u64,
    took: Vec<Duration>,
}

const COUNT: Sql = sql!(
    "\
    INSERT INTO tool_count (tool, successes, failures, cache_hits, cache_misses, fallbacks) \
    SELECT value->>0, CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT), \
           CAST(value->>3 AS BIGINT), CAST(value->>4 AS BIGINT), CAST(value->>5 AS BIGINT) FROM ",
    ROWS,
    " AS given WHERE TRUE \
    ON CONFLICT (tool) DO UPDATE SET successes = tool_count.successes + excluded.successes, \
      failures = tool_count.failures + excluded.failures, \
      cache_hits = tool_count.cache_hits + excluded.cache_hits, \
      cache_misses = tool_count.cache_misses + excluded.cache_misses, \
      fallbacks = tool_count.fallbacks + excluded.fallbacks \
    RETURNING tool, successes + failures"
);

const PUT_RUNS: Sql = sql!(
    "\
    INSERT INTO tool_run (tool, place, took_us) \
    SELECT value->>0, CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT) FROM ",
    ROWS,
    " AS given WHERE TRUE ON CONFLICT (tool, place) DO UPDATE SET took_us = excluded.took_us"
);

/// Counts the ends of tools' attempts that passed the fence, and keeps their results.
pub(crate) async fn settle(
    connection: &mut Connection<'_>,
    held: impl Iterator<Item = &Ending>,
) -> Result<(), StoreError> {
    let (mut tools, mut results) = (BTreeMap::<&str, Added>::new(), Vec::new());
    let mut limits = None;
    for ending in held {
        let Some((run, of_cache)) = &ending.tool else { continue };
        let added = tools.entry(&run.tool).or_default();
        added.add(run, &ending.end);
        limits = Some(*of_cache);
        if let (Some(output), RunSource::Run { keep: Some(new), .. }) =
            (kept(&ending.end), &run.source)
        {
            results.push(Keep { tool: &run.tool, new, output, at: ending.now });
        }
    }
    let Some(limits) = limits else { return Ok(()) };
    count(connection, &tools).await?;
    cache::keep(connection, &results, limits).await
}

/// What may be given again of an end: files are the task's own, and stay with it.
fn kept(end: &End) -> Option<&Value> {
    match end {
        End::Completed { output, files } if files.is_empty() => Some(output),
        End::Completed { .. }
        | End::Failed { .. }
        | End::Cancelled { .. }
        | End::Fallback { .. }
        | End::Retry { .. } => None,
    }
}

impl Added {
    fn add(&mut self, run: &ToolRun, end: &End) {
        let RunSource::Run { took, keep } = &run.source else {
            self.cache_hits += 1;
            return;
        };
        self.cache_misses += u64::from(keep.is_some());
        match end {
            End::Completed { .. } => self.successes += 1,
            End::Failed { .. } | End::Retry { .. } => self.failures += 1,
            End::Fallback { .. } => {
                self.failures += 1;
                self.fallbacks += 1;
            }
            // It says nothing of the tool.
            End::Cancelled { .. } => return,
        }
        self.took.push(*took);
    }
}

async fn count(
    connection: &mut Connection<'_>,
    tools: &BTreeMap<&str, Added>,
) -> Result<(), StoreError> {
    let rows: Vec<_> = tools
        .iter()
        .map(|(tool, added)| {
            let Added { successes, failures, cache_hits, cache_misses, fallbacks, .. } = added;
            (tool, successes, failures, cache_hits, cache_misses, fallbacks)
        })
        .collect();
    let counted: Vec<(String, i64)> =
        query(COUNT).bind(row::text(&rows)?).read_all(connection).await?;
    let mut runs = BTreeMap::new();
    for (tool, total) in &counted {
        let Some(Added { took, .. }) = tools.get(tool.as_str()) else { continue };
        // From the last backwards, so that no place is written twice.
        for (back, took) in (1..=RUNS_KEPT_MAX).zip(took.iter().rev()) {
            let place = (total.unsigned_abs() + RUNS_KEPT_MAX - back) % RUNS_KEPT_MAX;
            let us = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
            runs.insert((tool, place), (tool, place, us));
        }
    }
    if !runs.is_empty() {
        let runs: Vec<_> = runs.into_values().collect();
        query(PUT_RUNS).bind(row::text(&runs)?).execute(connection).await?;
    }
    Ok(())
}

/// Forgets how the runs of a tool went that is there no more.
pub(crate) async fn forget(connection: &mut Connection<'_>, tool: &str) -> Result<(), StoreError> {
    query("DELETE FROM tool_count WHERE tool = $1").bind(tool).execute(connection).await?;
    query("DELETE FROM tool_run WHERE tool = $1").bind(tool).execute(connection).await?;
    Ok(())
}
