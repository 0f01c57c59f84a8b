//! `bench budget`: what a call of a model costs beside the call, with many tasks on one budget.
//!
//! The guest measures: it reserves and commits, and calls nothing.

use std::time::{Duration, Instant};

use apflow_api::{Approval, LoadPlugin, SubmitJob};
use apflow_model::hops::Hops;
use apflow_model::job::Job;
use apflow_model::plugin::DefinitionText;
use apflow_model::state::JobState;
use serde_json::{Value, json};

use super::arguments::BenchBudget;
use super::engine::{Place, started};
use super::report::Report;
use super::samples::Samples;
use super::store;
use crate::assemble::Host;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::operator::operator;
use crate::cli::output::Output;
use crate::config::Config;
use crate::hostile::Guest;

const GUEST: Guest = Guest::SpendsAgainAndAgain;
/// How many tasks call at once.
const TASKS: u32 = 64;
/// What each call takes.
const TOKENS: u32 = 600;
/// How many times what all calls take the budget is, so that it is not the budget that is measured.
const ROOMS: u64 = 4;
/// The longest that a round may take.
const WAIT_MAX: Duration = Duration::from_mins(5);

pub(crate) async fn budget(
    config: &Config,
    bench: &BenchBudget,
    output: &Output,
) -> Result<Exit, CliError> {
    let place = Place::make(config)?;
    let measured = measure(&place.config, bench).await;
    place.remove();
    let report = Report::new("budget", measured?.rows()).ratio("call / commit", "call", "commit");
    output.result(&report, || report.text());
    Ok(Exit::Ok)
}

async fn measure(config: &Config, bench: &BenchBudget) -> Result<Samples, CliError> {
    let mut samples = Samples::default();
    store::check_is_empty(config).await?;
    install(config).await?;
    for round in 0..=bench.rounds {
        let mut measured = Samples::default();
        store::commits(config, &mut measured).await?;
        started(config, async |api| {
            let began = Instant::now();
            let submit = SubmitJob {
                job: job(bench.calls),
                grants: Vec::new(),
                wait: Some(WAIT_MAX),
                idempotency_key: None,
                hops: Hops::default(),
            };
            let job = api.invoke(submit, &operator()).await?.job;
            measured.add("job", began.elapsed());
            take(&job, &mut measured)
        })
        .await?;
        // The first round warms the pools and the caches.
        if round > 0 {
            samples.append(measured);
        }
    }
    Ok(samples)
}

fn job(calls: u32) -> Value {
    let task = json!({
        "executor": GUEST.name(), "inputs": { "calls": calls, "tokens": TOKENS }, "model": "a/model",
    });
    let used = u64::from(TASKS) * u64::from(calls) * u64::from(TOKENS);
    json!({ "tasks": vec![task; TASKS as usize], "token_budget": used * ROOMS })
}

/// Takes what the guests measured.
fn take(job: &Job, samples: &mut Samples) -> Result<(), CliError> {
    if job.state != JobState::Completed {
        return Err(CliError::Bench(format!("the job {} is {}", job.id, job.state.name())));
    }
    for task in &job.tasks {
        let took = task.output.as_ref().and_then(|output| output["took_ns"].as_array());
        for nanos in took.into_iter().flatten().filter_map(Value::as_u64) {
            samples.add("call", Duration::from_nanos(nanos));
        }
    }
    Ok(())
}

async fn install(config: &Config) -> Result<(), CliError> {
    let manifest = format!(
        "name: {0}\nversion: 1.0.0\ndescription: A guest.\ncomponent: {0}.wasm\n\
         capabilities: {{ clocks: true }}\n",
        GUEST.name()
    );
    Host::with(config, async |host| {
        let load = LoadPlugin {
            component: GUEST.component().to_vec(),
            component_file: format!("{}.wasm", GUEST.name()),
            manifest: Some(DefinitionText::Plugin(manifest)),
            manifest_file: "plugin.yaml".to_owned(),
            approval: Approval::Unsaid,
            typed: Some(GUEST.name().to_owned()),
        };
        host.api.invoke(load, &operator()).await?;
        Ok(())
    })
    .await
}
