//! What the verbs of `bench` take.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum BenchVerb {
    /// What a sandbox costs, beside bare wasmtime and beside processes.
    Sandbox(Bench),
    /// What loading a component costs, compiled anew and from the cache.
    Load(Bench),
    /// How fast a guest ends that works on nothing, without an end.
    Cancel(BenchCancel),
    /// What a task suffers beside guests that a sandbox must stop.
    Neighbours(Bench),
    /// What a call of a model costs beside the call, with many tasks on one budget.
    Budget(BenchBudget),
    /// How many durable tasks a second there are, beside the least that their rows can cost.
    Engine(BenchEngine),
    /// What a durable task costs that calls an HTTP API, beside a bare client.
    Rest(Bench),
    /// What a durable task costs over HTTP, beside a bare handler that commits; and what a crowd of
    /// clients gets that submit and watch.
    Http(BenchHttp),
    /// How long this program takes as a whole process, beside `/bin/true`.
    Startup(Bench),
}

#[derive(Debug, Args)]
pub(crate) struct BenchBudget {
    /// How many rounds; each measures every row in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
    /// How many calls each task makes in a round.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub(crate) calls: u32,
}

#[derive(Debug, Args)]
pub(crate) struct BenchEngine {
    /// How many rounds; each measures every row in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
    /// How many tasks to run while the memory is watched.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    pub(crate) tasks: u32,
    /// Beside how many ended tasks a claim is measured, as well as beside none.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) ended: u32,
}

#[derive(Debug, Args)]
pub(crate) struct BenchHttp {
    /// How many rounds of tasks that are run one after the other.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rounds: u32,
    /// How many clients submit and watch at once.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) clients: u32,
    /// How many tasks each of them submits, one after the other.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) tasks: u32,
    /// Beside how many more ended tasks the metrics are scraped, as well as beside none more.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) ended: u32,
}

#[derive(Debug, Args)]
pub(crate) struct BenchCancel {
    /// How many guests are cancelled.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) trials: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// How many rounds; each measures every row in turn.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rounds: u32,
}
