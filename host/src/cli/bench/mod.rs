//! `bench`: what things cost on this machine.
//!
//! Rows are measured in turn, round by round, so that a busy moment of the machine meets all alike.

mod arguments;
mod budget;
mod cancel;
mod engine;
mod guest;
mod http;
mod http_looks;
mod http_server;
mod load;
mod neighbours;
mod process;
mod report;
mod rest;
mod samples;
mod sandbox;
mod startup;
mod store;

use super::error::CliError;
use super::exit::Exit;
use super::output::Output;
use crate::config::{Config, ConfigError};
pub(crate) use arguments::BenchVerb;

pub(crate) async fn run(
    config: impl FnOnce() -> Result<Config, ConfigError>,
    verb: BenchVerb,
    output: &Output,
) -> Result<Exit, CliError> {
    match verb {
        BenchVerb::Sandbox(bench) => sandbox::sandbox(bench, output).await,
        BenchVerb::Load(bench) => load::load(bench, output).await,
        BenchVerb::Cancel(bench) => cancel::cancel(bench, output).await,
        BenchVerb::Neighbours(bench) => neighbours::neighbours(bench, output).await,
        BenchVerb::Budget(bench) => budget::budget(&config()?, &bench, output).await,
        BenchVerb::Engine(bench) => engine::engine(&config()?, &bench, output).await,
        BenchVerb::Rest(bench) => rest::rest(&config()?, bench, output).await,
        BenchVerb::Startup(bench) => startup::startup(&config()?, bench, output).await,
        BenchVerb::Http(bench) => http::http(&config()?, bench, output).await,
    }
}
