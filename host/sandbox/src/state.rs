//! What one store holds: everything that belongs to one attempt.

use std::sync::Arc;
use std::time::Instant;

use apflow_model::capability::Scope;
use apflow_model::fault::Fault;
use apflow_model::limit::Breach;
use apflow_model::money::TokenUse;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::filesystem::WasiFilesystemCtxView;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::capture::Capture;
use crate::egress::Egress;
use crate::files::{self, Mounts, Watch, WatchedView};
use crate::limiter::Limiter;
use crate::plan::Plan;
use crate::port::TaskPort;
use crate::secret::Secrets;
use crate::stop::Stop;
use crate::wasi;

/// How much of its standard error is kept, to explain a panic.
pub(crate) const STDERR_BYTES_KEPT: usize = 16 << 10;

/// The state of one attempt.
pub(crate) struct State {
    pub(crate) plan: Arc<Plan>,
    pub(crate) scope: Scope,
    pub(crate) port: Arc<dyn TaskPort>,
    pub(crate) stop: Stop,
    pub(crate) deadline: Instant,
    made: Instant,
    pub(crate) limiter: Limiter,
    pub(crate) egress: Egress,
    pub(crate) secrets: Secrets,
    pub(crate) table: ResourceTable,
    pub(crate) stderr: Capture,
    pub(crate) log_bytes: u64,
    pub(crate) is_log_full: bool,
    /// The tokens that it committed.
    pub(crate) tokens: TokenUse,
    /// Only of an attempt that may write files.
    pub(crate) watch: Option<Box<Watch>>,
    http: WasiHttpCtx,
    /// Made when the guest first calls WASI: many guests never do, and it costs more than all the
    /// rest of this struct.
    wasi: Option<WasiCtx>,
}

impl State {
    pub(crate) fn new(
        plan: Arc<Plan>,
        scope: Scope,
        port: Arc<dyn TaskPort>,
        egress: Egress,
        stop: Stop,
        deadline: Instant,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize_of(plan.limits.handles));
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(usize_of(plan.limits.http_header_bytes));
        Self {
            limiter: Limiter::new(&plan.limits),
            plan,
            scope,
            port,
            stop,
            deadline,
            made: Instant::now(),
            egress,
            secrets: Secrets::default(),
            table,
            stderr: Capture::first(STDERR_BYTES_KEPT),
            log_bytes: 0,
            is_log_full: false,
            tokens: TokenUse::default(),
            watch: None,
            http,
            wasi: None,
        }
    }

    /// Hands in the secrets of the attempt. Without this it has none.
    pub(crate) fn set_secrets(&mut self, secrets: Secrets) {
        self.egress.secrets = secrets.clone();
        self.secrets = secrets;
    }

    /// Makes the WASI context ahead of the call, with the folders of the attempt. One that cannot be
    /// opened is a fault.
    pub(crate) fn set_wasi(
        &mut self,
        mut builder: WasiCtxBuilder,
        mounts: &Mounts,
    ) -> Result<(), Fault> {
        if files::mount(&mut builder, &self.scope, mounts)? {
            let watch = Watch::new(&self.plan.limits, &self.plan.asked);
            self.watch = Some(Box::new(watch));
        }
        self.wasi = Some(builder.build());
        Ok(())
    }

    /// Takes note that the guest is entered now.
    pub(crate) fn enters(&self) {
        self.plan.metrics.entered(self.made.elapsed());
    }

    /// The files of the attempt, with their quota.
    pub(crate) fn watched(&mut self) -> WatchedView<'_> {
        let Self { wasi, plan, scope, secrets, egress, stderr, table, watch, .. } = self;
        let base = || wasi::base(plan, scope, secrets, egress, stderr.clone()).build();
        let ctx = wasi.get_or_insert_with(base);
        let wasi = WasiFilesystemCtxView { ctx: ctx.filesystem(), table };
        WatchedView { wasi, watch: watch.as_deref_mut() }
    }

    /// The first limit that stopped the guest in something that it had to do without from then on.
    pub(crate) fn breach(&self) -> Option<Breach> {
        let files = || self.watch.as_ref().and_then(|watch| watch.books().breach());
        self.limiter.breach.clone().or_else(files)
    }
}

/// A limit as wasmtime takes it.
pub(crate) fn usize_of(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Self { wasi, plan, scope, secrets, egress, stderr, table, .. } = self;
        let base = || wasi::base(plan, scope, secrets, egress, stderr.clone()).build();
        let ctx = wasi.get_or_insert_with(base);
        WasiCtxView { ctx, table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.egress }
    }
}
