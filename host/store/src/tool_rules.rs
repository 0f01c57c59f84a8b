//! What a claim heeds of tools and plugins: who needs an approval, how many tasks may run at once, and
//! how many may start a minute.
//!
//! It keeps a row only for those of which there is something to heed, so that a claim reads little.

use std::collections::HashMap;

use apflow_model::clock::Timestamp;
use apflow_model::fair::Limits;
use apflow_model::pace::Pace;
use apflow_model::plugin::Plugin;

use crate::connection::{Connection, Row, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::row;

/// What a claim heeds of one tool or plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ToolRule {
    /// Whether somebody must approve each task that runs it.
    pub(crate) needs_approval: bool,
    /// How many of its tasks may run at once. None for any number.
    pub(crate) running_max: Option<u32>,
    /// How many of them may start a minute. None for any number.
    pub(crate) starts_per_minute: Option<u32>,
}

impl ToolRule {
    /// What a claim heeds of this plugin.
    pub(crate) fn of(plugin: &Plugin) -> Self {
        Self {
            needs_approval: plugin.tool.as_ref().is_some_and(|tool| tool.requires_approval),
            running_max: plugin.manifest.limits.running_max,
            starts_per_minute: plugin.manifest.limits.starts_per_minute,
        }
    }
}

/// What has started before counts on.
const PUT: &str = "\
    INSERT INTO tool_rule (tool, needs_approval, running_max, starts_per_minute) \
    VALUES ($1, $2, $3, $4) \
    ON CONFLICT (tool) DO UPDATE SET needs_approval = excluded.needs_approval, \
      running_max = excluded.running_max, starts_per_minute = excluded.starts_per_minute";

const REMOVE: &str = "DELETE FROM tool_rule WHERE tool = $1";

/// Puts the rule of a tool in the place of the one before.
pub(crate) async fn put(
    connection: &mut Connection<'_>,
    tool: &str,
    rule: ToolRule,
) -> Result<(), StoreError> {
    if rule == ToolRule::default() {
        query(REMOVE).bind(tool).execute(connection).await?;
        return Ok(());
    }
    let put = query(PUT)
        .bind(tool)
        .bind(rule.needs_approval)
        .bind(rule.running_max.map(i64::from))
        .bind(rule.starts_per_minute.map(i64::from));
    put.execute(connection).await?;
    Ok(())
}

/// What a claim has to do beside narrowing its limits.
#[derive(Default)]
pub(crate) struct Heeded {
    /// Whether some tool needs an approval.
    pub(crate) is_gated: bool,
    paced: Vec<Paced>,
}

/// A tool with a pace.
struct Paced {
    tool: String,
    pace: Pace,
    due_us: i64,
}

/// Narrows the limits of a claim to what tools allow at `now`.
pub(crate) async fn heed(
    connection: &mut Connection<'_>,
    limits: &mut Limits,
    now: Timestamp,
) -> Result<Heeded, StoreError> {
    let mut heeded = Heeded::default();
    for row in &query("SELECT * FROM tool_rule").fetch_all(connection).await? {
        let (tool, rule) = read(row)?;
        heeded.is_gated |= rule.needs_approval;
        if let Some(most) = rule.running_max {
            narrow(limits, &tool, most);
        }
        if let Some(starts) = rule.starts_per_minute {
            let pace = Pace::per_minute(starts);
            heeded.paced.push(Paced { tool, pace, due_us: row::column(row, "due_us")? });
        }
    }
    if !heeded.paced.is_empty() {
        let running = running(connection, &heeded.paced).await?;
        for Paced { tool, pace, due_us } in &heeded.paced {
            let running = running.get(tool).copied().unwrap_or_default();
            let allowed = pace.allowed(*due_us, micros(now));
            narrow(limits, tool, running.saturating_add(allowed));
        }
    }
    Ok(heeded)
}

fn narrow(limits: &mut Limits, tool: &str, most: u32) {
    let allowed = limits.allowances.entry(tool.to_owned()).or_insert(most);
    *allowed = most.min(*allowed);
}

fn micros(now: Timestamp) -> i64 {
    now.unix_ms().saturating_mul(1_000)
}

fn read(row: &Row) -> Result<(String, ToolRule), StoreError> {
    let rule = ToolRule {
        needs_approval: row::column(row, "needs_approval")?,
        running_max: row::perhaps_number(row, "running_max")?,
        starts_per_minute: row::perhaps_number(row, "starts_per_minute")?,
    };
    Ok((row::column(row, "tool")?, rule))
}

/// What runs comes first: there is little of it.
const COUNT_RUNNING: Sql = sql!(
    "\
    SELECT lane.executor, CAST(sum(tally.n) AS BIGINT) AS n \
    FROM tally JOIN lane ON lane.id = tally.lane_id \
    WHERE tally.state = 3 AND lane.executor IN (SELECT value->>0 FROM ",
    ROWS,
    " AS given) GROUP BY lane.executor"
);

/// How many tasks of these tools run.
async fn running(
    connection: &mut Connection<'_>,
    paced: &[Paced],
) -> Result<HashMap<String, u32>, StoreError> {
    let tools: Vec<_> = paced.iter().map(|paced| [&paced.tool]).collect();
    let rows: Vec<(String, i64)> =
        query(COUNT_RUNNING).bind(row::text(&tools)?).read_all(connection).await?;
    rows.into_iter().map(|(tool, n)| Ok((tool, row::narrow(n, "n")?))).collect()
}

const START: Sql = sql!(
    "\
    UPDATE tool_rule SET due_us = CAST(started.value->>1 AS BIGINT) FROM ",
    ROWS,
    " AS started WHERE tool_rule.tool = started.value->>0"
);

/// Takes note of how many tasks of each tool a claim has started.
pub(crate) async fn start(
    connection: &mut Connection<'_>,
    heeded: &Heeded,
    started: impl Fn(&str) -> usize,
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows: Vec<_> = heeded
        .paced
        .iter()
        .filter_map(|Paced { tool, pace, due_us }| {
            let starts = u32::try_from(started(tool)).unwrap_or(u32::MAX);
            let due = || pace.due_after(*due_us, micros(now), starts);
            (starts > 0).then(|| (tool, due()))
        })
        .collect();
    if !rows.is_empty() {
        query(START).bind(row::text(&rows)?).execute(connection).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::tests::plan;

    #[tokio::test]
    async fn what_runs_is_counted_by_its_tallies() {
        let steps = plan(COUNT_RUNNING).await;
        let scans = |table: &str| steps.iter().any(|step| step == &format!("SCAN {table}"));
        assert!(!scans("tally") && !scans("lane"), "{steps:?}");
        let steps = plan(START).await;
        assert!(!steps.iter().any(|step| step == "SCAN tool_rule"), "{steps:?}");
    }
}
