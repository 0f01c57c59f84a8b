//! `bench load`: a component compiled anew, and taken from the code cache.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apflow_sandbox::{CodeCache, CompileLimits, NoGate, NoSecrets, Sandbox, Settings};
use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::arguments::Bench;
use super::guest::refused;
use super::report::{Report, Row};
use crate::assemble::compile_in;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::first_party::{INSTALLED, NOOP};

/// How many rounds compile: compiling takes a hundred times as long as the rest.
const COMPILING_ROUNDS_MAX: u32 = 5;

pub(crate) async fn load(bench: Bench, output: &Output) -> Result<Exit, CliError> {
    let measured = tokio::task::spawn_blocking(move || measure(bench.rounds)).await;
    let rows = measured.map_err(|error| CliError::Bench(error.to_string()))??;
    let report = Report::new("load", rows)
        .ratio("compile_noop / cached_noop", "compile_noop", "cached_noop")
        .ratio("compile_transform / cached_transform", "compile_transform", "cached_transform");
    output.result(&report, || report.text());
    Ok(Exit::Ok)
}

fn measure(rounds: u32) -> Result<Vec<Row>, CliError> {
    let [.., transform] = &INSTALLED;
    let mut rows = Vec::new();
    for (component, compile_name, cached_name) in [
        (NOOP.component, "compile_noop", "cached_noop"),
        (transform.component, "compile_transform", "cached_transform"),
    ] {
        let mut compile = Vec::new();
        for _ in 0..rounds.min(COMPILING_ROUNDS_MAX) {
            compile.push(time(&sandbox(None)?, component)?);
        }
        let folder = format!("apflow-bench-{}", std::process::id());
        let cached = cached(&folder, component, rounds);
        remove(&folder);
        rows.extend(Row::new(compile_name, compile));
        rows.extend(Row::new(cached_name, cached?));
    }
    Ok(rows)
}

fn cached(folder: &str, component: &[u8], rounds: u32) -> Result<Vec<Duration>, CliError> {
    let unusable = |source| CliError::Io { what: format!("the temporary folder {folder}"), source };
    let temporary = temporary().map_err(unusable)?;
    temporary.create_dir_all(folder).map_err(unusable)?;
    let cache = CodeCache::open(temporary.open_dir(folder).map_err(unusable)?).map_err(refused)?;
    let sandbox = sandbox(Some(cache))?;
    sandbox.compile(component, false).map_err(refused)?;
    (0..rounds).map(|_| time(&sandbox, component)).collect()
}

fn sandbox(cache: Option<CodeCache>) -> Result<Sandbox, CliError> {
    let compile_in = compile_in(CompileLimits::default().timeout)
        .map_err(|source| CliError::Io { what: "the path of this program".to_owned(), source })?;
    let settings = Settings {
        instances_max: 16,
        compile_in,
        cache,
        environment: BTreeMap::new(),
        secrets: Arc::new(NoSecrets),
        gate: Arc::new(NoGate),
    };
    Sandbox::new(settings).map_err(refused)
}

fn time(sandbox: &Sandbox, component: &[u8]) -> Result<Duration, CliError> {
    let started = Instant::now();
    sandbox.compile(component, false).map_err(refused)?;
    Ok(started.elapsed())
}

fn temporary() -> std::io::Result<Dir> {
    Dir::open_ambient_dir(std::env::temp_dir(), ambient_authority())
}

fn remove(folder: &str) {
    if let Ok(temporary) = temporary() {
        // What is left in the temporary folder, the system removes.
        drop(temporary.remove_dir_all(folder));
    }
}
