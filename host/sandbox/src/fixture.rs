//! What unit tests need around a guest: a task that notes what it is told, and a small manifest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use apflow_model::event::{LogLine, Stream};
use apflow_model::manifest::Manifest;
use apflow_model::money::TokenUse;
use apflow_model::secret::{Destinations, Secret};
use tokio::sync::Semaphore;

use crate::egress::{Egress, Outside};
use crate::plan::Plan;
use crate::port::{
    BudgetError, Checkpoint, CheckpointError, ModelCall, PortFuture, Reservation, TaskPort,
};
use crate::secret::{SecretSource, Secrets};
use crate::state::State;
use crate::stop::Stop;

/// A manifest with these lines beside those that every manifest has.
pub(crate) fn manifest(lines: &str) -> Manifest {
    let text = "name: own\nversion: 0.1.0\ndescription: Does little.\ncomponent: own.wasm\n";
    Manifest::parse(&format!("{text}{lines}\n")).unwrap()
}

/// A command whose `run` has this body, in the text format. Zero is success.
pub(crate) fn command(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $main
                (memory 1)
                (func (export "run") (result i32) {body}))
            (core instance $main (instantiate $main))
            (func $run (result (result)) (canon lift (core func $main "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $exported)))"#
    );
    wat::parse_str(text).unwrap()
}

/// The state of an attempt that was granted nothing, and the lines that its task keeps.
pub(crate) fn state(lines: &str) -> (State, Arc<Lines>) {
    let (plan, kept) = (plan(lines), Arc::new(Lines::default()));
    let port: Arc<dyn TaskPort> = kept.clone();
    let (scope, stop) = (plan.scope(Arc::default(), None), Stop::new());
    let egress =
        Egress::new(scope.clone(), plan.limits, port.clone(), Arc::default(), stop.clone());
    (State::new(plan, scope, port, egress, stop, Instant::now()), kept)
}

/// The egress of an attempt with these grants.
pub(crate) fn egress(lines: &str, grants: &[&str], outside: Outside) -> Egress {
    let plan = plan(lines);
    let granted = grants.iter().map(|grant| grant.parse().unwrap()).collect();
    let scope = plan.scope(granted, None);
    let port = Arc::new(Lines::default());
    Egress::new(scope, plan.limits, port, Arc::new(outside), Stop::new())
}

/// The same with a secret of these destinations, whatever its name.
pub(crate) fn egress_with_secret(
    lines: &str,
    grants: &[&str],
    outside: Outside,
    secret: OneSecret,
) -> Egress {
    let mut egress = egress(lines, grants, outside);
    let source: Arc<dyn SecretSource> = Arc::new(secret);
    egress.secrets = Secrets::new(egress.scope(), &source);
    egress
}

/// One secret, whatever its name.
pub(crate) struct OneSecret(Destinations);

impl OneSecret {
    /// What is kept secret.
    pub(crate) const VALUE: &str = "1234567890";

    /// A secret that belongs to this server.
    pub(crate) fn to_tcp(pattern: &str) -> Self {
        Self(Destinations { http: Vec::new(), tcp: vec![pattern.parse().unwrap()] })
    }
}

impl SecretSource for OneSecret {
    fn destinations(&self, _: &str) -> Option<&Destinations> {
        Some(&self.0)
    }

    fn read<'a>(&'a self, _: &'a str) -> PortFuture<'a, Result<Secret, String>> {
        Box::pin(std::future::ready(Secret::parse(Self::VALUE.as_bytes())))
    }
}

fn plan(lines: &str) -> Arc<Plan> {
    let manifest = manifest(lines);
    Arc::new(Plan {
        name: manifest.name.as_str().into(),
        asked: Arc::new(manifest.capabilities),
        limits: manifest.limits,
        environment: Arc::new(BTreeMap::new()),
        metrics: Arc::default(),
    })
}

/// A task that keeps its log and what a command writes, and nothing else.
#[derive(Default)]
pub(crate) struct Lines {
    kept: Mutex<Vec<LogLine>>,
    written: Mutex<Vec<u8>>,
    /// Has a permit once the guest may reach out and say more.
    waits: Option<Arc<Semaphore>>,
}

impl Lines {
    /// A guest that may not reach out yet.
    pub(crate) fn waiting(waits: Arc<Semaphore>) -> Self {
        Self { waits: Some(waits), ..Self::default() }
    }

    pub(crate) fn take(&self) -> Vec<LogLine> {
        std::mem::take(&mut self.kept.lock().unwrap())
    }
}

impl Lines {
    pub(crate) fn written(&self) -> Vec<u8> {
        self.written.lock().unwrap().clone()
    }
}

impl TaskPort for Lines {
    fn save_checkpoint(
        &self,
        _: String,
        _: Vec<u8>,
    ) -> PortFuture<'_, Result<(), CheckpointError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn load_checkpoint(&self) -> PortFuture<'_, Result<Option<Checkpoint>, CheckpointError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn tokens_remaining(&self) -> PortFuture<'_, Option<u64>> {
        Box::pin(std::future::ready(None))
    }

    fn reserve(&self, call: ModelCall) -> PortFuture<'_, Result<Reservation, BudgetError>> {
        let tokens = call.input.saturating_add(call.output);
        Box::pin(std::future::ready(Ok(Reservation { number: 1, tokens, model: call.model })))
    }

    fn tell(&self, _: &Reservation, _: TokenUse) {}

    fn commit(&self, _: Reservation, _: TokenUse) -> PortFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn release(&self, _: Reservation) {}

    fn room(&self) -> Option<PortFuture<'_, ()>> {
        self.reach_out()
    }

    fn reach_out(&self) -> Option<PortFuture<'_, ()>> {
        let waits = self.waits.clone()?;
        Some(Box::pin(async move { drop(waits.acquire().await) }))
    }

    fn log(&self, line: LogLine) {
        self.kept.lock().unwrap().push(line);
    }

    fn progress(&self, _: f64, _: String) {}

    fn wrote(&self, _: Stream, bytes: &[u8]) {
        self.written.lock().unwrap().extend_from_slice(bytes);
    }

    fn denied(&self, _: &str) {}

    fn held(&self, _: &str, _: Duration) {}
}
