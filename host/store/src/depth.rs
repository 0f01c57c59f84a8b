//! How many tasks there are, in all and by lane.
//!
//! It counts no tasks: it reads what triggers keep.

use std::collections::HashMap;

use apflow_model::concurrency::ConcurrencyKey;
use apflow_model::fair::Lane;
use apflow_model::state::TaskState;

use crate::connection::query;
use crate::error::StoreError;
use crate::store::Store;
use crate::{lanes, row};

/// How many tasks there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    /// In each state, also where there are none.
    pub states: Vec<(TaskState, u64)>,
    /// In the lanes with the most tasks that have not ended, these first.
    pub lanes: Vec<LaneDepth>,
}

/// How many tasks of a lane have not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneDepth {
    /// Who submitted them.
    pub principal: String,
    /// What runs them.
    pub executor: String,
    /// Their concurrency key.
    pub key: Option<ConcurrencyKey>,
    /// In each state where there are some.
    pub states: Vec<(TaskState, u64)>,
}

impl Store {
    /// Counts the tasks in each state, and those of up to `lanes_max` lanes.
    ///
    /// It reads counts that are kept, so it costs the same however many tasks there are.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn depth(&self, lanes_max: u32) -> Result<Depth, StoreError> {
        const BY_STATE: &str = "SELECT state, CAST(sum(n) AS BIGINT) FROM tally GROUP BY state";
        const BY_LANE: &str = "\
            SELECT lane.id, lane.principal, lane.executor, lane.key, lane.key_max, \
                   tally.state, tally.n \
            FROM (SELECT lane_id, sum(n) AS open FROM tally WHERE state < 8 \
                  GROUP BY lane_id ORDER BY open DESC, lane_id LIMIT $1) AS deepest \
            JOIN lane ON lane.id = deepest.lane_id \
            JOIN tally ON tally.lane_id = lane.id AND tally.state < 8 \
            ORDER BY deepest.open DESC, lane.id, tally.state";
        let mut snapshot = self.readers().snapshot().await?;
        let mut snapshot = snapshot.connection();
        let counts: Vec<(i64, i64)> = query(BY_STATE).read_all(&mut snapshot).await?;
        let counts: HashMap<i64, i64> = counts.into_iter().collect();
        let count = |state: TaskState| {
            let count = counts.get(&state.code()).copied().unwrap_or(0);
            Ok((state, row::narrow(count, "n")?))
        };
        let states = TaskState::ALL.map(count).into_iter().collect::<Result<_, StoreError>>()?;
        let mut lanes = Vec::<(i64, LaneDepth)>::new();
        for row in query(BY_LANE).bind(lanes_max).fetch_all(&mut snapshot).await? {
            let lane = lanes::read(&row)?;
            let state = (row::state(&row, "state")?, lane.tasks);
            if let Some((_, depth)) = lanes.last_mut().filter(|(id, _)| *id == lane.id) {
                depth.states.push(state);
                continue;
            }
            let Lane { id, principal, executor, key, .. } = lane;
            lanes.push((id, LaneDepth { principal, executor, key, states: vec![state] }));
        }
        Ok(Depth { states, lanes: lanes.into_iter().map(|(_, depth)| depth).collect() })
    }
}
