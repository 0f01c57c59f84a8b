//! Plugins that come with the host.

use apflow_model::plugin::{Definition, DefinitionText, Digest};

use crate::error::EngineError;
use crate::grants::bound_to;

/// A plugin that comes with the host.
pub struct Builtin {
    pub(crate) component: &'static [u8],
    pub(crate) digest: Digest,
    pub(crate) bound_to: Digest,
    pub(crate) definition: Definition,
}

impl Builtin {
    /// Makes a plugin of the bytes of its component, their hash, and the text of its `plugin.yaml` or
    /// `tool.yaml`.
    ///
    /// # Errors
    ///
    /// [`EngineError::InvalidManifest`] when the text has faults.
    pub fn new(
        component: &'static [u8],
        digest: Digest,
        text: &DefinitionText,
    ) -> Result<Self, EngineError> {
        let definition = text.read().map_err(|faults| EngineError::InvalidManifest {
            file: format!("a {} that came with the host", text.file()),
            faults,
        })?;
        Ok(Self { component, digest, bound_to: bound_to(digest, text), definition })
    }

    pub(crate) fn name(&self) -> &str {
        &self.definition.manifest.name
    }
}
