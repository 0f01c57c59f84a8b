//! What a plugin may do at most, whoever runs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use apflow_model::capability::{Capabilities, Grant, Scope};
use apflow_model::limit::Limits;

use crate::metrics::Metrics;

/// What is the same for every attempt of a plugin.
pub(crate) struct Plan {
    pub(crate) name: Arc<str>,
    pub(crate) asked: Arc<Capabilities>,
    pub(crate) limits: Limits,
    pub(crate) environment: Arc<BTreeMap<String, String>>,
    /// Those of the sandbox.
    pub(crate) metrics: Arc<Metrics>,
}

impl Plan {
    /// What one attempt may do.
    pub(crate) fn scope(&self, granted: Arc<[Grant]>, narrowed: Option<Arc<[Grant]>>) -> Scope {
        let (plugin, asked) = (Arc::clone(&self.name), Arc::clone(&self.asked));
        Scope { plugin, asked, granted, narrowed }
    }
}
