//! The sandbox: all of wasmtime, and nothing else.
//!
//! It compiles components, compares what they import with what their manifest asks for, and runs
//! each attempt of a task in a fresh instance with limits. It knows no database and no job: what a
//! guest asks of its task goes up through [`TaskPort`].
//!
//! The way of a component is [`Sandbox::compile`], [`Sandbox::link`], then any number of
//! [`Sandbox::run`].

mod attempt;
mod bare;
mod bindings;
mod bulk;
mod cache;
mod call;
mod capture;
mod child;
mod command;
mod compile;
mod cpu;
mod describe;
mod egress;
mod engine;
mod error;
mod files;
#[cfg(test)]
mod fixture;
mod floor;
mod gate;
mod imports;
mod inspect;
mod limiter;
mod link;
mod metrics;
mod plan;
mod port;
mod sandbox;
mod secret;
mod state;
mod stop;
mod threads;
mod ticker;
mod trap;
mod wasi;

pub use bare::BareClient;
pub use cache::{AlteredCode, CodeCache};
pub use call::{Call, Ended};
pub use child::{CompileIn, CompileLimits, compile_child};
pub use compile::{Compiled, digest};
pub use egress::{OwnClient, is_public, target};
pub use error::{CompileLimit, SandboxError};
pub use files::{Input, Mounts};
pub use floor::Floor;
pub use gate::{Gate, Held, NoGate, Pass};
pub use inspect::{check_imports, inspect};
pub use link::Linked;
pub use port::{
    BudgetError, Checkpoint, CheckpointError, ModelCall, NoTask, PortFuture, Reservation, TaskPort,
};
pub use sandbox::{Sandbox, Settings};
pub use secret::{NoSecrets, SecretSource};
pub use stop::{Stop, StopReason};
pub use threads::GuestTask;
