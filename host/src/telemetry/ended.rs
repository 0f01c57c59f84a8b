//! Spans that are over, as they are exported.

use apflow_model::trace::TraceContext;

/// A span of a trace that has ended.
pub(crate) struct Ended {
    pub(crate) name: &'static str,
    pub(crate) context: TraceContext,
    pub(crate) parent: Option<u64>,
    pub(crate) from_unix_ns: u128,
    pub(crate) to_unix_ns: u128,
    pub(crate) fields: Vec<(&'static str, String)>,
}
