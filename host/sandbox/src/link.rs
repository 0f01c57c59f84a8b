//! Links a component with what its manifest asks for, and with nothing else.
//!
//! Grants are not looked at here: they are checked at each use, so one linked plugin serves every
//! set of grants.

use std::collections::BTreeMap;
use std::sync::Arc;

use apflow_model::capability::{Capabilities, Folders};
use apflow_model::import::Family;
use apflow_model::manifest::Manifest;
use apflow_model::plugin::World;
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasData, HasSelf, Linker, ResourceTable, ResourceType};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{CommandPre, cli, clocks, filesystem, io, random};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};

use crate::bindings::ExecutorPre;
use crate::bindings::apflow::plugin::{budget, checkpoint, control, dial, log, secret, types};
use crate::compile::Compiled;
use crate::error::SandboxError;
use crate::files::Watched;
use crate::imports::sockets;
use crate::metrics::Metrics;
use crate::plan::Plan;
use crate::state::State;
use crate::ticker::Ticker;

/// A component that is ready to run: compiled, checked and linked.
#[derive(Clone)]
pub struct Linked {
    pub(crate) engine: Engine,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) program: Program,
    pub(crate) plan: Arc<Plan>,
}

#[derive(Clone)]
pub(crate) enum Program {
    Executor(ExecutorPre<State>),
    Command(CommandPre<State>),
}

pub(crate) fn link(
    compiled: &Compiled,
    manifest: &Manifest,
    environment: Arc<BTreeMap<String, String>>,
    ticker: Arc<Ticker>,
    metrics: Arc<Metrics>,
) -> Result<Linked, SandboxError> {
    let engine = compiled.component.engine().clone();
    let program = pre(&engine, compiled, &manifest.capabilities)
        .map_err(|error| SandboxError::Unlinkable(format!("{error:#}")))?;
    let plan = Arc::new(Plan {
        name: manifest.name.as_str().into(),
        asked: Arc::new(manifest.capabilities.clone()),
        limits: manifest.limits,
        environment,
        metrics,
    });
    Ok(Linked { engine, ticker, program, plan })
}

fn pre(engine: &Engine, compiled: &Compiled, asked: &Capabilities) -> wasmtime::Result<Program> {
    let component: &Component = &compiled.component;
    let mut linker = Linker::new(engine);
    add_base(&mut linker)?;
    add_task(&mut linker)?;
    if asked.clocks {
        add_clocks(&mut linker)?;
    }
    if asked.random {
        random::random::add_to_linker::<State, WasiRandom>(&mut linker, State::random)?;
        random::insecure::add_to_linker::<State, WasiRandom>(&mut linker, State::random)?;
    }
    if asked.fs.is_any() {
        add_files(&mut linker, &asked.fs)?;
    }
    if !asked.http.is_empty() {
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    }
    if !asked.tcp.is_empty() {
        dial::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    }
    if !asked.secrets.is_empty() || !asked.secret_values.is_empty() {
        secret::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    }
    if !asked.sockets.is_empty() {
        sockets::add_to_linker(&mut linker)?;
    }
    define_unused_resources(&mut linker, component, asked)?;
    let pre = linker.instantiate_pre(component)?;
    Ok(match compiled.world {
        World::Executor => Program::Executor(ExecutorPre::new(pre)?),
        World::Command => Program::Command(CommandPre::new(pre)?),
    })
}

/// Names the resources of interfaces that the component imports no function of. It can never hold
/// one, but its type mentions them.
fn define_unused_resources(
    linker: &mut Linker<State>,
    component: &Component,
    asked: &Capabilities,
) -> wasmtime::Result<()> {
    let engine = component.engine();
    let mut known = Vec::new();
    for (name, import) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else { continue };
        let is_linked = Family::of(name).is_asked(asked);
        for (resource, export) in instance.exports(engine) {
            let ComponentItem::Resource(ty) = export.ty else { continue };
            // An interface repeats the resources of those it uses; they are defined there.
            if known.contains(&ty) {
                continue;
            }
            known.push(ty);
            if !is_linked {
                let nothing = ResourceType::host::<()>();
                linker.instance(name)?.resource(resource, nothing, |_, _| Ok(()))?;
            }
        }
    }
    Ok(())
}

/// Streams and polling need the table alone, so using them does not make a whole WASI context.
struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

fn add_base(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    io::error::add_to_linker::<State, Table>(linker, |state| &mut state.table)?;
    io::poll::add_to_linker::<State, Table>(linker, |state| &mut state.table)?;
    io::streams::add_to_linker::<State, Table>(linker, |state| &mut state.table)?;
    cli::exit::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::environment::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(linker, State::random)
}

fn add_task(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    types::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    checkpoint::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    budget::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    log::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    control::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

fn add_clocks(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    clocks::wall_clock::add_to_linker::<State, WasiClocks>(linker, State::clocks)?;
    clocks::monotonic_clock::add_to_linker::<State, WasiClocks>(linker, State::clocks)
}

fn add_files(linker: &mut Linker<State>, asked: &Folders) -> wasmtime::Result<()> {
    if asked.is_out_written || asked.scratch_bytes.is_some() {
        filesystem::types::add_to_linker::<State, Watched>(linker, State::watched)?;
    } else {
        filesystem::types::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    }
    filesystem::preopens::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}
