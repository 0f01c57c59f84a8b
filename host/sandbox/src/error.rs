//! Why a component was not compiled, linked or described.
//!
//! What goes wrong *inside* an attempt is no error of the sandbox: it is the attempt's
//! [`Fault`](apflow_model::fault::Fault).

use std::time::Duration;

use apflow_model::limit::{Bytes, Span};

use crate::import::ExcessImport;

/// Why the sandbox refused a component, or cannot work at all.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The bytes do not begin like WebAssembly.
    #[error("it is not WebAssembly: it does not begin with the bytes `\\0asm`")]
    NotWebAssembly,
    /// The bytes are a core module, not a component.
    #[error(
        "it is a core WebAssembly module, not a component: build it for `wasm32-wasip2`, or wrap \
         it with `wasm-tools component new`"
    )]
    CoreModule,
    /// The bytes begin like a component but are none.
    #[error("it is not a valid component, or was cut short: {0}")]
    InvalidComponent(String),
    /// The component is larger than one may be.
    #[error("it has {}, but a component may have at most {}", Bytes(*bytes), Bytes(*bytes_max))]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// One of its functions is larger than one may be.
    #[error(
        "one of its functions has {}, but a function may have at most {}, or compiling it takes \
         too long",
        Bytes(*bytes), Bytes(*bytes_max)
    )]
    FunctionTooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// Compiling it took more than it may.
    #[error("compiling it took more than {0}")]
    CompileLimit(CompileLimit),
    /// The process that compiled it crashed.
    #[error("its compiler crashed with {0}")]
    CompilerCrashed(String),
    /// The process that compiles cannot be started or understood.
    #[error("the compiler cannot be used")]
    Compiler(#[source] std::io::Error),
    /// The component exports neither world.
    #[error(
        "it exports neither `{expected}` nor `wasi:cli/run`, so it is no executor and no command; \
         it exports {found}"
    )]
    OtherWorld {
        /// The export of an executor.
        expected: &'static str,
        /// What it exports instead, as a list.
        found: String,
    },
    /// The component of a tool's command is an executor.
    #[error("it is an executor, but a tool runs a command: load it with a plugin.yaml")]
    NoCommand,
    /// The component was built against a version of the world that this host does not run.
    #[error("it exports `{found}`, but this host runs `{expected}` and earlier versions of 0.1")]
    OtherVersion {
        /// What the host runs.
        expected: &'static str,
        /// What the component exports.
        found: String,
    },
    /// The component imports more than its manifest asks for.
    #[error("it imports more than its manifest asks for:{}", lines(.0))]
    ExcessImports(Vec<ExcessImport>),
    /// The imports that are left cannot be satisfied.
    #[error("it cannot be linked: {0}")]
    Unlinkable(String),
    /// `describe` trapped, or returned something that is no descriptor.
    #[error("its `describe` {0}")]
    Undescribed(String),
    /// The cache of compiled code cannot be read or written.
    #[error("the code cache cannot be used")]
    Cache(#[source] std::io::Error),
    /// The component declares more memories, tables or instances than one may have.
    #[error("it declares more memories, tables or instances than one component may have: {0}")]
    TooDemanding(String),
    /// The engine cannot be made on this machine.
    #[error("WebAssembly cannot run on this machine: {0}")]
    Engine(String),
}

impl SandboxError {
    /// Whether it is trouble of the host's own, for which no component is to blame.
    pub fn is_own(&self) -> bool {
        matches!(self, Self::Compiler(_) | Self::Cache(_) | Self::Engine(_))
    }
}

/// A limit on compiling that was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompileLimit {
    /// The time was up.
    #[error("{}; `--compile-timeout` or `APFLOW_COMPILE_TIMEOUT` sets this", Span(*.0))]
    Time(Duration),
    /// There was no more memory.
    #[error("{} of memory, which is fixed in this version", Bytes(*.0))]
    Memory(u64),
}

fn lines(imports: &[ExcessImport]) -> String {
    imports.iter().fold(String::new(), |lines, import| lines + "\n  " + &import.to_string())
}
