//! What one store holds: everything that belongs to one attempt.

use std::sync::Arc;
use std::time::Instant;

use apflow_model::capability::Grant;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::capture::Capture;
use crate::egress::Egress;
use crate::limiter::Limiter;
use crate::plan::Plan;
use crate::port::TaskPort;
use crate::stop::Stop;
use crate::wasi;

/// The most host resources (streams, files, requests) that a guest may hold at once. Far under the
/// usual limit of open files, which one guest must not be able to use up.
const RESOURCES_MAX: usize = 256;
/// The most bytes of headers in one request or response, as wasi-http counts them.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// How much of its standard error is kept, to explain a panic.
const STDERR_BYTES_KEPT: usize = 16 << 10;

/// The state of one attempt.
pub(crate) struct State {
    pub(crate) plan: Arc<Plan>,
    pub(crate) grants: Arc<[Grant]>,
    pub(crate) port: Arc<dyn TaskPort>,
    pub(crate) stop: Stop,
    pub(crate) deadline: Instant,
    pub(crate) limiter: Limiter,
    pub(crate) egress: Egress,
    pub(crate) table: ResourceTable,
    pub(crate) stderr: Capture,
    pub(crate) log_bytes: u64,
    pub(crate) is_log_full: bool,
    pub(crate) tokens_input: u64,
    pub(crate) tokens_output: u64,
    http: WasiHttpCtx,
    /// Made when the guest first calls WASI: many guests never do, and it costs more than all the
    /// rest of this struct.
    wasi: Option<WasiCtx>,
}

impl State {
    pub(crate) fn new(
        plan: Arc<Plan>,
        grants: Arc<[Grant]>,
        port: Arc<dyn TaskPort>,
        egress: Egress,
        stop: Stop,
        deadline: Instant,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(HEADER_BYTES_MAX);
        Self {
            limiter: Limiter::new(plan.limits.memory_bytes),
            plan,
            grants,
            port,
            stop,
            deadline,
            egress,
            table,
            stderr: Capture::first(STDERR_BYTES_KEPT),
            log_bytes: 0,
            is_log_full: false,
            tokens_input: 0,
            tokens_output: 0,
            http,
            wasi: None,
        }
    }

    /// Hands in a WASI context that was made ahead of the call.
    pub(crate) fn set_wasi(&mut self, wasi: WasiCtx) {
        self.wasi = Some(wasi);
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Self { wasi, plan, grants, stderr, table, .. } = self;
        let ctx = wasi.get_or_insert_with(|| wasi::base(plan, grants, stderr.clone()).build());
        WasiCtxView { ctx, table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.egress }
    }
}
