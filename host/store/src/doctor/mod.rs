//! Examines a database: whether what should be true of its rows is, and repairs what can be.
//!
//! An examination reads one moment of the database and holds up no writer; it reads all there is, so
//! nothing on the path of a job calls it. A repair reads again what it changes, in its own
//! transaction. To add a check, add it to the list of its family.

mod approvals;
mod attempts;
mod budgets;
mod check;
mod database;
mod dependencies;
mod events;
mod figures;
mod jobs;
mod lanes;
mod results;

use apflow_model::clock::Timestamp;
use apflow_model::doctor::{Figures, Finding};

use crate::connection::Connection;
use crate::doctor::check::{Check, Found, Mend, Remedy};
use crate::error::StoreError;
use crate::store::Store;

/// What an examination found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// The name of every check that was made.
    pub checks: Vec<&'static str>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// What there is.
    pub figures: Figures,
}

impl Store {
    /// Examines the database as of one moment.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when it cannot be read, and [`StoreError::Database`].
    pub async fn examine(&self) -> Result<Examination, StoreError> {
        let mut snapshot = self.readers().snapshot().await?;
        let mut snapshot = snapshot.connection();
        let figures = figures::read(&mut snapshot).await?;
        let figures = Figures { database: self.address().to_string(), ..figures };
        let (mut checks, mut findings) = (Vec::new(), Vec::new());
        for check in all() {
            checks.push(check.name);
            let found = check.find(&mut snapshot).await?;
            if found.count > 0 {
                findings.push(check.report(found));
            }
        }
        Ok(Examination { checks, findings, figures })
    }

    /// Repairs what a check finds now, at most 1000 rows a transaction. Returns how many rows were
    /// changed: none when there is nothing to repair, or nothing that can be.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]. Some may be repaired then.
    pub async fn repair(&self, check: &str, now: Timestamp) -> Result<u64, StoreError> {
        let Some(check) = all().find(|known| known.name == check) else { return Ok(0) };
        let Remedy::Repair { mend, .. } = check.remedy else { return Ok(0) };
        let mut changed = 0;
        loop {
            let Found { count, ids, .. } = self.find(check).await?;
            if ids.is_empty() {
                return Ok(changed);
            }
            let repaired = self.write(Mend { how: mend, ids, now }).await?;
            changed += repaired;
            if repaired == 0 || self.find(check).await?.count >= count {
                // What is left cannot be repaired like this.
                return Ok(changed);
            }
        }
    }

    async fn find(&self, check: &Check) -> Result<Found, StoreError> {
        let mut snapshot = self.readers().snapshot().await?;
        let mut snapshot: Connection<'_> = snapshot.connection();
        check.find(&mut snapshot).await
    }
}

/// Every check, in the order in which repairs help each other: what tasks wait for, the tasks, and
/// then what is counted and told of them.
fn all() -> impl Iterator<Item = &'static Check> {
    let families: [&[Check]; 9] = [
        database::CHECKS,
        dependencies::CHECKS,
        attempts::CHECKS,
        approvals::CHECKS,
        results::CHECKS,
        jobs::CHECKS,
        events::CHECKS,
        lanes::CHECKS,
        budgets::CHECKS,
    ];
    families.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let names: Vec<_> = all().map(|check| check.name).collect();
        let different: BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        let is_plain = |name: &&&str| name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        assert!(names.iter().all(|name| is_plain(&name)), "{names:?}");
    }
}
