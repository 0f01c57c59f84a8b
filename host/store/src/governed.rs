//! The budgets that count the calls of a task, with the policies that govern them.
//!
//! It decides by `apflow_model::cost_policy`, and keeps what was decided: events, places in chains,
//! and what is to be sent.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use apflow_model::budget::{Budget, BudgetScope, BudgetUnit};
use apflow_model::clock::Timestamp;
use apflow_model::cost_policy::{
    Action, CostPolicy, CostRules, Decision, Question, Share, Verdict, decide,
};
use apflow_model::event::{CostDecided, Happening};
use apflow_model::id::{JobId, TaskId};
use serde_json::json;

use crate::budgets::{self, BudgetId};
use crate::connection::{Connection, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::events::Draft;
use crate::row;

/// A budget that counts the calls of a task.
pub(crate) struct Governed {
    pub(crate) id: BudgetId,
    pub(crate) budget: Budget,
    /// What the session that runs the task holds of it in a block. 0 when none runs it.
    pub(crate) block: u64,
    policy: Option<Arc<CostPolicy>>,
    told: Option<Share>,
}

/// A task, and the budgets that count its calls: its own, its job's and its principal's.
pub(crate) struct Case {
    pub(crate) job: JobId,
    pub(crate) task: TaskId,
    pub(crate) attempt: u32,
    /// The model that the task asks for.
    pub(crate) model: Option<String>,
    pub(crate) budgets: Vec<Governed>,
    /// How far its job has gone along the chain of each policy.
    places: BTreeMap<String, usize>,
    moved: BTreeMap<String, usize>,
    happenings: Vec<Happening>,
    notifications: Vec<(String, String, String)>,
    told: Vec<(i64, u32)>,
}

/// Tasks that say that they call a model, and the budgets that count it.
const FIND: Sql = sql!(
    "\
    SELECT task.id AS task_id, task.job_id AS of_job, task.attempt, task.model, task.cost_policy, \
           coalesce(budget_block.amount, 0) AS block, budget.* FROM ( \
      SELECT task.id AS task_id, budget.id AS budget_id FROM ",
    ROWS,
    " AS asked JOIN task ON task.id = CAST(asked.value AS BIGINT) \
      JOIN budget ON budget.scope = 'task' AND budget.owner = CAST(task.id AS TEXT) \
      UNION ALL \
      SELECT task.id, budget.id FROM ",
    ROWS,
    " AS asked JOIN task ON task.id = CAST(asked.value AS BIGINT) \
      JOIN budget ON budget.scope = 'job' AND budget.owner = CAST(task.job_id AS TEXT) \
      UNION ALL \
      SELECT task.id, budget.id FROM ",
    ROWS,
    " AS asked JOIN task ON task.id = CAST(asked.value AS BIGINT) \
      JOIN job ON job.id = task.job_id \
      JOIN budget ON budget.scope = 'principal' AND budget.owner = job.principal \
    ) AS counting JOIN task ON task.id = counting.task_id \
    JOIN budget ON budget.id = counting.budget_id \
    LEFT JOIN budget_block ON budget_block.session_id = task.session_id \
                          AND budget_block.budget_id = budget.id \
    ORDER BY task.id, budget.id"
);

const PLACES: Sql = sql!(
    "SELECT job_id, policy, place FROM chain_place \
     WHERE job_id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

const MOVE: &str = "INSERT INTO chain_place (job_id, policy, place) VALUES ($1, $2, $3) \
                    ON CONFLICT (job_id, policy) DO UPDATE SET place = excluded.place";

const TELL: &str = "UPDATE budget SET told_ppm = $2 WHERE id = $1";

const NOTIFY: &str = "INSERT INTO notification (at, job_id, policy, webhook, body) \
                      VALUES ($1, $2, $3, $4, $5)";

/// Finds these tasks with their budgets. One without a budget is left out.
pub(crate) async fn find(
    connection: &mut Connection<'_>,
    rules: &CostRules,
    tasks: &[i64],
) -> Result<HashMap<TaskId, Case>, StoreError> {
    let mut cases = HashMap::<TaskId, Case>::new();
    for row in query(FIND).bind(row::text(tasks)?).fetch_all(connection).await? {
        let task = TaskId(row::column(&row, "task_id")?);
        let budget = budgets::read(&row)?;
        let of_task: Option<String> = row::column(&row, "cost_policy")?;
        // A principal's budget is the operator's: a caller does not govern it.
        let of_task = of_task.filter(|_| budget.scope != BudgetScope::Principal);
        let name = budget.policy.clone().or(of_task);
        let policy = name.as_ref().and_then(|name| rules.policies.find(name));
        if let (Some(name), None) = (&name, &policy) {
            tracing::warn!(%task, policy = %name, "there is no such cost policy: only the cap counts");
        }
        let case = cases.entry(task).or_insert(Case {
            job: JobId(row::column(&row, "of_job")?),
            task,
            attempt: row::number(&row, "attempt")?,
            model: row::column(&row, "model")?,
            budgets: Vec::new(),
            places: BTreeMap::new(),
            moved: BTreeMap::new(),
            happenings: Vec::new(),
            notifications: Vec::new(),
            told: Vec::new(),
        });
        let (id, block) = (BudgetId(row::column(&row, "id")?), row::number(&row, "block")?);
        let told = Share::from_ppm(row::number(&row, "told_ppm")?);
        case.budgets.push(Governed { id, budget, block, policy, told });
    }
    for case in cases.values_mut() {
        case.budgets.sort_by_key(|governed| governed.budget.scope);
    }
    let has_policy = |case: &&Case| case.budgets.iter().any(|one| one.policy.is_some());
    let jobs: Vec<i64> = cases.values().filter(has_policy).map(|case| case.job.0).collect();
    if !jobs.is_empty() {
        let places: Vec<(i64, String, i64)> =
            query(PLACES).bind(row::text(&jobs)?).read_all(connection).await?;
        for case in cases.values_mut() {
            for (_, policy, place) in places.iter().filter(|(job, _, _)| *job == case.job.0) {
                case.places.insert(policy.clone(), row::narrow(*place, "place")?);
            }
        }
    }
    Ok(cases)
}

impl Governed {
    /// How much is gone when something happens next on the way to the cap: at the cap at last.
    pub(crate) fn next_stop(&self) -> u64 {
        let (gone, cap) = (self.budget.gone(), self.budget.cap);
        let stop = self.policy.as_ref().and_then(|policy| policy.next_stop(gone, cap));
        stop.unwrap_or(cap)
    }

    /// Whether a policy looks at it.
    pub(crate) fn has_policy(&self) -> bool {
        self.policy.is_some()
    }

    fn decide(
        &self,
        wanted: Option<&str>,
        fits: bool,
        places: &BTreeMap<String, usize>,
    ) -> Option<Decision> {
        let policy = self.policy.as_ref()?;
        let place = places.get(&policy.name).copied();
        let (used, cap) = (self.budget.gone(), self.budget.cap);
        let decision = decide(policy, &Question { used, cap, fits, wanted, place });
        (!decision.reason.is_empty()).then_some(decision)
    }
}

/// What the policies of a task say of a call.
pub(crate) enum Ruled {
    /// It may go to this model.
    Goes(Option<String>),
    /// It may not be made, and why.
    Blocked(String),
    /// No policy says anything, and a budget has not enough left.
    Short,
}

impl Case {
    /// Asks every policy about a call. `fits` says whether each budget has enough left for it on a
    /// model.
    ///
    /// Chains are gone along until the call fits, so `fits` is asked once for each model that is
    /// named. Of two policies that name a model, the one of the wider scope counts.
    pub(crate) fn rule(
        &mut self,
        wanted: Option<&str>,
        fits: impl Fn(&Governed, Option<&str>) -> Result<bool, String>,
    ) -> Ruled {
        let mut model = wanted.map(str::to_owned);
        loop {
            let (mut has_moved, mut is_short) = (false, false);
            let mut next = wanted.map(str::to_owned);
            for index in 0..self.budgets.len() {
                let governed = &self.budgets[index];
                let is_enough = match fits(governed, model.as_deref()) {
                    Ok(is_enough) => is_enough,
                    Err(reason) => return Ruled::Blocked(reason),
                };
                let Some(decision) = governed.decide(wanted, is_enough, &self.places) else {
                    is_short |= !is_enough;
                    continue;
                };
                let name = governed.policy.as_ref().map(|policy| policy.name.clone());
                let (name, scope) = (name.unwrap_or_default(), governed.budget.scope);
                match decision.verdict {
                    Verdict::Allow => {}
                    Verdict::Block => {
                        self.note((name, scope), "block", decision.reason.clone(), None);
                        return Ruled::Blocked(decision.reason);
                    }
                    Verdict::Downgrade { place, model: to } => {
                        if self.places.insert(name.clone(), place) != Some(place) {
                            has_moved = true;
                            self.moved.insert(name.clone(), place);
                            self.note(
                                (name, scope),
                                "downgrade",
                                decision.reason,
                                Some(to.clone()),
                            );
                        }
                        next = Some(to);
                    }
                }
            }
            if !has_moved && next == model {
                return if is_short { Ruled::Short } else { Ruled::Goes(model) };
            }
            model = next;
        }
    }

    /// Tells the thresholds that were reached and are only told.
    pub(crate) fn tell(&mut self, now: Timestamp) {
        let mut all = Vec::new();
        for governed in &self.budgets {
            let Governed { id, budget, policy: Some(policy), told, .. } = governed else {
                continue;
            };
            let new = policy.notices(budget.gone(), budget.cap, *told);
            if let Some(last) = new.last() {
                self.told.push((id.0, last.at.ppm()));
            }
            for threshold in new {
                let (gone, cap, at) = (budget.gone(), budget.cap, threshold.at);
                let reason = format!("{gone} of {cap} are gone, which is {at} or more");
                all.push((policy.name.clone(), budget.clone(), threshold.action.clone(), reason));
            }
        }
        for (policy, budget, action, reason) in all {
            tracing::info!(task = %self.task, policy, action = action.name(), reason, "cost policy");
            if let Action::Notify { webhook: Some(webhook) } = &action {
                let body = json!({
                    "at": now, "policy": policy, "reason": reason, "budget": budget,
                    "job_id": self.job, "task_id": self.task,
                });
                self.notifications.push((policy.clone(), webhook.clone(), body.to_string()));
            }
            self.note((policy, budget.scope), action.name(), reason, None);
        }
    }

    fn note(
        &mut self,
        (policy, scope): (String, BudgetScope),
        action: &str,
        reason: String,
        model: Option<String>,
    ) {
        let decided = CostDecided { policy, action: action.to_owned(), scope, reason, model };
        self.happenings.push(Happening::CostDecided(decided));
    }

    /// Keeps what was decided. Answers the events of it, which are still to be added.
    pub(crate) async fn keep(
        &mut self,
        connection: &mut Connection<'_>,
        now: Timestamp,
    ) -> Result<Vec<Draft>, StoreError> {
        for (policy, place) in std::mem::take(&mut self.moved) {
            let place = i64::try_from(place).unwrap_or(i64::MAX);
            query(MOVE).bind(self.job.0).bind(policy).bind(place).execute(connection).await?;
        }
        for (budget, ppm) in std::mem::take(&mut self.told) {
            query(TELL).bind(budget).bind(ppm).execute(connection).await?;
        }
        for (policy, webhook, body) in std::mem::take(&mut self.notifications) {
            let notify = query(NOTIFY).bind(now.unix_ms()).bind(self.job.0);
            notify.bind(policy).bind(webhook).bind(body).execute(connection).await?;
        }
        let (job, task, attempt) = (self.job, self.task, self.attempt);
        let draft = |what| Draft { job, task: Some(task), attempt, at: now, what };
        Ok(std::mem::take(&mut self.happenings).into_iter().map(draft).collect())
    }

    /// The tokens that every budget of tokens has left.
    pub(crate) fn tokens_left(&self) -> Option<u64> {
        let tokens = self.budgets.iter().filter(|one| one.budget.unit == BudgetUnit::Tokens);
        tokens.map(|one| one.budget.left()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::tests::reads_whole;

    #[tokio::test]
    async fn the_budgets_of_a_task_are_found_by_indexes() {
        for sql in [FIND, PLACES].into_iter().chain([MOVE, TELL, NOTIFY].map(Sql::from)) {
            assert_eq!(reads_whole(sql).await, None, "{}", sql.sqlite);
        }
    }
}
