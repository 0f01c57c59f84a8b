//! Cost policies: those of `policies.yaml`, and those that were put by API, which every host of the
//! database has in force within a second.
//!
//! A name of the file belongs to the file.

use std::collections::BTreeMap;
use std::time::Duration;

use apflow_model::cost_policy::{CostPolicies, CostPolicy};
use apflow_store::{COST_POLICIES_MAX, KeptPolicy};

use crate::engine::Engine;
use crate::error::{EngineError, chain};

/// How often to look what others put.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A policy that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListedPolicy {
    /// `policies.yaml` has it.
    OfFile(CostPolicy),
    /// It was put by API.
    Put(KeptPolicy),
}

impl ListedPolicy {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::OfFile(policy) | Self::Put(KeptPolicy { policy, .. }) => &policy.name,
        }
    }
}

impl Engine {
    /// Lists the cost policies in force whose names come after `after`, by name, and whether there
    /// are more than `limit`.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn list_cost_policies(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<ListedPolicy>, bool), EngineError> {
        let all = self.all_cost_policies().await?;
        let mut rest = all.into_values().filter(|one| after.is_none_or(|after| one.name() > after));
        let page = rest.by_ref().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
        Ok((page, rest.next().is_some()))
    }

    /// Finds the cost policy of this name.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownPolicy`] and [`EngineError::Store`].
    pub async fn show_cost_policy(&self, name: &str) -> Result<ListedPolicy, EngineError> {
        let found = self.all_cost_policies().await?.remove(name);
        found.ok_or_else(|| EngineError::UnknownPolicy(name.to_owned()))
    }

    /// Puts a cost policy, in the place of what had its name before. It is in force here when this
    /// returns.
    ///
    /// # Errors
    ///
    /// [`EngineError::InvalidPolicy`], [`EngineError::PolicyInFile`] and [`EngineError::Store`];
    /// nothing is changed then.
    pub async fn put_cost_policy(
        &self,
        policy: CostPolicy,
        by: &str,
    ) -> Result<KeptPolicy, EngineError> {
        if let Some((field, message)) = policy.fault() {
            return Err(EngineError::InvalidPolicy(format!("`{field}`: {message}")));
        }
        if self.is_in_file(&policy.name) {
            return Err(EngineError::PolicyInFile(policy.name));
        }
        let kept = KeptPolicy { policy, changed_at: self.now(), changed_by: by.to_owned() };
        if !self.store.put_cost_policy(kept.clone()).await? {
            let message = format!("{COST_POLICIES_MAX} policies are kept, which is the most");
            return Err(EngineError::InvalidPolicy(message));
        }
        self.read_cost_policies().await?;
        Ok(kept)
    }

    /// Removes a cost policy that was put. Budgets and tasks that name it go on without one.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownPolicy`], [`EngineError::PolicyInFile`] and [`EngineError::Store`];
    /// nothing is changed then.
    pub async fn remove_cost_policy(&self, name: &str) -> Result<KeptPolicy, EngineError> {
        let Some(removed) = self.store.remove_cost_policy(name).await? else {
            let name = name.to_owned();
            return Err(if self.is_in_file(&name) {
                EngineError::PolicyInFile(name)
            } else {
                EngineError::UnknownPolicy(name)
            });
        };
        self.read_cost_policies().await?;
        Ok(removed)
    }

    /// Puts what the file and the database have in force.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails: what was in force stays.
    pub async fn read_cost_policies(&self) -> Result<(), EngineError> {
        let all = self.all_cost_policies().await?.into_values().map(|one| match one {
            ListedPolicy::OfFile(policy) | ListedPolicy::Put(KeptPolicy { policy, .. }) => policy,
        });
        let before = self.cost_policies().list();
        self.cost_policies().replace(all);
        if self.cost_policies().list() != before {
            self.purse.has_news();
        }
        Ok(())
    }

    /// Does that again and again, whatever comes of it.
    pub(crate) async fn follow_cost_policies(&self) {
        if let Err(error) = self.read_cost_policies().await {
            tracing::warn!(error = chain(&error), "the cost policies could not be read");
        }
    }

    /// Those in force.
    pub(crate) fn cost_policies(&self) -> &CostPolicies {
        &self.settings.cost.policies
    }

    async fn all_cost_policies(&self) -> Result<BTreeMap<String, ListedPolicy>, EngineError> {
        let put = self.store.list_cost_policies().await?.into_iter().map(ListedPolicy::Put);
        let of_file = self.settings.policies.get().cost_policies.clone();
        let of_file = of_file.into_iter().map(ListedPolicy::OfFile);
        // What comes later counts.
        Ok(put.chain(of_file).map(|one| (one.name().to_owned(), one)).collect())
    }

    fn is_in_file(&self, name: &str) -> bool {
        self.settings.policies.get().cost_policies.iter().any(|policy| policy.name == name)
    }
}
