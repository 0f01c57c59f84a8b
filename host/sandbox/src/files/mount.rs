//! Mounts the folders of an attempt.

use std::path::Path;

use apflow_model::capability::Scope;
use apflow_model::fault::{Fault, FaultCode};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use super::Mounts;
use super::quota::Place;

/// Where granted and handed files appear.
const IN: &str = "/in";

impl Place {
    /// Where it is mounted.
    fn path(self) -> &'static str {
        match self {
            Self::Out => "/out",
            Self::Scratch => "/scratch",
        }
    }

    /// The place that is mounted there.
    pub(crate) fn at(path: &str) -> Option<Self> {
        [Self::Out, Self::Scratch].into_iter().find(|place| place.path() == path)
    }
}

/// Mounts what the manifest asks for. Returns whether anything can be written to.
pub(crate) fn mount(
    builder: &mut WasiCtxBuilder,
    scope: &Scope,
    mounts: &Mounts,
) -> Result<bool, Fault> {
    let asked = &scope.asked.fs;
    if let Some(granted) = scope.folder() {
        add(builder, Path::new(granted), IN, FsPerms::ReadOnly).map_err(|error| {
            let message = format!("the granted folder `{granted}` cannot be opened: {error}");
            Fault::new(FaultCode::CapabilityDenied, message)
        })?;
    }
    if asked.is_in_read {
        for input in &mounts.inputs {
            let at = format!("{IN}/{}", input.name);
            add(builder, &input.folder, &at, FsPerms::ReadOnly)
                .map_err(|error| own(&at, &error))?;
        }
    }
    let out = mounts.out.as_ref().filter(|_| asked.is_out_written);
    let scratch = mounts.scratch.as_ref().filter(|_| asked.scratch_bytes.is_some());
    for (place, folder) in [(Place::Out, out), (Place::Scratch, scratch)] {
        let Some(folder) = folder else { continue };
        let at = place.path();
        add(builder, folder, at, FsPerms::ReadWrite).map_err(|error| own(at, &error))?;
    }
    Ok(out.is_some() || scratch.is_some())
}

fn add(
    builder: &mut WasiCtxBuilder,
    folder: &Path,
    at: &str,
    permissions: FsPerms,
) -> wasmtime::Result<()> {
    builder.preopened_dir(folder, at, permissions).map(drop)
}

/// A folder that the host made itself. That it is not there may pass.
fn own(at: &str, error: &wasmtime::Error) -> Fault {
    tracing::error!(at, %error, "a folder of an attempt cannot be opened");
    Fault::new(FaultCode::Retryable, format!("the host could not open the folder for `{at}`"))
}
