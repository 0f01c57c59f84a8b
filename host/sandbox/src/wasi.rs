//! The WASI context of an attempt: what was asked for and granted, and nothing of the host's own.

use apflow_model::capability::Grant;
use apflow_model::fault::{Fault, FaultCode};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use crate::capture::Capture;
use crate::plan::Plan;

/// The most random bytes of one call.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// Where granted files appear.
const IN: &str = "/in";

/// A context with the granted environment and without files.
pub(crate) fn base(plan: &Plan, grants: &[Grant], stderr: Capture) -> WasiCtxBuilder {
    let mut builder = WasiCtx::builder();
    builder
        .stderr(stderr)
        .max_random_size(RANDOM_BYTES_MAX)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    for (name, value) in plan.environment.iter() {
        let is_granted = |grant: &Grant| matches!(grant, Grant::Env(granted) if granted == name);
        if plan.asked.env.contains(name) && grants.iter().any(is_granted) {
            builder.env(name, value);
        }
    }
    builder
}

/// The folder to mount at `/in`: the last one that was granted, if the plugin asks for one.
pub(crate) fn folder<'a>(plan: &Plan, grants: &'a [Grant]) -> Option<&'a str> {
    let mut paths = grants.iter().rev().filter_map(|grant| match grant {
        Grant::FsIn(path) => Some(path.as_str()),
        Grant::Http(_) | Grant::Env(_) => None,
    });
    if plan.asked.fs_in { paths.next() } else { None }
}

/// Mounts a folder of the host read-only at `/in`.
pub(crate) fn mount(builder: &mut WasiCtxBuilder, folder: &str) -> Result<(), Fault> {
    builder.preopened_dir(folder, IN, FsPerms::ReadOnly).map(|_| ()).map_err(|error| {
        let message = format!("the granted folder `{folder}` cannot be opened: {error}");
        Fault::new(FaultCode::CapabilityDenied, message)
    })
}
