//! Plugins that come with the host.

use apflow_model::manifest::Manifest;
use apflow_model::plugin::Digest;

use crate::error::EngineError;

/// A plugin that comes with the host.
pub struct Builtin {
    /// The bytes of its component.
    pub component: &'static [u8],
    /// The sha256 of `component`.
    pub digest: Digest,
    /// The text of its `plugin.yaml`.
    pub manifest: &'static str,
}

impl Builtin {
    pub(crate) fn manifest(&self) -> Result<Manifest, EngineError> {
        Manifest::parse(self.manifest).map_err(|faults| EngineError::InvalidManifest {
            file: "the manifest of a plugin that came with the host".to_owned(),
            faults,
        })
    }
}
