//! The components that manifests name: where they are, and what they are. None is run.

use std::path::Path;

use apflow_model::plugin::Digest;
use apflow_model::validate::{Beside, Source};

use super::super::error::CliError;
use super::super::found;

/// Looks at the component that a manifest names, beside it or where cargo has just built it.
///
/// # Errors
///
/// A file that is there and cannot be read.
pub(super) fn look(manifest: &Source) -> Result<Beside, CliError> {
    let Some(name) = manifest.component_file() else { return Ok(Beside::Unknown) };
    let folder = Path::new(&manifest.path).parent().unwrap_or(Path::new(""));
    match found::read_component(folder, &name) {
        Ok((bytes, _)) => Ok(inspect(&bytes)),
        Err(error) if error.is_not_found() => Ok(Beside::Missing),
        Err(error) => Err(error),
    }
}

/// The sha256 of a component, by which a host knows it.
pub(super) fn digest(bytes: &[u8]) -> Digest {
    apflow_sandbox::digest(bytes)
}

/// Says what a component is.
pub(super) fn inspect(bytes: &[u8]) -> Beside {
    match apflow_sandbox::inspect(bytes) {
        Ok(component) => Beside::Found(component),
        Err(error) => Beside::Refused(error.to_string()),
    }
}
