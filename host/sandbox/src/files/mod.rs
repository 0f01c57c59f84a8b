//! The folders of an attempt: `/in` to read, `/out` and `/scratch` to write, within their quotas.
//!
//! What of them a guest reaches is up to `wasmtime-wasi`, which lets no path lead out of a folder;
//! how much it may put there is decided here. Which folders there are is the caller's business.

mod descriptor;
mod mount;
mod quota;
mod stream;
mod watch;

use std::path::PathBuf;

pub(crate) use descriptor::{Watched, WatchedView};
pub(crate) use mount::mount;
pub(crate) use watch::Watch;

/// The folders of the host that an attempt works in. Only what its manifest asks for is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounts {
    /// What it finds below `/in`, beside a folder that was granted.
    pub inputs: Vec<Input>,
    /// What it fills as `/out`. Empty at the start.
    pub out: Option<PathBuf>,
    /// What it uses as `/scratch`. Empty at the start.
    pub scratch: Option<PathBuf>,
}

/// A folder of the host that an attempt finds below `/in`, and cannot change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Where below `/in`: one step of a path.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
}

impl Mounts {
    /// Whether there is none.
    pub(crate) fn is_none(&self) -> bool {
        self.inputs.is_empty() && self.out.is_none() && self.scratch.is_none()
    }
}
