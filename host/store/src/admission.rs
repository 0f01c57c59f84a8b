//! How many tasks may be open: what is taken in at the door.
//!
//! It stores nothing: a job that is not admitted leaves no trace.

use std::collections::HashMap;

use apflow_model::concurrency::Admission;

use crate::connection::{Query, Row, query};
use crate::error::StoreError;
use crate::row;
use crate::write::Answers;

/// A job at the door.
pub(crate) struct Newcomer {
    pub(crate) admission: Admission,
    pub(crate) principal: String,
    /// How many of its tasks have not ended. None has when a job is stored with its end.
    pub(crate) tasks: u64,
}

pub(crate) const COUNT: &str =
    "SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM tally WHERE state < 8";

pub(crate) const COUNT_EACH: &str = "\
    SELECT lane.principal, CAST(sum(tally.n) AS BIGINT) \
    FROM tally JOIN lane ON lane.id = tally.lane_id WHERE tally.state < 8 GROUP BY lane.principal";

/// Asks what [`admit`] is told.
pub(crate) fn ask(newcomers: &[&Newcomer]) -> Query {
    query(if is_each_limited(newcomers) { COUNT_EACH } else { COUNT })
}

/// Admits jobs one by one, each beside those before it and what was answered to [`ask`]. Each answer
/// is that of the newcomer in the same place.
pub(crate) fn admit(newcomers: &[&Newcomer], told: &[Row]) -> Result<Answers<()>, StoreError> {
    let mut open = Open::default();
    if is_each_limited(newcomers) {
        for row in told {
            let (principal, count): (String, i64) = row.read()?;
            let count = row::narrow(count, "n")?;
            open.all += count;
            open.each.insert(principal, count);
        }
    } else {
        let (count,): (i64,) = told.first().ok_or(sqlx::Error::RowNotFound)?.read()?;
        open.all = row::narrow(count, "n")?;
    }
    Ok(newcomers.iter().map(|new| open.admit(new)).collect())
}

fn is_each_limited(newcomers: &[&Newcomer]) -> bool {
    newcomers.iter().any(|new| new.admission.tasks_open_max_per_principal.is_some())
}

/// How many tasks have not ended.
#[derive(Default)]
struct Open {
    all: u64,
    each: HashMap<String, u64>,
}

impl Open {
    fn admit(&mut self, new: &Newcomer) -> Result<(), StoreError> {
        let Newcomer { admission, principal, tasks } = new;
        check(*tasks, self.all, admission.tasks_open_max.0, None)?;
        let own = self.each.entry(principal.clone()).or_default();
        if let Some(max) = admission.tasks_open_max_per_principal {
            check(*tasks, *own, max.0, Some(principal))?;
        }
        *own += tasks;
        self.all += tasks;
        Ok(())
    }
}

fn check(tasks: u64, open: u64, open_max: u64, of: Option<&String>) -> Result<(), StoreError> {
    if open.saturating_add(tasks) <= open_max {
        return Ok(());
    }
    Err(StoreError::TooManyTasks { tasks, open, open_max, principal: of.cloned() })
}

#[cfg(test)]
mod tests {
    use apflow_model::concurrency::OpenMax;

    use super::*;

    fn new(principal: &str, tasks: u64) -> Newcomer {
        let admission = Admission {
            tasks_open_max: OpenMax(10),
            tasks_open_max_per_principal: Some(OpenMax(6)),
        };
        Newcomer { admission, principal: principal.to_owned(), tasks }
    }

    #[test]
    fn a_newcomer_that_is_refused_takes_no_room() {
        let mut open = Open::default();
        let admitted: Vec<_> = [("ada", 5), ("ada", 2), ("ada", 1), ("bob", 5), ("bob", 4)]
            .into_iter()
            .map(|(principal, tasks)| open.admit(&new(principal, tasks)).is_ok())
            .collect();
        assert_eq!(admitted, [true, false, true, false, true]);
    }
}
