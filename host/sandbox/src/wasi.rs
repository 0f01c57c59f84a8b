//! The WASI context of an attempt: what was asked for and granted, and nothing of the host's own.

use apflow_model::capability::Scope;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use crate::capture::Capture;
use crate::egress::{Egress, sockets};
use crate::plan::Plan;
use crate::secret::Secrets;

/// The most random bytes of one call.
pub(crate) const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// A context with the granted environment and sockets, and without files. A secret is a variable of
/// its own name.
pub(crate) fn base(
    plan: &Plan,
    scope: &Scope,
    secrets: &Secrets,
    egress: &Egress,
    stderr: Capture,
) -> WasiCtxBuilder {
    let mut builder = WasiCtx::builder();
    builder
        .stderr(stderr)
        .max_random_size(RANDOM_BYTES_MAX)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    if sockets::are_asked(scope) {
        sockets::open(&mut builder, egress);
    }
    let secrets = secrets.variables();
    for (name, value) in plan.environment.iter() {
        if scope.admits_env(name) && !secrets.contains_key(name) {
            builder.env(name, value);
        }
    }
    for (name, value) in &secrets {
        builder.env(name, value);
    }
    builder
}
