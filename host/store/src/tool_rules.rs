//! What a claim heeds of tools: who needs an approval, and how many tasks may run at once.
//!
//! It keeps a row only for tools of which there is something to heed, so that a claim reads little.

use apflow_model::fair::Limits;
use apflow_model::plugin::Plugin;

use crate::connection::{Connection, Row, query};
use crate::error::StoreError;
use crate::row;

/// What a claim heeds of one tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ToolRule {
    /// Whether somebody must approve each task that runs it.
    pub(crate) needs_approval: bool,
    /// How many of its tasks may run at once. None for any number.
    pub(crate) running_max: Option<u32>,
}

impl ToolRule {
    /// What a claim heeds of this plugin.
    pub(crate) fn of(plugin: &Plugin) -> Self {
        Self {
            needs_approval: plugin.tool.as_ref().is_some_and(|tool| tool.requires_approval),
            running_max: plugin.manifest.limits.running_max,
        }
    }
}

const PUT: &str = "\
    INSERT INTO tool_rule (tool, needs_approval, running_max) VALUES ($1, $2, $3) \
    ON CONFLICT (tool) DO UPDATE SET needs_approval = excluded.needs_approval, \
                                     running_max = excluded.running_max";

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
    let running_max = rule.running_max.map(i64::from);
    let put = query(PUT).bind(tool).bind(rule.needs_approval).bind(running_max);
    put.execute(connection).await?;
    Ok(())
}

/// Narrows the limits of a claim to what tools allow. True when some of them need an approval.
pub(crate) async fn heed(
    connection: &mut Connection<'_>,
    limits: &mut Limits,
) -> Result<bool, StoreError> {
    let rows = query("SELECT * FROM tool_rule").fetch_all(connection).await?;
    let mut is_gated = false;
    for row in &rows {
        let (tool, rule) = read(row)?;
        if let Some(most) = rule.running_max {
            let allowed = limits.allowances.entry(tool).or_insert(most);
            *allowed = most.min(*allowed);
        }
        is_gated |= rule.needs_approval;
    }
    Ok(is_gated)
}

fn read(row: &Row) -> Result<(String, ToolRule), StoreError> {
    let rule = ToolRule {
        needs_approval: row::column(row, "needs_approval")?,
        running_max: row::perhaps_number(row, "running_max")?,
    };
    Ok((row::column(row, "tool")?, rule))
}
