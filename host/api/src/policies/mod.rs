//! Verbs on cost policies.

mod list;
mod put;
mod remove;
mod show;

use apflow_engine::{KeptPolicy, ListedPolicy};
use apflow_model::clock::Timestamp;
use apflow_model::cost_policy::CostPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use list::{ListPolicies, PolicyList};
pub use put::PutPolicy;
pub use remove::RemovePolicy;
pub use show::ShowPolicy;

/// A cost policy as callers see it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShownPolicy {
    /// What it says.
    #[serde(flatten)]
    pub policy: CostPolicy,
    /// Where it is from.
    pub from: PolicySource,
    /// When it was put. Null for one of the file.
    pub changed_at: Option<Timestamp>,
    /// Who put it. Null for one of the file.
    pub changed_by: Option<String>,
}

/// Where a cost policy is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PolicySource {
    /// It was put by API, or with `policies put`.
    Api,
    /// `policies.yaml` has it.
    File,
}

impl PolicySource {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::File => "file",
        }
    }
}

impl From<ListedPolicy> for ShownPolicy {
    fn from(listed: ListedPolicy) -> Self {
        match listed {
            ListedPolicy::Put(kept) => kept.into(),
            ListedPolicy::OfFile(policy) => {
                Self { policy, from: PolicySource::File, changed_at: None, changed_by: None }
            }
        }
    }
}

impl From<KeptPolicy> for ShownPolicy {
    fn from(KeptPolicy { policy, changed_at, changed_by }: KeptPolicy) -> Self {
        let (changed_at, changed_by) = (Some(changed_at), Some(changed_by));
        Self { policy, from: PolicySource::Api, changed_at, changed_by }
    }
}
