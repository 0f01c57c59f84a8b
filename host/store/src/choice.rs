//! Which ready tasks a claim takes: fairly between lanes, as [`apflow_model::fair`] says.

use std::collections::HashSet;

use apflow_model::clock::Timestamp;
use apflow_model::fair::{Division, Limits};

use crate::connection::{Connection, Query, Row};
use crate::error::StoreError;
use crate::lanes::{self, Round, Rounds};

/// How a claim hands tasks out.
pub(crate) struct Hand<'a> {
    /// Whose turn it is.
    pub(crate) rounds: &'a mut Rounds,
    /// How many may run.
    pub(crate) limits: &'a Limits,
    /// The moment.
    pub(crate) now: Timestamp,
    /// Whether a task may have to be approved before it runs.
    pub(crate) is_gated: bool,
    /// Whether there are budgets to look at before it runs.
    pub(crate) is_budgeted: bool,
    /// What [`lanes::look`] has found already.
    pub(crate) seen: Option<[Vec<Row>; 2]>,
}

impl Hand<'_> {
    /// Chooses ready tasks of the next lanes of a round, and counts all that are ready in these.
    pub(crate) async fn choose(
        &mut self,
        connection: &mut Connection<'_>,
        round: &mut Round,
        free: u32,
    ) -> Result<(Vec<i64>, u64), StoreError> {
        let [lanes, heads] = match self.seen.take() {
            Some(seen) => seen,
            None => Query::fetch_each(lanes::look(round.after, free), connection).await?,
        };
        let (ready, running) = lanes::next(&lanes, round)?;
        let mut heads = lanes::read_heads(&heads)?;
        let seen_ready = ready.iter().map(|lane| lane.tasks).sum();
        self.rounds.after = round.after;
        let turns = &mut self.rounds.turns;
        let mut division = Division::new(free, self.limits, &ready, &running, turns);
        let mut seen = HashSet::new();
        loop {
            // Half of what is seen at first may be of use. Of a lane that is asked for again, all is
            // that can be.
            let asked = division.advance();
            let (again, first): (Vec<_>, Vec<_>) =
                asked.into_iter().partition(|lane| seen.contains(lane));
            seen.extend(first.iter().copied());
            if again.is_empty() && first.is_empty() {
                let chosen = division.given().into_iter().map(|task| task.0).collect();
                return Ok((chosen, seen_ready));
            }
            let (known, first): (Vec<_>, Vec<_>) =
                first.into_iter().partition(|lane| heads.contains_key(lane));
            for lane in known {
                division.know(lane, heads.remove(&lane).unwrap_or_default(), true);
            }
            let count = u32::try_from(first.len()).unwrap_or(u32::MAX).max(1);
            let depth = free.saturating_mul(2).div_ceil(count).min(free);
            for (lanes, depth) in [(first, depth), (again, free)] {
                if lanes.is_empty() {
                    continue;
                }
                for (lane, heads) in lanes::heads(connection, &lanes, depth).await? {
                    let is_short = u32::try_from(heads.len()).is_ok_and(|count| count < depth);
                    division.know(lane, heads, is_short || depth == free);
                }
            }
        }
    }
}
