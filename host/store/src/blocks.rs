//! What hosts hold of budgets in blocks, when it goes back.
//!
//! `reserve` says how much there is in a block, and `charges` takes out what was used.

use std::collections::BTreeMap;

use apflow_model::clock::Timestamp;

use crate::budgets::{self, BudgetId};
use crate::connection::{Connection, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::row;
use crate::write::{Turn, Write};

/// Gives back what a session did not hand out. Answers whether tasks became ready that waited for it.
pub(crate) struct GiveBlocksBack {
    pub(crate) session: i64,
    pub(crate) amounts: Vec<(BudgetId, u64)>,
    pub(crate) now: Timestamp,
}

const TAKE: Sql = sql!(
    "\
    UPDATE budget_block SET amount = budget_block.amount - CAST(back.value->>1 AS BIGINT) FROM ",
    ROWS,
    " AS back \
    WHERE budget_block.session_id = $2 \
      AND budget_block.budget_id = CAST(back.value->>0 AS BIGINT) \
      AND budget_block.amount >= CAST(back.value->>1 AS BIGINT)"
);

impl Write for GiveBlocksBack {
    type Output = bool;

    const TURN: Turn = Turn::Charge;

    fn makes_work(has_woken: &bool) -> bool {
        *has_woken
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<bool, StoreError> {
        let amounts = self.amounts.iter().map(|(budget, amount)| (budget.0, *amount));
        let amounts = row::text(&amounts.collect::<Vec<_>>())?;
        query(TAKE).bind(amounts).bind(self.session).execute(connection).await?;
        let budgets = self.amounts.iter().map(|(budget, _)| budget.0).collect::<Vec<_>>();
        Ok(!budgets::wake_for(connection, &budgets, self.now).await?.is_empty())
    }
}

const END: Sql = sql!(
    "DELETE FROM budget_block WHERE session_id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given) RETURNING budget_id, amount"
);

const LOSE: Sql = sql!(
    "UPDATE budget SET lost = lost + CAST(gone.value->>1 AS BIGINT) FROM ",
    ROWS,
    " AS gone WHERE budget.id = CAST(gone.value->>0 AS BIGINT)"
);

/// Ends the blocks of sessions that are over: what was in them comes back, or is lost when nobody
/// knows how much of it was handed out.
pub(crate) async fn end(
    connection: &mut Connection<'_>,
    sessions: &[i64],
    is_lost: bool,
) -> Result<(), StoreError> {
    let ended: Vec<(i64, i64)> = query(END).bind(row::text(sessions)?).read_all(connection).await?;
    let mut lost = BTreeMap::<i64, i64>::new();
    for (budget, amount) in ended {
        *lost.entry(budget).or_default() += amount;
    }
    lost.retain(|_, amount| *amount > 0 && is_lost);
    if !lost.is_empty() {
        let lost: Vec<_> = lost.into_iter().collect();
        query(LOSE).bind(row::text(&lost)?).execute(connection).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::tests::reads_whole;

    #[tokio::test]
    async fn what_goes_back_of_blocks_is_found_by_indexes() {
        for sql in [TAKE, END, LOSE] {
            assert_eq!(reads_whole(sql).await, None, "{}", sql.sqlite);
        }
    }
}
