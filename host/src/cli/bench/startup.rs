//! `bench startup`: how long the program itself takes, as a whole process, beside `/bin/true`.

use std::path::Path;
use std::time::Duration;

use super::arguments::Bench;
use super::engine::{self, Place};
use super::process;
use super::report::{Report, Row};
use super::samples::Samples;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::config::Config;

/// What is started, row by row.
const STARTED: [(&str, &[&str]); 3] = [
    ("version", &["--version"]),
    ("jobs_list", &["jobs", "list"]),
    ("run_noop", &["run", "noop_executor"]),
];

pub(crate) async fn startup(
    config: &Config,
    bench: Bench,
    output: &Output,
) -> Result<Exit, CliError> {
    let place = Place::make(config)?;
    let measured = measure(&place.config, bench.rounds).await;
    place.remove();
    let report = Report::new("startup", measured?)
        .ratio("version / true", "version", "true")
        .ratio("jobs_list / true", "jobs_list", "true")
        .ratio("run_noop / true", "run_noop", "true");
    output.result(&report, || report.text());
    Ok(Exit::Ok)
}

async fn measure(config: &Config, rounds: u32) -> Result<Vec<Row>, CliError> {
    // Its code is in the cache from then on.
    engine::install(config).await?;
    let program = std::env::current_exe()
        .map_err(|source| CliError::Io { what: "this program".to_owned(), source })?;
    let mut samples = Samples::default();
    for round in 0..=rounds {
        let mut measured = Samples::default();
        if let Some(time) = process::time("/bin/true", &[]) {
            measured.add("true", time);
        }
        for (row, arguments) in STARTED {
            measured.add(row, time(&program, config, arguments)?);
        }
        // The first round warms what stays warm.
        if round > 0 {
            samples.append(measured);
        }
    }
    Ok(samples.rows())
}

fn time(program: &Path, config: &Config, arguments: &[&str]) -> Result<Duration, CliError> {
    let (program, folder) = (program.to_string_lossy(), config.data_dir.to_string_lossy());
    let all = [&["--data-dir", &folder, "--config-dir", &folder], arguments].concat();
    let failed = || CliError::Bench(format!("`apflow-host {}` failed", arguments.join(" ")));
    process::time(&program, &all).ok_or_else(failed)
}
