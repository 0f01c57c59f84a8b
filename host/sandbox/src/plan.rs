//! What a plugin may do at most, whoever runs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use apflow_model::capability::Capabilities;
use apflow_model::limit::Limits;

/// What is the same for every attempt of a plugin.
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) asked: Capabilities,
    pub(crate) limits: Limits,
    pub(crate) environment: Arc<BTreeMap<String, String>>,
}
