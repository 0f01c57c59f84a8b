//! Plugins that come with the host.

use apflow_model::manifest::Manifest;
use apflow_model::plugin::Digest;

use crate::error::EngineError;

/// A plugin that comes with the host.
pub struct Builtin {
    pub(crate) component: &'static [u8],
    pub(crate) digest: Digest,
    pub(crate) manifest: Manifest,
}

impl Builtin {
    /// Makes a plugin of the bytes of its component and the text of its `plugin.yaml`.
    ///
    /// # Errors
    ///
    /// [`EngineError::InvalidManifest`] when the text has faults.
    pub fn new(component: &'static [u8], manifest: &str) -> Result<Self, EngineError> {
        let manifest =
            Manifest::parse(manifest).map_err(|faults| EngineError::InvalidManifest {
                file: "the manifest of a plugin that came with the host".to_owned(),
                faults,
            })?;
        Ok(Self { component, digest: apflow_sandbox::digest(component), manifest })
    }
}
